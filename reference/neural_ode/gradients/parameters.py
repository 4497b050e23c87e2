"""The tensors beside the state that a gradient method differentiates by, as one flat vector."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.field import Field


def trainable(field: Field, params: Sequence[Tensor] | None, method: str) -> list[Tensor]:
    """The tensors that get a gradient: those named, or the parameters of a module.

    Raises:
        ValueError: for a plain function with none named; the message names the gradient method.
    """
    if params is None and not isinstance(field, nn.Module):
        raise ValueError(
            f"{method} cannot see what a plain function closes over: make the field an nn.Module or"
            " name its tensors in params=..., () if there are none"
        )
    tensors = params if params is not None else cast(nn.Module, field).parameters()
    return [p for p in tensors if p.requires_grad]


def flat(tensors: Sequence[Tensor]) -> Float[Tensor, " entries"]:
    """The tensors one after another."""
    return torch.cat([x.reshape(-1) for x in tensors])


def split(vector: Float[Tensor, " entries"], shapes: Sequence[torch.Size]) -> list[Tensor]:
    """The parts of a flat vector, in these shapes."""
    parts = vector.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def vjp(
    field: Field,
    t: Float[Tensor, ""],
    z: Float[Tensor, "*state"],
    a: Float[Tensor, "*state"],
    params: Sequence[Tensor],
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """``f(t, z)`` and the products of ``a`` with its derivatives by z and by each parameter."""
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        f = field(t, z)
        inputs = (z, *params)
        if f.requires_grad:
            products = torch.autograd.grad(f, inputs, a, allow_unused=True)
        else:
            products = [None] * len(inputs)
    by_z, *by_params = (
        torch.zeros_like(x) if v is None else v for x, v in zip(inputs, products, strict=True)
    )
    return f.detach(), by_z, by_params
