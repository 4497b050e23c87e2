"""What the rooms of this claim share: its name, what is learnt, and at which tolerances."""

SLUG = "nfe_growth"
# At which the nets of the pool are solved: the tolerance of training, and that of the replication
# whose numbers stand in the ledger.
TOLERANCES = {"loose": 1e-3, "checked": 1e-7}
# The toy problems. Their tolerances: of the ANODE paper, of the replication of its curves, and one
# at which the flows pass the validity checks.
TOYS = ("spheres", "sines")
TOY_TOLERANCES = {"loose": 1e-3, "replication": 1e-6, "checked": 1e-7}
# The models that learn them, with their augmented dimensions.
ARMS = {"node": 0, "anode": 5}
# Points behind an error rate, beside the training set.
TEST_POINTS = 1000


def looks(epochs: int) -> list[int]:
    """After which epochs a curve is looked at: 1, 2, 4 and so on, and the last."""
    return [*(2**i for i in range(epochs.bit_length()) if 2**i < epochs), epochs]
