"""The evaluations of frozen nets in the course of their training.

Of nets that learnt digits they stand in the history of the pool. Models of points are trained here.
"""

from collections.abc import Callable, Iterator
from itertools import chain

import torch

from neural_ode import SolverFailure
from neural_ode.data import Points, concentric_spheres, mnist, shifted_sines
from neural_ode.networks import OdeModel, augmented_model
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.nfe_growth.settings import (
    ARMS,
    SLUG,
    TEST_POINTS,
    TOY_TOLERANCES,
    TOYS,
    looks,
)
from odeclaims.kits import toy_models
from odeclaims.kits.validity import at_each
from odeclaims.trained.ode_nets import network_cells, take_network

DATASETS = {"mnist": mnist.DIGEST}

TOY_DATA: dict[str, Callable[..., Points]] = {
    "spheres": concentric_spheres,
    "sines": shifted_sines,
}
WIDTH, LEARNING_RATE = 32, 1e-3
# Columns of ours and of the history of a training: of an epoch, and of a solve of the frozen net.
OF_EPOCH = {
    "loss": "loss",
    "test_error": "test_error",
    "training_nfe_forward": "nfe_forward",
    "training_nfe_backward": "nfe_backward",
}
OF_FLOW = (
    "status",
    "role",
    "tolerance",
    "nfe_forward",
    "rejected",
    "reconstruction_error",
    "gradient_error",
    "reference_error",
    "valid",
)


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net that learnt the digits, and one for each model of points."""
    yield from network_cells(profile, SLUG, task="mnist")
    yield from _point_cells(profile)


def _point_cells(profile: Profile) -> Iterator[Cell]:
    size = {
        "points": profile.pick(smoke=48, quick=3000, paper=3000),
        "batch_size": profile.pick(smoke=16, quick=64, paper=64),
        "epochs": profile.pick(smoke=2, quick=12, paper=50),
        "evaluated": profile.pick(smoke=8, quick=64, paper=64),
        "reference_steps": profile.pick(smoke=16, quick=256, paper=256),
    }
    for repetition in profile.repetitions(smoke=1, quick=8, paper=10):
        for task in TOYS:
            for arm, augment_dim in ARMS.items():
                params = {"task": task, "arm": arm, "augment_dim": augment_dim, **size}
                # Both arms see the same points.
                yield Cell(SLUG, params, repetition, paired=("arm", "augment_dim"))


def measure(cell: Cell, context: Context) -> list[Row]:
    """Rows of a net frozen before its training and in the course of it, at each tolerance."""
    return _digit_rows(cell, context) if cell.params["task"] == "mnist" else _point_rows(cell)


def _digit_rows(cell: Cell, context: Context) -> list[Row]:
    """What the training of a net recorded of its flow before the first epoch and after each."""
    history = take_network(cell, context).history
    # What is missing is None in a row, and not a number that is none.
    records = history.astype(object).where(history.notna(), None).to_dict("records")
    epochs = {row["epoch"]: row for row in records if row["kind"] == "epoch"}
    return [
        {
            "arm": "node",
            "augment_dim": 0,
            "epoch": flow["epoch"],
            **{ours: epochs[flow["epoch"]].get(theirs) for ours, theirs in OF_EPOCH.items()},
            **{name: flow.get(name) for name in OF_FLOW},
        }
        for flow in records
        if flow["kind"] == "flow"
    ]


def _point_rows(cell: Cell) -> list[Row]:
    size, generator = cell.params, cell.generator()
    data, test, evaluated = (
        TOY_DATA[size["task"]](count // 3, count - count // 3, generator=generator)
        for count in (size["points"], TEST_POINTS, size["evaluated"])
    )
    model = augmented_model(
        2,
        WIDTH,
        augment_dim=size["augment_dim"],
        generator=generator,
        **toy_models.at(TOY_TOLERANCES["loose"]),
    )
    epochs = toy_models.training_epochs(
        model,
        data,
        epochs=size["epochs"],
        batch_size=size["batch_size"],
        learning_rate=LEARNING_RATE,
        generator=generator,
    )
    rows: list[Row] = []
    looked_at = {0, *looks(size["epochs"])}
    try:
        for epoch in chain([{"epoch": 0}], epochs):
            if epoch["epoch"] not in looked_at:
                continue
            known = {
                "epoch": epoch["epoch"],
                "loss": epoch.get("loss"),
                "training_nfe_forward": epoch.get("training_nfe"),
                "test_error": _share_of_errors(model, test),
            }
            frozen = toy_models.Frozen(model, evaluated.inputs, size["reference_steps"])
            rows += [{**known, **row} for row in at_each(TOY_TOLERANCES, frozen.observe)]
    except SolverFailure as failure:
        rows.append({"status": failure.status})
    return rows


@torch.no_grad()
def _share_of_errors(model: OdeModel, data: Points) -> float:
    return float((model(data.inputs).sign() != data.targets).double().mean())
