"""What the rooms of this claim share: its name, its target, and the networks."""

from dataclasses import dataclass

SLUG = "universal_approximation"
# Numbers that go into the function.
INPUTS = 2
# Points along each side of the grid on which an error is looked for, and of one that holds it.
GRID, FINE_GRID = 65, 257
DEPTH, UNITS, FEW_UNITS = 4, 64, 4


@dataclass(frozen=True)
class Network:
    """A network by the name of its activation and the widths of its hidden layers."""

    activation: str
    widths: tuple[int, ...]


# Those that can by theory, and those that cannot.
ABLE = {
    "tanh": Network("tanh", (UNITS,)),
    "few_tanh": Network("tanh", (FEW_UNITS,)),
    "relu_n4": Network("relu", (INPUTS + 4,) * DEPTH),
    "relu_n1": Network("relu", (INPUTS + 1,) * DEPTH),
}
UNABLE = {
    "linear": Network("linear", (UNITS,)),
    "square": Network("square", (UNITS,)),
}
# It cannot, either, and becomes a constant from most initial weights.
FRAGILE = {"relu_n": Network("relu", (INPUTS,) * DEPTH)}
NETWORKS = ABLE | UNABLE | FRAGILE
