"""Discretise, then optimise, with the steps as checkpoints: each is taken again on the way back.

The gradient is that of backpropagation through the solver, the same numbers in another order, at
the memory of one state a step and the graph of a single one.

Source: Griewank & Walther, Evaluating Derivatives, ch. 12; for adaptive solvers of Neural ODEs
Zhuang et al., ICML 2020 (ACA), which also leaves the search for the step size out of the graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from neural_ode.gradients.parameters import trainable
from neural_ode.integrate import (
    Field,
    Plain,
    Run,
    Settings,
    Visit,
    fraction,
    grid_of,
    integrate,
    movable,
)
from neural_ode.solution import Counts, Stats
from neural_ode.step import Time, as_time, nudge


@dataclass(frozen=True)
class Checkpointed:
    """Backprop's gradient to rounding, with O(steps) states and one step's graph in memory.

    Attributes:
        params: the tensors that get a gradient; for an ``nn.Module`` its parameters where ``None``.

    ``stats.nfe_backward`` counts the evaluations of the steps taken again.

    Raises:
        ValueError: for a field that is not an ``nn.Module`` and has no ``params``, and for the
            methods ``adams`` and ``reversible_heun``, whose steps hang together.
    """

    params: Sequence[Tensor] | None = None

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution; on the way back each step is taken again under autograd."""
        if settings.method.name in ("adams", "reversible_heun"):
            raise ValueError(
                f"Checkpointed() takes Runge-Kutta steps again one by one, which method"
                f" {settings.method.name!r} does not allow"
            )
        stats = Stats()
        params = trainable(field, self.params, "Checkpointed()")
        problem = _Problem(field, settings, stats, [])
        return _CheckpointedFunction.apply(problem, y0, ts, *params), stats


class _Taken(NamedTuple):
    """What is remembered of a step beside the state at its beginning."""

    t: float
    h: float
    nudged: tuple[bool, bool]
    outputs: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class _Problem:
    field: Field
    settings: Settings
    stats: Stats
    taken: list[_Taken]

    def remember(self, visit: Visit) -> None:
        step = visit.step
        outputs = [(i, float(x)) for i, x in visit.outputs]
        self.taken.append(_Taken(float(step.t), float(step.h), step.nudged, outputs))

    def again(self) -> Settings:
        """The settings for steps of given sizes, whose error no longer matters."""
        settings = self.settings
        interpolation = "dense" if settings.adaptive else settings.interpolation
        return replace(settings, step_size=1.0, grid=None, interpolation=interpolation)


class _CheckpointedFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, problem, y0, ts, *params):
        states = []

        def remember(visit: Visit) -> None:
            problem.remember(visit)
            states.append(visit.step.y0)

        plain, counts = Plain(problem.field, y0), problem.stats.forward
        ys, _ = integrate(plain, y0, ts, problem.settings, counts, on_step=remember)
        ctx.problem, ctx.count = problem, len(params)
        ctx.save_for_backward(ts, *params, *states)
        return ys

    # The decorator hides the signature from the type checker.
    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):  # type: ignore[reportIncompatibleMethodOverride]
        (grad_ys,) = grads
        ts, *saved = ctx.saved_tensors
        params, states = saved[: ctx.count], saved[ctx.count :]
        problem: _Problem = ctx.problem
        counts = problem.stats.backward = Counts()
        a = torch.zeros_like(grad_ys[0])
        ts = ts.detach().requires_grad_(ts.requires_grad)
        inputs = [ts, *params] if ts.requires_grad else params
        totals = [torch.zeros_like(x) for x in inputs]
        if not states:
            return None, grad_ys[0], totals.pop(0) if ts.requires_grad else None, *totals
        run = Run(Plain(problem.field, states[0]), states[0], None, problem.again(), counts)
        for number in range(len(states) - 1, -1, -1):
            taken = problem.taken[number]
            with torch.enable_grad():
                y = states[number].detach().requires_grad_(True)
                ends = _again(run, problem, number, y, ts)
            weights = [a, *(grad_ys[i] for i, _ in taken.outputs)]
            a, *found = torch.autograd.grad(ends, [y, *inputs], weights, allow_unused=True)
            for total, g in zip(totals, found, strict=True):
                if g is not None:
                    total += g
        grad_ts = totals.pop(0) if ts.requires_grad else None
        return None, a + grad_ys[0], grad_ts, *totals


def _again(
    run: Run,
    problem: _Problem,
    number: int,
    y: Float[Tensor, "*state"],
    ts: Float[Tensor, " time"],
) -> list[Tensor]:
    """The state at the end of the step of this number, and at the outputs inside it."""
    taken = problem.taken[number]
    t, h, xs = _times(taken, number, ts, problem.settings)
    start = as_time(t, y)
    if taken.nudged[0]:
        start = nudge(start, towards=torch.inf * taken.h)
    step = run.take(t, h, y, run.first_slope(start, y), taken.nudged)
    return [step.y1, *run.outputs(step, xs)]


def _times(
    taken: _Taken, number: int, ts: Float[Tensor, " time"], settings: Settings
) -> tuple[Time, Time, list[Time]]:
    """Begin, size and outputs of a step, as tensors where the times want a gradient."""
    if not ts.requires_grad:
        return taken.t, taken.h, [x for _, x in taken.outputs]
    outputs = movable(ts)
    if settings.adaptive:
        # The grid moves rigidly with the first time, as it does in the forward loop.
        first = outputs[0]
        t = taken.t + (first - first.detach() if isinstance(first, Tensor) else 0.0)
        return t, taken.h, [(outputs[i] - t) / taken.h for i, _ in taken.outputs]
    _, points = grid_of(ts.tolist(), outputs, settings)
    t, end = points[number], points[number + 1]
    return t, end - t, [fraction(outputs[i], points, number) for i, _ in taken.outputs]
