"""The points between which a solve with steps of given sizes takes its steps."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from neural_ode.failures import StepLimit, step_underflow
from neural_ode.settings import NO_LIMIT, Settings
from neural_ode.times import Time, Times
from neural_ode.transforms import is_followed

# The most steps of a grid for which nobody has to ask: hours of even the smallest field.
MOST = 10_000_000


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
        ValueError: for points that do not run strictly from the first time to the last, or more
            than ``MOST`` of them while ``max_num_steps`` is left open.
        StepUnderflow: for steps too small to move the time.
        StepLimit: for more than ``max_num_steps`` steps between two output times.
    """
    begin, end = times.floats[0], times.floats[-1]
    sources: Sequence[int | None] = range(len(times))
    if settings.step_size is not None:
        step = times.direction * settings.step_size
        if end - step == end or begin + step == begin:
            raise step_underflow(step, begin)
        count = _steps(begin, end, settings.step_size, times.eps)
        _check_count(count, settings)
        passed = [_steps(begin, t, settings.step_size, times.eps) for t in times.floats]
        _check_limit(passed, times.floats, settings)
        points: Sequence[Time] = [times.points[0] + i * step for i in range(count)]
        points = [*points, times.points[-1]]
        sources = [0] * count + [len(times) - 1]
    elif settings.grid is not None:
        points = list(settings.grid)
        sources = [None] * len(points)
        _check_count(len(points) - 1, settings)
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
    if settings.grid is not None:
        ordered = [times.direction * t for t in grid]
        passed = [bisect_left(ordered, times.direction * t) for t in times.floats]
        _check_limit(passed, times.floats, settings)
    followed = any(isinstance(p, Tensor) and is_followed(p) for p in points)
    return Grid(grid, points if followed else grid, sources)


def _steps(begin: float, end: float, step_size: float, eps: float) -> int:
    """How many steps lead from one time to another.

    A whole number but for the rounding ``eps`` of the times adds no step of nothing.
    """
    length = abs(end - begin)
    if not length:
        return 0
    # What the two times, and the sum of the steps, may be beside what was meant.
    rounding = max(4 * eps * max(abs(begin), abs(end)), 1e-12 * length)
    return max(1, math.ceil((length - min(rounding, step_size / 100)) / step_size))


def _check_count(count: int, settings: Settings) -> None:
    """Raise ValueError for more steps than anyone means to take, unless they are asked for."""
    if count > MOST and settings.max_num_steps == NO_LIMIT:
        raise ValueError(
            f"the grid has {count:,} steps, more than {MOST:,}: take longer steps, or allow so many"
            " by max_num_steps"
        )


def _check_limit(passed: Sequence[int], outputs: Sequence[float], settings: Settings) -> None:
    """Raise StepLimit where the steps passed at two output times differ by too many."""
    if settings.max_num_steps == NO_LIMIT:
        return
    for i, (before, after) in enumerate(pairwise(passed), start=1):
        if after - before > settings.max_num_steps:
            raise StepLimit(
                f"the grid has {after - before:,} steps from t={outputs[i - 1]:.9g} to"
                f" {outputs[i]:.9g}, more than max_num_steps, {settings.max_num_steps:,}",
                outputs[i - 1],
            )


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
