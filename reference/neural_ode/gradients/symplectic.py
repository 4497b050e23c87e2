"""Discretise, then optimise, one stage at a time: backprop's gradient with one evaluation's graph.

A step of a Runge-Kutta method from y_n of size h has the stages ``Y_i = y_n + h sum_j a_ij k_j``,
``k_i = f(t_i, Y_i)``, and ends at ``y_n + h sum_i b_i k_i``. With the adjoint a of that end, the
derivative of the step goes back through its stages, the last one first:

    g_i = h (b_i a + sum_m a_mi l_m),   l_i = (df/dy)^T g_i at (t_i, Y_i),

so that the adjoint of y_n is ``a + sum_i l_i``, and ``(df/dtheta)^T g_i`` adds to the gradient of
the parameters. That is itself a Runge-Kutta method for the adjoint equation, one that keeps the
quadratic invariant ``a . dy`` exactly, hence its name. One stage at a time is differentiated, so
that the graph of a single evaluation is in memory, where ``Checkpointed`` has that of a step.

Source: Matsubara, Miyatake & Yaguchi, NeurIPS 2021, algorithms 1 and 2; Sanz-Serna, SIAM Review 58
(2016), sec. 3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.field import Field
from neural_ode.gradients.first_derivative import link
from neural_ode.gradients.parameters import keep_params, prepare
from neural_ode.gradients.steps_back import (
    Checkpoint,
    Derivative,
    RememberedSolve,
    Timing,
    grid_taken,
    timing_of,
)
from neural_ode.gradients.way_back import way_back
from neural_ode.settings import Settings
from neural_ode.solution import Counts, Stats
from neural_ode.step.tableau import Tableau
from neural_ode.times import Time, Times, as_time, nudge


@dataclass(frozen=True)
class SymplecticAdjoint:
    """Backprop's gradient to rounding, with O(steps) states and one evaluation's graph in memory.

    Attributes:
        params: the tensors that get a gradient; for an ``nn.Module`` its parameters where ``None``.

    On the way back each step evaluates its stages again, all but the last, and then each once more
    for its derivative; ``stats.nfe_backward`` counts both.

    Raises:
        ValueError: for a field that is not an ``nn.Module`` and has no ``params``, and for a method
            that is not an explicit Runge-Kutta method.
    """

    params: Sequence[Tensor] | None = None

    def __post_init__(self):
        keep_params(self)

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution; on the way back each stage is differentiated alone."""
        tableau = getattr(settings.method, "coefficients", None)
        if tableau is None:
            raise ValueError(
                "SymplecticAdjoint() goes through the stages of an explicit Runge-Kutta method,"
                f" which {settings.method.name!r} is not"
            )
        stats = Stats()
        field, wanted = prepare(field, self.params, y0, "SymplecticAdjoint()")
        problem = _Problem(field, settings, stats, wanted, [], tableau)
        return _SymplecticFunction.apply(problem, y0, ts, *wanted.tensors), stats


@dataclass(frozen=True)
class _Problem(RememberedSolve):
    """What the backward pass needs beside the tensors that autograd saves for it."""

    tableau: Tableau


class _SymplecticFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, problem, y0, ts, *params):
        ys, states = problem.solve_forward(y0, ts)
        ctx.link = link(y0)
        ctx.problem, ctx.count = problem, len(params)
        ctx.save_for_backward(ts, *params, *states)
        return ys

    @staticmethod
    @way_back("SymplecticAdjoint()")
    def backward(ctx, saved, *grads):
        (grad_ys,) = grads
        ts, *rest = saved
        problem: _Problem = ctx.problem
        states = rest[ctx.count :]
        counts = problem.stats.backward = Counts()
        derivative = Derivative(problem.field, problem.wanted, counts)
        grad_ts = torch.zeros_like(ts) if ts.requires_grad else None
        if not states:
            return None, grad_ys[0], grad_ts, *derivative.totals
        with torch.enable_grad():
            times = Times.read(ts.detach().requires_grad_(ts.requires_grad))
            grid = grid_taken(times, problem.settings)
        stages, a = _Stages(problem), torch.zeros_like(grad_ys[0])
        for number in range(len(states) - 1, -1, -1):
            taken = problem.taken[number]
            with torch.enable_grad():
                timing = timing_of(taken, number, times, grid)
            step = _StepBack(stages, taken, states[number], derivative, timing)
            a = step.back(a, grad_ys)
            if grad_ts is not None and step.by_times:
                _add_by_times(grad_ts, timing, step.by_timing)
        return None, a + grad_ys[0], grad_ts, *derivative.totals


