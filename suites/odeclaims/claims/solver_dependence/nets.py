"""The data and the nets of Ott et al. 2021, and the solvers that they are trained and tested by.

The nets of all seeds are one module: their states have the shape [seeds, batch, 2] and their
weights a first dimension of seeds, so that a step costs hardly more than that of one net. No seed
enters another one's numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from neural_ode import Backprop, Solution, solve

# Inner and outer radius of each shell, its class, and its share of the points.
SHELLS = (((0.10, 0.15), 0, 0.25), ((0.25, 0.30), 1, 0.5), ((0.40, 0.45), 0, 0.25))
UNITS, CLASSES = 32, 2
# Far more steps than a solve takes that comes to an end.
STEP_LIMIT = 2000

Generators = Sequence[torch.Generator]


def shells(
    count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "count 2"], Int64[Tensor, " count"]]:
    """Points of three shells in the plane, and the class of each.

    The radius of a point is ``inner + (outer - inner) sqrt(u)`` with u uniform, as in the released
    code. ``count`` is a multiple of four, so that each shell has its share.
    """
    points, classes = [], []
    for (inner, outer), label, share in SHELLS:
        n = round(count * share)
        angles = 2 * torch.pi * torch.rand(n, generator=generator)
        radii = inner + (outer - inner) * torch.rand(n, generator=generator).sqrt()
        points.append(torch.stack([radii * angles.cos(), radii * angles.sin()], dim=1))
        classes.append(torch.full((n,), label))
    return torch.cat(points), torch.cat(classes)


class Linears(nn.Module):
    """A linear layer for each seed, with Kaiming's normal weights and biases of zero.

    Args:
        fan_in, fan_out: numbers that go in and come out.
        generators: the source of the weights, one for each seed.
    """

    def __init__(self, fan_in: int, fan_out: int, generators: Generators) -> None:
        super().__init__()
        draws = [torch.randn(fan_in, fan_out, generator=source) for source in generators]
        self.weight = nn.Parameter(torch.stack(draws) * (2 / fan_in) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(len(draws), 1, fan_out))

    def forward(
        self, x: Float[Tensor, "seeds batch fan_in"]
    ) -> Float[Tensor, "seeds batch fan_out"]:
        """What each seed's layer makes of its batch."""
        return torch.baddbmm(self.bias, x, self.weight)


# Bias and weight, which take numbers of one width to another one.
Layer = tuple[Float[Tensor, "seeds 1 _"], Float[Tensor, "seeds _ _"]]


@dataclass(frozen=True)
class Derivative:
    """The field of three layers with ReLUs between them; it does not depend on time."""

    first: Layer
    middle: Layer
    last: Layer

    def __call__(
        self, t: Float[Tensor, ""], y: Float[Tensor, "seeds batch 2"]
    ) -> Float[Tensor, "seeds batch 2"]:
        """The derivative of every state."""
        hidden = _apply(self.first, y).relu()
        return _apply(self.last, _apply(self.middle, hidden).relu())


def _apply(
    layer: Layer, x: Float[Tensor, "seeds batch fan_in"]
) -> Float[Tensor, "seeds batch fan_out"]:
    bias, weight = layer
    return torch.baddbmm(bias, x, weight)


class MlpField(nn.Module):
    """Two hidden layers of ReLUs on the two coordinates."""

    def __init__(self, generators: Generators) -> None:
        super().__init__()
        self.first = Linears(2, UNITS, generators)
        self.middle = Linears(UNITS, UNITS, generators)
        self.last = Linears(UNITS, 2, generators)

    def derivative(self) -> Derivative:
        """The field of a solve."""
        linears = (self.first, self.middle, self.last)
        return Derivative(*((linear.bias, linear.weight) for linear in linears))


class ConvField(nn.Module):
    """Convolutions with kernels 1, 3 and 1 and ReLUs between them, over a signal of length 2.

    A kernel of 1 is a linear layer at each place. Of a kernel of 3 on two places with a margin of
    zeros, the first and the last part see one place each, and the middle one sees both.
    """

    def __init__(self, generators: Generators) -> None:
        super().__init__()
        self.first = Linears(1, UNITS, generators)
        # The three parts of its kernel: for the place before, the place itself and the next one.
        self.middle = Linears(3 * UNITS, UNITS, generators)
        self.last = Linears(UNITS, 1, generators)

    def derivative(self) -> Derivative:
        """The field of a solve; each layer is a linear one that sees both places at once."""
        before, here, after = self.middle.weight.chunk(3, dim=1)
        return Derivative(
            _over_both_places(self.first),
            (self.middle.bias.repeat(1, 1, 2), _blocks([[here, before], [after, here]])),
            _over_both_places(self.last),
        )


def _over_both_places(linear: Linears) -> Layer:
    """Bias and weight of a layer that works on each place alone."""
    none = torch.zeros_like(linear.weight)
    weight = _blocks([[linear.weight, none], [none, linear.weight]])
    return linear.bias.repeat(1, 1, 2), weight


def _blocks(
    rows: list[list[Float[Tensor, "seeds fan_in fan_out"]]],
) -> Float[Tensor, "seeds rows columns"]:
    """The matrix of each seed, from its blocks."""
    return torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)


FIELDS = {"mlp": MlpField, "conv": ConvField}


class FlowClassifiers(nn.Module):
    """``head(flow(x))`` with a linear head for each seed; each call says by which solver.

    Args:
        net: the field, by its name in ``FIELDS``.
        generators: the source of the weights, one for each seed.
    """

    def __init__(self, net: str, generators: Generators) -> None:
        super().__init__()
        self.field = FIELDS[net](generators)
        self.head = Linears(2, CLASSES, generators)

    def forward(
        self, x: Float[Tensor, "seeds batch 2"], **solver: Any
    ) -> Float[Tensor, "seeds batch 2"]:
        """The logits of both classes, with the flow over [0, 1] solved as ``solver`` says."""
        return self.head(self.flow(x, **solver).ys[-1])

    def flow(self, x: Float[Tensor, "seeds batch 2"], **solver: Any) -> Solution:
        """The solve from ``x``; what its steps share of the weights is put together once."""
        field = self.field.derivative()
        return solve(field, x, x.new_tensor([0.0, 1.0]), gradient=Backprop(), **solver)


def in_steps(method: str, steps: int) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for equal steps."""
    return {"method": method, "step_size": 1 / steps}


def at_tolerance(method: str, tolerance: float) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for steps that adapt."""
    return {"method": method, "rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT}
