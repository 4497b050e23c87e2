"""The checks of gradients: their error, and whether it falls with the tolerance."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from odeclaims.backends import GRADIENTS, Answer, Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    Check,
    Observation,
    ask,
    in_best_precision,
    keeps_float64,
    largest,
    require_float64,
    require_gradient,
)
from odeclaims.conform.problems import KnownProblem

# The reversible method is of second order, so a tighter pair would take it too many steps.
LOOSE, TIGHT = 1e-4, 1e-6
# For float32; its rounding is a tenth of the tighter one.
LOOSE_SINGLE, TIGHT_SINGLE = 1e-2, 1e-4
# So loose that the gradient of the computed steps is far from that of the flow.
DISCRETE_TOL = 1e-2


@cache
def _known() -> KnownProblem:
    return problems.mixed().at(0.0, 2.0)


@cache
def _reference() -> Float64[np.ndarray, " inputs"]:
    return problems.gradient_of(_known())


def _pair(backend: Backend) -> tuple[float, float]:
    return (LOOSE, TIGHT) if keeps_float64(backend) else (LOOSE_SINGLE, TIGHT_SINGLE)


def _gradient(answer: Answer) -> Float64[np.ndarray, " inputs"]:
    if answer.gradient is None:
        raise ValueError("a gradient was asked for and the answer has none")
    if answer.gradient.shape != _reference().shape:
        raise ValueError(
            f"the gradient has the shape {answer.gradient.shape}, expected {_reference().shape}:"
            " the initial states, then each parameter"
        )
    return answer.gradient


def _relative_error(gradient: str, tol: float, backend: Backend) -> float:
    """The relative L2 error of the gradient for the initial states and the parameters."""
    problem = in_best_precision(backend, _known()).problem
    difference = _gradient(ask(backend, problem, tol=tol, gradient=gradient)) - _reference()
    return float(np.linalg.norm(difference) / np.linalg.norm(_reference()))


def gradient_error(gradient: str, backend: Backend) -> Observation:
    """The larger error of two tolerances, each error in units of its tolerance."""
    require_gradient(backend, gradient)
    pair = _pair(backend)
    errors = [_relative_error(gradient, tol, backend) for tol in pair]
    text = ", ".join(f"{e:.1e} at {tol:g}" for e, tol in zip(errors, pair, strict=True))
    return Observation(
        largest(e / tol for e, tol in zip(errors, pair, strict=True)), f"errors {text}"
    )


def convergence(gradient: str, backend: Backend) -> Observation:
    """The error at the tighter tolerance over that at the looser one."""
    require_gradient(backend, gradient)
    loose, tight = (_relative_error(gradient, tol, backend) for tol in _pair(backend))
    return Observation(tight / loose if loose else 1.0, f"errors {loose:.1e} and {tight:.1e}")


def distance_from_differences(gradient: str, backend: Backend) -> Observation:
    """The relative distance between the gradient of the initial state and differences of solves."""
    require_gradient(backend, gradient)
    require_float64(backend)
    problem = problems.tiny()

    def loss(moved: Tensor) -> float:
        solved = ask(backend, replace(problem, y0=moved), tol=DISCRETE_TOL, gradient=gradient)
        return float(np.square(solved.states[-1]).sum())

    answer = ask(backend, problem, tol=DISCRETE_TOL, gradient=gradient)
    if answer.gradient is None:
        raise ValueError("a gradient was asked for and the answer has none")
    computed = answer.gradient[: problem.y0.numel()]
    # The loss is a quadratic form of the state, so central differences of any length are exact.
    length = 1e-9
    moves = length * torch.eye(len(computed), dtype=torch.float64)
    pairs = [(loss(problem.y0 + move), loss(problem.y0 - move)) for move in moves]
    differences = np.array([(up - down) / (2 * length) for up, down in pairs])
    distance = np.linalg.norm(computed - differences) / np.linalg.norm(differences)
    return Observation(float(distance), f"at tolerance {DISCRETE_TOL:g}")


CHECKS = [
    *(
        Check(
            "gradients",
            f"gradient by {gradient}",
            "largest relative error in units of the tolerance",
            Bounds(at_most=FACTOR),
            BECAUSE_FACTOR,
            partial(gradient_error, gradient),
        )
        for gradient in GRADIENTS
    ),
    *(
        Check(
            "gradients",
            f"gradient by {gradient} converges",
            "its error at a hundred times tighter tolerance over that at the looser one",
            Bounds(at_most=0.1),
            "a hundredth where errors are in proportion; ten times more for luck at the looser one",
            partial(convergence, gradient),
        )
        for gradient in GRADIENTS
    ),
    *(
        Check(
            "gradients",
            f"gradient by {gradient} is that of the computed steps",
            "relative distance from differences of the backend's own solves",
            Bounds(at_most=1e-6),
            "the computed steps are differentiated exactly; the flow's gradient is further away",
            partial(distance_from_differences, gradient),
        )
        for gradient, way in GRADIENTS.items()
        if way.of_steps
    ),
]
