"""The checks of dense output: the states at any time of a solve that is already done."""

from functools import partial

import numpy as np
from jaxtyping import Float64

from neural_ode import failures
from odeclaims.backends import Answer, Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.accuracy import BECAUSE_ORDER, bounds_of_order, slope_of_order
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    METHODS_ASKED,
    Check,
    NotOffered,
    Observation,
    ask,
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


def solve_dense(
    backend: Backend,
    known: KnownProblem,
    times: Float64[np.ndarray, " time"],
    *,
    method: str,
    tol: float,
) -> Answer:
    """The states of a dense output as an answer to a problem with these times.

    Raises:
        NotOffered: where the backend has no dense output.
    """
    try:
        states = backend.solve_dense(known.problem, times, method=method, tol=tol)
    except (failures.NotOffered, ValueError) as error:
        raise NotOffered(str(error)) from error
    return Answer(states, None, None, None)


def tolerance(times: Float64[np.ndarray, " time"], backend: Backend) -> Observation:
    """The largest error over many times, in units of the tolerance."""
    asked = in_best_precision(backend, problems.mixed().at(float(times[0]), float(times[-1])))
    tol = tolerances(backend)[len(tolerances(backend)) // 2]
    answer = solve_dense(backend, asked, times, method=first_method(backend), tol=tol)
    # ``states`` of a problem leaves the first time out, and here it is asked for.
    expected = problems.mixed().at(float(times[0]), *times.tolist())
    return Observation(error_in_tolerances(answer, expected, tol), f"tolerance {tol:g}")


def order(method: str, backend: Backend) -> Observation:
    """Minus the slope of log error over log evaluations of the solve, as for outputs."""
    require_method(backend, method)
    require_float64(backend)
    known = problems.mixed()
    expected = known.at(0.0, *TIMES.tolist())

    def solve(tol: float) -> tuple[int, Answer]:
        cost = forward_evaluations(ask(backend, known.problem, method=method, tol=tol))
        return cost, solve_dense(backend, known, TIMES, method=method, tol=tol)

    return slope_of_order(solve, expected, method)


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
