"""The gradient of a method whose steps can be undone: they are taken back instead of being kept.

Each step has a closed inverse, which the method gives (its ``undo``). So the way back needs the end
of the last step and the step sizes, and differentiates the very numbers that the way forward
computed, up to the rounding of the inverse.

Source: Kidger, Foster, Li & Lyons, NeurIPS 2021, algorithm 2, without the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.field import Field, Plain
from neural_ode.gradients.first_derivative import link
from neural_ode.gradients.parameters import Wanted, keep_params, prepare
from neural_ode.gradients.steps_back import Derivative
from neural_ode.gradients.way_back import way_back
from neural_ode.integrate import integrate
from neural_ode.methods.base import Taken, Undo
from neural_ode.run import Visit
from neural_ode.settings import Settings
from neural_ode.solution import Counts, Stats
from neural_ode.times import Times


@dataclass(frozen=True)
class Reversible:
    """Backprop's gradient to rounding, at a memory that does not depend on the number of steps.

    Attributes:
        params: the tensors that get a gradient; for an ``nn.Module`` its parameters where ``None``.

    Two kinds of method can be undone: ``method="reversible_heun"``, which is of second order, with
    one evaluation a step and one for the start on the way back; and ``methods.coupled.Coupled``,
    which makes any explicit method reversible. A flow that contracts much amplifies the rounding of
    the inverse as it does any error.

    Raises:
        ValueError: for a field that is not an ``nn.Module`` and has no ``params``, a method that
            cannot be undone, times that require a gradient, ``jump_t`` or ``perturb``.
    """

    params: Sequence[Tensor] | None = None
    needs_undo: ClassVar[bool] = True

    def __post_init__(self):
        keep_params(self)

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution; on the way back each step is undone and differentiated."""
        undo = _check(ts, settings)
        stats = Stats()
        field, wanted = prepare(field, self.params, y0, "Reversible()")
        problem = _UndoableSolve(field, settings, undo, stats, wanted, [])
        return _ReversibleFunction.apply(problem, y0, ts, *wanted.tensors), stats


def _check(ts: Tensor, settings: Settings) -> Undo:
    """What undoes the steps; raises ValueError for what cannot be undone."""
    method = settings.method
    if method.undo is None:
        raise ValueError(
            f"Reversible() needs a method whose steps can be undone, such as 'reversible_heun' or a"
            f" Coupled one, got {method.name!r}"
        )
    if ts.requires_grad:
        raise ValueError("Reversible() gives no gradient with respect to the times: use Backprop()")
    if settings.jump_t or settings.perturb or settings.interpolation != "dense":
        raise ValueError(
            "Reversible() cannot take back what jump_t, perturb or another interpolation than"
            " 'dense' do"
        )
    return method.undo


@dataclass(frozen=True)
class _UndoableSolve:
    """What the backward pass needs beside the tensors that autograd saves for it."""

    field: Field
    settings: Settings
    undo: Undo
    stats: Stats
    wanted: Wanted
    taken: list[Taken]


class _ReversibleFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, problem, y0, ts, *params):
        # The state at the end of the last step, and what the method itself carries there.
        end = [y0]

        def remember(visit: Visit) -> None:
            step = visit.step
            outputs = [(i, float(x)) for i, x in visit.outputs]
            problem.taken.append(Taken(float(step.t), float(step.h), outputs))
            end[:] = step.y1, *step.f1[2:]

        plain, times, counts = Plain(problem.field, y0), Times.read(ts), problem.stats.forward
        ys, _ = integrate(plain, y0, times, problem.settings, counts, on_step=remember)
        ctx.link = link(y0)
        ctx.problem, ctx.count = problem, len(params)
        ctx.save_for_backward(*params, *end)
        return ys

    @staticmethod
    @way_back("Reversible()")
    def backward(ctx, saved, *grads):
        (grad_ys,) = grads
        problem: _UndoableSolve = ctx.problem
        counts = problem.stats.backward = Counts()
        y, *memory = saved[ctx.count :]
        derivative = Derivative(problem.field, problem.wanted, counts)
        if not problem.taken:
            return None, grad_ys[0], None, *derivative.totals
        by_y0 = problem.undo(problem.taken, y, memory, grad_ys, derivative)
        return None, by_y0 + grad_ys[0], None, *derivative.totals
