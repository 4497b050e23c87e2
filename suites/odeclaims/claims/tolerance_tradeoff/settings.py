"""What the rooms of this claim share: its name, and what is solved."""

SLUG = "tolerance_tradeoff"
# The last is the paper's.
METHODS = ("adaptive_heun", "bosh3", "dopri5", "dopri8", "adams")
# What stands in the column of the method where the whole net classifies, solved by dopri5.
CLASSIFIER = "classifier"
# Test digits behind the error rate at each tolerance.
TESTED = 1000
