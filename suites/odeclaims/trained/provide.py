"""Trained networks for measurements: the published ones, or ones that the measurement trains."""

from odeclaims.cell import Context
from odeclaims.record.files import CorruptFile
from odeclaims.trained import store
from odeclaims.trained.recipes import find_recipes
from odeclaims.trained.specification import Specification
from odeclaims.trained.store import Network
from odeclaims.trained.training import train_here


def published(recipe: str) -> list[tuple[Specification, str]]:
    """The published networks of a recipe, each with the digest of its weights.

    The digest belongs into a cell's parameters, and so into its key. A network that was trained by
    another specification is left out.

    Raises:
        CorruptFile: where a record cannot be trusted; it is set aside.
    """
    folder, found = store.published_folder(), []
    for specification in find_recipes()[recipe].specifications():
        try:
            record = store.read_record(folder, specification)
        except (FileNotFoundError, store.OtherSpecification):
            continue
        found.append((specification, record["weights_sha256"]))
    return found


def provide(
    specification: Specification, weights: str, context: Context, device: str = "cpu"
) -> Network:
    """A trained network for a measurement.

    Args:
        specification: the network.
        weights: the digest of its published weights, as ``published`` gave it; "" for one that is
            trained here and now.
        context: keeps the state of that training.
        device: where it is trained.

    Raises:
        FileNotFoundError: where the published network is gone; the message says how to get it.
        CorruptFile: where it is another one, or a file of it is not what was written.
        OtherSpecification: where it was trained by another specification.
        SolverFailure: where a solve of a training fails.
    """
    if not weights:
        return train_here(specification, context, device)
    network = store.read(store.published_folder(), specification)
    if network.digest != weights:
        raise CorruptFile(
            f"the weights of {specification.name} are {network.digest[:12]}..., expected"
            f" {weights[:12]}...: run again with the network that is published now"
        )
    return network
