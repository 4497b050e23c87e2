"""The checks of events: where a solve ends because a function of its state is zero."""

from functools import partial

import numpy as np

from neural_ode import failures
from odeclaims.backends import GRADIENTS, Backend, Ending
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    Check,
    NotOffered,
    Observation,
    first_method,
    in_best_precision,
    require_float64,
    require_gradient,
    tolerances,
)
from odeclaims.conform.problems import KnownProblem

# As tight as for the gradients of a solve: the reversible method is of second order.
GRADIENT_TOL = 1e-6


def solve_to_event(
    backend: Backend, known: KnownProblem, tol: float, gradient: str | None = None
) -> Ending:
    """The end at the event.

    Raises:
        NotOffered: where the backend has no events.
    """
    _, event = problems.crossing()
    try:
        return backend.solve_to_event(
            known.problem, event, method=first_method(backend), tol=tol, gradient=gradient
        )
    except (failures.NotOffered, ValueError) as error:
        raise NotOffered(str(error)) from error


def time_and_state(begin: float, end: float, backend: Backend) -> Observation:
    """The largest error of the time and of the state there, each in units of its tolerance."""
    known = in_best_precision(backend, problems.crossing()[0].at(begin, end))
    t = problems.crossing_time()
    state = known.flow(t)
    worst = []
    for tol in tolerances(backend):
        found = solve_to_event(backend, known, tol)
        of_time = abs(found.t - t) / (1 + abs(t))
        of_state = float((np.abs(found.state - state) / (1 + np.abs(state))).max())
        worst.append((max(of_time, of_state) / tol, tol))
    error, tol = max(worst)
    return Observation(error, f"the worst is at tolerance {tol:g}")


def gradient_of_time(gradient: str, backend: Backend) -> Observation:
    """The relative error of the gradient by the initial state and the parameters."""
    require_gradient(backend, gradient)
    require_float64(backend)
    known = problems.crossing()[0]
    found = solve_to_event(backend, known, GRADIENT_TOL, gradient).gradient
    expected = problems.crossing_gradient()
    if found is None or found.shape != expected.shape:
        shape = None if found is None else found.shape
        raise ValueError(
            f"the gradient has the shape {shape}, expected {expected.shape}: the initial state,"
            " then each parameter"
        )
    error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    return Observation(error / GRADIENT_TOL, f"relative error {error:.1e}")


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
            ("time and state of an event, backward in time", (4.0, 0.0)),
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
