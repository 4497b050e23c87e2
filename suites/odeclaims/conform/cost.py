"""The checks of cost: evaluations, the cost of outputs, and memory."""

from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from neural_ode.memory import peak_allocated
from neural_ode.networks import MLPField
from odeclaims.backends import GRADIENTS, Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.accuracy import with_outputs
from odeclaims.conform.check import (
    METHODS_ASKED,
    CannotAsk,
    Check,
    Observation,
    ask,
    evaluations_per_step,
    forward_evaluations,
    in_best_precision,
    prepare,
    require_gradient,
    require_method,
    tolerances,
)
from odeclaims.conform.problems import KnownProblem
from odeclaims.statistics import log_slope

MEMORY_TOL = 1e-3
MEMORY_ENDS = (10.0, 20.0, 40.0)


class RecordingField(MLPField):
    """A field that records how often and in which precision it is evaluated.

    Attributes:
        count: the number of evaluations so far.
        dtypes: the dtypes of the states that it was given.
    """

    def __init__(self, field: nn.Module) -> None:
        # The layers exist already; drawing new ones would advance torch's random generator.
        nn.Module.__init__(self)
        mlp = cast(MLPField, field)
        self.dim, self.layers = mlp.dim, mlp.layers
        self.count = 0
        self.dtypes: set[torch.dtype] = set()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative."""
        self.count += 1
        self.dtypes.add(y.dtype)
        return super().forward(t, y)


def record_main_problem(backend: Backend) -> tuple[RecordingField, KnownProblem]:
    """A recording field, and the main problem to t = 2 with it."""
    known = in_best_precision(backend, problems.mixed().at(0.0, 2.0))
    field = RecordingField(known.problem.field)
    return field, replace(known, problem=replace(known.problem, field=field))


def require_evaluations(field: RecordingField) -> None:
    """Raise ``CannotAsk`` if the solver did not evaluate the field that it was given."""
    if not field.count:
        raise CannotAsk("the backend does not evaluate the field in torch, where it can be watched")


def formula(method: str, backend: Backend) -> Observation:
    """The number of solves whose evaluations are not a start plus a tableau's stages for each step.

    The start is one evaluation, or two if the first step is estimated.
    """
    require_method(backend, method)
    problem = in_best_precision(backend, problems.mixed()).problem
    stages = evaluations_per_step(method)
    counts = [
        forward_evaluations(ask(backend, problem, method=method, tol=tol))
        for tol in tolerances(backend)
    ]
    starts = {start: sum((n - start) % stages != 0 for n in counts) for start in (1, 2)}
    start = min(starts, key=lambda start: starts[start])
    return Observation(starts[start], f"{start} + {stages} n: {', '.join(map(str, counts))}")


def compare_counts(gradient: str | None, backend: Backend) -> Observation:
    """The evaluations that the backend states minus those that the field counts."""
    if gradient:
        require_gradient(backend, gradient)
    field, known = record_main_problem(backend)
    work = prepare(backend, known.problem, tol=1e-4, gradient=gradient)
    work.run()
    # A solver that compiles may evaluate the field more often in its first run.
    field.count = 0
    output = work.run()
    counted = field.count
    require_evaluations(field)
    answer = work.answer(output)
    stated = forward_evaluations(answer) + (answer.nfe_backward or 0)
    return Observation(stated - counted, f"stated {stated}, counted {counted}")


def cost_of_outputs(backend: Backend) -> Observation:
    """Evaluations with a hundred outputs over those with the end alone."""
    tol = tolerances(backend)[0]
    solves = (in_best_precision(backend, known) for known in (problems.mixed(), with_outputs()))
    end, many = (forward_evaluations(ask(backend, known.problem, tol=tol)) for known in solves)
    return Observation(many / end, f"{many} with a hundred outputs, {end} with one")


def memory(gradient: str, backend: Backend) -> Observation:
    """The slope of log peak memory over log evaluations, for solves of growing length."""
    require_gradient(backend, gradient)
    if not backend.in_torch:
        raise CannotAsk("the meter is torch's allocator, which the backend does not use")
    counts, peaks = [], []
    for end in MEMORY_ENDS:
        problem = replace(problems.oscillator(), ts=torch.tensor([0.0, end], dtype=torch.float64))
        work = prepare(backend, problem, tol=MEMORY_TOL, gradient=gradient)
        counts.append(forward_evaluations(work.answer(work.run())))
        peaks.append(peak_allocated(work.run, torch.device("cpu")))
    ends = f"from {peaks[0]} bytes and {counts[0]} evaluations to {peaks[-1]} and {counts[-1]}"
    return Observation(log_slope(counts, peaks), ends)


def _memory_bounds(gradient: str) -> tuple[Bounds, str]:
    if GRADIENTS[gradient].flat:
        return Bounds(at_most=0.1), "nothing has to be kept for each step"
    return Bounds(at_most=1.1), "something is kept for each step, and that is once"


CHECKS = [
    *(
        Check(
            "evaluations",
            f"NFE of {method} is that of its tableau",
            "solves whose evaluations are not a start of 1 or 2 and a whole number of steps",
            Bounds(at_most=0),
            f"a step, accepted or not, evaluates {evaluations_per_step(method)} stages"
            " that are new",
            partial(formula, method),
        )
        for method in METHODS_ASKED
    ),
    *(
        Check(
            "evaluations",
            f"stated evaluations are the field's, {gradient or 'forward'}",
            "stated less counted, forward and backward together",
            Bounds(0, 0),
            "every claim about NFE hangs on the count",
            partial(compare_counts, gradient),
        )
        for gradient in (None, *GRADIENTS)
    ),
    Check(
        "evaluations",
        "outputs cost no evaluations",
        "evaluations with 100 outputs over those with one",
        Bounds(at_most=1.1),
        "outputs are interpolated, so they do not make steps",
        cost_of_outputs,
    ),
    *(
        Check(
            "memory",
            f"memory of {gradient}",
            "slope of log peak bytes over log evaluations",
            *_memory_bounds(gradient),
            partial(memory, gradient),
        )
        for gradient in GRADIENTS
    ),
]
