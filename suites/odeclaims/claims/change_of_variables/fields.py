"""The random fields, their points, and which trace each of them has."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from neural_ode.flows import ConcatSquashField, PlanarField, closed_trace, exact_trace
from neural_ode.flows.traces import Trace

# At which determinants and formulas are evaluated.
POINTS = 8


class LinearField(nn.Module):
    """``f = A z`` with its trace.

    Args:
        A: shape [dim, dim].
    """

    def __init__(self, A: Float[Tensor, "dim dim"]) -> None:
        super().__init__()
        self.A = nn.Parameter(A)

    def forward(
        self, t: Float[Tensor, ""], z: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch dim"]:
        """The derivative."""
        return z @ self.A.T

    def field_and_trace(
        self, t: Float[Tensor, ""], z: Float[Tensor, "batch dim"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, " batch"]]:
        """The derivative and the trace of A."""
        return self(t, z), self.A.trace().expand(len(z))


# From a dimension and a generator to a field, and the gain of its weights.
MAKERS: dict[str, tuple[Callable[[int, torch.Generator], nn.Module], float]] = {
    "linear": (lambda dim, g: LinearField(torch.randn(dim, dim, generator=g) / dim**0.5), 1.0),
    "planar": (lambda dim, g: PlanarField(dim, 16, hidden=32, generator=g), 2.0),
    "constant": (lambda dim, g: PlanarField(dim, 16, generator=g), 2.0),
    "concatsquash": (lambda dim, g: ConcatSquashField(dim, (32, 32), generator=g), 4.0),
    "unit": (lambda dim, g: PlanarField(dim, 1, generator=g), 2.0),
}


def random_field(name: str, dim: int, generator: torch.Generator) -> nn.Module:
    """A random field in float64 whose parameters want no gradient."""
    make, gain = MAKERS[name]
    field = make(dim, generator).double().requires_grad_(False)
    for parameter in field.parameters():
        parameter.mul_(gain)
    return field


def random_points(count: int, dim: int, generator: torch.Generator) -> Float64[Tensor, "count dim"]:
    """Points from the standard normal distribution."""
    return torch.randn(count, dim, generator=generator, dtype=torch.float64)


def trace_of(field: nn.Module) -> Trace:
    """The field's trace in closed form where there is one, else by autograd."""
    return closed_trace if hasattr(field, "field_and_trace") else exact_trace
