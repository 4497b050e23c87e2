"""Evaluations, what outputs cost, and memory."""

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
    ASKED,
    CannotAsk,
    Check,
    Observed,
    ask,
    evaluations,
    per_step,
    posed,
    prepared,
    require_gradient,
    require_method,
    tolerances,
)
from odeclaims.conform.problems import Known
from odeclaims.statistics import log_slope

MEMORY_TOL = 1e-3
MEMORY_ENDS = (10.0, 20.0, 40.0)
# What holds no more for a longer solve.
FLAT = ("reversible", "adjoint", "seminorm")


class Watched(MLPField):
    """A field that notes how often and in which precision it is evaluated.

    Attributes:
        count: evaluations so far.
        dtypes: the precisions of the states that it was given.
    """

    def __init__(self, field: nn.Module) -> None:
        # The layers are there already, and drawing others would use up torch's own randomness.
        nn.Module.__init__(self)
        self.layers = cast(MLPField, field).layers
        self.count = 0
        self.dtypes: set[torch.dtype] = set()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative."""
        self.count += 1
        self.dtypes.add(y.dtype)
        return super().forward(t, y)


def watched(backend: Backend) -> tuple[Watched, Known]:
    """The main problem to t = 2 with a field that takes notes."""
    known = posed(backend, problems.mixed().at(0.0, 2.0))
    field = Watched(known.problem.field)
    return field, replace(known, problem=replace(known.problem, field=field))


def require_notes(field: Watched) -> None:
    """Raise ``CannotAsk`` where the solver does not evaluate the field that it was given."""
    if not field.count:
        raise CannotAsk("the backend does not evaluate the field in torch, where it can be watched")


def formula(method: str, backend: Backend) -> Observed:
    """How many of the solves cost another number than a start and a tableau's share for each step.

    The start is one evaluation, or two where the first step is estimated.
    """
    require_method(backend, method)
    problem, share = posed(backend, problems.mixed()).problem, per_step(method)
    counts = [
        evaluations(ask(backend, problem, method=method, tol=tol)) for tol in tolerances(backend)
    ]
    starts = {start: sum((n - start) % share != 0 for n in counts) for start in (1, 2)}
    start = min(starts, key=lambda start: starts[start])
    return Observed(starts[start], f"{start} + {share} n: {', '.join(map(str, counts))}")


def stated(gradient: str | None, backend: Backend) -> Observed:
    """The evaluations that the backend states, less those that the field counts."""
    if gradient:
        require_gradient(backend, gradient)
    field, known = watched(backend)
    work = prepared(backend, known.problem, tol=1e-4, gradient=gradient)
    work.run()
    # A solver that compiles may look at the field more often at its first run.
    field.count = 0
    done = work.run()
    counted = field.count
    require_notes(field)
    answer = work.answer(done)
    says = evaluations(answer) + (answer.nfe_backward or 0)
    return Observed(says - counted, f"stated {says}, counted {counted}")


def of_outputs(backend: Backend) -> Observed:
    """Evaluations with a hundred outputs over those with the end alone."""
    tol = tolerances(backend)[0]
    solves = (posed(backend, known) for known in (problems.mixed(), with_outputs()))
    end, many = (evaluations(ask(backend, known.problem, tol=tol)) for known in solves)
    return Observed(many / end, f"{many} with a hundred outputs, {end} with one")


def memory(gradient: str, backend: Backend) -> Observed:
    """The slope of log peak over log evaluations, for solves that become longer."""
    require_gradient(backend, gradient)
    if not backend.in_torch:
        raise CannotAsk("the meter is torch's allocator, which the backend does not use")
    counts, peaks = [], []
    for end in MEMORY_ENDS:
        problem = replace(problems.oscillator(), ts=torch.tensor([0.0, end], dtype=torch.float64))
        work = prepared(backend, problem, tol=MEMORY_TOL, gradient=gradient)
        counts.append(evaluations(work.answer(work.run())))
        peaks.append(peak_allocated(work.run, torch.device("cpu")))
    ends = f"from {peaks[0]} bytes and {counts[0]} evaluations to {peaks[-1]} and {counts[-1]}"
    return Observed(log_slope(counts, peaks), ends)


def _memory_bounds(gradient: str) -> tuple[Bounds, str]:
    if gradient in FLAT:
        return Bounds(at_most=0.1), "nothing has to be kept for each step"
    return Bounds(at_most=1.1), "something is kept for each step, and that is once"


CHECKS = [
    *(
        Check(
            "evaluations",
            f"NFE of {method} is that of its tableau",
            "solves whose evaluations are not a start of 1 or 2 and a whole number of steps",
            Bounds(at_most=0),
            f"a step, accepted or not, evaluates {per_step(method)} stages that are new",
            partial(formula, method),
        )
        for method in ASKED
    ),
    *(
        Check(
            "evaluations",
            f"stated evaluations are the field's, {gradient or 'forward'}",
            "stated less counted, forward and backward together",
            Bounds(0, 0),
            "every claim about NFE hangs on the count",
            partial(stated, gradient),
        )
        for gradient in (None, *GRADIENTS)
    ),
    Check(
        "evaluations",
        "outputs cost no evaluations",
        "evaluations with 100 outputs over those with one",
        Bounds(at_most=1.1),
        "outputs are interpolated, so they do not make steps",
        of_outputs,
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
