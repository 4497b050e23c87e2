"""The checks of complex states: a solver does them right, or says no."""

from functools import partial

import torch
from jaxtyping import Complex128
from torch import Tensor, nn

from odeclaims.backends import GRADIENTS, Backend
from odeclaims.claim import Bounds
from odeclaims.conform.check import (
    FACTOR,
    CannotAsk,
    Check,
    Observation,
    first_method,
    require_float64,
    require_gradient,
)
from odeclaims.conform.derivatives import TIMES, TOL, Derive, Flow, error_in_closed_form

STARTS = torch.tensor([[0.2 - 0.7j, 1.1 + 0.4j], [-0.3j, 0.9 + 0.1j]], dtype=torch.complex128)


class Spiral(nn.Module):
    """``y' = a y`` with a complex rate, which turns and shrinks the state."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(-0.4 + 2.5j, dtype=torch.complex128))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative."""
        return self.a * y

    def flow(self, y0: Complex128[Tensor, "*state"]) -> Complex128[Tensor, "time *state"]:
        """The states at the output times after the first."""
        return torch.stack([y0 * torch.exp(self.a * t) for t in TIMES[1:]])


def by_states(_: Spiral, flow: Flow) -> Complex128[Tensor, "time batch features"]:
    """The states themselves."""
    with torch.no_grad():
        return flow(STARTS)


def by_gradient(field: Spiral, flow: Flow) -> Complex128[Tensor, " inputs"]:
    """The gradient of a real loss by the initial states and the rate, as torch defines it."""
    y0 = STARTS.clone().requires_grad_()
    ys = flow(y0)
    # Neither part of the state alone, nor its size, would show a conjugate in the wrong place.
    loss = (ys.real.square() + 3 * ys.imag + ys.real * ys.imag).sum()
    grads = torch.autograd.grad(loss, [y0, field.a], allow_unused=True, materialize_grads=True)
    return torch.cat([g.reshape(-1) for g in grads])


def error(derive: Derive, gradient: str | None, backend: Backend) -> Observation:
    """The relative error in units of the tolerance; an error that the solver raises is none."""
    if gradient is not None:
        require_gradient(backend, gradient)
    if not backend.in_torch:
        raise CannotAsk("the complex field is written in torch alone")
    require_float64(backend)
    field, method = Spiral(), first_method(backend)

    def solved(y0: Tensor) -> Tensor:
        return backend.solve_complex(field, y0, TIMES, method=method, tol=TOL, gradient=gradient)[
            1:
        ]

    return error_in_closed_form(field, derive, solved)


CHECKS = [
    Check(
        "complex states",
        name,
        "relative error in units of the tolerance; 0 where the solver raises an error",
        Bounds(at_most=FACTOR),
        "a solver need not have them, but must not drop the imaginary part without a word",
        partial(error, derive, gradient),
    )
    for name, derive, gradient in (
        ("complex states", by_states, None),
        *((f"gradient of complex states by {name}", by_gradient, name) for name in GRADIENTS),
    )
]
