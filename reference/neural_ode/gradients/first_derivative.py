"""Backward passes with a first derivative alone, which say so where a second is asked for."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.field import without_autocast


def first_derivative_only(
    name: str, instead: str = "use Backprop(), which odeint does"
) -> Callable[[Callable], Callable]:
    """Make the second derivative of this backward pass an error with this name and this advice.

    The forward pass has to keep ``ctx.link = link(y0)``. The backward pass runs without autocast,
    and gets the saved tensors before the gradients, since ``torch.utils.checkpoint`` gives them
    once.

    torch's own ``once_differentiable`` leaves it out without a word where the incoming gradient is
    a constant, as that of a sum is.
    """

    reason = (
        f"{name} gives first derivatives alone: where its gradient is differentiated again, as by a"
        f" gradient penalty, {instead}"
    )

    def decorate(backward: Callable) -> Callable:
        @wraps(backward)
        def without_graph(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            saved = ctx.saved_tensors
            with torch.no_grad(), without_autocast(grads[0].device.type):
                results = backward(ctx, saved, *grads)
            if not torch.is_grad_enabled():
                return results
            # Whoever differentiates one of them once more, by whatever they depend on, ends in the
            # function below.
            given = [x for x in results if x is not None]
            inputs = [x for x in (ctx.link, *saved, *grads) if x is not None]
            marked = iter(_WithoutDerivative.apply(reason, len(given), *given, *inputs))
            return tuple(None if x is None else next(marked) for x in results)

        return without_graph

    return decorate


def link(y0: Float[Tensor, "*state"]) -> Float[Tensor, ""] | None:
    """A number that stands for ``y0`` in a graph, without keeping its memory."""
    if not y0.requires_grad:
        return None
    with torch.enable_grad():
        return y0.sum()


class _WithoutDerivative(torch.autograd.Function):
    """The first ``count`` tensors, as functions of all."""

    @staticmethod
    def forward(ctx, reason, count, *tensors):
        ctx.reason = reason
        return tuple(x.view_as(x) for x in tensors[:count])

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError(ctx.reason)
