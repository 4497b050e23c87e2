"""The checks: every kind of fault fails its check, and a solver without faults passes."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from neural_ode.failures import NotOffered
from neural_ode.networks import MLPField
from odeclaims.backends import Answer, Ending, Prepared
from odeclaims.backends.ours import Ours
from odeclaims.conform import problems
from odeclaims.conform.check import Check
from odeclaims.conform.cost import RecordingField
from odeclaims.conform.scorecard import CHECKS
from tests.odeclaims.backends.common import require_backend
from tests.odeclaims.backends.example import example_module
from tests.odeclaims.conform import faulty

# The annotations of the fields do not allow a recording field.
pytestmark = pytest.mark.usefixtures("unchecked")


def check(name: str) -> Check:
    (match,) = [check for check in CHECKS if check.name == name]
    return match


FAULTS = [
    (faulty.LowerOrder, "order of dopri5"),
    (faulty.DeafToTolerance, "order of dopri5"),
    (faulty.DeafToTolerance, "tolerance kept by dopri5"),
    (faulty.Looser, "tolerance kept by dopri5"),
    (faulty.SevenStages, "NFE of dopri5 is that of its tableau"),
    (faulty.Miscounting, "stated evaluations are the field's, adjoint"),
    (faulty.PaysForOutputs, "outputs cost no evaluations"),
    (faulty.AdjointThatKeepsAll, "memory of adjoint"),
    (faulty.GradientOffByAPercent, "gradient by adjoint"),
    (faulty.GradientOffByAPercent, "gradient by checkpointed converges"),
    (faulty.GradientOfTheFlow, "gradient by backprop is that of the computed steps"),
    (faulty.ForgetsSecondDerivatives, "second derivative by backprop"),
    (faulty.ForgetsThemWhereTheGradientIsConstant, "second derivative by backprop"),
    (faulty.LosesTheParameter, "second derivative by backprop"),
    (faulty.LosesTheGradient, "second derivative by backprop"),
    (faulty.DoublesUnderVmap, "torch.func.vmap"),
    (faulty.SolvesOffByAPercent, "torch.func.jacrev"),
    (faulty.SolvesOffByAPercent, "torch.func.jvp"),
    (faulty.StraightInside, "dense output keeps the tolerance"),
    (faulty.StraightInside, "dense output backward in time"),
    (faulty.StraightInside, "order of the dense output of dopri5"),
    (faulty.NoticesEventsLate, "time and state of an event"),
    (faulty.NoticesEventsLate, "time and state of an event, backward in time"),
    (faulty.ForgetsThatTheEventMoves, "gradient of an event's time by backprop"),
    (faulty.DenseByAnotherMethod, "order of the dense output of dopri5"),
    (faulty.CubicInOneStep, "order of the dense output of dopri5"),
    (faulty.SortsItsTimes, "dense output backward in time"),
    (faulty.NaNWhereTight, "tolerance kept by dopri5"),
    (faulty.NaNWhereTight, "error falls with the tolerance, dopri5"),
    (faulty.NaNWhereTight, "order of dopri5"),
    (faulty.NoStateAtTheEvent, "time and state of an event"),
    (faulty.EventsInFloat32, "time and state of an event"),
    (faulty.FindsTheLastEvent, "time and state of an event"),
    (faulty.FindsTheLastEvent, "time and state of an event, backward in time"),
    (faulty.ForgetsTheTimeOfTheEvent, "gradient of an event's time by adjoint"),
    (faulty.DropsItFromTheStart, "complex states"),
    (faulty.DropsItFromTheStart, "gradient of complex states by backprop"),
    (faulty.ComplexInHalf, "complex states"),
    (faulty.FollowsExactly, "stiff problem, rate 100,000, by kvaerno5"),
    (faulty.DropsTheImaginaryPart, "complex states"),
    (faulty.DropsTheImaginaryPart, "gradient of complex states by adjoint"),
    (faulty.ConjugatesGradients, "gradient of complex states by backprop"),
    (faulty.OffByATenth, "stiff problem, rate 1,000"),
    (faulty.OffByATenth, "stiff problem, rate 100,000, by kvaerno5"),
    (faulty.SwallowsNaN, "field that is NaN"),
    (faulty.SwallowsNaN, "field that becomes infinite half way"),
    (faulty.StraightBetweenOutputs, "order of dopri5 at outputs inside steps"),
    (faulty.StraightBetweenOutputs, "outputs inside steps keep the tolerance"),
    (faulty.SortsTimes, "times that repeat"),
    (faulty.SortsTimes, "times that are not in order"),
    (faulty.PaysForEasySamples, "a hard sample among 31 easy ones in a batch"),
    (faulty.Float32Inside, "float64 is kept"),
    (faulty.RoundsTheField, "the field sees float64 where the problem is"),
    (faulty.MovesTheStart, "what goes in stays as it is"),
    (faulty.Restless, "two runs give equal bits"),
]


@pytest.mark.slow(reason="each check runs on a solver with a fault")
@pytest.mark.parametrize(("solver", "name"), FAULTS)
def test_a_fault_fails_its_check_and_ours_passes(solver, name):
    finding = check(name).judge(solver())
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
    ("solver", "name", "says"),
    [
        (Broken, "dense output keeps the tolerance", "raised ValueError: operands could not be"),
        (Broken, "time and state of an event", "raised ValueError: f(a) and f(b) must have"),
        (Broken, "complex states", "raised TypeError: no such thing"),
        (
            faulty.LeavesTheFirstStateOut,
            "complex states",
            "raised ValueError: the answer has the shape",
        ),
    ],
)
def test_an_error_of_its_own_is_a_fault(solver, name, says):
    finding = check(name).judge(solver())
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


class Scipy(example_module().Scipy):
    """The documented example, with SciPy's dense output and events."""

    def solve_dense(self, problem, times, *, method, tol):
        solution = self._solve(problem, tol, dense_output=True)
        states = solution.sol(times).T.reshape(-1, *problem.y0.shape)
        return Answer(states, None, solution.nfev, None)

    def solve_to_event(self, problem, event, *, method, tol, gradient):
        def crossed(t, y):
            return event.value(t, y.reshape(problem.y0.shape))

        crossed.__dict__["terminal"] = True
        solution = self._solve(problem, tol, events=crossed)
        state = solution.y_events[0][0].reshape(problem.y0.shape)
        return Ending(float(solution.t_events[0][0]), state, None)

    def _solve(self, problem, tol, **how) -> Any:
        def field(t, y):
            with torch.no_grad():
                state = torch.from_numpy(y).view(problem.y0.shape)
                return problem.field(torch.tensor(t), state).numpy().ravel()

        ends, start = problem.ts[[0, -1]].tolist(), problem.y0.numpy().ravel()
        return solve_ivp(field, ends, start, "RK45", rtol=tol, atol=tol, **how)


@pytest.mark.parametrize(
    "name",
    [
        "dense output keeps the tolerance",
        "dense output backward in time",
        "order of the dense output of dopri5",
        "time and state of an event",
        "time and state of an event, backward in time",
    ],
)
def test_a_solver_that_is_not_of_this_project_passes(name):
    finding = check(name).judge(Scipy())
    assert finding.outcome == "pass", (finding.value, finding.sentence)


class Stateless(faulty.Altered):
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
    ("name", "asked", "right"),
    [
        ("torchdiffeq", EXTRAS, {0, 1, 3, 4, 5}),
        ("torchode", EXTRAS, set()),
        pytest.param(
            "diffrax", EXTRAS[:2], {0, 1}, marks=pytest.mark.slow(reason="JAX compiles twice")
        ),
    ],
)
def test_what_a_wrapper_has_beside_solves_is_right(name, asked, right):
    backend = require_backend(name)
    outcomes = [check(extra).judge(backend).outcome for extra in asked]
    assert {i for i, outcome in enumerate(outcomes) if outcome == "pass"} == right
    assert "fail" not in outcomes
