"""Train one network on the bump, and look for its largest error."""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.universal_approximation.settings import (
    ABLE,
    FINE_GRID,
    FRAGILE,
    GRID,
    INPUTS,
    NETWORKS,
    SLUG,
    UNABLE,
    Network,
)

BATCH, LEARNING_RATE = 256, 1e-2
SECTION = 33


class Square(nn.Module):
    """The square as an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """The square of each entry."""
        return x.square()


ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "linear": nn.Identity, "square": Square}


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each network and seed.

    Of what cannot five seeds are enough, of which there are many more where few learn anything.
    """
    iterations = profile.pick(smoke=5, quick=400, paper=6000)
    seeds = {
        **dict.fromkeys(ABLE, profile.repetitions(smoke=1, quick=10, paper=30)),
        **dict.fromkeys(UNABLE, profile.repetitions(smoke=1, quick=5, paper=30)),
        **dict.fromkeys(FRAGILE, profile.repetitions(smoke=1, quick=50, paper=100)),
    }
    for network, repetitions in seeds.items():
        for repetition in repetitions:
            yield Cell(SLUG, {"network": network, "iterations": iterations}, repetition)


def measure(cell: Cell, context: Context) -> list[Row]:
    """A row for each grid, and one for each point of the section."""
    generator, iterations = cell.generator(), int(cell.params["iterations"])
    model = build(NETWORKS[str(cell.params["network"])], generator)
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    for _ in range(iterations):
        points = 2 * torch.rand(BATCH, INPUTS, generator=generator) - 1
        optimiser.zero_grad()
        (model(points) - bump(points)).square().mean().backward()
        optimiser.step()
        schedule.step()
    return [*(_result(model, count) for count in (GRID, FINE_GRID)), *_section(model)]


def bump(points: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch 1"]:
    """``(1 - |x|^2)^2`` inside the unit circle, and 0 around it."""
    return (1 - points.square().sum(dim=1, keepdim=True)).clamp(min=0).square()


def build(network: Network, generator: torch.Generator) -> nn.Sequential:
    """A network whose weights keep the size of what passes through."""
    layers: list[nn.Module] = []
    gain = 2 if network.activation == "relu" else 1
    # The units of a single layer need kinks or bends in different places.
    spread = 1.0 if len(network.widths) == 1 else 0.1
    for fan_in, fan_out in pairwise((INPUTS, *network.widths, 1)):
        layer = nn.Linear(fan_in, fan_out)
        weight = torch.randn(fan_out, fan_in, generator=generator) * math.sqrt(gain / fan_in)
        bias = spread * torch.randn(fan_out, generator=generator)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers += [layer, ACTIVATIONS[network.activation]()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def _result(model: nn.Module, count: int) -> Row:
    axis = torch.linspace(-1, 1, count)
    points = torch.cartesian_prod(axis, axis)
    wanted = bump(points)
    errors = model(points) - wanted
    return {
        "kind": "result",
        "grid": count,
        "largest_error": float(errors.abs().max()),
        "mean_error": float(errors.abs().mean()),
        "unexplained": float(errors.square().mean() / wanted.var(correction=0)),
    }


@torch.no_grad()
def _section(model: nn.Module) -> list[Row]:
    axis = torch.linspace(-1, 1, SECTION)
    values = model(torch.stack([axis, torch.zeros(SECTION)], dim=1))[:, 0]
    pairs = zip(axis.tolist(), values.tolist(), strict=True)
    return [{"kind": "section", "x": x, "value": value} for x, value in pairs]
