"""The checks of complex states."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Complex128, Float64
from torch import Tensor, nn

from odeclaims.backends import GRADIENTS, Backend
from odeclaims.claim import Bounds
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    CannotAsk,
    Check,
    Observation,
    first_method,
    require_float64,
    require_gradient,
)
from odeclaims.conform.derivatives import relative_error

# So tight that a solve in complex64 misses it.
TOL = 1e-9
Flow = Callable[[Tensor, Tensor], Tensor]


def starts() -> Complex128[Tensor, "batch features"]:
    """The initial states."""
    return torch.tensor([[0.2 - 0.7j, 1.1 + 0.4j], [-0.3j, 0.9 + 0.1j]], dtype=torch.complex128)


def times() -> Float64[Tensor, " time"]:
    """The output times."""
    return torch.tensor([0.0, 0.3, 0.8, 1.0], dtype=torch.float64)


class Spiral(nn.Module):
    """``y' = a y`` with a complex rate, which turns and shrinks the state."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(-0.4 + 2.5j, dtype=torch.complex128))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative."""
        return self.a * y

    def flow(
        self, y0: Complex128[Tensor, "*state"], ts: Float64[Tensor, " time"]
    ) -> Complex128[Tensor, "time *state"]:
        """The states at the output times."""
        return torch.stack([y0 * torch.exp(self.a * (t - ts[0])) for t in ts])


def by_states(_: Spiral, flow: Flow) -> Tensor:
    """The states themselves."""
    with torch.no_grad():
        return flow(starts(), times())


def by_gradient(field: Spiral, flow: Flow) -> Tensor:
    """The gradient of a real loss by the initial states and the rate, as torch defines it.

    A gradient that is lost is zero.
    """
    inputs = [starts().requires_grad_(), field.a]
    ys = flow(inputs[0], times())
    # Neither part of the state alone, nor its size, would show a conjugate in the wrong place.
    loss = (ys.real.square() + 3 * ys.imag + ys.real * ys.imag).sum()
    if not loss.requires_grad:
        return torch.cat([torch.zeros_like(x).reshape(-1) for x in inputs])
    grads = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
    return torch.cat([g.reshape(-1) for g in grads])


def error(
    derive: Callable[[Spiral, Flow], Tensor], gradient: str | None, backend: Backend
) -> Observation:
    """The relative error in units of the tolerance."""
    if gradient is not None:
        require_gradient(backend, gradient)
    if not backend.in_torch:
        raise CannotAsk("the complex field is written in torch alone")
    require_float64(backend)
    field, how = Spiral(), {"method": first_method(backend), "tol": TOL, "gradient": gradient}
    found = derive(field, lambda y0, ts: backend.solve_complex(field, y0, ts, **how)).detach()
    known = Spiral()
    return relative_error(found, derive(known, known.flow).detach(), TOL)


CHECKS = [
    Check(
        "complex states",
        name,
        "relative error in units of the tolerance",
        Bounds(at_most=FACTOR),
        BECAUSE_FACTOR,
        partial(error, derive, gradient),
    )
    for name, derive, gradient in (
        ("complex states", by_states, None),
        *((f"gradient of complex states by {name}", by_gradient, name) for name in GRADIENTS),
    )
]