def _add_by_times(
    grad_ts: Float[Tensor, " time"], timing: Timing, by_timing: Sequence[float]
) -> None:
    """Add the gradient by the output times, from that by what a step's timing makes of them."""
    parts = zip([timing.t, timing.h, *timing.xs], by_timing, strict=True)
    followed = [(x, g) for x, g in parts if _is_followed(x)]
    with torch.enable_grad():
        total = grad_ts.new_zeros(()) + sum(g * x for x, g in followed)
    sources = {i: x for i, x in timing.sources.items() if isinstance(x, Tensor) and x.requires_grad}
    if not followed or not sources:
        return
    products = torch.autograd.grad(total, list(sources.values()), allow_unused=True)
    for i, g in zip(sources, products, strict=True):
        if g is not None:
            grad_ts[i] += g.to(grad_ts.dtype)


def _is_followed(x: Time) -> bool:
    """Whether autograd follows a part of a step's timing."""
    return isinstance(x, Tensor) and x.requires_grad


class _Stages:
    """The stages of a method, and those that its outputs inside a step need, in one table.

    Attributes:
        a, b, c: as in a tableau; a row of ``a`` and an entry of the others for each stage.
        own: how many stages the step itself has.
        inside: the weights of each stage in an output inside the step, by the powers of the
            fraction from the first on.
    """

    def __init__(self, problem: _Problem) -> None:
        tableau, settings = problem.tableau, problem.settings
        own = self.own = tableau.stages
        simple = not settings.adaptive and settings.interpolation != "dense"
        more = 1 if simple else len(tableau.dense) - own
        self.a, self.b, self.c = (
            np.zeros((own + more,) * 2),
            np.zeros(own + more),
            np.ones(own + more),
        )
        self.a[:own, :own], self.b[:own], self.c[:own] = tableau.a, tableau.b, tableau.c
        if simple:
            # The slope at the end of the step.
            self.a[own] = self.b
            self.inside = self._between(settings.interpolation)
        else:
            self.inside = tableau.dense
            if tableau.dense_a is not None and tableau.dense_c is not None:
                self.a[own:], self.c[own:] = tableau.dense_a, tableau.dense_c

    def _between(self, interpolation: str) -> Float[np.ndarray, "stages degree"]:
        """The line between both ends of a step, or the cubic that has the slopes there too."""
        if interpolation == "linear":
            return self.b[:, None]
        inside = np.outer(self.b, [0.0, 3.0, -2.0])
        inside[0] += [1.0, -2.0, 1.0]
        inside[-1] += [0.0, -1.0, 1.0]
        return inside

    def at(self, x: float) -> Float[np.ndarray, " stages"]:
        """The weights of the stages in an output at the fraction ``x`` of a step."""
        if x == 1:
            # Free of rounding, by which further stages would count.
            return self.b
        return self.inside @ x ** np.arange(1, self.inside.shape[1] + 1)

    def slope_at(self, x: float) -> Float[np.ndarray, " stages"]:
        """The derivative of these weights by the fraction."""
        powers = np.arange(1, self.inside.shape[1] + 1)
        return self.inside @ (powers * x ** (powers - 1.0))

    def needed(self, weights: Sequence[Float[np.ndarray, " stages"]]) -> list[int]:
        """The stages on which something with one of these weights depends, in their order."""
        needed: list[int] = []
        for i in reversed(range(len(self.b))):
            if any(row[i] != 0 for row in weights) or any(self.a[m, i] != 0 for m in needed):
                needed.insert(0, i)
        return needed


