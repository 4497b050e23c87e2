"""The cells, one part each, and the first two parts: the determinant and the mass."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from neural_ode.flows import CNF, StandardNormal
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.change_of_variables.costs import measure_costs
from odeclaims.claims.change_of_variables.estimates import measure_estimates, measure_noise
from odeclaims.claims.change_of_variables.fields import (
    POINTS,
    LinearField,
    random_field,
    random_points,
    trace_of,
)
from odeclaims.claims.change_of_variables.formulas import measure_formulas
from odeclaims.claims.change_of_variables.masses import MASS_TOLERANCE, find_window, integrals
from odeclaims.claims.change_of_variables.settings import JUDGED, SLUG
from odeclaims.claims.change_of_variables.solves import END, at, flow, largest, trace_fall

# The fields whose determinant and mass are measured.
FIELDS = ("linear", "planar", "constant", "concatsquash")
TOLERANCES = (1e-4, 1e-6, 1e-8, JUDGED)
NOISE_DIM = 4
# The dimensions at which times are measured: up to LARGEST_SQUARE all of them, and beyond only what
# is O(D). The first has little but overhead, and so many lie above it that a slope over them has an
# interval. Larger states leave the cache, which takes longer for each number.
SQUARE_DIMS = (16, 64, 256, 384, 512, 768, 1024)
LINEAR_DIMS = (4096, 5120, 6144, 7168, 8192, 10240, 12288, 14336, 16384)
LARGEST_DIMS = (1536, 2048)


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each field, dimension and seed of a part."""
    dims = profile.pick(smoke=(2,), quick=(2, 8), paper=(2, 8, 32))
    estimated = profile.pick(smoke=(2, 4), quick=(2, 8, 32), paper=(2, 8, 32, 128))
    timed = (*SQUARE_DIMS, *LINEAR_DIMS)
    cost = profile.pick(smoke=(4, 16), quick=timed, paper=(*timed, *LARGEST_DIMS))
    draws = profile.pick(smoke=512, quick=16384, paper=16384)
    all_printed = ("linear", "planar", "concatsquash", "unit")
    printed = profile.pick(smoke=("planar", "unit"), quick=all_printed, paper=all_printed)
    most = profile.pick(smoke=32, quick=256, paper=512)
    for repetition in profile.repetitions(smoke=1, quick=3, paper=10):
        for field in FIELDS:
            for dim in dims:
                yield _cell("determinant", repetition, field=field, dim=dim)
            yield _cell("mass", repetition, field=field, dim=2, most_intervals=most)
        for field in printed:
            yield _cell("printed", repetition, field=field, dim=2, most_intervals=most)
        for dim in estimated:
            yield _cell("estimate", repetition, field="concatsquash", dim=dim, draws=draws)
    for repetition in profile.repetitions(smoke=1, quick=6, paper=10):
        yield _cell("noise", repetition, field="concatsquash", dim=NOISE_DIM)
    for dim in cost:
        yield Cell(SLUG, {"part": "cost", "field": "constant", "dim": dim})


def _cell(part: str, repetition: int, **params: Any) -> Cell:
    # The density is the same however fine the grid is.
    return Cell(SLUG, {"part": part, **params}, repetition, paired=("most_intervals",))


def alone(cell: Cell) -> bool:
    """Whether the cell measures times."""
    return cell.params["part"] == "cost"


def measure(cell: Cell, context: Context) -> list[Row]:
    """The rows of one part."""
    generator = cell.generator()
    field = random_field(cell.params["field"], cell.params["dim"], generator)
    return PARTS[cell.params["part"]](cell, field, generator)


def _determinant(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    z = random_points(POINTS, cell.params["dim"], generator)
    _, expected = flow(field, z, 0.0, END)
    _, looser = flow(field, z, 0.0, END, **at(1e-10))

    def observe(tolerance: float) -> Row:
        fall, nfe = trace_fall(field, z, trace_of(field), tolerance)
        row: Row = {"error": largest(fall - expected), "nfe_forward": nfe}
        if isinstance(field, LinearField):
            row["closed_error"] = largest(fall - field.A.trace() * END)
        return row

    common = {"size": largest(expected), "reference_error": largest(expected - looser)}
    return [
        {"tolerance": tolerance, **common, **guarded(partial(observe, tolerance))}
        for tolerance in TOLERANCES
    ]


def _mass(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    cnf = CNF(field, StandardNormal(2), end=END, **at(MASS_TOLERANCE))
    rows = integrals(cnf, find_window(cnf, generator), cell.params["most_intervals"])
    return [{"tolerance": MASS_TOLERANCE, **row} for row in rows]


PARTS: dict[str, Callable[[Cell, Any, torch.Generator], list[Row]]] = {
    "determinant": _determinant,
    "mass": _mass,
    "printed": measure_formulas,
    "cost": measure_costs,
    "estimate": measure_estimates,
    "noise": measure_noise,
}
