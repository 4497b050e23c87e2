"""What the rooms of this claim share: its name, its nets, and sizes of what is measured."""

SLUG = "mnist_classifiers"
# The nets of the pool, and its recipe.
RECIPE = "table1"
NETS = ("mlp", "resnet", "rk_net", "ode_net", "one_block", "no_block")
# The nets whose memory and time are measured over their size.
COMPARED = ("resnet", "rk_net", "ode_net")
# The tolerance of the adaptive solves.
TOLERANCE = 1e-3
ALL_IMAGES, ALL_TESTS = 60_000, 10_000
COST_REPEATS = 5
