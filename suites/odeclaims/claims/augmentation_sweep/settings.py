"""What the rooms of this claim share: its name, and numbers that are in its rows."""

from typing import NamedTuple

SLUG = "augmentation_sweep"
# The published tolerance, that of the replication's counts, and one at which the flows pass the
# validity checks.
TOLERANCES = {"loose": 1e-3, "replication": 1e-6, "checked": 1e-7}
SWEEP = (1, 2, 5, 10)
# Those that the paper searched.
PUBLISHED_DIMS = (1, 2, 5)
INPUT_LAYER_DIM = 5
# Equal parts of the ball and of the shell, and directions, of the dense grid: that of the claim
# `annulus`. On a coarser one a NODE may be right everywhere, and nothing is better than that.
RINGS, DIRECTIONS = 8, 720
# Points whose flow is counted and checked, as one batch.
OBSERVED = 64
# Steps of rk4 in the update that is timed, and how often it is taken.
TIMED_STEPS, TIMED_REPEATS = 10, 30


class Task(NamedTuple):
    """What is learnt: its dimension, the width of the fields, the outputs of a head or none."""

    dim: int
    width: int
    outputs: int | None


TASKS = {"spheres": Task(2, 32, 1), "crossing": Task(1, 16, None)}
