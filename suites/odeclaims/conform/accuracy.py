"""Order, tolerance, and outputs inside steps."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from neural_ode import METHODS
from odeclaims.backends import Answer, Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    METHODS_ASKED,
    CannotAsk,
    Check,
    Observation,
    ask,
    error_in_tolerances,
    forward_evaluations,
    in_best_precision,
    largest,
    require_float64,
    require_method,
    scaled_errors,
    shorten_error,
    tolerances,
    worst_tolerance,
)
from odeclaims.conform.problems import KnownProblem
from odeclaims.record.wording import number
from odeclaims.statistics import log_slope

MANY = tuple(np.linspace(0, problems.END, 101).tolist())
# Five tolerances for each order. Steps are so small that the leading term of the error dominates,
# and rounding is far smaller. A method of third order needs far more steps than one of fifth.
ORDER_TOLERANCES = {
    3: (1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    5: (1e-6, 1e-7, 1e-8, 1e-9, 1e-10),
}


def with_outputs() -> KnownProblem:
    """The main problem with a hundred output times."""
    return problems.mixed().at(*MANY)


def order(pose: Callable[[], KnownProblem], method: str, backend: Backend) -> Observation:
    """Minus the slope of log error over log evaluations, over five tolerances.

    The controller keeps the estimate of a step, which is O(h^p), near the tolerance. The global
    error of the solution that is carried on is O(h^p) too. So the error falls with the p-th power
    of the number of steps, for any constants of the controller.
    """
    require_method(backend, method)
    require_float64(backend)
    known = pose()

    def solve(tol: float) -> tuple[int, Answer]:
        answer = ask(backend, known.problem, method=method, tol=tol)
        return forward_evaluations(answer), answer

    return slope_of_order(solve, known, method)


def root_mean_square(errors: Float64[np.ndarray, "time batch features"]) -> float:
    """The root of the mean of the squares."""
    return float(np.sqrt(np.square(errors).mean()))


def slope_of_order(
    solve: Callable[[float], tuple[int, Answer]],
    known: KnownProblem,
    method: str,
    size: Callable[[Float64[np.ndarray, "time batch features"]], float] = root_mean_square,
) -> Observation:
    """Minus the slope of log error over log evaluations.

    Args:
        solve: from a tolerance to the evaluations and the answer.
        known: the problem that is answered.
        method: the method, whose order says between which tolerances the slope is measured.
        size: from the errors at all times and entries to one number.

    Returns:
        The slope; NaN where a state is not finite, and 0 where there is no slope.
    """
    counts, errors = [], []
    for tol in ORDER_TOLERANCES[METHODS[method].order]:
        count, answer = solve(tol)
        counts.append(count)
        errors.append(size(scaled_errors(answer, known)))
    if not np.isfinite(errors).all():
        return Observation(math.nan, "answers with values that are not finite")
    ends = [f"{n} evaluations, error {e:.1e}" for n, e in zip(counts, errors, strict=True)]
    if min(errors) == 0 or len(set(counts)) == 1:
        return Observation(0.0, f"no slope: from {ends[0]} to {ends[-1]}")
    return Observation(-log_slope(counts, errors), f"from {ends[0]} to {ends[-1]}")


def tolerance(method: str, backend: Backend) -> Observation:
    """The largest error over all tolerances, each error in units of its tolerance."""
    require_method(backend, method)
    known = in_best_precision(backend, problems.mixed())
    errors = {
        tol: error_in_tolerances(ask(backend, known.problem, method=method, tol=tol), known, tol)
        for tol in tolerances(backend)
    }
    return worst_tolerance(errors)


def monotone(method: str, backend: Backend) -> Observation:
    """The largest ratio of the error at a tolerance to that at a ten times looser one."""
    require_method(backend, method)
    known = in_best_precision(backend, problems.mixed())
    errors = [
        float(scaled_errors(ask(backend, known.problem, method=method, tol=tol), known).max())
        for tol in tolerances(backend)
    ]
    ratios = [b / a if a else 1.0 for a, b in pairwise(errors)]
    return Observation(largest(ratios), "errors " + ", ".join(f"{e:.1e}" for e in errors))


def at_outputs(backend: Backend) -> Observation:
    """The largest error over a hundred outputs, most of them inside steps."""
    known = in_best_precision(backend, with_outputs())
    tol = tolerances(backend)[len(tolerances(backend)) // 2]
    return Observation(
        error_in_tolerances(ask(backend, known.problem, tol=tol), known, tol), f"tolerance {tol:g}"
    )


def one_or_many(backend: Backend) -> Observation:
    """The distance of the final state from that of the same solve with a hundred outputs."""
    tol = tolerances(backend)[0]
    solves = (in_best_precision(backend, known) for known in (problems.mixed(), with_outputs()))
    ends = [ask(backend, known.problem, tol=tol).states[-1] for known in solves]
    difference = float(np.max(np.abs(ends[0] - ends[1]) / (1 + np.abs(ends[0]))))
    return Observation(difference / tol, f"difference {number(difference)} at tolerance {tol:g}")


def backwards(backend: Backend) -> Observation:
    """The largest error of a solve from t = 2 to 0, with an output between."""
    known = in_best_precision(backend, problems.mixed().at(2.0, 1.0, 0.0))
    tol = tolerances(backend)[-1]
    return Observation(
        error_in_tolerances(ask(backend, known.problem, tol=tol), known, tol), f"tolerance {tol:g}"
    )


def strange_times(times: tuple[float, ...], backend: Backend) -> Observation:
    """One for a wrong answer, without an error, to times that are not a grid; else zero."""
    known = in_best_precision(backend, problems.mixed().at(*times))
    tol = tolerances(backend)[0]
    # First make sure that the backend can solve the problem with proper times.
    ask(backend, in_best_precision(backend, problems.mixed()).problem, tol=tol)
    try:
        answer = ask(backend, known.problem, tol=tol)
        missed = error_in_tolerances(answer, known, tol)
    except CannotAsk as error:
        return Observation(0, str(error))
    except Exception as error:
        return Observation(0, f"raises {shorten_error(error)}")
    if not np.isfinite(answer.states).all():
        return Observation(0, "answers with values that are not finite")
    if missed <= FACTOR:
        return Observation(0, "answers, and rightly")
    return Observation(
        1, f"answers {number(missed)} tolerances beside the solution, without a word"
    )


BECAUSE_ORDER = (
    "p by theory; half an order less is a lower order, while the leading term may not yet be alone,"
    " which makes a slope steeper"
)


def bounds_of_order(method: str) -> Bounds:
    """From half an order less to one more."""
    p = METHODS[method].order
    return Bounds(at_least=p - 0.5, at_most=p + 1)


CHECKS = [
    *(
        Check(
            "order",
            f"order of {method}",
            "minus the slope of log error over log evaluations",
            bounds_of_order(method),
            BECAUSE_ORDER,
            partial(order, problems.mixed, method),
        )
        for method in METHODS_ASKED
    ),
    *(
        Check(
            "tolerance",
            f"tolerance kept by {method}",
            "largest error in units of the tolerance",
            Bounds(at_most=FACTOR),
            BECAUSE_FACTOR,
            partial(tolerance, method),
        )
        for method in METHODS_ASKED
    ),
    *(
        Check(
            "tolerance",
            f"error falls with the tolerance, {method}",
            "largest ratio of the errors at a tolerance and at a ten times looser one",
            Bounds(at_most=1.0),
            "who asks for more accuracy and pays for it should not get less",
            partial(monotone, method),
        )
        for method in METHODS_ASKED
    ),
    *(
        Check(
            "output times",
            f"order of {method} at outputs inside steps",
            "minus the slope of log error over log evaluations, 100 outputs",
            bounds_of_order(method),
            "interpolation of local order p keeps the order of the solution; less makes outputs"
            " worse than steps",
            partial(order, with_outputs, method),
        )
        for method in METHODS_ASKED
    ),
    Check(
        "output times",
        "outputs inside steps keep the tolerance",
        "largest error in units of the tolerance, 100 outputs",
        Bounds(at_most=FACTOR),
        BECAUSE_FACTOR,
        at_outputs,
    ),
    Check(
        "output times",
        "the end is the same with one output and with many",
        "difference in units of the tolerance",
        Bounds(at_most=10),
        "each may be off by an interpolation, whose error is that of a step",
        one_or_many,
    ),
    Check(
        "output times",
        "backward in time",
        "largest error in units of the tolerance",
        Bounds(at_most=FACTOR),
        BECAUSE_FACTOR,
        backwards,
    ),
    *(
        Check(
            "output times",
            f"times that {what}",
            "1 for a wrong answer without a word, else 0",
            Bounds(at_most=0),
            "an error, a visible NaN or the right states are all fine; a wrong number is not",
            partial(strange_times, times),
            limit_s=30.0,
        )
        for what, times in (
            ("repeat", (0.0, 1.0, 1.0, 2.0)),
            ("are not in order", (0.0, 1.5, 0.5, 2.0)),
        )
    ),
]
