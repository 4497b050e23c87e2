"""The integral of a density over the plane, on ever finer grids."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from neural_ode.flows import CNF
from odeclaims.cell import Row
from odeclaims.claims.change_of_variables.settings import CONVERGED
from odeclaims.claims.change_of_variables.solves import largest

MASS_TOLERANCE = 1e-6
# Grids of twice as many intervals are taken until the integral has converged.
FIRST_INTERVALS = 16


@dataclass(frozen=True)
class Window:
    """A rectangle along the principal axes of a density, in units of its standard deviations.

    Attributes:
        centre, to_plane: the map from those units u to points, ``to_plane u + centre``.
        half: half the length of either side, in those units.
    """

    centre: Float64[Tensor, "2"]
    to_plane: Float64[Tensor, "2 2"]
    half: float


def find_window(cnf: CNF, generator: torch.Generator) -> Window:
    """Half again as wide as the furthest of many samples needs."""
    samples = cnf.sample(4000, generator)
    centre = samples.mean(dim=0)
    variances, axes = torch.linalg.eigh(torch.cov(samples.T))
    to_plane = axes * variances.sqrt()
    units = torch.linalg.solve(to_plane, (samples - centre).T)
    return Window(centre, to_plane, 1.5 * largest(units))


@torch.no_grad()
def _integral(cnf: CNF, window: Window, intervals: int) -> Row:
    """The integral of the density by the trapezoidal rule; at the edge the density vanishes."""
    line = torch.linspace(-window.half, window.half, intervals + 1, dtype=torch.float64)
    points = torch.cartesian_prod(line, line) @ window.to_plane.T + window.centre
    spacing = 2 * window.half / intervals
    cell = spacing**2 * float(window.to_plane.det().abs())
    mass = float(cnf.log_prob(points).exp().sum()) * cell
    return {"intervals": intervals, "spacing": spacing, "mass": mass}


def integrals(cnf: CNF, window: Window, most: int) -> list[Row]:
    """The integral on ever finer grids, until it has converged or the grid is the finest."""
    rows, intervals, change = [], FIRST_INTERVALS, math.inf
    while change > CONVERGED and intervals <= most:
        rows.append(_integral(cnf, window, intervals))
        change = abs(rows[-1]["mass"] - rows[-2]["mass"]) if len(rows) > 1 else math.inf
        rows[-1]["mass_change"] = change if len(rows) > 1 else None
        intervals *= 2
    return rows
