"""The tutorial's section on augmented Neural ODEs."""

import math
from collections.abc import Iterator

import torch

from neural_ode import solve
from odeclaims.claims.equations.calculus import Generator, randn
from odeclaims.claims.equations.evaluation import Evaluation, as_printed
from odeclaims.claims.equations.random_ode import TIGHT


def augmented(generator: Generator) -> Iterator[Evaluation]:
    """The two classes do not overlap; a rotation in the added dimension swaps -1 and 1."""
    radii = torch.rand(3, generator=generator, dtype=torch.float64).cumsum(0)
    distance = 2 * torch.rand(1000, generator=generator, dtype=torch.float64)
    inner, outer = distance <= radii[0], (radii[1] <= distance) & (distance <= radii[2])
    both = (inner & outer).double().mean()
    yield as_printed("concentric", both, torch.zeros_like(both))

    x = randn(generator, 1)
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    start = torch.cat([x, torch.zeros_like(x)])
    turn = math.pi * torch.tensor([[0, -1], [1, 0]], dtype=torch.float64)
    state = solve(lambda t, z: turn @ z, start, times, **TIGHT).ys
    circle = torch.stack([torch.cos(math.pi * times), torch.sin(math.pi * times)], dim=1)
    yield as_printed("augmented_ode", state, x * circle)
