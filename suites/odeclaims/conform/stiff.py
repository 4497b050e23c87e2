"""The checks of stiff problems, by an explicit method and by implicit ones."""

from functools import partial

import numpy as np

from odeclaims.backends import Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    IMPLICIT,
    Check,
    Observation,
    ask,
    error_in_tolerances,
    in_best_precision,
    prepare,
    require_method,
    shorten_error,
    tolerances,
)

LIMIT_S = 30.0
# For the second rate an explicit method takes some 75,000 steps.
RATE, IMPLICIT_RATE = 1e3, 1e5


def by_explicit_method(backend: Backend) -> Observation:
    """The error in units of the tolerance; zero if the solver raises or answers with NaN."""
    known = in_best_precision(backend, problems.stiff(RATE))
    tol = tolerances(backend)[0]
    work = prepare(backend, known.problem, tol=tol)
    try:
        answer = work.answer(work.run())
    except Exception as error:
        return Observation(0, f"raises {shorten_error(error)}")
    if not np.isfinite(answer.states).all():
        return Observation(0, "answers with values that are not finite")
    cost = "" if answer.nfe_forward is None else f" with {answer.nfe_forward} evaluations"
    return Observation(error_in_tolerances(answer, known, tol), f"solved{cost}")


def by_implicit_method(method: str, backend: Backend) -> Observation:
    """The error in units of the tolerance."""
    require_method(backend, method)
    known = in_best_precision(backend, problems.stiff(IMPLICIT_RATE))
    # So tight in float64 that the distance between y and what it follows counts.
    tol = tolerances(backend)[-1]
    answer = ask(backend, known.problem, method=method, tol=tol)
    cost = "" if answer.nfe_forward is None else f", {answer.nfe_forward} evaluations"
    return Observation(error_in_tolerances(answer, known, tol), f"tolerance {tol:g}{cost}")


CHECKS = [
    Check(
        "stiff problems",
        f"stiff problem, rate {RATE:,.0f}",
        "error in units of the tolerance; 0 where the solver gives up visibly",
        Bounds(at_most=FACTOR),
        "an explicit method needs some 750 steps for it; it may refuse, but must not be wrong",
        by_explicit_method,
        LIMIT_S,
    ),
    *(
        Check(
            "stiff problems",
            f"stiff problem, rate {IMPLICIT_RATE:,.0f}, by {method}",
            "error in units of the tolerance",
            Bounds(at_most=FACTOR),
            BECAUSE_FACTOR,
            partial(by_implicit_method, method),
            LIMIT_S,
        )
        for method in IMPLICIT
    ),
]
