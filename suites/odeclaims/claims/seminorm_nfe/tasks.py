"""The nets whose gradients are taken: trained here or taken from the pool, then frozen in float64.

A density of two moons (generative modelling), a pendulum by a free field and by a Hamiltonian
(physical control), points on spheres and digits (classification).
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from neural_ode import solve
from neural_ode.data import Points, mnist
from neural_ode.flows import CNF, Moons, StandardNormal
from neural_ode.networks import MLPField, OdeClassifier, OdeModel, augmented_model
from neural_ode.networks.mlp import initialise
from odeclaims.kits import toy_models

# Samples in a batch of a training, and behind an error; the tolerance at which points are learnt.
BATCH, TEST_POINTS = 128, 1000
TRAINING_TOLERANCE = 1e-3
AUGMENT_DIM = 5
# The pendulum's starts: the largest angle (radians) and the largest rate (radians a second); the
# seconds between the states from which it is learnt, and those at which it is seen.
LARGEST_START = (2.0, 1.0)
STRIDE, SEEN_AT = 0.5, (0.0, 1.0, 2.0, 3.0, 4.0)
TRAJECTORIES = 256
# Of the true motion, and of a trained flow whose error is measured.
TIGHT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
CHECKED: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6}


@dataclass(frozen=True, eq=False)
class Problem:
    """A frozen net with starts and a loss.

    Attributes:
        field: its field, in float64.
        y0: where the samples start, solved as one batch.
        ts: the times, the first of which is that of the starts.
        losses: from the states at these times to single losses, of which a mean or a sum is taken.
        error: what the net gets wrong: a share of points, nats, or a relative distance.
        counted: so many first entries of a state's last dimension count in a norm; ``None`` for all
            of them.
    """

    field: nn.Module
    y0: Float64[Tensor, "batch *state"]
    ts: Float64[Tensor, " time"]
    losses: Callable[[Float64[Tensor, "time batch *state"]], Tensor]
    error: float
    counted: int | None = None


class FreeField(nn.Module):
    """``dy/dt = MLP(y)`` with two hidden layers of tanh."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.net = _mlp(width, 2, generator)

    def forward(self, t: Tensor, y: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 2"]:
        """The derivative of the angle and of its rate."""
        return self.net(y)


class HamiltonianField(nn.Module):
    """The field ``(dH/dp, -dH/dq)`` of a Hamiltonian that is a network with two layers of tanh."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.net = _mlp(width, 1, generator)

    def forward(self, t: Tensor, y: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 2"]:
        """The derivative of the angle and of the momentum."""
        graph = torch.is_grad_enabled()
        with torch.enable_grad():
            y = y if y.requires_grad else y.detach().requires_grad_(True)
            (by_y,) = torch.autograd.grad(self.net(y).sum(), y, create_graph=graph)
        return torch.stack([by_y[:, 1], -by_y[:, 0]], dim=1)


def _mlp(width: int, outputs: int, generator: torch.Generator) -> nn.Sequential:
    layers = (nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
    # What a single output, a Hamiltonian, has as a constant drops out of its field.
    net = nn.Sequential(*layers, nn.Linear(width, outputs, bias=outputs > 1))
    initialise(net, generator)
    return net


def pendulum(t: Tensor, y: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
    """The frictionless pendulum ``q' = p, p' = -sin q``, whose Hamiltonian is ``p^2/2 - cos q``."""
    q, p = y.unbind(dim=-1)
    return torch.stack([p, -torch.sin(q)], dim=-1)


def moons(size: Any, generator: torch.Generator) -> Problem:
    """A continuous normalizing flow of two moons, with the exact trace of its field.

    Its error is the mean of log p - log q over fresh points of the data. The log-density, on which
    nothing depends, is a third coordinate of the state, and does not count in a norm.
    """
    data = Moons(noise=0.1)
    field = MLPField(2, size["width"], generator=generator)
    model = CNF(field, StandardNormal(2), method="rk4", step_size=0.25)

    def loss() -> Tensor:
        return -model.log_prob(data.sample(BATCH, generator)).mean()

    _train(model, loss, size, 2e-2)
    model = CNF(field.double(), model.base, **CHECKED)
    with torch.no_grad():
        x = data.sample(TEST_POINTS, generator).double()
        gap = float((data.log_prob(x) - model.log_prob(x)).mean())
    x = data.sample(size["solved"], generator).double()

    def losses(ys: Tensor) -> Tensor:
        return ys[-1, :, 2] - model.base.log_prob(ys[-1, :, :2])

    y0, ts = nn.functional.pad(x, (0, 1)), x.new_tensor([model.end, 0.0])
    return Problem(model.augmented, y0, ts, losses, gap, counted=2)


def motion(size: Any, generator: torch.Generator) -> Problem:
    """A field that has learnt the pendulum from states that lie ``STRIDE`` seconds apart.

    Its error is the relative L2 distance of its trajectories from those of the pendulum.
    """
    kind = HamiltonianField if size["task"] == "hamiltonian" else FreeField
    field = kind(size["width"], generator).double()
    times = torch.arange(0, SEEN_AT[-1] + STRIDE / 2, STRIDE, dtype=torch.float64)
    seen = true_motion(_starts(TRAJECTORIES, generator), times)
    before, after = seen[:-1].flatten(0, 1), seen[1:].flatten(0, 1)
    window = times[:2]

    def loss() -> Tensor:
        places = torch.randint(len(before), (BATCH,), generator=generator)
        solved = solve(field, before[places], window, method="rk4", step_size=STRIDE / 2)
        return (solved.ys[-1] - after[places]).square().mean()

    _train(field, loss, size, 1e-2)
    y0, ts = _starts(size["solved"], generator), times.new_tensor(SEEN_AT)
    true = true_motion(y0, ts)
    with torch.no_grad():
        ours = solve(field, y0, ts, **CHECKED).ys
    error = float((ours - true).norm() / true.norm())
    return Problem(field, y0, ts, lambda ys: (ys - true)[1:].square(), error)


@torch.no_grad()
def true_motion(
    y0: Float64[Tensor, "batch 2"], ts: Float64[Tensor, " time"]
) -> Float64[Tensor, "time batch 2"]:
    """Where the pendulum is at these times."""
    return solve(pendulum, y0, ts, **TIGHT).ys


def _starts(count: int, generator: torch.Generator) -> Float64[Tensor, "count 2"]:
    unit = 2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1
    return unit * unit.new_tensor(LARGEST_START)


def spheres(size: Any, generator: torch.Generator) -> Problem:
    """An ANODE that has learnt concentric spheres; its error is the share of wrong points."""
    model = augmented_model(
        2,
        size["width"],
        augment_dim=AUGMENT_DIM,
        generator=generator,
        **toy_models.at(TRAINING_TOLERANCE),
    )
    data, test, seen = (
        toy_models.spheres(count, generator=generator)
        for count in (size["points"], TEST_POINTS, size["solved"])
    )
    budget = {"epochs": size["epochs"], "batch_size": 64, "learning_rate": 5e-3}
    toy_models.fit(model, data, budget, generator)
    with torch.no_grad():
        error = 1 - toy_models.accuracy(model(test.inputs), test)
    return of_points(model, seen, error)


def of_points(model: OdeModel, points: Points, error: float) -> Problem:
    """A model of points with its outputs as the losses.

    The gradient of the loss of the training would be no measure: where a model fits its points, it
    is zero but for errors.
    """
    net = deepcopy(model).double()
    with torch.no_grad():
        y0 = net.lift(points.inputs.double())
    return Problem(net.field, y0, y0.new_tensor([0.0, 1.0]), lambda ys: net.head(ys[-1]), error)


def of_digits(model: OdeClassifier, count: int, error: float) -> Problem:
    """An ODE-Net on test digits that are evenly spaced over the file, with the cross-entropy."""
    net, digits = deepcopy(model).double(), mnist.spread(mnist.load("test"), count)
    with torch.no_grad():
        y0 = net.stem(mnist.normalised(digits.images).double())

    def losses(ys: Tensor) -> Tensor:
        return nn.functional.cross_entropy(net.head(ys[-1]), digits.labels, reduction="none")

    return Problem(net.field, y0, y0.new_tensor([0.0, 1.0]), losses, error)


def _train(module: nn.Module, loss: Callable[[], Tensor], size: Any, learning_rate: float) -> None:
    """Train in place by Adam, at a rate that rises and falls once (``OneCycleLR``)."""
    optimiser = torch.optim.Adam(module.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=size["updates"]
    )
    for _ in range(size["updates"]):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        schedule.step()
