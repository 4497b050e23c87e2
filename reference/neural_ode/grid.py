"""The points between which a solve with steps of given sizes takes its steps."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from neural_ode.failures import step_underflow
from neural_ode.settings import Settings
from neural_ode.times import Time, Times


class Grid(NamedTuple):
    """The points of a grid.

    Attributes:
        floats: the points as numbers of the host.
        points: as tensors where the gradient with respect to one is wanted, else the same floats.
        sources: the number of the output time that each point moves with, if any.
    """

    floats: Sequence[float]
    points: Sequence[Time]
    sources: Sequence[int | None]


def grid_of(times: Times, settings: Settings) -> Grid:
    """The grid of these output times.

    Raises:
        ValueError: for points that do not run strictly from the first time to the last.
        StepUnderflow: for steps too small to move the time.
    """
    begin, end = times.floats[0], times.floats[-1]
    sources: Sequence[int | None] = range(len(times))
    if settings.step_size is not None:
        length = abs(end - begin) / settings.step_size
        # A length that is whole but for rounding must not add a step of nothing.
        count = max(1, math.ceil(length * (1 - 1e-12)))
        step = times.direction * settings.step_size
        if end - step == end or begin + step == begin:
            raise step_underflow(step, begin)
        points: Sequence[Time] = [times.points[0] + i * step for i in range(count)]
        points = [*points, times.points[-1]]
        sources = [0] * count + [len(times) - 1]
    elif settings.grid is not None:
        points = list(settings.grid)
        sources = [None] * len(points)
    else:
        points = times.points
    grid = [p.item() if isinstance(p, Tensor) else p for p in points]
    forward = all(times.direction * (b - a) > 0 for a, b in pairwise(grid))
    if len(grid) < 2 or not forward:
        raise ValueError("grid must run strictly from the first output time to the last")
    if grid[0] != begin or grid[-1] != end:
        raise ValueError(
            f"grid runs from {grid[0]:.9g} to {grid[-1]:.9g}, but the output times from"
            f" {begin:.9g} to {end:.9g}"
        )
    wanted = torch.is_grad_enabled()
    differentiable = wanted and any(isinstance(p, Tensor) and p.requires_grad for p in points)
    return Grid(grid, points if differentiable else grid, sources)


def fraction(output: Time, points: Sequence[Time], i: int) -> Time:
    """Where in the step of number ``i`` of a grid the output lies; exactly 1 at its end."""
    begin, end = points[i], points[i + 1]
    if isinstance(end, Tensor):
        at_end = output is end
    else:
        # Not float(), which warns where a tensor requires a gradient.
        at_end = (output.item() if isinstance(output, Tensor) else output) == end
    if at_end:
        return 1.0
    return (output - begin) / (end - begin)
