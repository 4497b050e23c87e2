"""What the rooms of this claim share: its name, and numbers that are in its rows."""

from typing import NamedTuple

SLUG = "anode_mnist"
# The recipe of the pool by which the nets of the reduced arm are trained.
RECIPE = "small_digits"
# The tolerance of training, and that at which frozen nets are looked at again.
TOLERANCES = {"loose": 1e-3, "checked": 1e-6}
# The published budget; the images are all that MNIST has.
ALL_IMAGES, ALL_TESTS, PUBLISHED_EPOCHS = 60_000, 10_000, 20
# Pixels of a side of a digit: as published, and in the reduced arm.
PUBLISHED_SIDE, REDUCED_SIDE = 28, 14


class Arm(NamedTuple):
    """A published net: its channels of filters and of zeros."""

    filters: int
    augment_dim: int


ARMS = {"node": Arm(92, 0), "anode": Arm(64, 5)}
