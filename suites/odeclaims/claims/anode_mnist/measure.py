"""Train a net on digits and test it after every epoch, then solve the frozen net."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from neural_ode import Adjoint
from neural_ode.data import mnist
from neural_ode.networks import ImageOdeModel
from neural_ode.training import train_classifier
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.anode_mnist.settings import (
    ALL_IMAGES,
    ALL_TESTS,
    PUBLISHED_EPOCHS,
    SLUG,
    TOLERANCES,
)
from odeclaims.kits.digits import frozen_flow
from odeclaims.kits.validity import at_each

DATASETS = {"mnist": mnist.DIGEST}
LEARNING_RATE = 1e-3
# As in the released code.
STEP_LIMIT = 1000


class Arm(NamedTuple):
    """A published net: its channels of filters and of zeros."""

    filters: int
    augment_dim: int


ARMS = {"node": Arm(92, 0), "anode": Arm(64, 5)}


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained net."""
    size = {
        "images": profile.pick(smoke=16, quick=80, hour=1280, paper=ALL_IMAGES),
        "test_images": profile.pick(smoke=10, quick=80, hour=500, paper=ALL_TESTS),
        "batch_size": profile.pick(smoke=8, quick=16, hour=32, paper=256),
        "epochs": profile.pick(smoke=1, quick=3, hour=5, paper=PUBLISHED_EPOCHS),
        "evaluated": profile.pick(smoke=2, quick=2, hour=4, paper=16),
        "reference_steps": profile.pick(smoke=4, quick=64, hour=256, paper=512),
    }
    shrink = profile.pick(smoke=16, quick=1, paper=1)
    for repetition in profile.repetitions(smoke=1, quick=2, hour=3, paper=5):
        for time_dependent in (False, True):
            for name, arm in ARMS.items():
                params = {
                    "arm": name,
                    "filters": arm.filters // shrink,
                    "augment_dim": arm.augment_dim,
                    "time_dependent": time_dependent,
                    **size,
                }
                yield Cell(
                    SLUG,
                    params,
                    repetition,
                    profile.device,
                    # All nets see the same batches.
                    paired=("arm", "filters", "augment_dim", "time_dependent"),
                )


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train a net and test it after every epoch, then solve the frozen net."""
    params = cell.params
    model = ImageOdeModel(
        params["filters"],
        augment_dim=params["augment_dim"],
        time_dependent=params["time_dependent"],
        generator=cell.generator(),
        gradient=Adjoint(),
        rtol=TOLERANCES["loose"],
        atol=TOLERANCES["loose"],
        max_num_steps=STEP_LIMIT,
    ).to(cell.device)
    train, unseen = (mnist.load(split) for split in ("train", "test"))
    history = train_classifier(
        model,
        mnist.spread(train, params["images"]),
        mnist.spread(unseen, params["test_images"]),
        epochs=params["epochs"],
        batch_size=params["batch_size"],
        optimiser=torch.optim.Adam(model.parameters(), lr=LEARNING_RATE),
        generator=cell.generator(),
        checkpoint=context.checkpoint,
        on_batch=context.tell,
    )
    rows: list[Row] = [
        {
            "kind": "training",
            "epoch": epoch.number,
            "loss": epoch.loss,
            "test_accuracy": 1 - epoch.test_error,
            "training_nfe_forward": epoch.nfe_forward,
            "training_nfe_backward": epoch.nfe_backward,
        }
        for epoch in history
    ]
    frozen = frozen_flow(
        model,
        mnist.spread(unseen, params["evaluated"]),
        params["reference_steps"],
        max_num_steps=STEP_LIMIT,
    )
    rows += [{"kind": "result", **row} for row in at_each(TOLERANCES, frozen.observe)]
    count = sum(p.numel() for p in model.parameters())
    return [{**row, "parameters": count} for row in rows]
