"""Which answers are right: references in float64, and how far an answer may be from them."""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor

from neural_ode import Checkpointed, solve
from odeclaims.backends import on_torch
from odeclaims.speed.cases import Case
from odeclaims.workloads import WORKLOADS, Problem

# The settings of a reference, and looser ones to see how far it has converged. ReLU gives the conv
# field kinks, for which tight tolerances take very many steps; through them the gradient converges
# with the step, not with its fourth power, and small equal steps are the quickest way to three
# digits of it.
_SMOOTH_REFERENCE = ({"rtol": 1e-11, "atol": 1e-11}, {"rtol": 1e-10, "atol": 1e-10})
_KINKED_REFERENCE = (
    {"method": "rk4", "step_size": 1 / 64},
    {"method": "rk4", "step_size": 1 / 32},
)
REFERENCES = {
    "conv_forward": ({"rtol": 1e-7, "atol": 1e-7}, {"rtol": 1e-6, "atol": 1e-6}),
    "conv_gradient": _KINKED_REFERENCE,
    "mnist_training": _KINKED_REFERENCE,
}
# The mean over a batch makes the adjoint so small that at the published tolerance the gradient of
# every solver is off by a quarter; a wrong one is off by 1.
TRAINING_LIMIT = 0.5


@dataclass(frozen=True)
class Reference:
    """A tight solve in float64.

    Attributes:
        states: the states after the first output time.
        gradient: the gradient as one vector; ``None`` for a forward solve.
        error: the relative L2 distance of a looser solve, the larger of states and gradient.
    """

    states: np.ndarray
    gradient: np.ndarray | None
    error: float


@cache
def reference_of(workload: str, differentiated: bool, device: str) -> Reference:
    """The reference of a workload, solved once."""
    tight, loose = REFERENCES.get(workload, _SMOOTH_REFERENCE)
    return solve_reference(WORKLOADS[workload].problem(device), tight, loose, differentiated)


def solve_reference(
    problem: Problem, tight: Mapping[str, Any], loose: Mapping[str, Any], differentiated: bool
) -> Reference:
    """The answer in float64 with the settings ``tight`` of ``solve``, compared with ``loose``."""
    states, gradient = _solve_in_float64(problem, tight, differentiated)
    looser_states, looser_gradient = _solve_in_float64(problem, loose, differentiated)
    error = relative_error(looser_states, states)
    if gradient is not None and looser_gradient is not None:
        error = max(error, relative_error(looser_gradient, gradient))
    return Reference(states, gradient, error)


def _solve_in_float64(
    problem: Problem, settings: Mapping[str, Any], differentiated: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """States and gradient; the gradient of the computed steps, which converges as they do."""
    problem = _to_float64(problem)
    solver = {**settings, "gradient": Checkpointed() if differentiated else None}

    def solve_from(y0: Tensor) -> tuple[Tensor, None]:
        return solve(problem.field, y0, problem.ts, **solver).ys, None

    output = on_torch.run(solve_from, problem, "checkpointed" if differentiated else None)
    return on_torch.states(output, problem), on_torch.gradient_vector(output)


def _to_float64(problem: Problem) -> Problem:
    """The problem in float64; its times are the float32 ones, which all backends get."""
    problem = deepcopy(problem)
    training = problem.training
    if training is not None:
        stem, head = training.stem.double(), training.head.double()
        training = replace(training, stem=stem, head=head, images=training.images.double())
    field, y0, ts = problem.field.double(), problem.y0.double(), problem.ts.double()
    return replace(problem, field=field, y0=y0, ts=ts, training=training)


def relative_error(value: np.ndarray, reference: np.ndarray) -> float:
    """The L2 norm of the difference over that of the reference; infinite for another shape."""
    if value.shape != reference.shape:
        return math.inf
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def error_limit(tol: float) -> float:
    """The error up to which an answer at a tolerance counts as right.

    It is a hundred times the tolerance, since the errors of the steps add up, and 1e-4 more for
    rounding in float32. It is never more than a tenth: a gradient of zeros is wrong by 1.
    """
    return min(0.1, 100 * tol + 1e-4)


def describe_fault(case: Case, error: float, gradient_error: float | None) -> str:
    """A sentence that says which of these errors is too large; "" if none is."""
    limit = error_limit(case.tol)
    gradient_limit = TRAINING_LIMIT if WORKLOADS[case.workload].trains else limit
    for what, value, bound in (
        ("states", error, limit),
        ("gradient", gradient_error, gradient_limit),
    ):
        # Written so that a NaN is too large as well.
        if value is not None and not value <= bound:
            return (
                f"{case}: the {what} are off by {value:.2e} from the float64 reference, expected at"
                f" most {bound:.2e}"
            )
    return ""
