"""The checks: every kind of fault fails its check, and a solver without faults passes."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch.autograd.function import once_differentiable

from neural_ode.networks import MLPField
from neural_ode.transforms import is_batched
from odeclaims.backends import Answer, Prepared
from odeclaims.backends.ours import Ours
from odeclaims.conform import problems
from odeclaims.conform.check import Check
from odeclaims.conform.cost import RecordingField
from odeclaims.conform.derivatives import Growth
from odeclaims.conform.scorecard import CHECKS
from tests.odeclaims.backends.common import require_backend
from tests.odeclaims.backends.example import example_module

# The annotations of the fields do not allow a recording field.
pytestmark = pytest.mark.usefixtures("unchecked")


def check(name: str) -> Check:
    (match,) = [check for check in CHECKS if check.name == name]
    return match


# --- solvers with one fault each


class Altered(Ours):
    """Ours; a subclass changes the question or the answer."""

    def change_question(self, problem, how):
        return problem, how

    def change_answer(self, answer, problem, how):
        return answer

    def prepare(self, problem, **how):
        question, settings = self.change_question(problem, dict(how))
        work = super().prepare(question, **settings)
        return Prepared(
            work.run, lambda output: self.change_answer(work.answer(output), problem, how)
        )


class LowerOrder(Altered):
    def change_question(self, problem, how):
        return problem, how | {"method": "bosh3"}


class DeafToTolerance(Altered):
    def change_question(self, problem, how):
        return problem, how | {"tol": 1e-3}


class Looser(Altered):
    def change_question(self, problem, how):
        return problem, how | {"tol": how["tol"] ** 0.5}


class SevenStages(Altered):
    def change_answer(self, answer, problem, how):
        return replace(answer, nfe_forward=2 + (answer.nfe_forward - 2) * 7 // 6)


class Miscounting(Altered):
    def change_answer(self, answer, problem, how):
        return replace(answer, nfe_forward=answer.nfe_forward - 1)


class GradientOffByAPercent(Altered):
    def change_answer(self, answer, problem, how):
        gradient = answer.gradient
        return answer if gradient is None else replace(answer, gradient=1.01 * gradient)


class GradientOfTheFlow(Altered):
    """What it calls backprop is an adjoint."""

    def change_question(self, problem, how):
        return problem, how | {"gradient": "adjoint"}


class AdjointThatKeepsAll(Altered):
    def change_question(self, problem, how):
        return problem, how | {"gradient": "backprop"}


class WithoutGraph(torch.autograd.Function):
    """The identity, whose gradient has no graph."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, *grads):
        return grads[0].detach()


class ForgetsSecondDerivatives(Ours):
    def solve(self, field, y0, ts, settings, gradient):
        ys, stats = super().solve(field, y0, ts, settings, gradient)
        return WithoutGraph.apply(ys), stats


class ForgetsThemWhereTheGradientIsConstant(Ours):
    """As torch's ``once_differentiable`` does."""

    def solve(self, field, y0, ts, settings, gradient):
        ys, stats = super().solve(field, y0, ts, settings, gradient)
        return Once.apply(ys), stats


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    # torch annotates its decorator for functions of one gradient.
    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):  # type: ignore[override]
        return grads[0]


class LosesTheParameter(Ours):
    def solve(self, field, y0, ts, settings, gradient):
        a = cast(Growth, field).a.detach()
        return super().solve(lambda t, y: a * torch.tanh(y), y0, ts, settings, gradient)


class LosesTheGradient(Ours):
    def solve(self, field, y0, ts, settings, gradient):
        ys, stats = super().solve(field, y0, ts, settings, gradient)
        return ys.detach(), stats


class DoublesUnderVmap(Ours):
    gradients = ("adjoint",)

    def solve(self, field, y0, ts, settings, gradient):
        ys, stats = super().solve(field, y0, ts, settings, gradient)
        return ys * (2 if is_batched(y0) else 1), stats


class SolvesOffByAPercent(Ours):
    def solve(self, field, y0, ts, settings, gradient):
        ys, stats = super().solve(field, y0, ts, settings, gradient)
        return 1.01 * ys, stats


