"""Models that learn x -> -x, those of all seeds as one module.

States have the shape [seeds, batch, state] and weights a first dimension of seeds, so that a step
costs little more than that of one net. No seed enters another one's field. They share the steps of
the solver, whose error norm is that of the seed with the largest error.

Source: Norcliffe et al. 2020 with its released code (MLP d-20-20-d with ELU; the second-order model
and its net of velocities); Massaroli et al. 2020 (data control: the field sees state and input).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode import Backprop, Solution, solve
from neural_ode.networks.mlp import initialise
from odeclaims.claims.parity.settings import WIDTH

# The released net of velocities has this activation, also at its end.
CLIP = 10.0
# Far more steps than a solve takes that comes to an end.
STEP_LIMIT = 2000

Points = Float[Tensor, "seeds batch dim"]
States = Float[Tensor, "seeds batch state"]


def layouts(arm: str, dim: int, width: int) -> dict[str, list[int]]:
    """The sizes of the layers of each net of a model, by the name of the net.

    Args:
        arm: the model.
        dim: of the inputs.
        width: of each hidden layer.
    """
    ends = {
        "node": (dim, dim),
        "node_time": (dim + 1, dim),
        "anode_1": (dim + 1, dim + 1),
        "anode_d": (2 * dim, 2 * dim),
        "second_order": (2 * dim, dim),
        "second_order_rest": (2 * dim, dim),
        "data_control": (2 * dim, dim),
    }[arm]
    nets = {"field": [ends[0], width, width, ends[1]]}
    if arm == "second_order":
        nets["velocity"] = [dim, width, width, dim]
    return nets


def parameters(arm: str, dim: int, width: int) -> int:
    """The trained numbers of one model."""
    nets = layouts(arm, dim, width).values()
    return sum((a + 1) * b for sizes in nets for a, b in pairwise(sizes))


def matched_width(arm: str, dim: int) -> int:
    """The width with which a model has the number of parameters nearest to that of the NODE."""
    target = parameters("node", dim, WIDTH)
    return min(range(1, 2 * WIDTH), key=lambda each: abs(parameters(arm, dim, each) - target))


class Stacked(nn.Module):
    """Nets of one architecture, each with a batch of its own.

    Args:
        nets: linear layers and activations, the same kinds in all of them.
    """

    def __init__(self, nets: Sequence[nn.Sequential]) -> None:
        super().__init__()
        linear = [[each for each in net if isinstance(each, nn.Linear)] for net in nets]
        self.activations = [each for each in nets[0] if not isinstance(each, nn.Linear)]
        layers = list(zip(*linear, strict=True))
        self.weights = nn.ParameterList(_stack([net.weight.mT for net in each]) for each in layers)
        self.biases = nn.ParameterList(_stack([net.bias[None] for net in each]) for each in layers)

    def forward(
        self, x: Float[Tensor, "seeds batch inputs"]
    ) -> Float[Tensor, "seeds batch outputs"]:
        """What each net makes of its batch."""
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if i < len(self.activations):
                x = self.activations[i](x)
        return x


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([each.detach() for each in tensors])


def _mlp(sizes: Sequence[int], activation: nn.Module, generator: torch.Generator) -> nn.Sequential:
    """A net with torch's default initialisation; the activation stands between the layers."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), activation]
    net = nn.Sequential(*layers[:-1])
    initialise(net, generator)
    return net


class Models(nn.Module):
    """One model for each seed: where the flow over [0, 1] takes the coordinates of an input.

    Args:
        arm: which model.
        dim: of the inputs and outputs.
        generators: the sources of the weights, one for each seed.
    """

    def __init__(self, arm: str, dim: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.arm, self.dim, self.width = arm, dim, matched_width(arm, dim)
        activations = {"field": nn.ELU(), "velocity": nn.Hardtanh(-CLIP, CLIP)}
        self.nets = nn.ModuleDict(
            {
                name: Stacked([_mlp(sizes, activations[name], each) for each in generators])
                for name, sizes in layouts(arm, dim, self.width).items()
            }
        )

    def start(self, x: Points) -> States:
        """The states at time 0: with zeros for an ANODE, with velocities for second order."""
        if self.arm == "second_order":
            return torch.cat([x, self.nets["velocity"](x).clamp(-CLIP, CLIP)], dim=-1)
        zeros = {"anode_1": 1, "anode_d": self.dim, "second_order_rest": self.dim}
        return nn.functional.pad(x, (0, zeros.get(self.arm, 0)))

    def field(self, x: Points) -> Callable[[Tensor, Tensor], Tensor]:
        """The field for states that start from ``x``, which data control alone looks at."""
        net = self.nets["field"]
        if self.arm == "node_time":
            return lambda t, z: net(torch.cat([z, t.expand(*z.shape[:-1], 1)], dim=-1))
        if self.arm == "data_control":
            return lambda t, z: net(torch.cat([z, x], dim=-1))
        if self.arm.startswith("second_order"):
            return lambda t, z: torch.cat([z[..., self.dim :], net(z)], dim=-1)
        return lambda t, z: net(z)

    def flow(self, x: Points, ts: Sequence[float] = (0.0, 1.0), **solver: Any) -> Solution:
        """The solve from ``x``, with the states at the times ``ts``."""
        times = x.new_tensor(ts)
        return solve(self.field(x), self.start(x), times, gradient=Backprop(), **solver)

    def returned(self, x: Points, **solver: Any) -> States:
        """The states at time 0 where a solve of ``x`` ends that goes to time 1 and back."""
        end = self.flow(x, **solver).ys[-1]
        return solve(self.field(x), end, x.new_tensor([1.0, 0.0]), **solver).ys[-1]

    def forward(self, x: Points, **solver: Any) -> Points:
        """The outputs."""
        return self.flow(x, **solver).ys[-1][..., : self.dim]


def largest_rms(x: States) -> Float[Tensor, ""]:
    """The root mean square of the entries of each seed, the largest of them."""
    return x.flatten(1).square().mean(dim=1).sqrt().max()


def at(tolerance: float) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for a tolerance that every seed meets.

    The method is the published one. Where an ELU bends, one of a higher order takes more steps.
    """
    limits = {"rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT}
    return {"method": "dopri5", "norm": largest_rms, **limits}
