"""The validity stamp: whether a solve was accurate enough for its numbers to mean anything.

At a loose tolerance a solver may finish quickly and return something that is not the flow at all:
an NFE is then a number about nothing. So a row that carries an NFE also carries three checks, and a
headline is quoted at the loosest tolerance that passes them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode import solve
from neural_ode.integrate import Field
from odeclaims.claim import Column

# The first two are those of the replication that the ledgers cite; a reference may be uncertain by
# half of what it judges, since the gradient through a ReLU converges slowly.
RECONSTRUCTION_LIMIT = 1e-2
GRADIENT_LIMIT = 1e-2
REFERENCE_LIMIT = 5e-3

STAMP_COLUMNS = {
    "reconstruction_error": Column(
        "relative L2 distance between the start and where 0 -> T -> 0 ends, same solver"
    ),
    "gradient_error": Column("relative L2 error of the gradient against a tight float64 reference"),
    "reference_error": Column(
        "relative L2 distance between the reference and a second, looser one"
    ),
    "valid": Column(
        f"reconstruction below {RECONSTRUCTION_LIMIT:g}, gradient below {GRADIENT_LIMIT:g},"
        f" reference below {REFERENCE_LIMIT:g}"
    ),
}


def relative_error(value: Tensor, reference: Tensor) -> float:
    """The L2 norm of the difference over that of the reference, in float64."""
    value, reference = value.detach().double(), reference.detach().double()
    return float((value - reference).norm() / reference.norm())


def reconstruction_error(
    field: Field,
    y0: Float[Tensor, "*state"],
    y1: Float[Tensor, "*state"],
    ts: Float[Tensor, " two"],
    solver: Mapping[str, Any],
) -> float:
    """How far from ``y0`` the same solver ends when it goes from ``y1`` back in time."""
    with torch.no_grad():
        back = solve(field, y1.detach(), ts.detach().flip(0), **solver).ys[-1]
    return relative_error(back, y0)


def stamp(
    reconstruction_error: float, gradient_error: float, reference_error: float
) -> dict[str, float | bool]:
    """The stamp's columns from the three errors."""
    valid = (
        reconstruction_error < RECONSTRUCTION_LIMIT
        and gradient_error < GRADIENT_LIMIT
        and reference_error < REFERENCE_LIMIT
    )
    return {
        "reconstruction_error": reconstruction_error,
        "gradient_error": gradient_error,
        "reference_error": reference_error,
        "valid": valid,
    }
