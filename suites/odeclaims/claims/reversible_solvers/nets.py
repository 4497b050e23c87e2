"""Small nets that learn a contracting field in the plane.

The field is x' = -x + (tanh x2, -tanh x1). The symmetric part of its Jacobian has no eigenvalue
above -1/2, so that any two solutions approach each other at least as fast as exp(-t / 2).
"""

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from neural_ode import solve
from neural_ode.networks.mlp import initialise

States = Float64[Tensor, "*batch 2"]

# Both coordinates of a state that is learnt from are at most so large.
BOX = 2.0
# A pair is a state and where it is after this time. Training solves it by so many steps of rk4.
GAP, STEPS_OF_TRAINING = 0.5, 2
LEARNING_RATE = 1e-2
TIGHT = {"method": "dopri8", "rtol": 1e-12, "atol": 1e-12}


class Net(nn.Module):
    """A field with two hidden layers of tanh that does not see the time, in float64."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
        )
        initialise(self, generator)
        self.double()

    def forward(self, t: Tensor, y: States) -> States:
        """The derivative."""
        return self.layers(y)


def field(t: Tensor, y: States) -> States:
    """The derivative that is learnt."""
    return -y + torch.stack([y[..., 1].tanh(), -y[..., 0].tanh()], dim=-1)


def draw(count: int, generator: torch.Generator) -> Float64[Tensor, "count 2"]:
    """States uniform in the box."""
    return BOX * (2 * torch.rand(count, 2, dtype=torch.float64, generator=generator) - 1)


def train(width: int, pairs: int, updates: int, generator: torch.Generator) -> tuple[Net, float]:
    """A net that is fitted to pairs of states, by Adam at a rate that rises and falls once.

    Args:
        width: of its hidden layers.
        pairs: of states, all of which every update sees.
        updates: of the weights.
        generator: of the weights and the states.

    Returns:
        The net, and its relative error on as many fresh pairs: the root mean square of what it
        misses over that of what a state moves by.
    """
    net = Net(width, generator)
    seen, fresh = draw(pairs, generator), draw(pairs, generator)
    ts = torch.tensor([0.0, GAP], dtype=torch.float64)
    after, fresh_after = (solve(field, each, ts, **TIGHT).ys[-1] for each in (seen, fresh))
    solver = {"method": "rk4", "step_size": GAP / STEPS_OF_TRAINING}
    optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=updates)
    for _ in range(updates):
        optimiser.zero_grad()
        (solve(net, seen, ts, **solver).ys[-1] - after).square().mean().backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        missed = solve(net, fresh, ts, **TIGHT).ys[-1] - fresh_after
    return net, float(missed.norm() / (fresh_after - fresh).norm())


def contraction(net: nn.Module, y: Float64[Tensor, "count 2"]) -> float:
    """The least rate at which solutions near these states approach each other, 1/time.

    Minus the largest eigenvalue, over the states, of the symmetric part of the net's Jacobian. A
    negative rate says that somewhere they part.
    """
    time = y.new_zeros(())
    jacobians = torch.func.vmap(torch.func.jacrev(lambda each: net(time, each)))(y)
    symmetric = (jacobians + jacobians.mT) / 2
    return -float(torch.linalg.eigvalsh(symmetric).max().detach())
