"""The toy problems of the ANODE paper, drawn from a seeded generator.

Source: Dupont et al. 2019, sec. 3 to 5, and the released ``experiments/dataloaders.py``.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neural_ode.arguments import (
    check_choice,
    check_count,
    check_generator,
    check_number,
    check_shape,
    describe,
)
from neural_ode.generators import device_of

SAMPLINGS = ("published", "uniform")


class Points(NamedTuple):
    """Labelled points: inputs of shape [count, dim] and targets -1 or 1 of shape [count, 1]."""

    inputs: Float[Tensor, "count dim"]
    targets: Float[Tensor, "count 1"]


def crossing(
    count: int, spread: float = 0.0, *, generator: torch.Generator | None = None
) -> Points:
    """Points on a line at -1 and 1, whose targets are 1 and -1: the order is to be reversed.

    Args:
        count: how many; every other one is at -1. The released code throws a coin for each, which
            moves the least possible error of a flow away from 1.
        spread: standard deviation of normal noise on the inputs.
        generator: the source of that noise.

    Raises:
        ValueError: for a count below 1 or a negative spread.
        TypeError: for an argument of another type.
    """
    check_count("count", count)
    check_number("spread", spread, 0)
    check_generator("generator", generator)
    device = device_of(generator)
    sides = torch.ones(count, 1, device=device)
    sides[::2] = -1
    noise = torch.randn(count, 1, generator=generator, device=device)
    return Points(sides + float(spread) * noise, -sides)


def concentric_spheres(
    inner: int,
    outer: int,
    dim: int = 2,
    *,
    inner_radius: float = 0.5,
    outer_radii: tuple[float, float] = (1.0, 1.5),
    sampling: str = "published",
    generator: torch.Generator | None = None,
) -> Points:
    """A ball with target -1 inside a shell with target 1, in any dimension; the ball comes first.

    Args:
        inner, outer: numbers of points in the ball and in the shell.
        dim: the dimension, from 1.
        inner_radius: that of the ball.
        outer_radii: the inner and the outer one of the shell.
        sampling: how a radius between a and b comes from a uniform u: ``"published"`` is
            ``a + (b - a) u^(1/dim)``, as in the released code, which on the shell favours the outer
            part; ``"uniform"`` is uniform in volume. On the ball they agree.
        generator: the source of the points.

    Raises:
        ValueError: for another ``sampling``, a dimension below 1, a negative number of points, or
            radii that are negative or do not increase.
        TypeError: for an argument of another type.
    """
    check_choice("sampling", sampling, SAMPLINGS)
    check_count("dim", dim)
    check_count("inner", inner, 0)
    check_count("outer", outer, 0)
    check_number("inner_radius", inner_radius, 0)
    if not isinstance(outer_radii, list | tuple) or len(outer_radii) != 2:
        raise TypeError(f"outer_radii is {describe(outer_radii)}, expected a pair of numbers")
    check_number("the first of outer_radii", outer_radii[0], 0)
    check_number("the second of outer_radii", outer_radii[1], outer_radii[0])
    check_generator("generator", generator)
    parts = [
        _shell(count, dim, float(low), float(high), sampling == "uniform", generator)
        for count, (low, high) in ((inner, (0.0, inner_radius)), (outer, outer_radii))
    ]
    targets = torch.ones(inner + outer, 1, device=device_of(generator))
    targets[:inner] = -1
    return Points(torch.cat(parts), targets)


def _shell(
    count: int, dim: int, a: float, b: float, uniform: bool, generator: torch.Generator | None
) -> Float[Tensor, "count dim"]:
    """Points in random directions at radii between ``a`` and ``b``."""
    device = device_of(generator)
    directions = torch.randn(count, dim, generator=generator, device=device)
    directions = directions / directions.norm(dim=1, keepdim=True)
    u = torch.rand(count, 1, generator=generator, device=device)
    if uniform:
        return directions * (a**dim + u * (b**dim - a**dim)) ** (1 / dim)
    return directions * (a + (b - a) * u ** (1 / dim))


def shifted_sines(
    upper: int,
    lower: int,
    dim: int = 2,
    *,
    shift: float = 1.4,
    noise: float = 0.1,
    generator: torch.Generator | None = None,
) -> Points:
    """Two sine curves, one above the other: the upper one has target 1, the lower one -1.

    A flow can pull them apart, so this is the problem that a Neural ODE solves with ease.

    Args:
        upper, lower: numbers of points on either curve; the upper ones come first.
        dim: 1 keeps the heights alone, above 2 uniform coordinates are appended.
        shift: the vertical distance of the curves.
        noise: standard deviation of normal noise on the height.
        generator: the source of the points.

    Raises:
        ValueError: for a dimension below 1, or a negative number of points or noise.
        TypeError: for an argument of another type.
    """
    check_count("upper", upper, 0)
    check_count("lower", lower, 0)
    check_count("dim", dim)
    check_number("shift", shift)
    check_number("noise", noise, 0)
    check_generator("generator", generator)
    device = device_of(generator)
    count = upper + lower
    targets = torch.ones(count, 1, device=device)
    targets[upper:] = -1
    x = 2 * torch.rand(count, 1, generator=generator, device=device) - 1
    scatter = float(noise) * torch.randn(count, 1, generator=generator, device=device)
    y = torch.sin(math.pi * x) + scatter
    y = y + targets * float(shift) / 2
    if dim == 1:
        return Points(y, targets)
    rest = 2 * torch.rand(count, dim - 2, generator=generator, device=device) - 1
    return Points(torch.cat([x, y, rest], dim=1), targets)


def split_wedge(points: Points, start: float, stop: float) -> tuple[Points, Points]:
    """The points outside and inside of a wedge, such as a part to be trained on and one held out.

    Args:
        points: of dimension 2 or more.
        start, stop: the angles of the first two coordinates, in radians, from which and to which
            the wedge reaches counter-clockwise; ``start`` is inside, ``stop`` is not.

    Raises:
        ValueError: for points on a line, or a wedge that stops before it starts.
        TypeError: for anything but points and numbers.
    """
    if not isinstance(points, Points):
        raise TypeError(f"points is {describe(points)}, expected Points(inputs, targets)")
    check_shape("points.inputs", points.inputs, "count", "dim")
    check_shape("points.targets", points.targets, len(points.inputs), 1)
    if points.inputs.shape[1] < 2:
        raise ValueError("points of dimension 1 have no angle, expected dimension 2 or more")
    check_number("start", start)
    check_number("stop", stop)
    if stop < start:
        raise ValueError(f"stop is {stop}, expected at least start, {start}")
    angle = torch.atan2(points.inputs[:, 1], points.inputs[:, 0])
    inside = (angle - float(start)) % (2 * math.pi) < float(stop) - float(start)
    return _select(points, ~inside), _select(points, inside)


def _select(points: Points, mask: Bool[Tensor, " count"]) -> Points:
    return Points(points.inputs[mask], points.targets[mask])
