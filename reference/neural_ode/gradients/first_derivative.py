"""Backward passes with a first derivative alone, which say so where a second is asked for."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def first_derivative_only(name: str) -> Callable[[Callable], Callable]:
    """Make the second derivative of this backward pass an error that names the gradient method.

    torch's own ``once_differentiable`` leaves it out without a word where the incoming gradient is
    a constant, as that of a sum is.
    """

    def decorate(backward: Callable) -> Callable:
        @wraps(backward)
        def without_graph(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            with torch.no_grad():
                results = backward(ctx, *grads)
            if not torch.is_grad_enabled():
                return results
            # Whoever differentiates one of them once more ends in the function below.
            given = [x.detach().requires_grad_() for x in results if x is not None]
            marked = iter(_WithoutDerivative.apply(name, *given))
            return tuple(None if x is None else next(marked) for x in results)

        return without_graph

    return decorate


class _WithoutDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, name, *gradients):
        ctx.name = name
        return tuple(x.view_as(x) for x in gradients)

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError(
            f"{ctx.name} gives first derivatives alone: where its gradient is differentiated again,"
            " as by a gradient penalty, use Backprop(), which odeint does"
        )
