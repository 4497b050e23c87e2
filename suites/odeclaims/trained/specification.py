"""What names a network of the pool, and what a recipe is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from odeclaims.cell import Context, Row, digest


@dataclass(frozen=True)
class Specification:
    """A network and its training, by which it is named.

    Attributes:
        recipe: the name of the recipe.
        net: the network among those of the recipe.
        seed: number of the repetition, from 0.
        size: widths and the budget of the training.
    """

    recipe: str
    net: str
    seed: int
    size: Mapping[str, Any]

    @property
    def name(self) -> str:
        """How a person calls it, and its folder."""
        return f"{self.recipe}-{self.net}-{self.seed}"

    @property
    def digest(self) -> str:
        """What tells it from networks of that name with another size."""
        return digest(self.recipe, self.net, self.seed, dict(self.size))

    def weights_generator(self) -> torch.Generator:
        """A generator for the initial weights, which differ from net to net."""
        return _generator("weights", self.recipe, self.net, self.seed)

    def data_generator(self) -> torch.Generator:
        """A generator for the data: all nets of a recipe and seed see the same in the same order.

        It is not that of the weights, of which nets of different architecture take different
        counts.
        """
        return _generator("data", self.recipe, self.seed)


def _generator(*parts: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(int(digest(*parts), 16) >> 1)


# Called after each update with its number, from 1, and the training loss.
OnUpdate = Callable[[int, float], None]


@dataclass(frozen=True)
class Recipe:
    """How networks of a kind are built and trained.

    Attributes:
        name: that of its module in ``recipes``.
        specifications: what is published, in the order in which it is trained.
        build: the untrained network.
        train: trains it in place, with a checkpoint and progress from the context, and returns the
            history: rows of plain data, of which the last with a ``test_error`` is that of the
            finished network, and whose ``seconds`` add up to the time of the updates.
    """

    name: str
    specifications: Callable[[], list[Specification]]
    build: Callable[[Specification], nn.Module]
    train: Callable[[Specification, nn.Module, Context, OnUpdate], list[Row]]
