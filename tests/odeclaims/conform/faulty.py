"""Solvers with one fault each, for the tests of the checks."""

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from scipy.interpolate import BarycentricInterpolator
from scipy.optimize import brentq
from torch.autograd.function import once_differentiable

from neural_ode.transforms import is_batched
from odeclaims.backends import Ending, Prepared
from odeclaims.backends.ours import Ours
from odeclaims.conform import problems
from odeclaims.conform.complex_states import Spiral
from odeclaims.conform.derivatives import Growth


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


class CubicInOneStep(Ours):
    """Its dense output is a cubic, whose order is four, in one step in the middle."""

    def solve_dense(self, problem, times, *, method, tol):
        answer = super().solve_dense(problem, times, method=method, tol=tol)
        step = 6 * np.ptp(times) / answer.nfe_forward
        knots = times.mean() + step * np.linspace(-0.5, 0.5, 4)
        states = super().solve_dense(problem, knots, method=method, tol=tol).states
        inside = abs(times - times.mean()) <= step / 2
        answer.states[inside] = BarycentricInterpolator(knots, states)(times[inside])
        return answer


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
