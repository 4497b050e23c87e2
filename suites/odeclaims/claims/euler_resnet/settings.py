"""What the rooms of this claim share: its name, what is measured, and the tutorial's example."""

import math

SLUG = "euler_resnet"
# Standard deviations of the weights of a chain, and its numbers of layers.
SCALES = (0.1, 0.5, 1.0, 2.0)
DEPTHS = (1, 2, 3, 5, *range(10, 101, 10))
# The methods whose order is measured, with the order that each is said to have.
ORDERS = {
    "euler": 1,
    "midpoint": 2,
    "heun": 2,
    "rk4": 4,
    "rk4_classic": 4,
    "bosh3": 3,
    "adaptive_heun": 2,
    "dopri5": 5,
    "tsit5": 5,
    "dopri8": 8,
}
# The problems on which it is measured.
PROBLEMS = ("tutorial", "logistic")
# The tutorial's table: h and h' at t = 0, 1, 2.
PRINTED = ((1, 2), (3, 12), (15, 72))
# Layers of the network in the picture, and the end of the ODE beside it.
PORTRAIT_DEPTH = 5


def example_solution(t: float) -> float:
    """The solution at time t of the tutorial's example, h' = 5h - 3 from h(0) = 1."""
    return 3 / 5 + 2 / 5 * math.exp(5 * t)
