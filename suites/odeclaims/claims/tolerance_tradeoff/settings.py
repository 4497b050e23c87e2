"""What the rooms of this claim share: its name, and what is solved."""

SLUG = "tolerance_tradeoff"
METHODS = ("adaptive_heun", "bosh3", "dopri5", "dopri8")
# Digits of the test set: those whose flow is solved, and those behind the error rate.
EVALUATED, TESTED = 8, 1000
