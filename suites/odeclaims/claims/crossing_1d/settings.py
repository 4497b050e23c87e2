"""What the rooms of this claim share: its name, and numbers that are in its rows."""

SLUG = "crossing_1d"
# The published tolerance, and one at which the flows are solved again to check them.
TOLERANCES = {"loose": 1e-3, "checked": 1e-6}
# One that is tighter still, at which it is solved a third time: what only the first two show is an
# error of the solver.
CONFIRMING = {"tight": 1e-9}
# Parts into which every step of a trained model is divided.
REFINEMENTS = (1, 2, 4, 8, 16, 32, 64)
# Starts whose order is watched, from -1 to 1, at these many times.
STARTS, TIMES = 21, 21
