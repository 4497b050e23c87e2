"""What the rooms of this claim share: its name, and numbers that measuring uses."""

SLUG = "maximum_likelihood"
DATA = ("circles", "moons")
# The iterations of the released example, and those of FFJORD for such data.
EXAMPLE_ITERATIONS, FULL_ITERATIONS = 1000, 10_000
# Samples in an iteration of the released example.
EXAMPLE_BATCH = 512
# Points that are taken to the base and back, by a CNF once more at this tighter tolerance.
RETURNED, CHECKED_TOLERANCE = 500, 1e-8
# Shares in the paper's figure: of the integration time, or of the layers from the base on.
SHARES = (0.05, 0.2, 0.4, 0.6, 0.8, 1.0)
# The squares of the pictures: left, right, lower and upper edge.
WINDOWS = {"circles": (-1.5, 1.5, -1.5, 1.5), "moons": (-1.25, 2.25, -1.5, 2.0)}
