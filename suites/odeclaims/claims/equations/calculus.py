"""Numerical calculus: slopes, limits and integrals from values at points, Jacobians by autograd.

A function whose slope or limit is wanted takes a tensor of points [points] and returns a value for
each, [points, ...].
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Generator = torch.Generator
Series = Callable[[Tensor], Tensor]

# Every flow of this claim runs over [0, END].
END = 1.0

# Six points around 0, and the weights that give the slope and the value at 0 of the polynomial
# through them: the value at 0 itself is not used, so that limits are limits.
SPACING = 1e-2
OFFSETS = SPACING * torch.tensor([-3, -2, -1, 1, 2, 3], dtype=torch.float64)
SLOPE = torch.tensor([-1, 9, -45, 45, -9, 1], dtype=torch.float64) / (60 * SPACING)
VALUE = torch.tensor([1, -6, 15, 15, -6, 1], dtype=torch.float64) / 20

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
# Gauss-Legendre on [0, END]; exact to rounding for the smooth integrands here.
NODES = torch.from_numpy((_NODES + 1) * END / 2)
WEIGHTS = torch.from_numpy(_WEIGHTS * END / 2)
ZERO, MIDDLE, LAST = torch.tensor([[0.0], [END / 2], [END]], dtype=torch.float64)


def randn(generator: Generator, *shape: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def slope_at(function: Series, x: Tensor) -> Tensor:
    """The derivative of a function at each entry of ``x``; sixth-order differences."""
    return slope_of(_around(function, x))


def limit_at(function: Series, x: Tensor) -> Tensor:
    """The limit of a function at each entry of ``x``, from both sides."""
    return limit_of(_around(function, x))


def slope_of(values: Float[Tensor, "six *value"]) -> Tensor:
    """The slope in the middle of six values."""
    return torch.tensordot(SLOPE, values, dims=1)


def limit_of(values: Float[Tensor, "six *value"]) -> Tensor:
    """The value in the middle of six values."""
    return torch.tensordot(VALUE, values, dims=1)


def _around(function: Series, x: Tensor) -> Float[Tensor, "six x *value"]:
    """The values of a function at the six points around each entry of ``x``."""
    return function((x + OFFSETS[:, None]).flatten()).detach().unflatten(0, (6, len(x)))


def integrate(values: Tensor) -> Tensor:
    """The integral over [0, END] of a function whose values at the nodes are given."""
    return torch.tensordot(WEIGHTS, values, dims=1)


def jacobian_of(y: Float[Tensor, "batch m"], x: Float[Tensor, "batch n"]) -> Tensor:
    """dy/dx of each element of a batch, [batch, m, n], by backpropagation, through solves too."""
    rows = [torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0] for i in range(y.shape[1])]
    return torch.stack(rows, dim=1)


def jacobian_at(function: Series, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch m n"]:
    """The Jacobian of a function of a batch at ``x``."""
    x = x.detach().requires_grad_()
    return jacobian_of(function(x), x)


def gradient_at(function: Series, x: Tensor) -> Tensor:
    """The gradient of a function with one number for each element of a batch."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x).sum(), x)[0]


def trace_of(jacobian: Tensor) -> Tensor:
    """The trace of each matrix of a batch."""
    return jacobian.diagonal(dim1=-2, dim2=-1).sum(-1)


def join(*parts: Tensor) -> Tensor:
    """Several quantities as one tensor, so that one side of an equation can hold them all."""
    return torch.cat([part.reshape(-1) for part in parts])
