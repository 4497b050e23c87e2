"""The gradient of reversible Heun, whose steps are taken back one by one instead of being kept.

A step maps (y0, w0, f0) to (y1, w1, f1) with f the field's value at w, and has a closed inverse; so
the way back needs the end of the last step and the step sizes, and differentiates the very numbers
that the way forward computed, up to the rounding of the inverse.

Source: Kidger, Foster, Li & Lyons, NeurIPS 2021, algorithm 2, without the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from neural_ode.gradients.parameters import trainable, vjp
from neural_ode.integrate import Field, Plain, Settings, Visit, integrate
from neural_ode.solution import Counts, Stats
from neural_ode.step import as_time


@dataclass(frozen=True)
class Reversible:
    """Backprop's gradient to rounding, at a memory that does not depend on the number of steps.

    Attributes:
        params: the tensors that get a gradient; for an ``nn.Module`` its parameters where ``None``.

    Only ``method="reversible_heun"`` can be taken back, which is of second order: more steps than
    dopri5 at a tight tolerance. ``stats.nfe_backward`` is one a step and one for the start. A flow
    that contracts much amplifies the rounding of the inverse as it does any error.

    Raises:
        ValueError: for a field that is not an ``nn.Module`` and has no ``params``, another method,
            times that require a gradient, ``jump_t`` or ``perturb``.
    """

    params: Sequence[Tensor] | None = None

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution; on the way back each step is undone and differentiated."""
        _check(ts, settings)
        stats = Stats()
        params = trainable(field, self.params, "Reversible()")
        problem = _Problem(field, settings, stats, [])
        return _ReversibleFunction.apply(problem, y0, ts, *params), stats


def _check(ts: Tensor, settings: Settings) -> None:
    name = settings.method.name
    if name != "reversible_heun":
        raise ValueError(f"Reversible() needs method='reversible_heun', got {name!r}")
    if ts.requires_grad:
        raise ValueError("Reversible() gives no gradient with respect to the times: use Backprop()")
    if settings.jump_t or settings.perturb or settings.interpolation != "dense":
        raise ValueError(
            "Reversible() cannot take back what jump_t, perturb or another interpolation than"
            " 'dense' do"
        )


class _Taken(NamedTuple):
    t: float
    h: float
    outputs: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class _Problem:
    field: Field
    settings: Settings
    stats: Stats
    taken: list[_Taken]


class _ReversibleFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, problem, y0, ts, *params):
        end = [y0, y0]

        def remember(visit: Visit) -> None:
            step = visit.step
            outputs = [(i, float(x)) for i, x in visit.outputs]
            problem.taken.append(_Taken(float(step.t), float(step.h), outputs))
            # The second part of a slope of reversible Heun is its other state.
            end[:] = step.y1, step.f1[1]

        plain, counts = Plain(problem.field, y0), problem.stats.forward
        ys, _ = integrate(plain, y0, ts, problem.settings, counts, on_step=remember)
        ctx.problem = problem
        ctx.save_for_backward(*end, *params)
        return ys

    # The decorator hides the signature from the type checker.
    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):  # type: ignore[reportIncompatibleMethodOverride]
        (grad_ys,) = grads
        y, w, *params = ctx.saved_tensors
        problem: _Problem = ctx.problem
        counts = problem.stats.backward = Counts()
        totals = [torch.zeros_like(p) for p in params]

        def differentiate(t: float, a: Tensor) -> tuple[Tensor, Tensor]:
            """f at (t, w) and the product of ``a`` with its derivative; adds to the parameters'."""
            counts.nfe += 1
            f, by_w, by_params = vjp(problem.field, as_time(t, w), w, a, params)
            for total, g in zip(totals, by_params, strict=True):
                total += g
            return f, by_w

        # The cotangents of y, w and f, the last without what the step before puts on it.
        a_y, a_w, a_f = (torch.zeros_like(y) for _ in range(3))
        f = None
        for t, h, outputs in reversed(problem.taken):
            begin, begin_f = torch.zeros_like(y), torch.zeros_like(y)
            for i, x in outputs:
                if x == 1:
                    a_y = a_y + grad_ys[i]
                    continue
                # The dense output y0 + h (x - x^2 / 2) f0 + h x^2 / 2 f1.
                begin = begin + grad_ys[i]
                begin_f = begin_f + h * (x - x**2 / 2) * grad_ys[i]
                a_f = a_f + h * x**2 / 2 * grad_ys[i]
            f1, by_w = differentiate(t + h, a_f + h / 2 * a_y)
            if f is not None:
                # Only now is the slope known that undoing the step after this one needs.
                y = y - f[1] / 2 * (f[0] + f1)
            a_w = a_w + by_w
            a_f = begin_f + h / 2 * a_y + h * a_w
            a_y, a_w = begin + a_y + 2 * a_w, -a_w
            w, f = 2 * y - w - h * f1, (f1, h)
        if problem.taken:
            _, by_w = differentiate(problem.taken[0].t, a_f)
            a_w = a_w + by_w
        return None, a_y + a_w + grad_ys[0], None, *totals
