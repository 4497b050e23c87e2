"""Discretise, then optimise, with the steps as checkpoints: each is taken again on the way back.

The gradient is that of backpropagation through the solver, the same numbers in another order, at
the memory of one state a step and the graph of a single one.

Source: Griewank & Walther, Evaluating Derivatives, ch. 12; for adaptive solvers of Neural ODEs
Zhuang et al., ICML 2020 (ACA), which also leaves the search for the step size out of the graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.field import Field, Plain
from neural_ode.gradients.first_derivative import link
from neural_ode.gradients.parameters import OutsideGraph, keep_params, prepare
from neural_ode.gradients.steps_back import (
    Checkpoint,
    RememberedSolve,
    Timing,
    grid_taken,
    timing_of,
)
from neural_ode.gradients.way_back import way_back
from neural_ode.kept import lend, own
from neural_ode.run import Run
from neural_ode.settings import Settings
from neural_ode.solution import Counts, Stats
from neural_ode.times import Times, as_time, nudge


@dataclass(frozen=True)
class Checkpointed:
    """Backprop's gradient to rounding, with O(steps) states and one step's graph in memory.

    Attributes:
        params: the tensors that get a gradient; for an ``nn.Module`` its parameters where ``None``.

    ``stats.nfe_backward`` counts the evaluations of the steps taken again.

    Raises:
        ValueError: for a field that is not an ``nn.Module`` and has no ``params``, and for a method
            whose steps are not functions of the state at their beginning alone, such as ``adams``
            and ``reversible_heun``.
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
        """The solution; on the way back each step is taken again under autograd."""
        if not settings.method.one_step:
            raise ValueError(
                f"Checkpointed() takes each step again from the state at its beginning, which"
                f" method {settings.method.name!r} does not allow"
            )
        stats = Stats()
        field, wanted = prepare(field, self.params, y0, "Checkpointed()")
        problem = _CheckpointedSolve(field, settings, stats, wanted, [])
        return _CheckpointedFunction.apply(problem, y0, ts, *wanted.tensors), stats


@dataclass(frozen=True)
class _CheckpointedSolve(RememberedSolve):
    """What the backward pass needs beside the tensors that autograd saves for it."""

    def again(self) -> Settings:
        """The settings for steps of given sizes, whose error no longer matters."""
        settings = self.settings
        interpolation = "dense" if settings.adaptive else settings.interpolation
        return replace(settings, step_size=1.0, grid=None, interpolation=interpolation)


class _CheckpointedFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, problem, y0, ts, *params):
        ys, states = problem.solve_forward(y0, ts)
        ctx.link = link(y0)
        ctx.problem, ctx.count = problem, len(params)
        ctx.save_for_backward(ts, *params, *states)
        return ys

    @staticmethod
    @way_back("Checkpointed()")
    def backward(ctx, saved, *grads):
        (grad_ys,) = grads
        ts, *rest = saved
        problem: _CheckpointedSolve = ctx.problem
        params, states = problem.wanted.tensors, rest[ctx.count :]
        counts = problem.stats.backward = Counts()
        a = torch.zeros_like(grad_ys[0])
        totals, outside = [torch.zeros_like(p) for p in params], OutsideGraph(problem.wanted)
        grad_ts = torch.zeros_like(ts) if ts.requires_grad else None
        if not states:
            return None, grad_ys[0], grad_ts, *totals
        run = Run(Plain(problem.field, states[0]), states[0], None, problem.again(), counts)
        with torch.enable_grad():
            times = Times.read(ts.detach().requires_grad_(ts.requires_grad))
            grid = grid_taken(times, problem.settings)
        for number in range(len(states) - 1, -1, -1):
            taken = problem.taken[number]
            with torch.enable_grad():
                y = states[number].detach().requires_grad_(True)
                timing = timing_of(taken, number, times, grid)
                ends = _again(run, taken, y, timing)
            weights = [a, *(grad_ys[i] for i, _ in taken.outputs)]
            inputs = [y, *params, *timing.sources.values()]
            keep = outside.is_needed(ends, inputs)
            a, *products = torch.autograd.grad(
                ends, inputs, weights, allow_unused=True, retain_graph=keep
            )
            # A graph that was kept must not stand beside that of the next step.
            del ends
            for total, g in zip(totals, products[: len(params)], strict=True):
                if g is not None:
                    total += g
            for i, g in zip(timing.sources, products[len(params) :], strict=True):
                if g is not None and grad_ts is not None:
                    grad_ts[i] += g.to(grad_ts.dtype)
        return None, a + grad_ys[0], grad_ts, *totals


def _again(run: Run, taken: Checkpoint, y: Float[Tensor, "*state"], timing: Timing) -> list[Tensor]:
    """The state at the end of a step, and at the outputs inside it."""
    start = as_time(timing.t, y)
    if taken.nudged[0]:
        start = nudge(start, towards=torch.inf * taken.h)
    # The field gets the checkpoint, which autograd holds anyway, and the step goes on from a copy.
    begin = lend(y)
    run.counts.nfe += 1
    slope = own(run.stepper.evaluate(start, y, True))
    step = run.take(timing.t, timing.h, begin, slope, taken.nudged)
    return [step.y1, *run.outputs(step, timing.xs)]
