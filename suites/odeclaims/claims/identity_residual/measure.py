"""Train residual and plain networks side by side on one target, and look at them on the way."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise, product

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from neural_ode.networks.mlp import initialise
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.identity_residual.settings import (
    ARMS,
    DEEP,
    DISTANCE,
    SHALLOW,
    SLUG,
    TARGETS,
)

DIM, WIDTH, BATCH, TEST = 8, 32, 64, 1000
RATES = (3e-3, 1e-2, 3e-2)
# A lane is an arm at a learning rate; all lanes are trained at once, and none knows of another.
LANES = tuple(product(ARMS, RATES))
Map = Callable[[Tensor], Tensor]


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each target, depth and seed."""
    iterations = profile.pick(smoke=4, quick=250, paper=4000)
    depths = profile.pick(smoke=(SHALLOW,), quick=(SHALLOW, DEEP), paper=(SHALLOW, DEEP))
    for repetition in profile.repetitions(smoke=1, quick=8, paper=40):
        for target, blocks in product(TARGETS, depths):
            size = {"target": target, "blocks": blocks, "iterations": iterations}
            yield Cell(SLUG, size, repetition, paired=("target", "blocks"))


def measure(cell: Cell, context: Context) -> list[Row]:
    """A row for each lane at each look."""
    iterations, generator = int(cell.params["iterations"]), cell.generator()
    target = make_target(str(cell.params["target"]), generator)
    test = torch.randn(TEST, DIM, generator=generator)
    lanes = Lanes(int(cell.params["blocks"]), generator)
    looks = {round(iterations ** (i / 12)) for i in range(13)} | {0}
    rows = _look(lanes, target, test, 0)
    for iteration in range(1, iterations + 1):
        inputs = torch.randn(BATCH, DIM, generator=generator)
        lanes.step(inputs, target(inputs))
        if iteration in looks:
            rows += _look(lanes, target, test, iteration)
    return rows


def make_target(name: str, generator: torch.Generator) -> Map:
    """The identity, or a random smooth map of size ``DISTANCE`` added to it or by itself."""
    bend = nn.Sequential(nn.Linear(DIM, WIDTH), nn.Tanh(), nn.Linear(WIDTH, DIM))
    initialise(bend, generator)
    bend.requires_grad_(False)
    size = bend(torch.randn(TEST, DIM, generator=generator)).square().mean().sqrt() / DISTANCE
    maps: dict[str, Map] = {
        "identity": lambda x: x,
        "near_identity": lambda x: x + bend(x) / size,
        "near_zero": lambda x: bend(x) / size,
    }
    return maps[name]


class Lanes:
    """Networks of blocks ``W2 relu(W1 x + b1) + b2``, one a lane, trained by Adam.

    The lanes "residual" and "plain" start from the same weights, torch's default. Those of
    "plain_he" keep the size of what passes through a plain network of ReLUs.
    """

    def __init__(self, blocks: int, generator: torch.Generator) -> None:
        default = _draw(blocks, generator, he=False)
        he = _draw(blocks, generator, he=True)
        by_lane = [he if arm == "plain_he" else default for arm, _ in LANES]
        self.weights = [
            torch.stack(same, dim=1).requires_grad_() for same in zip(*by_lane, strict=True)
        ]
        self.skip = torch.tensor([float(arm == "residual") for arm, _ in LANES])[:, None, None]
        self.rates = torch.tensor([rate for _, rate in LANES])[None, :, None, None]
        self.means = [torch.zeros_like(w) for w in self.weights]
        self.squares = [torch.zeros_like(w) for w in self.weights]
        self.steps = 0

    def states(self, inputs: Float[Tensor, "batch dim"]) -> list[Float[Tensor, "lane batch dim"]]:
        """The inputs and what each block makes of them."""
        states = [inputs.expand(len(LANES), *inputs.shape)]
        for w1, b1, w2, b2 in zip(*(w.unbind(0) for w in self.weights), strict=True):
            branch = torch.baddbmm(b2, torch.baddbmm(b1, states[-1], w1).relu(), w2)
            states.append(branch + self.skip * states[-1])
        return states

    def step(self, inputs: Float[Tensor, "batch dim"], wanted: Float[Tensor, "batch dim"]) -> None:
        """One step of Adam for each lane on its mean squared error, with the usual constants."""
        losses = (self.states(inputs)[-1] - wanted).square().mean(dim=(1, 2))
        gradients = torch.autograd.grad(losses.sum(), self.weights)
        self.steps += 1
        of_mean, of_square = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        with torch.no_grad():
            moments = zip(self.weights, gradients, self.means, self.squares, strict=True)
            for weight, gradient, mean, square in moments:
                mean.lerp_(gradient, 0.1)
                square.lerp_(gradient.square(), 0.001)
                weight -= self.rates * (mean / of_mean) / ((square / of_square).sqrt() + 1e-8)


def _draw(blocks: int, generator: torch.Generator, *, he: bool) -> list[Float32[Tensor, "..."]]:
    """The weights and biases of all blocks, each with the block first: W1, b1, W2, b2."""

    def draw(fan_in: int, fan_out: int, gain: float) -> list[Tensor]:
        if he:
            weight = torch.randn(blocks, fan_in, fan_out, generator=generator)
            return [weight * math.sqrt(gain / fan_in), torch.zeros(blocks, 1, fan_out)]
        shapes = ((blocks, fan_in, fan_out), (blocks, 1, fan_out))
        uniform = [2 * torch.rand(*shape, generator=generator) - 1 for shape in shapes]
        return [each / math.sqrt(fan_in) for each in uniform]

    # What follows a ReLU sees half of the square that went into it.
    return [*draw(DIM, WIDTH, 1.0), *draw(WIDTH, DIM, 2.0)]


@torch.no_grad()
def _look(lanes: Lanes, target: Map, test: Float[Tensor, "batch dim"], iteration: int) -> list[Row]:
    """The error of each lane on the test points, and the size of its branches."""
    wanted, states = target(test), lanes.states(test)
    errors = (states[-1] - wanted).square().mean(dim=(1, 2)) / wanted.square().mean()
    branches = []
    for before, after in pairwise(states):
        branch = after - lanes.skip * before
        branches.append((branch.square().mean((1, 2)) / before.square().mean((1, 2))).sqrt())
    sizes = torch.stack(branches).mean(dim=0)
    distance = float((wanted - test).square().mean() / wanted.square().mean())
    return [
        {
            "arm": arm,
            "learning_rate": rate,
            "iteration": iteration,
            "error": float(error),
            "branch": float(size),
            "distance": distance,
        }
        for (arm, rate), error, size in zip(LANES, errors, sizes, strict=True)
    ]
