"""The checks: every kind of fault fails its check, and a solver without faults passes."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch.autograd.function import once_differentiable

from neural_ode.failures import NotOffered
from neural_ode.networks import MLPField
from neural_ode.transforms import is_batched
from odeclaims.backends import Answer, Ending, Prepared
from odeclaims.backends.ours import Ours
from odeclaims.conform import problems
from odeclaims.conform.check import Check
from odeclaims.conform.complex_states import Spiral
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
        answer = super().solve_dense(problem, ends, **how)
        start, end = answer.states
        shares = (times - ends[0]) / (ends[1] - ends[0])
        return replace(answer, states=start + shares[:, None, None] * (end - start))


class DenseByAnotherMethod(Ours):
    def solve_dense(self, problem, times, *, method, tol):
        return super().solve_dense(problem, times, method="bosh3", tol=tol)


class SortsItsTimes(Ours):
    def solve_dense(self, problem, times, **how):
        times.sort()
        return super().solve_dense(problem, times, **how)


class NaNWhereTight(Altered):
    def change_answer(self, answer, problem, how):
        return replace(answer, states=answer.states * (np.nan if how["tol"] < 1e-6 else 1))


class NoticesEventsLate(Ours):
    def solve_to_event(self, problem, event, **how):
        return super().solve_to_event(problem, replace(event, level=1.01 * event.level), **how)


class EventsInFloat32(Ours):
    def solve_to_event(self, problem, event, **how):
        return super().solve_to_event(problems.in_float32(problem), event, **how)


class NoStateAtTheEvent(Ours):
    def solve_to_event(self, problem, event, **how):
        found = super().solve_to_event(problem, event, **how)
        return replace(found, state=np.full_like(found.state, np.nan))


class FindsTheLastEvent(Ours):
    def solve_to_event(self, problem, event, *, method, tol, gradient):
        ends = problem.ts.tolist()

        def states(t):
            return self.solve_dense(problem, np.array(t), method=method, tol=tol).states

        grid = np.linspace(ends[0], ends[1], 41)
        values = [event.value(t, y) for t, y in zip(grid, states(grid), strict=True)]
        last = np.flatnonzero(np.diff(np.sign(values)))[-1]
        low, high = sorted(grid[last : last + 2])
        t = brentq(lambda t: event.value(t, states([t])[0]), low, high)
        return Ending(t, states([t])[0], None)


class ForgetsTheTimeOfTheEvent(Ours):
    """The gradient of its time is that of an event and a field without the time."""

    def solve_to_event(self, problem, event, **how):
        found = super().solve_to_event(problem, event, **how)
        if found.gradient is None:
            return found
        f = problem.field(torch.tensor(found.t), torch.tensor(found.state))[0, event.feature].item()
        return replace(found, gradient=found.gradient * (f - event.slope) / f)


class ForgetsThatTheEventMoves(Ours):
    """The gradient of its time is that of the state there."""

    def solve_to_event(self, problem, event, **how):
        found = super().solve_to_event(problem, event, **how)
        return found if found.gradient is None else replace(found, gradient=-2 * found.gradient)


class DropsTheImaginaryPart(Ours):
    def solve_complex(self, *problem, **how):
        return super().solve_complex(*problem, **how).real.to(torch.complex128)


class DropsItFromTheStart(Ours):
    def solve_complex(self, field, y0, *more, **how):
        torch.view_as_real(y0.detach())[..., 1] = 0
        return super().solve_complex(field, y0, *more, **how)


class LeavesTheFirstStateOut(Ours):
    def solve_complex(self, *problem, **how):
        return super().solve_complex(*problem, **how)[1:]


class ComplexInHalf(Ours):
    """In complex64."""

    def solve_complex(self, field, y0, ts, **how):
        single = Spiral()
        single.a = torch.nn.Parameter(field.a.detach().to(torch.complex64))
        ys = super().solve_complex(single, y0.to(torch.complex64), ts.float(), **how)
        return ys.to(torch.complex128)


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


class FollowsExactly(Altered):
    """As after an implicit step of any size: y is what it follows."""

    def change_answer(self, answer, problem, how):
        return replace(answer, states=answer.states[..., [0, 0]])


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
    (DenseByAnotherMethod, "order of the dense output of dopri5"),
    (SortsItsTimes, "dense output backward in time"),
    (NaNWhereTight, "tolerance kept by dopri5"),
    (NaNWhereTight, "error falls with the tolerance, dopri5"),
    (NaNWhereTight, "order of dopri5"),
    (NoStateAtTheEvent, "time and state of an event"),
    (EventsInFloat32, "time and state of an event"),
    (FindsTheLastEvent, "time and state of an event"),
    (FindsTheLastEvent, "time and state of an event, backward in time"),
    (ForgetsTheTimeOfTheEvent, "gradient of an event's time by adjoint"),
    (DropsItFromTheStart, "complex states"),
    (DropsItFromTheStart, "gradient of complex states by backprop"),
    (ComplexInHalf, "complex states"),
    (FollowsExactly, "stiff problem, rate 100,000, by kvaerno5"),
    (DropsTheImaginaryPart, "complex states"),
    (DropsTheImaginaryPart, "gradient of complex states by adjoint"),
    (ConjugatesGradients, "gradient of complex states by backprop"),
    (OffByATenth, "stiff problem, rate 1,000"),
    (OffByATenth, "stiff problem, rate 100,000, by kvaerno3"),
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


class Broken(Ours):
    """What it raises is a fault of its own, and not a word about what it offers."""

    def solve_dense(self, *_, **__) -> Any:
        return np.zeros(3) + np.zeros(4)

    def solve_to_event(self, *_, **__) -> Any:
        return brentq(lambda t: t + 1, 0, 1)

    def solve_complex(self, *_, **__):
        raise TypeError("no such thing")


@pytest.mark.parametrize(
    ("faulty", "name", "says"),
    [
        (Broken, "dense output keeps the tolerance", "raised ValueError: operands could not be"),
        (Broken, "time and state of an event", "raised ValueError: f(a) and f(b) must have"),
        (Broken, "complex states", "raised TypeError: no such thing"),
        (LeavesTheFirstStateOut, "complex states", "raised ValueError: the answer has the shape"),
    ],
)
def test_an_error_of_its_own_is_a_fault(faulty, name, says):
    finding = check(name).judge(faulty())
    assert finding.outcome == "fail"
    assert finding.sentence.startswith(says)


class OnlyImplicit(Ours):
    def prepare(self, problem, *, method, tol, gradient):
        if not method.startswith("kvaerno"):
            raise NotOffered("implicit methods alone")
        if problem.y0.dtype != torch.float64:
            raise ValueError("float64 only")
        return super().prepare(problem, method=method, tol=tol, gradient=gradient)


def test_a_solver_of_implicit_methods_alone_is_asked_with_one():
    outcomes = {
        "stiff problem, rate 100,000, by kvaerno5": "pass",
        "dense output keeps the tolerance": "pass",
        "complex states": "pass",
        "order of dopri5": "not offered",
    }
    backend = OnlyImplicit()
    assert {name: check(name).judge(backend).outcome for name in outcomes} == outcomes


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
        ("stiff problem, rate 100,000, by kvaerno5", "not offered", "no method 'kvaerno5'"),
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
        "stiff problem, rate 1,000": "pass",
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
    "stiff problem, rate 100,000, by kvaerno5",
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
    "stiff problem, rate 100,000, by kvaerno5",
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
