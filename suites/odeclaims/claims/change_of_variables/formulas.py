"""The formulas for the change of a log-density, as the tutorial prints them and corrected."""

from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from neural_ode import solve
from neural_ode.flows import CNF, PlanarField, StandardNormal, closed_trace
from neural_ode.flows.traces import Trace
from odeclaims.cell import Cell, Row
from odeclaims.claims.change_of_variables.fields import POINTS, random_points, trace_of
from odeclaims.claims.change_of_variables.masses import MASS_TOLERANCE, find_window, integrals
from odeclaims.claims.change_of_variables.settings import JUDGED
from odeclaims.claims.change_of_variables.solves import END, TIGHT, at, flow, largest, trace_fall

# Derivatives in the middle of the flow by central differences of this step, of orders 6 and 8,
# whose difference tells how good they are; the weights are those of the nodes 1, 2, ...
MIDDLE, STEP = 0.6, 0.005
WEIGHTS = ((3 / 4, -3 / 20, 1 / 60, 0.0), (4 / 5, -1 / 5, 4 / 105, -1 / 280))
SHIFTS = [sign * k * STEP for sign in (1, -1) for k in (1, 2, 3, 4)]


def _log_density(
    field: nn.Module, z: Float64[Tensor, "batch dim"], t: float
) -> Float64[Tensor, " batch"]:
    """log p(z, t) by the determinant of the way back to the base: no trace enters."""
    start, log_det = flow(field, z, t, 0.0)
    return StandardNormal(z.shape[1]).log_prob(start) + log_det


def _slopes(values: Float64[Tensor, "shifts batch"]) -> Float64[Tensor, "orders batch"]:
    """The derivative at 0 of a function with these values at the shifts, by either order."""
    forward, backward = values.chunk(2)
    return values.new_tensor(WEIGHTS) @ (forward - backward) / STEP


@torch.no_grad()
def _move(field: nn.Module, z: Float64[Tensor, "batch dim"], s: float) -> Tensor:
    """Where the flow takes the points of the middle within a time s, which may be negative."""
    return solve(field, z, z.new_tensor([MIDDLE, MIDDLE + s]), **TIGHT).ys[-1]


def _rates(field: nn.Module, z: Float64[Tensor, "batch dim"]) -> list[Row]:
    """The theorem with a partial derivative, with the missing term, and with the total one."""
    with torch.no_grad():
        f, trace = trace_of(field)(field, z.new_tensor(MIDDLE), z)
    beside = _log_density(field, torch.cat([z + s * f for s in SHIFTS]), MIDDLE)
    carried = _slopes(beside.view(len(SHIFTS), -1))
    later = [
        _log_density(field, torch.cat([z, _move(field, z, s)]), MIDDLE + s).view(2, -1)
        for s in SHIFTS
    ]
    fixed, total = (_slopes(values) for values in torch.stack(later, dim=1))
    readings = {
        "partial_printed": (fixed, -trace.expand_as(fixed)),
        "partial_corrected": (fixed, -trace - carried),
        "total": (total, -trace.expand_as(fixed)),
    }
    return [
        {
            **_reading(name, left[-1], right[-1]),
            "reference_error": largest((left - right).diff(dim=0)),
        }
        for name, (left, right) in readings.items()
    ]


def _reading(name: str, left: Tensor, right: Tensor) -> Row:
    return {"reading": name, "error": largest(left - right), "size": largest(left)}


def _without_u(field: PlanarField, t: Tensor, z: Tensor, *, entries: bool) -> tuple:
    """The printed integrand: the gradient of h, its entries summed, or its slope h' alone."""
    w, b, _ = field.weights(t)
    slope = (1 - torch.tanh(z @ w + b).square()).squeeze(-1)
    return field(t, z), slope * w.sum() if entries else slope


INTEGRANDS: dict[str, Trace] = {
    "integral_entries": partial(_without_u, entries=True),
    "integral_slope": partial(_without_u, entries=False),
    "integral_corrected": closed_trace,
}


def _one_unit(
    cell: Cell, field: nn.Module, z: Float64[Tensor, "batch 2"], generator: torch.Generator
) -> list[Row]:
    """The integral for one planar unit, against the determinant, and the density it makes."""
    _, expected = flow(field, z, 0.0, END)
    base, solver = StandardNormal(2), at(MASS_TOLERANCE)
    window, rows = find_window(CNF(field, base, end=END, **solver), generator), []
    for name, trace in INTEGRANDS.items():
        fall, _ = trace_fall(field, z, trace, JUDGED)
        cnf = CNF(field, base, end=END, trace=trace, **solver)
        finest = integrals(cnf, window, cell.params["most_intervals"])[-1]
        rows.append({**_reading(name, expected, fall), **finest})
    return rows


def measure_formulas(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    """The residual of each formula: of the integrals for one planar unit, else of the rates."""
    z = random_points(POINTS, 2, generator)
    if cell.params["field"] == "unit":
        return _one_unit(cell, field, z, generator)
    return _rates(field, z)
