"""The four energies of Rezende and Mohamed, made proper by soft walls, and their normalisers.

A density is ``exp(-U(z)) / Z``. The published U2, U3 and U4 do not grow along the first axis, so
that they have no finite Z on the plane and a loss on them has no lower bound. Here all four have
the same walls around [-4, 4]^2: inside nothing is changed, and outside

    walls(z) = sum over i of (max(|z_i| - 4, 0) / 0.25)^2 / 2

is added, half of a normal density of width 0.25, which is once continuously differentiable.

Source: Rezende and Mohamed, Variational inference with normalizing flows, 2015, table 1; the walls
are this project's.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import check_callable, check_count, check_points, check_positive

Energy = Callable[[Float[Tensor, "*batch 2"]], Float[Tensor, "*batch"]]

HALF_WIDTH, WALL_WIDTH = 4.0, 0.25
# Outside of this square what is left of any of the densities is below e^-50.
REACH = HALF_WIDTH + 10 * WALL_WIDTH
# Their points along both axes take some 10 GB.
MOST_PANELS = 1000


def u1(z: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """A ring of radius 2 that is densest on the left and on the right; without walls."""
    check_points("z", z, 2)
    first = z[..., 0]
    # A square root has no gradient at zero.
    radius = (z.square().sum(dim=-1) + torch.finfo(z.dtype).tiny).sqrt()
    right, left = (-0.5 * ((first + side) / 0.6).square() for side in (-2, 2))
    return 0.5 * ((radius - 2) / 0.4).square() - torch.logaddexp(right, left)


def u2(z: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """A band along a sine; without walls."""
    check_points("z", z, 2)
    return 0.5 * ((z[..., 1] - _wave(z)) / 0.4).square()


def u3(z: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """The band, and a branch that leaves it near z1 = 1 and comes back; without walls."""
    check_points("z", z, 2)
    bump = 3 * torch.exp(-0.5 * ((z[..., 0] - 1) / 0.6).square())
    return _two_bands(z, 0.35, bump)


def u4(z: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """The band, and a branch that leaves it at z1 = 1 for good; without walls."""
    check_points("z", z, 2)
    step = 3 * torch.sigmoid((z[..., 0] - 1) / 0.3)
    return _two_bands(z, 0.4, step)


def _wave(z: Tensor) -> Tensor:
    return torch.sin(2 * math.pi * z[..., 0] / 4)


def _two_bands(z: Tensor, width: float, offset: Tensor) -> Tensor:
    """Minus the log of a band's density along the sine plus that of one shifted down by offset."""
    distance = z[..., 1] - _wave(z)
    upper = -0.5 * (distance / width).square()
    lower = -0.5 * ((distance + offset) / 0.35).square()
    return -torch.logaddexp(upper, lower)


def walls(z: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """What the walls add: zero inside [-4, 4]^2."""
    check_points("z", z, 2)
    beyond = (z.abs() - HALF_WIDTH).clamp(min=0)
    return 0.5 * (beyond / WALL_WIDTH).square().sum(dim=-1)


def _add_walls(energy: Energy, z: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    return energy(z) + walls(z)


ENERGIES: dict[str, Energy] = {
    name: partial(_add_walls, energy)
    for name, energy in {"U1": u1, "U2": u2, "U3": u3, "U4": u4}.items()
}


def log_normaliser(energy: Energy, half_width: float = REACH, *, panels: int = 52) -> float:
    """``log Z``, the log of the integral of ``exp(-energy)`` over a square around the origin.

    Args:
        energy: a function of points [..., 2].
        half_width: half of the square's side; the default holds all of a density with walls.
        panels: along either axis, each with eight Gauss-Legendre nodes. With a quarter of a unit a
            panel, as the defaults have it, panels end at the walls, and the error is that of
            rounding.

    Raises:
        ValueError: for a width or a number of panels that is not positive, or an energy that gives
            anything but one number for each point.
        TypeError: for an argument of another type.
    """
    check_callable("energy", energy)
    check_positive("half_width", half_width)
    check_count("panels", panels, most=MOST_PANELS)
    half_width = float(half_width)
    edges = np.linspace(-half_width, half_width, panels + 1)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = half_width / panels
    axis = torch.from_numpy((edges[:-1, None] + half * (nodes + 1)).reshape(-1))
    log_weight = torch.from_numpy(np.log(np.tile(half * weights, panels)))
    z = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1)
    values = energy(z)
    if not isinstance(values, Tensor) or values.shape != z.shape[:-1]:
        raise ValueError("energy gives something else than one number for each point [..., 2]")
    return float((log_weight[:, None] + log_weight - values).flatten().logsumexp(dim=0))
