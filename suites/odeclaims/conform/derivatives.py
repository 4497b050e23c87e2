"""The checks of second derivatives and of torch.func: a solver does them right, or says no."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from neural_ode import failures, solve
from neural_ode.delegate import solve_with
from odeclaims.backends import GRADIENTS, Backend
from odeclaims.backends.ours import WAYS
from odeclaims.claim import Bounds
from odeclaims.conform.check import (
    FACTOR,
    CannotAsk,
    Check,
    NotOffered,
    Observation,
    first_method,
    require_float64,
    require_gradient,
    shorten_error,
)

TOL = 1e-6
TIMES = torch.tensor([0.0, 0.3, 0.8, 1.0], dtype=torch.float64)
STARTS = torch.tensor([[0.2, -0.7], [1.1, 0.4], [-0.3, 0.9]], dtype=torch.float64)


class Growth(nn.Module):
    """``y' = a tanh(y)``, which makes ``sinh(y)`` grow as ``e^(a t)``."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.8, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative."""
        return self.a * torch.tanh(y)

    def flow(self, y0: Float64[Tensor, "*state"]) -> Float64[Tensor, "time *state"]:
        """The states at the output times after the first."""
        return torch.stack([torch.asinh(torch.sinh(y0) * torch.exp(self.a * t)) for t in TIMES[1:]])


# From initial states to the states at the output times after the first.
Flow = Callable[[Tensor], Tensor]


def by_second_derivative(power: int, field: Growth, flow: Flow) -> Float64[Tensor, " gradients"]:
    """The gradient of a loss, and that of the loss with a gradient penalty.

    Both are by the initial states and the parameter. A gradient that is lost is zero.
    """
    inputs = [STARTS.clone().requires_grad_(), field.a]

    def gradient(loss: Tensor, *, graph: bool) -> list[Tensor]:
        if not loss.requires_grad:
            return [torch.zeros_like(x) for x in inputs]
        return list(
            torch.autograd.grad(
                loss, inputs, create_graph=graph, allow_unused=True, materialize_grads=True
            )
        )

    loss = flow(inputs[0]).pow(power).sum()
    first = gradient(loss, graph=True)
    # Alone, a penalty without a graph would be an error of autograd's, and no answer.
    second = gradient(loss + torch.stack([g.square().sum() for g in first]).sum(), graph=False)
    return torch.cat([g.detach().reshape(-1) for g in (*first, *second)])


def by_vmap(_: Growth, flow: Flow) -> Float64[Tensor, "batch time features"]:
    """The states of a batch, mapped over its samples."""
    return torch.func.vmap(flow)(STARTS)


def by_jacrev(_: Growth, flow: Flow) -> Float64[Tensor, "time features features"]:
    """The derivative of the states of one sample by its start, backward."""
    return torch.func.jacrev(flow)(STARTS[0])


def by_jvp(_: Growth, flow: Flow) -> Float64[Tensor, "time features"]:
    """The derivative of the states of one sample along a direction, forward."""
    return torch.func.jvp(flow, (STARTS[0],), (torch.ones_like(STARTS[0]),))[1]


# From a field and its flow, solved or in closed form, to what is compared.
Derive = Callable[[Growth, Flow], Tensor]


def worst_error(derives: Sequence[Derive], gradient: str | None, backend: Backend) -> Observation:
    """The largest relative error in units of the tolerance; 0 where the solver raises an error."""
    if gradient is not None:
        require_gradient(backend, gradient)
    if not backend.runs_claims:
        raise CannotAsk("the backend defines no solve of torch's tensors")
    require_float64(backend)
    field = Growth()
    how = {
        "method": "reversible_heun" if gradient == "reversible" else first_method(backend),
        "rtol": TOL,
        "atol": TOL,
        "gradient": None if gradient is None else WAYS[gradient],
    }

    def solved(y0: Tensor) -> Tensor:
        with solve_with(backend.solve):
            return solve(field, y0, TIMES, **how).ys[1:]

    seen = [_error(field, derive, solved) for derive in derives]
    # A NaN is the largest.
    return seen[int(np.argmax([observed.value for observed in seen]))]


def _error(field: Growth, derive: Derive, solved: Flow) -> Observation:
    """The relative error of what is derived from a solved flow; zero where that raises an error."""
    expected = derive(field, field.flow).detach()
    try:
        found = derive(field, solved).detach()
    except failures.NotOffered as error:
        raise NotOffered(shorten_error(error)) from error
    except Exception as error:
        return Observation(0, f"raises {shorten_error(error)}")
    return relative_error(found, expected, TOL)


def relative_error(found: Tensor, expected: Tensor, tol: float) -> Observation:
    """The relative distance of two tensors, in units of the tolerance.

    Raises:
        ValueError: if they differ in shape, or one alone is complex.
    """
    if found.shape != expected.shape or found.is_complex() != expected.is_complex():
        raise ValueError(
            f"the answer has the shape {tuple(found.shape)} and {found.dtype}, expected"
            f" {tuple(expected.shape)} and {expected.dtype}"
        )
    error = float((found - expected).norm() / expected.norm())
    return Observation(error / tol, f"relative error {error:.1e} at tolerance {tol:g}")


# A sum hands a constant back, a sum of squares something with a graph of its own.
_SECOND = [partial(by_second_derivative, power) for power in (1, 2)]
_ASKED = [
    *((f"second derivative by {name}", _SECOND, name) for name in GRADIENTS),
    ("torch.func.vmap", [by_vmap], None),
    ("torch.func.jacrev", [by_jacrev], "backprop"),
    ("torch.func.jvp", [by_jvp], "backprop"),
]
CHECKS = [
    Check(
        "derivatives beyond the first",
        name,
        "relative error in units of the tolerance; 0 where the solver raises an error",
        Bounds(at_most=FACTOR),
        "a solver need not have them, but a wrong one without a word misleads a gradient penalty",
        partial(worst_error, derives, gradient),
    )
    for name, derives, gradient in _ASKED
]
