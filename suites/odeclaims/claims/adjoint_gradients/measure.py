"""Gradients of one problem at one tolerance, by every gradient method, against the reference."""

import math
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from neural_ode import (
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    SolverFailure,
    SymplecticAdjoint,
    solve,
)
from neural_ode.data.mnist import DIGEST
from neural_ode.gradients import Gradient
from neural_ode.methods import METHODS
from neural_ode.methods.coupled import Coupled
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.adjoint_gradients.problems import (
    FAMILIES,
    Family,
    GradientProblem,
    build_problem,
)
from odeclaims.claims.adjoint_gradients.reference import (
    Reference,
    distance,
    gradient_of,
    reference_of,
    solver_settings,
)
from odeclaims.claims.adjoint_gradients.settings import EVERY, NEAR, SLUG
from odeclaims.kits.validity import reconstruction_error, stamp

DATASETS = {"mnist": DIGEST}

# Backprop comes first: the others are compared with it.
ARMS: dict[str, Gradient] = {
    "backprop": Backprop(),
    "adjoint": Adjoint(norm="rms"),
    "adjoint_seminorm": Adjoint(norm="seminorm"),
    "interpolated": InterpolatedAdjoint(),
    "checkpointed": Checkpointed(),
    "symplectic": SymplecticAdjoint(),
    "reversible": Reversible(),
    "coupled": Reversible(),
}
# The solvers of the arms whose steps are undone. The first is of second order, so at tolerances
# below this one it would take thousands of steps.
OWN_METHODS = {
    "reversible": {"method": "reversible_heun"},
    "coupled": {"method": Coupled(METHODS["dopri5"])},
}
LEAST_OWN_TOL = 1e-4

TOLERANCES = {
    "float64": {"smoke": (1e-3, 1e-6), "quick": (1e-3, 1e-4, 1e-6, 1e-8, 1e-10), "paper": EVERY},
    # Below 1e-7 rounding would size the steps.
    "float32": {"smoke": (1e-3,), "quick": (1e-3, 1e-4, 1e-7), "paper": EVERY[:6]},
}
# The cheapest problems which walk through all of this code.
SMOKE = ("constant", "mlp", "relu", "conv")


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each problem, precision, method and tolerance; seeds where it is random."""
    methods = profile.pick(
        smoke=("dopri5",), quick=("dopri5",), paper=("dopri5", "tsit5", "dopri8")
    )
    names = profile.pick(smoke=SMOKE, quick=tuple(FAMILIES), paper=tuple(FAMILIES))
    repetitions = profile.repetitions(smoke=1, quick=3, paper=10)
    for name, method in product(names, methods):
        family = FAMILIES[name]
        seeds = repetitions if family.random else range(1)
        for dtype, rate, repetition in product(family.dtypes, family.rates, seeds):
            for tol in _tolerances(family, dtype, profile):
                yield Cell(
                    SLUG,
                    {"problem": name, "rate": rate, "dtype": dtype, "method": method, "tol": tol},
                    repetition,
                    profile.device,
                    paired=("dtype", "method", "tol"),
                )


def _tolerances(family: Family, dtype: str, profile: Profile) -> list[float]:
    quick, paper = family.tightest
    least = profile.pick(smoke=quick, quick=quick, paper=paper)
    tolerances = [tol for tol in profile.pick(**TOLERANCES[dtype]) if tol >= least]
    if family.group == "decaying" and profile.name != "smoke":
        tolerances += [tol for tol in NEAR if tol not in tolerances]
    return tolerances


def measure(cell: Cell, context: Context) -> list[Row]:
    """The gradients at one tolerance, each against the reference: a row for each arm."""
    name, rate = str(cell.params["problem"]), float(cell.params["rate"])
    method, tol = str(cell.params["method"]), float(cell.params["tol"])
    dtype = getattr(torch, str(cell.params["dtype"]))
    reference = reference_of(name, rate, cell.seed)
    problem = build_problem(name, rate, cell.seed).to(dtype, cell.device)
    common = {"group": FAMILIES[name].group, **reference.row}
    by_backprop: dict[str, list[Tensor]] = {}
    rows: list[Row] = []
    for arm in _arms(name, method, tol):
        solver = solver_settings(method, tol) | OWN_METHODS.get(arm, {})
        way_back = _way_back(problem, solver)
        observe = partial(_observe, arm, problem, solver, reference, way_back, by_backprop)
        observed = {"reconstruction_error": way_back, **guarded(observe)}
        rows.append({"gradient": arm, **common, **observed})
    return rows


def _arms(name: str, method: str, tol: float) -> list[str]:
    """The arms for a problem, with a method, at a tolerance.

    A flow that cannot be reversed loses the state itself, so the adjoint's norm does not matter. At
    the further tolerances about 1e-3 the reversible solvers would take thousands of steps for what
    no statement asks. One of them is made of dopri5, and stands beside it.
    """
    left_out = set() if tol >= LEAST_OWN_TOL and tol in EVERY else {*OWN_METHODS}
    if method != "dopri5":
        left_out.add("coupled")
    if FAMILIES[name].group in ("decaying", "forgetting"):
        left_out.add("adjoint_seminorm")
    return [arm for arm in ARMS if arm not in left_out]


def _observe(
    arm: str,
    problem: GradientProblem,
    solver: dict[str, Any],
    reference: Reference,
    way_back: float,
    by_backprop: dict[str, list[Tensor]],
) -> Row:
    """An arm's gradient against the reference, and against backprop through the same solver.

    ``by_backprop`` keeps backprop's gradient for each method, so that it is computed once.
    """
    gradient, solution = gradient_of(problem, **solver, gradient=ARMS[arm])
    method = solver["method"]
    if arm == "backprop":
        by_backprop[method] = gradient
    elif method not in by_backprop:
        by_backprop[method] = gradient_of(problem, **solver)[0]
    difference = distance(gradient, by_backprop[method])
    return {
        "difference_to_backprop": None if arm == "backprop" else difference,
        "nfe_forward": solution.stats.nfe_forward,
        "nfe_backward": solution.stats.nfe_backward,
        **stamp(way_back, distance(gradient, reference.gradient), reference.error),
        "error_y0": distance(gradient[:1], reference.gradient[:1]),
        "error_parameters": distance(gradient[1:], reference.gradient[1:]),
    }


def _way_back(problem: GradientProblem, solver: dict[str, Any]) -> float:
    """The reconstruction error; NaN where one of the two solves fails."""
    try:
        with torch.no_grad():
            y1 = solve(problem.field, problem.y0, problem.ts, **solver).ys[-1]
        return reconstruction_error(problem.field, problem.y0, y1, problem.ts, solver)
    except SolverFailure:
        return math.nan
