"""The toy problems of Dupont et al. 2019, learnt by a NODE and by an ANODE.

On concentric spheres in the plane, and on the line where -1 and 1 have to change places. No NODE
represents either map. On the spheres it fits nearly all sampled points all the same, by a field
that takes more evaluations than that of an ANODE. A training takes a minute or two, so it keeps no
checkpoint.
"""

import torch
from torch import nn

from neural_ode.clock import clock_of
from neural_ode.data import Points, concentric_spheres, crossing
from neural_ode.networks import OdeModel, augmented_model
from odeclaims.cell import Context, Row
from odeclaims.kits.toy_models import accuracy, at, training_epochs
from odeclaims.trained.specification import OnUpdate, Recipe, Specification

NAME = "toys"
SEEDS = 3
TOLERANCE = 1e-3
# So many first epochs are compared when a training is repeated.
COMPARED_EPOCHS = 3
SPHERES = {"width": 32, "points": 3000, "test_points": 3000, "batch_size": 64, "epochs": 50}
CROSSING = {"width": 16, "points": 500, "test_points": 500, "batch_size": 32, "epochs": 50}
NETS = {
    "spheres_node": {"augment_dim": 0, "learning_rate": 1e-3, **SPHERES},
    "spheres_anode": {"augment_dim": 5, "learning_rate": 1e-3, **SPHERES},
    "crossing_node": {"augment_dim": 0, "learning_rate": 5e-4, **CROSSING},
    "crossing_anode": {"augment_dim": 1, "learning_rate": 5e-4, **CROSSING},
}


def specifications() -> list[Specification]:
    """Every net for every seed."""
    return [Specification(NAME, net, seed, NETS[net]) for seed in range(SEEDS) for net in NETS]


def build(specification: Specification) -> OdeModel:
    """The net with its initial weights."""
    spheres = specification.net.startswith("spheres")
    return augmented_model(
        2 if spheres else 1,
        specification.size["width"],
        augment_dim=specification.size["augment_dim"],
        outputs=1 if spheres else None,
        generator=specification.weights_generator(),
        **at(TOLERANCE),
    )


def train(
    specification: Specification, model: nn.Module, context: Context, on_update: OnUpdate
) -> list[Row]:
    """Train a net in place.

    Returns:
        A row an epoch: its loss, the mean evaluations of a batch and its seconds. The last one also
        has the share of other points whose output has the wrong sign.
    """
    if not isinstance(model, OdeModel):
        raise TypeError(f"model is {type(model).__name__}, expected an OdeModel")
    size, generator = specification.size, specification.data_generator()
    data, test = (
        _points(specification, size[count], generator) for count in ("points", "test_points")
    )
    rows: list[Row] = []
    budget = {name: size[name] for name in ("epochs", "batch_size", "learning_rate")}
    clock = clock_of(next(model.parameters()).device)
    started = clock()
    for row in training_epochs(model, data, generator=generator, **budget):
        epoch, loss = int(row["epoch"] or 0), float(row["loss"] or 0)
        if epoch <= COMPARED_EPOCHS:
            on_update(epoch, loss)
        context.tell(f"epoch {epoch} of {size['epochs']}, loss {loss:.3g}")
        now = clock()
        rows.append(
            {
                "kind": "epoch",
                "epoch": epoch,
                "loss": loss,
                "nfe_forward": row["training_nfe"],
                "seconds": now - started,
            }
        )
        started = now
    with torch.no_grad():
        rows[-1]["test_error"] = 1 - accuracy(model(test.inputs), test)
    return rows


def _points(specification: Specification, count: int, generator: torch.Generator) -> Points:
    if specification.net.startswith("spheres"):
        return concentric_spheres(count // 3, count - count // 3, generator=generator)
    return crossing(count, generator=generator)


RECIPE = Recipe(NAME, specifications, build, train)
