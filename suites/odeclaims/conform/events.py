"""The checks of events: where a solve ends because a function of its state is zero."""

from functools import partial

import numpy as np

from odeclaims.backends import GRADIENTS, Backend, Ending
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    Check,
    Observation,
    first_method,
    in_best_precision,
    keeps_float64,
    largest,
    require_float64,
    require_gradient,
    tolerances,
    worst_tolerance,
)
from odeclaims.conform.problems import KnownProblem

# As tight as for the gradients of a solve: the reversible method is of second order.
GRADIENT_TOL = 1e-6
# So tight that a state of 32 bits misses it.
EXACT_TOL = 1e-10


def solve_to_event(
    backend: Backend, known: KnownProblem, tol: float, gradient: str | None = None
) -> Ending:
    """The end at the event."""
    _, event = problems.crossing()
    return backend.solve_to_event(
        known.problem, event, method=first_method(backend), tol=tol, gradient=gradient
    )


def time_and_state(begin: float, end: float, backend: Backend) -> Observation:
    """The largest error of the time and of the state there, each in units of its tolerance.

    Raises:
        ValueError: if the state has another shape than [1, features].
    """
    known = problems.crossing()[0].at(begin, end)
    t = problems.crossing_time(begin, end)
    expected = known.flow(t)
    errors = {}
    for tol in (*tolerances(backend), *((EXACT_TOL,) if keeps_float64(backend) else ())):
        found = solve_to_event(backend, in_best_precision(backend, known), tol)
        state = np.asarray(found.state)
        if state.shape != expected.shape:
            raise ValueError(f"the state has the shape {state.shape}, expected {expected.shape}")
        off = np.abs(state - expected) / (1 + np.abs(expected))
        errors[tol] = largest([abs(found.t - t) / (1 + abs(t)), *off.ravel()]) / tol
    return worst_tolerance(errors)


def gradient_of_time(gradient: str, backend: Backend) -> Observation:
    """The relative L2 error of the gradient by the initial state and the parameters.

    It is in units of the tolerance.

    Raises:
        ValueError: if there is no gradient, or it has another shape.
    """
    require_gradient(backend, gradient)
    require_float64(backend)
    expected = problems.crossing_gradient()
    found = solve_to_event(backend, problems.crossing()[0], GRADIENT_TOL, gradient).gradient
    if found is None:
        raise ValueError("a gradient was asked for and the answer has none")
    vector = np.asarray(found)
    if vector.shape != expected.shape:
        raise ValueError(
            f"the gradient has the shape {vector.shape}, expected {expected.shape}: the initial"
            " state, then each parameter"
        )
    error = float(np.linalg.norm(vector - expected) / np.linalg.norm(expected))
    return Observation(
        error / GRADIENT_TOL, f"relative error {error:.1e} at tolerance {GRADIENT_TOL:g}"
    )


CHECKS = [
    *(
        Check(
            "events",
            name,
            "largest error of time and state in units of the tolerance",
            Bounds(at_most=FACTOR),
            BECAUSE_FACTOR,
            partial(time_and_state, *ends),
        )
        for name, ends in (
            ("time and state of an event", (0.0, problems.END)),
            ("time and state of an event, backward in time", (problems.END, 0.0)),
        )
    ),
    *(
        Check(
            "events",
            f"gradient of an event's time by {name}",
            "relative error in units of the tolerance",
            Bounds(at_most=FACTOR),
            BECAUSE_FACTOR,
            partial(gradient_of_time, name),
        )
        for name in GRADIENTS
    ),
]
