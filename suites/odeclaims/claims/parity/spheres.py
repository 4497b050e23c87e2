"""How far a map is from x -> -x on spheres, and its determinant.

A flow F of R^D with D odd has on every sphere |x| = r a point with |F(x) + x| >= r. Else F would be
joined to -x without a zero on the sphere and have the degree -1 there, while a map that is joined
to the identity by homeomorphisms has 0 or 1. In even D -x is a flow itself, the rotation by pi.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from odeclaims.kits.toy_models import circle

# Directions of the grid: in the plane, and in any dimension above.
OF_PLANE, OF_SPACE = 256, 512
# The ascent: from how many of the best of the grid, and by what angle at first.
CLIMBERS, FIRST_ANGLE = 4, 0.1
# An angle grows after a step that gains, and shrinks after one that does not.
GROWS, SHRINKS = 1.5, 0.4

Map = Callable[[Tensor], Tensor]
Batch = Float64[Tensor, "seeds batch dim"]


def directions(dim: int) -> Float64[Tensor, "count dim"]:
    """Unit vectors that cover the sphere: both ends of the line, arcs, or a Sobol sequence."""
    if dim == 1:
        return torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    if dim == 2:
        return circle(OF_PLANE)
    normal = math.sqrt(2) * torch.erfinv(2 * sobol(OF_SPACE, dim) - 1)
    return _unit(normal)


def sobol(count: int, dim: int) -> Float64[Tensor, "count dim"]:
    """Points of a Sobol sequence in the unit cube, moved by half of 1 / ``count``.

    In one dimension they are the middles of equal parts. ``count`` is a power of two.
    """
    return torch.quasirandom.SobolEngine(dim).draw(count, dtype=torch.float64) + 0.5 / count


def misses(outputs: Map, x: Batch) -> Float64[Tensor, "seeds batch"]:
    """|F(x) + x| / |x| at each point."""
    return (outputs(x) + x).norm(dim=-1) / x.norm(dim=-1)


def farthest(
    outputs: Map, dim: int, seeds: int, radii: Sequence[float], climbs: int = 25
) -> Float64[Tensor, "seeds radii dim"]:
    """The points of spheres with the largest ``misses``: the best of a grid, improved by ascent.

    The ascent goes along the gradient on the sphere by an angle that adapts. It never loses, so
    that the miss at a point is a lower bound of the maximum.

    Args:
        outputs: the maps of all seeds, from [seeds, batch, dim] to the same.
        dim: of the space.
        seeds: how many maps.
        radii: of the spheres.
        climbs: steps of the ascent.
    """
    grid, scale = directions(dim), torch.tensor(radii, dtype=torch.float64)[:, None, None]
    with torch.no_grad():
        points = (scale * grid).flatten(end_dim=1).expand(seeds, -1, -1)
        found = misses(outputs, points).view(seeds, len(radii), len(grid))
    best = grid[found.topk(min(CLIMBERS, len(grid)), dim=-1).indices]
    if dim > 1:
        best = _climb(outputs, best, scale, climbs)
    return scale[:, 0] * best[..., 0, :]


def _climb(
    outputs: Map,
    u: Float64[Tensor, "seeds radii climbers dim"],
    scale: Float64[Tensor, "radii 1 1"],
    climbs: int,
) -> Float64[Tensor, "seeds radii climbers dim"]:
    """The directions that the climbers of each sphere reach, the best one first."""
    angle = torch.full(u.shape[:-1], FIRST_ANGLE, dtype=torch.float64)
    value, slope = _value_and_slope(outputs, u, scale)
    for _ in range(climbs):
        tried = _unit(u + angle[..., None] * slope)
        new_value, new_slope = _value_and_slope(outputs, tried, scale)
        gains = new_value > value
        u = torch.where(gains[..., None], tried, u)
        slope = torch.where(gains[..., None], new_slope, slope)
        value = torch.where(gains, new_value, value)
        angle = angle * torch.where(gains, GROWS, SHRINKS)
    order = value.argsort(dim=-1, descending=True)
    return u.take_along_dim(order[..., None], dim=-2)


def _value_and_slope(outputs: Map, u: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The miss at each direction, and the unit vector along which it grows on the sphere."""
    u = u.detach().requires_grad_(True)
    value = misses(outputs, (scale * u).flatten(1, 2)).view(u.shape[:-1])
    (gradient,) = torch.autograd.grad(value.sum(), u)
    with torch.no_grad():
        slope = _unit(gradient - (gradient * u).sum(dim=-1, keepdim=True) * u)
    return value.detach(), slope


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-300)


def determinants(outputs: Map, x: Batch) -> Float64[Tensor, "seeds batch"]:
    """det dF at each point, by a backward pass for each coordinate of the output."""
    x = x.detach().requires_grad_(True)
    y = outputs(x)
    lines = [
        torch.autograd.grad(y[..., i].sum(), x, retain_graph=True)[0] for i in range(x.shape[-1])
    ]
    return torch.linalg.det(torch.stack(lines, dim=-2))