class _StepBack:
    """One step, from the adjoint at its end to that at its beginning.

    Attributes:
        by_timing: once it is back, and where it is wanted, the derivatives of the loss by the time
            at which the step began, by its size, and by the fraction of each output.
    """

    def __init__(
        self,
        stages: _Stages,
        taken: Checkpoint,
        y: Float[Tensor, "*state"],
        derivative: Derivative,
        timing: Timing,
    ) -> None:
        self.stages, self.taken, self.y, self.derivative = stages, taken, y, derivative
        self.followed = [_is_followed(x) for x in timing.xs]
        self.by_times = any(map(_is_followed, (timing.t, timing.h, *timing.xs)))
        self.by_timing = [0.0, 0.0]
        self.slopes = y.new_zeros(len(stages.b), y.numel())

    def back(
        self, a: Float[Tensor, "*state"], grad_ys: Float[Tensor, "time *state"]
    ) -> Float[Tensor, "*state"]:
        """The adjoint at the beginning; the gradients by the outputs inside the step join it."""
        outputs = [(grad_ys[i], x) for i, x in self.taken.outputs]
        sources = [(a, self.stages.b), *((grad, self.stages.at(x)) for grad, x in outputs)]
        fractions = [x for (_, x), wanted in zip(outputs, self.followed, strict=True) if wanted]
        slopes = [self.stages.slope_at(x) for x in fractions]
        needed = self.stages.needed([*(weights for _, weights in sources), *slopes])
        points = self._evaluate(needed)
        start = sum((grad for grad, _ in outputs), start=a)
        # The slopes are needed again for the derivative by the times alone.
        back = torch.zeros_like(self.slopes) if self.by_times else self.slopes.zero_()
        for i in reversed(needed):
            g = back.T @ back.new_tensor(self.stages.a[:, i])
            for grad, weights in sources:
                if weights[i] != 0:
                    g = torch.add(g, grad.reshape(-1), alpha=float(weights[i]))
            by_y = self._differentiate(i, points[i], g)
            back[i] = by_y.reshape(-1)
            start = start + by_y
        if self.by_times:
            wanted = zip(outputs, self.followed, strict=True)
            self.by_timing += [self._by_fraction(*each) if one else 0.0 for each, one in wanted]
        return start

    def _evaluate(self, needed: Sequence[int]) -> dict[int, Float[Tensor, "*state"]]:
        """The points at which these stages evaluate the field; of the last its value is not."""
        flat, points = self.y.reshape(-1), {}
        for i in needed:
            weights = self.slopes.new_tensor(self.stages.a[i, :i])
            point = torch.addmv(flat, self.slopes[:i].T, weights, alpha=self.taken.h) if i else flat
            points[i] = point.view(self.y.shape)
            if i != needed[-1]:
                value = self.derivative.value_at(self._time(i), points[i])
                self.slopes[i] = value.reshape(-1)
        return points

    def _differentiate(
        self, i: int, point: Float[Tensor, "*state"], g: Float[Tensor, " entries"]
    ) -> Float[Tensor, "*state"]:
        """What the derivative of a stage makes of the adjoint of its slope, divided by h."""
        scaled = (g * self.taken.h).view(self.y.shape)
        by_times = self.by_times
        f, by_y, by_time = self.derivative.at(self._time(i), point, scaled, by_time=by_times)
        if by_times:
            self.slopes[i] = f.reshape(-1)
            self.by_timing[0] += by_time
            self.by_timing[1] += float(g @ self.slopes[i]) + float(self.stages.c[i]) * by_time
        return by_y

    def _by_fraction(self, grad: Float[Tensor, "*state"], x: float) -> float:
        """The derivative of the loss by the fraction of the step at which an output lies."""
        weights = self.slopes.new_tensor(self.stages.slope_at(x))
        return self.taken.h * float(grad.reshape(-1) @ (self.slopes.T @ weights))

    def _time(self, i: int) -> Float[Tensor, ""]:
        """The time of a stage, just inside the step where it was so."""
        node, (at_start, at_end) = float(self.stages.c[i]), self.taken.nudged
        time = as_time(self.taken.t + node * self.taken.h, self.y)
        if i == 0 and at_start:
            return nudge(time, towards=math.inf * self.taken.h)
        if 0 < i < self.stages.own and node == 1 and at_end:
            return nudge(time, towards=-math.inf * self.taken.h)
        return time
