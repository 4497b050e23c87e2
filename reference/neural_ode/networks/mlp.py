"""A field that is a multilayer perceptron."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import MOST_LAYERS, check_call, check_count, check_generator
from neural_ode.generators import fill_uniform


class MLPField(nn.Module):
    """``dy/dt = MLP([y, t])`` with tanh between the layers.

    Args:
        dim: the dimension of the state.
        width: the width of each hidden layer.
        depth: the number of hidden layers, at least one.
        generator: the source of the initial weights, which are then the same at every call; torch's
            default initialisation (uniform within 1/sqrt(fan in)) in either case.

    Raises:
        ValueError: for a depth, a dimension or a width below one.
        TypeError: for an argument of another type. What it is called with is checked as well.
    """

    def __init__(
        self, dim: int, width: int, depth: int = 2, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        check_count("dim", dim)
        check_count("width", width)
        check_count("depth", depth, most=MOST_LAYERS)
        self.dim = dim
        sizes = [dim + 1, *[width] * depth, dim]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
        self.layers = nn.Sequential(*layers[:-1])
        initialise(self, generator)

    def forward(
        self, t: Float[Tensor, "*each"], y: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim"]:
        """The derivative at time ``t``, or at one for each, for a batch of states."""
        try:
            time = t.expand(*y.shape[:-1], 1)
            return self.layers(torch.cat([y, time], dim=-1))
        except Exception:
            check_call(self, t, "y", y, "...", self.dim)
            raise


@torch.no_grad()
def initialise(module: nn.Module, generator: torch.Generator | None) -> None:
    """Draw the weights of every linear and convolutional layer anew from ``generator``.

    The distribution is torch's default: uniform within one over the square root of the fan-in, for
    weights and biases alike. Does nothing without a generator.
    """
    check_generator("generator", generator)
    if generator is None:
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in (layer.weight, layer.bias):
                if parameter is not None:
                    fill_uniform(parameter, bound, generator)
