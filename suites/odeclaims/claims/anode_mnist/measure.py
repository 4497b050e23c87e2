"""Train a net on digits and test it after every epoch, then solve the frozen net."""

from collections.abc import Iterator
from typing import Any

import torch

from neural_ode import Adjoint
from neural_ode.data import mnist
from neural_ode.networks import ImageOdeModel
from neural_ode.training import train_classifier
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.anode_mnist.settings import (
    ALL_IMAGES,
    ALL_TESTS,
    ARMS,
    PUBLISHED_EPOCHS,
    SLUG,
    TOLERANCES,
    Arm,
)
from odeclaims.kits.digits import frozen_flow
from odeclaims.kits.validity import at_each

DATASETS = {"mnist": mnist.DIGEST}
LEARNING_RATE = 1e-3
# As in the released code.
STEP_LIMIT = 1000


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net that is trained, or whose parameters are counted.

    What two cores train in an hour is a toy, of which nothing would be judged: under quick and hour
    the published nets are counted and not trained.
    """
    if profile.name in ("quick", "hour"):
        for time_dependent in (False, True):
            for name, arm in ARMS.items():
                yield Cell(SLUG, {"kind": "count", **_net(name, arm, time_dependent)})
        return
    size = {
        "images": profile.pick(smoke=16, quick=0, paper=ALL_IMAGES),
        "test_images": profile.pick(smoke=10, quick=0, paper=ALL_TESTS),
        "batch_size": profile.pick(smoke=8, quick=0, paper=256),
        "epochs": profile.pick(smoke=1, quick=0, paper=PUBLISHED_EPOCHS),
        "evaluated": profile.pick(smoke=2, quick=0, paper=16),
        "reference_steps": profile.pick(smoke=4, quick=0, paper=512),
    }
    shrink = profile.pick(smoke=16, quick=1, paper=1)
    # One seed more than published: a difference of paired seeds is decided from six on.
    for repetition in profile.repetitions(smoke=1, quick=0, paper=6):
        for time_dependent in (False, True):
            for name, arm in ARMS.items():
                net = _net(name, arm, time_dependent)
                yield Cell(
                    SLUG,
                    {**net, "filters": arm.filters // shrink, **size},
                    repetition,
                    profile.device,
                    # All nets see the same batches.
                    paired=tuple(net),
                )


def _net(name: str, arm: Arm, time_dependent: bool) -> dict[str, Any]:
    """A published net as parameters of a cell."""
    return {"arm": name, **arm._asdict(), "time_dependent": time_dependent}


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train a net and test it after every epoch, then solve the frozen net; or count it."""
    params = cell.params
    if params.get("kind") == "count":
        return [{"parameters": _count(_model(cell))}]
    model = _model(cell).to(cell.device)
    return [{**row, "parameters": _count(model)} for row in _train(model, cell, context)]


def _model(cell: Cell) -> ImageOdeModel:
    params = cell.params
    return ImageOdeModel(
        params["filters"],
        augment_dim=params["augment_dim"],
        time_dependent=params["time_dependent"],
        generator=cell.generator(),
        gradient=Adjoint(),
        rtol=TOLERANCES["loose"],
        atol=TOLERANCES["loose"],
        max_num_steps=STEP_LIMIT,
    )


def _count(model: ImageOdeModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _train(model: ImageOdeModel, cell: Cell, context: Context) -> list[Row]:
    params = cell.params
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
    return rows + [{"kind": "result", **row} for row in at_each(TOLERANCES, frozen.observe)]
