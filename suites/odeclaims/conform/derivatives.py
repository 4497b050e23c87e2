"""The checks of second derivatives and of torch.func: a solver does them right, or says no."""

from collections.abc import Callable
from functools import partial

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


def by_second_derivative(field: Growth, flow: Flow) -> Tensor:
    """The derivatives of a loss with a gradient penalty by the initial states and the parameter."""
    inputs = [STARTS.clone().requires_grad_(), field.a]
    loss = flow(inputs[0]).square().sum()
    gradients = torch.autograd.grad(loss, inputs, create_graph=True)
    penalty = sum(g.square().sum() for g in gradients)
    # Alone, a penalty without a graph would be an error of autograd's.
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss + penalty, inputs)])


def by_vmap(_: Growth, flow: Flow) -> Tensor:
    """The states of a batch, mapped over its samples."""
    return torch.func.vmap(flow)(STARTS)


def by_jacrev(_: Growth, flow: Flow) -> Tensor:
    """The derivative of the states of one sample by its start, backward."""
    return torch.func.jacrev(flow)(STARTS[0])


def by_jvp(_: Growth, flow: Flow) -> Tensor:
    """The derivative of the states of one sample along a direction, forward."""
    return torch.func.jvp(flow, (STARTS[0],), (torch.ones_like(STARTS[0]),))[1]


Derive = Callable[[Growth, Flow], Tensor]


def derivative(derive: Derive, gradient: str, backend: Backend) -> Observation:
    """The error in units of the tolerance; zero where the solver raises an error."""
    require_gradient(backend, gradient)
    if not backend.runs_claims:
        raise CannotAsk("the backend defines no solve of torch's tensors")
    require_float64(backend)
    method = "reversible_heun" if gradient == "reversible" else first_method(backend)
    field = Growth()

    def solved(y0: Tensor) -> Tensor:
        with solve_with(backend.solve):
            how = {"method": method, "rtol": TOL, "atol": TOL, "gradient": WAYS[gradient]}
            return solve(field, y0, TIMES, **how).ys[1:]

    try:
        found = derive(field, solved).detach()
    except failures.NotOffered as error:
        raise NotOffered(shorten_error(error)) from error
    except Exception as error:
        return Observation(0, f"raises {shorten_error(error)}")
    expected = derive(field, field.flow).detach()
    error = float((found - expected).norm() / expected.norm())
    return Observation(error / TOL, f"relative error {error:.1e} at tolerance {TOL:g}")


_OTHERS = {"vmap": by_vmap, "jacrev": by_jacrev, "jvp": by_jvp}
_ASKED = [
    *((f"second derivative by {name}", by_second_derivative, name) for name in GRADIENTS),
    *((f"torch.func.{name}", derive, "backprop") for name, derive in _OTHERS.items()),
]
CHECKS = [
    Check(
        "derivatives beyond the first",
        name,
        "relative error in units of the tolerance; 0 where the solver says no",
        Bounds(at_most=FACTOR),
        "a solver need not have them, but a wrong one without a word misleads a gradient penalty",
        partial(derivative, derive, gradient),
    )
    for name, derive, gradient in _ASKED
]
