"""What the rooms of this claim share: its name, and numbers that measuring uses."""

SLUG = "maximum_likelihood"
DATA = ("circles", "moons")
# The iterations of the released example, and those of FFJORD for such data.
EXAMPLE_ITERATIONS, FULL_ITERATIONS = 1000, 10_000
# An iteration of the CNF takes as long as some ten of the planar flow in the first thousand. In ten
# thousand it is some sixteen, though compiled: its solves take more steps to a sharper density.
EVEN_TIME, EVEN_TIME_LATE = 10, 16
# Points that are taken to the base and back.
RETURNED = 500
# Shares of the integration time in the paper's figure.
SHARES = (0.05, 0.2, 0.4, 0.6, 0.8, 1.0)
# The squares of the pictures: left, right, lower and upper edge.
WINDOWS = {"circles": (-1.5, 1.5, -1.5, 1.5), "moons": (-1.25, 2.25, -1.5, 2.0)}
