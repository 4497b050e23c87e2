"""The checks of dense output: the states at any time of a solve that is already done."""

from functools import partial

import numpy as np
from jaxtyping import Float64

from odeclaims.backends import Answer, Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.accuracy import BECAUSE_ORDER, bounds_of_order, slope_of_order
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    METHODS_ASKED,
    Check,
    Observation,
    error_in_tolerances,
    first_method,
    forward_evaluations,
    in_best_precision,
    require_float64,
    require_method,
    tolerances,
)
from odeclaims.conform.problems import KnownProblem

# Both ends are among them.
TIMES = np.linspace(0, problems.END, 1001)


def tolerance(times: Float64[np.ndarray, " time"], backend: Backend) -> Observation:
    """The largest error over many times, in units of the tolerance."""
    known = problems.mixed().at(float(times[0]), float(times[-1]))
    tol = tolerances(backend)[len(tolerances(backend)) // 2]
    answer = backend.solve_dense(
        in_best_precision(backend, known).problem,
        times.copy(),
        method=first_method(backend),
        tol=tol,
    )
    error = error_in_tolerances(answer, _asked_at(times), tol)
    return Observation(error, f"tolerance {tol:g}")


def order(method: str, backend: Backend) -> Observation:
    """Minus the slope of log error over log evaluations of the solve, as for outputs."""
    require_method(backend, method)
    require_float64(backend)

    def solve(tol: float) -> tuple[int, Answer]:
        problem = problems.mixed().problem
        answer = backend.solve_dense(problem, TIMES.copy(), method=method, tol=tol)
        return forward_evaluations(answer), answer

    return slope_of_order(solve, _asked_at(TIMES), method, size=_largest)


def _largest(errors: Float64[np.ndarray, "time batch features"]) -> float:
    """The largest: a mean would hide an output of too low an order in a few of the steps."""
    return float(errors.max())


def _asked_at(times: Float64[np.ndarray, " time"]) -> KnownProblem:
    """The main problem with these output times; the first is twice among them.

    An answer has no state at the first output time, and a dense output has one there.
    """
    return problems.mixed().at(float(times[0]), *times.tolist())


CHECKS = [
    *(
        Check(
            "dense output",
            name,
            f"largest error in units of the tolerance, {len(TIMES)} times",
            Bounds(at_most=FACTOR),
            BECAUSE_FACTOR,
            partial(tolerance, times),
        )
        for name, times in (
            ("dense output keeps the tolerance", TIMES),
            ("dense output backward in time", TIMES[600::-1].copy()),
        )
    ),
    *(
        Check(
            "dense output",
            f"order of the dense output of {method}",
            "minus the slope of log error over log evaluations",
            bounds_of_order(method),
            BECAUSE_ORDER,
            partial(order, method),
        )
        for method in METHODS_ASKED
    ),
]
