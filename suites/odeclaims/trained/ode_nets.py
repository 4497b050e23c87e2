"""ODE-Nets that have learnt the digits, from the pool, for the claims about their evaluations."""

from collections.abc import Iterator
from typing import Any

from neural_ode.networks import OdeClassifier
from odeclaims.cell import Cell, Context, Profile
from odeclaims.trained.provide import provide, published
from odeclaims.trained.specification import Specification
from odeclaims.trained.store import Network

# The recipes of the nets of the published size, and of half its width.
PUBLISHED, REDUCED = "table1", "reduced_ode_net"
NET = "ode_net"
SMALLEST = {
    "channels": 4,
    "images": 16,
    "test_images": 20,
    "batch_size": 8,
    "epochs": 2,
    "evaluated": 4,
    "reference_steps": 16,
}


def network_cells(profile: Profile, slug: str, **params: Any) -> Iterator[Cell]:
    """A cell for each trained net.

    The profiles quick and hour take the published nets of half the width, the profile paper those
    of the published size. Smoke trains a tiny one.

    Args:
        profile: also says how many seeds there are at most, and on which device they are solved.
        slug: that of the claim.
        params: further parameters of each cell.
    """
    for specification, weights in _nets(profile):
        named = {"recipe": specification.recipe, "weights": weights}
        size = {**named, **specification.size, **params}
        yield Cell(slug, size, specification.seed, profile.device)


def _nets(profile: Profile) -> list[tuple[Specification, str]]:
    if profile.name == "smoke":
        return [(Specification(REDUCED, NET, 0, SMALLEST), "")]
    recipe = PUBLISHED if profile.name == "paper" else REDUCED
    nets = [(each, weights) for each, weights in published(recipe) if each.net == NET]
    return nets[: profile.seeds]


def specify(cell: Cell) -> Specification:
    """Which net a cell of ``network_cells`` is about."""
    size = {name: cell.params[name] for name in SMALLEST}
    return Specification(cell.params["recipe"], NET, cell.repetition, size)


def take_network(cell: Cell, context: Context) -> Network:
    """The trained net of a cell with its history.

    Raises:
        FileNotFoundError: where the published network is gone; the message says how to get it.
        CorruptFile: where it is another one, or a file of it is not what was written.
    """
    return provide(specify(cell), cell.params["weights"], context, cell.device)


def as_classifier(model: object) -> OdeClassifier:
    """The model, which is an ODE-Net.

    Raises:
        TypeError: for another model.
    """
    if not isinstance(model, OdeClassifier):
        raise TypeError(f"the network is a {type(model).__name__}, expected an OdeClassifier")
    return model
