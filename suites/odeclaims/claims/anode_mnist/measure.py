"""Train nets on digits or take trained ones, test them, and solve them frozen."""

from collections.abc import Iterator
from typing import Any

import torch

from neural_ode import Adjoint
from neural_ode.data import mnist
from neural_ode.networks import ImageOdeModel
from neural_ode.training import error_rate, train_classifier
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.anode_mnist.settings import (
    ALL_IMAGES,
    ALL_TESTS,
    ARMS,
    PUBLISHED_EPOCHS,
    PUBLISHED_SIDE,
    RECIPE,
    REDUCED_SIDE,
    SLUG,
    TOLERANCES,
    Arm,
)
from odeclaims.kits.digits import frozen_flow
from odeclaims.kits.validity import at_each
from odeclaims.trained.provide import provide, published
from odeclaims.trained.specification import Specification

DATASETS = {"mnist": mnist.DIGEST}
LEARNING_RATE = 1e-3
# As in the released code.
STEP_LIMIT = 1000


# What the nets of the reduced arm are looked at with: test digits for the accuracy, some of them
# for the solves of the frozen net, and the steps of the gradient's reference.
REDUCED = {"test_images": 2000, "evaluated": 4, "reference_steps": 256}
SMALLEST = {
    "images": 16,
    "test_images": 10,
    "batch_size": 8,
    "epochs": 1,
    "evaluated": 2,
    "reference_steps": 4,
}


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net that is trained or evaluated, or whose parameters are counted.

    Two cores train a published net in days. Under quick and hour these are counted, and the
    published nets of the reduced arm are evaluated.
    """
    if profile.name in ("quick", "hour"):
        for time_dependent in (False, True):
            for name, arm in ARMS.items():
                yield Cell(SLUG, {"kind": "count", **_net(name, arm, time_dependent)})
        for specification, weights in published(RECIPE):
            yield _reduced(profile, specification, weights, REDUCED)
        return
    if profile.name == "smoke":
        widths = {"filters": 2, "augment_dim": 1}
        size = {name: SMALLEST[name] for name in ("images", "test_images", "batch_size", "epochs")}
        smallest = Specification(RECIPE, "anode", 0, {**widths, **size})
        yield _reduced(profile, smallest, "", SMALLEST)
    published_size = {
        "images": ALL_IMAGES,
        "test_images": ALL_TESTS,
        "batch_size": 256,
        "epochs": PUBLISHED_EPOCHS,
        "evaluated": 16,
        "reference_steps": 512,
    }
    size = profile.pick(smoke=SMALLEST, quick=SMALLEST, paper=published_size)
    shrink = profile.pick(smoke=16, quick=1, paper=1)
    # Fields that do not see the time are those of the reduced arm at smoke.
    variants = profile.pick(smoke=(True,), quick=(), paper=(False, True))
    # One seed more than published: a difference of paired seeds is decided from six on.
    for repetition in profile.repetitions(smoke=1, quick=0, paper=6):
        for time_dependent in variants:
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
    """A net of digits of the published size as parameters of a cell."""
    return {
        "arm": name,
        **arm._asdict(),
        "time_dependent": time_dependent,
        "side": PUBLISHED_SIDE,
    }


def _reduced(
    profile: Profile, specification: Specification, weights: str, looks: dict[str, int]
) -> Cell:
    """A net of the reduced arm: how it was trained, and what it is looked at with."""
    net = {"arm": specification.net, "time_dependent": False, "side": REDUCED_SIDE}
    params = {"kind": "network", "weights": weights, **net, **specification.size}
    trained_on = {"trained_tests": specification.size["test_images"]}
    return Cell(SLUG, {**params, **trained_on, **looks}, specification.seed, profile.device)


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train a net or take a trained one, test it and solve it frozen; or count its parameters."""
    params = cell.params
    if params.get("kind") == "count":
        return [{"parameters": _count(_model(cell))}]
    if params.get("kind") == "network":
        return _evaluate(cell, context)
    model = _model(cell).to(cell.device)
    return [{**row, "parameters": _count(model)} for row in _train(model, cell, context)]


def _evaluate(cell: Cell, context: Context) -> list[Row]:
    """A net of the reduced arm: the history of its training, its accuracy, and its solves."""
    params = cell.params
    names = ("filters", "augment_dim", "images", "batch_size", "epochs")
    size = {name: params[name] for name in names} | {"test_images": params["trained_tests"]}
    specification = Specification(RECIPE, params["arm"], cell.repetition, size)
    network = provide(specification, params["weights"], context, cell.device)
    model = network.model.to(cell.device)
    if not isinstance(model, ImageOdeModel):
        raise TypeError(f"the network is a {type(model).__name__}, expected an ImageOdeModel")
    rows: list[Row] = [
        {
            "kind": "training",
            "epoch": int(row["epoch"]),
            "loss": float(row["loss"]),
            "test_accuracy": 1 - float(row["test_error"]),
            "test_images": params["trained_tests"],
            "training_nfe_forward": float(row["nfe_forward"]),
        }
        for row in network.history.to_dict("records")
    ]
    test = mnist.spread(mnist.load("test"), params["test_images"])
    rows.append({"kind": "network", "test_accuracy": 1 - error_rate(model, test)})
    return [{**row, "parameters": _count(model)} for row in rows + _solve_frozen(model, cell)]


def _solve_frozen(model: ImageOdeModel, cell: Cell) -> list[Row]:
    """What a solve of the trained net costs at either tolerance, with its stamp."""
    frozen = frozen_flow(
        model,
        mnist.spread(mnist.load("test"), cell.params["evaluated"]),
        cell.params["reference_steps"],
        max_num_steps=STEP_LIMIT,
    )
    return [{"kind": "result", **row} for row in at_each(TOLERANCES, frozen.observe)]


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
    history = train_classifier(
        model,
        mnist.spread(mnist.load("train"), params["images"]),
        mnist.spread(mnist.load("test"), params["test_images"]),
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
    rows.append({"kind": "network", "test_accuracy": 1 - history[-1].test_error})
    return rows + _solve_frozen(model, cell)