class StraightInside(Ours):
    """Its dense output is the chord from the start to the end."""

    def solve_dense(self, problem, times, **how):
        ends = problem.ts[[0, -1]].double().numpy()
        start, end = super().solve_dense(problem, ends, **how)
        shares = (times - ends[0]) / (ends[1] - ends[0])
        return start + shares[:, None, None] * (end - start)


class NoticesEventsLate(Ours):
    def solve_to_event(self, problem, event, **how):
        return super().solve_to_event(problem, replace(event, level=1.01 * event.level), **how)


class ForgetsThatTheEventMoves(Ours):
    """The gradient of its time is that of the state there."""

    def solve_to_event(self, problem, event, **how):
        found = super().solve_to_event(problem, event, **how)
        return found if found.gradient is None else replace(found, gradient=-2 * found.gradient)


class DropsTheImaginaryPart(Ours):
    def solve_complex(self, *problem, **how):
        return super().solve_complex(*problem, **how).real.to(torch.complex128)


class Conjugated(torch.autograd.Function):
    """The identity, with JAX's convention for gradients."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, *grads):
        return grads[0].conj()


class ConjugatesGradients(Ours):
    def solve_complex(self, *problem, **how):
        return Conjugated.apply(super().solve_complex(*problem, **how))


class OffByATenth(Altered):
    def change_answer(self, answer, problem, how):
        return replace(answer, states=1.1 * answer.states)


class SwallowsNaN(Altered):
    def prepare(self, problem, **how):
        work = super().prepare(problem, **how)

        def run():
            try:
                return work.run()
            except RuntimeError:
                return None

        def answer(done):
            if done is not None:
                return work.answer(done)
            return super(SwallowsNaN, self).prepare(OF_ZEROS, **how).answer(OF_ZEROS_DONE)

        return Prepared(run, answer)


OF_ZEROS = replace(problems.tiny(), y0=torch.zeros(1, 3, dtype=torch.float64))
OF_ZEROS_DONE = Ours().prepare(OF_ZEROS, method="dopri5", tol=1e-3, gradient=None).run()


class SortsTimes(Altered):
    """Returns the states in the order of the sorted times."""

    def change_question(self, problem, how):
        return replace(problem, ts=torch.unique(problem.ts)), how

    def change_answer(self, answer, problem, how):
        missing = len(problem.ts) - 1 - len(answer.states)
        last = np.repeat(answer.states[-1:], missing, 0)
        return replace(answer, states=np.concatenate([answer.states, last]))


class StraightBetweenOutputs(Altered):
    """Interpolates along the chord from the start to the end."""

    def change_question(self, problem, how):
        return replace(problem, ts=problem.ts[[0, -1]]), how

    def change_answer(self, answer, problem, how):
        start, end = problem.y0.numpy(), answer.states[-1]
        shares = [float(t / problem.ts[-1]) for t in problem.ts[1:]]
        return replace(answer, states=np.stack([start + s * (end - start) for s in shares]))


class Float32Inside(Altered):
    def change_question(self, problem, how):
        return problems.in_float32(problem), how


class Rounded(torch.nn.Module):
    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, t, y):
        return torch.func.functional_call(
            self.field,
            {n: p.float() for n, p in self.field.named_parameters()},
            (t.float(), y.float()),
        ).to(y.dtype)


class RoundsTheField(Altered):
    def change_question(self, problem, how):
        return replace(problem, field=Rounded(problem.field)), how


class MovesTheStart(Altered):
    def change_answer(self, answer, problem, how):
        problem.y0.mul_(1 + 1e-15)
        return answer


class Restless(Altered):
    count = 0

    def change_answer(self, answer, problem, how):
        self.count += 1
        return replace(answer, states=answer.states + 1e-15 * self.count)


class PaysForEasySamples(Altered):
    """Meets the tolerance on the average of a batch only."""

    def change_question(self, problem, how):
        return problem, how | {"tol": how["tol"] * len(problem.y0) ** 2}


class PaysForOutputs(Altered):
    def change_answer(self, answer, problem, how):
        return replace(answer, nfe_forward=answer.nfe_forward + len(problem.ts) - 2)


FAULTS = [
    (LowerOrder, "order of dopri5"),
    (DeafToTolerance, "order of dopri5"),
    (DeafToTolerance, "tolerance kept by dopri5"),
    (Looser, "tolerance kept by dopri5"),
    (SevenStages, "NFE of dopri5 is that of its tableau"),
    (Miscounting, "stated evaluations are the field's, adjoint"),
    (PaysForOutputs, "outputs cost no evaluations"),
    (AdjointThatKeepsAll, "memory of adjoint"),
    (GradientOffByAPercent, "gradient by adjoint"),
    (GradientOffByAPercent, "gradient by checkpointed converges"),
    (GradientOfTheFlow, "gradient by backprop is that of the computed steps"),
    (ForgetsSecondDerivatives, "second derivative by backprop"),
    (ForgetsThemWhereTheGradientIsConstant, "second derivative by backprop"),
    (LosesTheParameter, "second derivative by backprop"),
    (LosesTheGradient, "second derivative by backprop"),
    (DoublesUnderVmap, "torch.func.vmap"),
    (SolvesOffByAPercent, "torch.func.jacrev"),
    (SolvesOffByAPercent, "torch.func.jvp"),
    (StraightInside, "dense output keeps the tolerance"),
    (StraightInside, "dense output backward in time"),
    (StraightInside, "order of the dense output of dopri5"),
    (NoticesEventsLate, "time and state of an event"),
    (NoticesEventsLate, "time and state of an event, backward in time"),
    (ForgetsThatTheEventMoves, "gradient of an event's time by backprop"),
    (DropsTheImaginaryPart, "complex states"),
    (DropsTheImaginaryPart, "gradient of complex states by adjoint"),
    (ConjugatesGradients, "gradient of complex states by backprop"),
    (OffByATenth, "stiff problem, rate 1000"),
    (OffByATenth, "stiff problem, rate a million, by kvaerno3"),
    (SwallowsNaN, "field that is NaN"),
    (SwallowsNaN, "field that becomes infinite half way"),
    (StraightBetweenOutputs, "order of dopri5 at outputs inside steps"),
    (StraightBetweenOutputs, "outputs inside steps keep the tolerance"),
    (SortsTimes, "times that repeat"),
    (SortsTimes, "times that are not in order"),
    (PaysForEasySamples, "a hard sample among 31 easy ones in a batch"),
    (Float32Inside, "float64 is kept"),
    (RoundsTheField, "the field sees float64 where the problem is"),
    (MovesTheStart, "what goes in stays as it is"),
    (Restless, "two runs give equal bits"),
]


@pytest.mark.slow(reason="each check runs on a solver with a fault")
@pytest.mark.parametrize(("faulty", "name"), FAULTS)
def test_a_fault_fails_its_check_and_ours_passes(faulty, name):
    finding = check(name).judge(faulty())
    assert finding.outcome == "fail", finding.sentence
    assert finding.value is not None
    finding = check(name).judge(Ours())
    assert finding.outcome == "pass", (finding.value, finding.sentence)


class Forward(Ours):
    """No gradients, one method, and a word for everything else."""

    gradients = ()

    def prepare(self, problem, *, method, tol, gradient):
        if method != "tsit5":
            raise ValueError(f"no method {method!r}")
        if not isinstance(problem.field, MLPField):
            raise ValueError("no such field")
        return super().prepare(problem, method=method, tol=tol, gradient=gradient)


@pytest.mark.parametrize(
    ("name", "outcome", "says"),
    [
        ("order of dopri5", "not offered", "no method 'dopri5'"),
        ("order of tsit5", "pass", "evaluations"),
        ("gradient by adjoint", "not offered", "offers the gradients: none"),
        ("memory of adjoint", "not offered", "offers the gradients: none"),
        ("second derivative by adjoint", "not offered", "offers the gradients: none"),
        ("gradient of an event's time by adjoint", "not offered", "offers the gradients: none"),
        ("gradient of complex states by adjoint", "not offered", "offers the gradients: none"),
        ("stiff problem, rate a million, by kvaerno5", "not offered", "no method 'kvaerno5'"),
        ("blow-up in finite time", "cannot be asked", "no such field"),
        ("field that is NaN", "pass", "raises NonFinite"),
        ("backward in time", "pass", "tolerance"),
    ],
)
def test_what_is_not_there_is_no_failure(name, outcome, says):
    finding = check(name).judge(Forward())
    assert finding.outcome == outcome, finding.sentence
    assert says in finding.sentence


class OnlyFloat32(Ours):
    def prepare(self, problem, **how):
        if problem.y0.dtype != torch.float32:
            raise ValueError("float32 only")
        return super().prepare(problem, **how)


UNSOLVABLE = (
    "blow-up in finite time",
    "field that is NaN",
    "field that becomes infinite half way",
)


def test_a_solver_is_asked_in_the_precision_that_it_has():
    outcomes = {
        "float32 works": "pass",
        "float64 is kept": "not offered",
        "order of dopri5": "cannot be asked",
        "tolerance kept by dopri5": "pass",
        "NFE of dopri5 is that of its tableau": "pass",
        "stiff problem, rate 1000": "pass",
    }
    outcomes |= dict.fromkeys(UNSOLVABLE, "pass")
    backend = OnlyFloat32()
    assert {name: check(name).judge(backend).outcome for name in outcomes} == outcomes


def test_a_field_that_becomes_infinite_half_way_is_finite_before_in_float32_too():
    problem = problems.in_float32(problems.infinite_later())
    before, after = (problem.field(torch.tensor(t), problem.y0) for t in (0.1, 0.9))
    assert torch.isfinite(before).all()
    assert torch.isinf(after).all()


OFFERED_BY_FEW = (
    "time and state of an event",
    "gradient of an event's time by adjoint",
    "stiff problem, rate a million, by kvaerno5",
)


def test_the_documented_example_fails_no_check():
    backend = example_module().Scipy()
    findings = [each.judge(backend) for each in CHECKS]
    assert not [(f.check.name, f.sentence) for f in findings if f.outcome == "fail"]
    outcomes = {f.check.name: f.outcome for f in findings}
    assert outcomes["order of dopri5"] == outcomes["float64 is kept"] == "pass"
    for name in ("memory of backprop", "dense output keeps the tolerance", *OFFERED_BY_FEW):
        assert outcomes[name] == "not offered"
    # It is not a solver of torch's tensors.
    assert outcomes["complex states"] == "cannot be asked"


class Stateless(Altered):
    """Gives up without a word, and without states."""

    def prepare(self, problem, **how):
        work = super().prepare(problem, **how)

        def run():
            try:
                return work.run()
            except RuntimeError:
                return None

        def answer(done):
            empty = Answer(np.zeros((0, *problem.y0.shape)), None, None, None)
            return work.answer(done) if done is not None else empty

        return Prepared(run, answer)


@pytest.mark.parametrize("name", UNSOLVABLE)
def test_missing_states_fail_with_a_sentence(name):
    finding = check(name).judge(Stateless())
    assert (finding.outcome, finding.value) == ("fail", 1)
    assert "states of the shape (0, 1, 1), expected (1, 1, 1)" in finding.sentence


def test_a_recording_field_explains_a_call_that_it_refuses():
    field = RecordingField(problems.mixed().problem.field)
    with pytest.raises((TypeError, ValueError), match="float32"):
        field(torch.tensor(0.0), torch.ones(1, 3))


EXTRAS = (
    "dense output keeps the tolerance",
    "time and state of an event",
    "gradient of an event's time by checkpointed",
    "gradient of an event's time by adjoint",
    "complex states",
    "gradient of complex states by seminorm",
    "stiff problem, rate a million, by kvaerno5",
)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("torchdiffeq", {0, 1, 3, 4, 5}),
        ("torchode", set()),
        pytest.param("diffrax", {0, 1, 2, 6}, marks=pytest.mark.slow(reason="JAX compiles")),
    ],
)
def test_what_a_wrapper_has_beside_solves_is_right(name, right):
    backend = require_backend(name)
    outcomes = [check(extra).judge(backend).outcome for extra in EXTRAS]
    assert {i for i, outcome in enumerate(outcomes) if outcome == "pass"} == right
    assert "fail" not in outcomes
