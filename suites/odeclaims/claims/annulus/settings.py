"""What the rooms of this claim share: its name, and numbers that are in its rows."""

import math
from typing import Any

SLUG = "annulus"
# The published tolerance, and one at which the frozen flows are solved again to check them. On a
# line the points end pressed together, and solving back to their starts needs a tenth of it.
TOLERANCES = {
    1: {"loose": 1e-3, "checked": 1e-8},
    2: {"loose": 1e-3, "checked": 1e-7},
    3: {"checked": 1e-8},
    10: {"checked": 1e-8},
}
# Dimensions in which random points and searches stand for a grid.
SPACES = (3, 10)
# One that is tighter still: what no flow can do is solved again, so that an error of the solver is
# not taken for it.
CONFIRMING = {"tight": 1e-9}
# There gradient descent takes these many steps, from so many of the worst points of either region,
# and these many lines are followed back through the flow.
STEPS, WORST, LINES = 40, 32, 8
# Radii of the dense grid, in ball and shell each.
RINGS = 8
# Starts whose order is watched on a line, at these many times.
STARTS, TIMES = 41, 21
# The circle is refined until no step from one of its points to the next turns by more than this,
# or changes the output by more.
LARGEST_TURN, LARGEST_STEP = math.pi / 8, 0.02
# The mean squared error that no monotone map on a line goes below; a hundredth is left for the
# error of the solver.
FLOOR, LEFT = 2 / 3, 0.99


def represents(rows: Any) -> Any:
    """Whether ball and shell are told apart: the whole grid and all of |x| = 1 are right.

    Args:
        rows: a frame, or one row, with ``dense_accuracy`` and ``bridge_share``.
    """
    return (rows["dense_accuracy"] == 1) & (rows["bridge_share"] == 0)


def below_floor(rows: Any) -> Any:
    """Whether the error on a line is smaller than that of any map that keeps the order."""
    return rows["mse"] < LEFT * FLOOR


def told_apart_in_space(rows: Any) -> Any:
    """Whether no point that was drawn, searched or traced is on the wrong side, d = 3 and 10."""
    return rows["margin"] > 0
