"""Hutchinson's estimate of the trace: its mean, its variance, and what its noise costs a solver."""

import math
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from neural_ode import solve
from neural_ode.flows import Hutchinson, LogDensityField, exact_trace
from neural_ode.flows.traces import Trace
from odeclaims.cell import Cell, Row, guarded
from odeclaims.claims.change_of_variables.fields import random_points
from odeclaims.claims.change_of_variables.masses import MASS_TOLERANCE
from odeclaims.claims.change_of_variables.settings import STEP_LIMIT
from odeclaims.claims.change_of_variables.solves import END, at, trace_fall
from odeclaims.kits.validity import reconstruction_error

NOISE_TOLERANCES = (1e-3, 1e-5, 1e-7)


@torch.no_grad()
def measure_estimates(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    """Many estimates of the trace at one point, and of the log-density of one point."""
    dim, draws = cell.params["dim"], cell.params["draws"]
    z, t = random_points(1, dim, generator), torch.tensor(0.5, dtype=torch.float64)
    many = z.expand(draws, dim).contiguous()
    jacobian = torch.func.jacrev(lambda x: field(t, x[None])[0])(z[0])
    squares = ((jacobian + jacobian.T) / 2).square()
    fewer = many[: draws // 8]
    exact, _ = trace_fall(field, z, exact_trace, MASS_TOLERANCE)
    rows: list[Row] = []
    for kind in ("rademacher", "gaussian"):
        hutchinson = Hutchinson(kind, generator)
        _, traces = hutchinson.draw(many)(field, t, many)
        diagonal = squares.diagonal().sum() if kind == "rademacher" else 0.0
        theory: Row = {"theory_variance": float(2 * (squares.sum() - diagonal))}
        rows.append({**_spread(kind, "trace", traces - jacobian.trace()), **theory})
        falls, _ = trace_fall(field, fewer, hutchinson.draw(fewer), MASS_TOLERANCE)
        rows.append(_spread(kind, "log_density", exact - falls))
    return rows


def _spread(noise: str, quantity: str, errors: Float64[Tensor, " draws"]) -> Row:
    variance = float(errors.var())
    return {
        "noise": noise,
        "quantity": quantity,
        "mean_error": float(errors.mean()),
        "standard_error": math.sqrt(variance / len(errors)),
        "variance": variance,
    }


def noise_renewing_trace(generator: torch.Generator) -> Trace:
    """The estimate with new noise at each call, which makes the right-hand side random."""
    hutchinson = Hutchinson(generator=generator)
    return lambda field, t, z: hutchinson.draw(z)(field, t, z)


@torch.no_grad()
def measure_noise(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    """The cost of the solve from the data to the base, for each kind of trace and tolerance."""
    x = random_points(32, cell.params["dim"], generator)
    state, ts = nn.functional.pad(x, (0, 1)), x.new_tensor([END, 0.0])
    traces: dict[str, Trace] = {
        "exact": exact_trace,
        "fixed": Hutchinson(generator=generator).draw(x),
        "renewed": noise_renewing_trace(generator),
    }

    def observe(trace: Trace, tolerance: float) -> Row:
        augmented = LogDensityField(field, trace)
        solver = {**at(tolerance), "max_num_steps": STEP_LIMIT}
        solution = solve(augmented, state, ts, **solver)
        error = reconstruction_error(augmented, state, solution.ys[-1], ts, solver)
        return {"nfe_forward": solution.stats.nfe_forward, "reconstruction_error": error}

    return [
        {"arm": arm, "tolerance": tolerance, **guarded(partial(observe, trace, tolerance))}
        for arm, trace in traces.items()
        for tolerance in NOISE_TOLERANCES
    ]
