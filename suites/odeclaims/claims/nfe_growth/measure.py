"""Train a net, and solve it, frozen, at two tolerances before and during its training."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

import torch

from neural_ode import Adjoint, SolverFailure
from neural_ode.data import MNIST, Points, concentric_spheres, mnist, shifted_sines
from neural_ode.networks import OdeClassifier, OdeModel, augmented_model
from neural_ode.training import error_rate
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.nfe_growth.settings import (
    ARMS,
    SLUG,
    TEST_POINTS,
    TOLERANCES,
    TOY_TOLERANCES,
    TOYS,
    looks,
)
from odeclaims.kits import digits, toy_models
from odeclaims.kits.validity import at_each

DATASETS = {"mnist": mnist.DIGEST}

TOY_DATA: dict[str, Callable[..., Points]] = {
    "spheres": concentric_spheres,
    "sines": shifted_sines,
}
WIDTH, LEARNING_RATE = 32, 1e-3


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained net.

    The digits are left out under the profile quick: no net within its minutes learns them well
    enough for its evaluations to be judged. Its numbers below are those of the profile hour.
    """
    if profile.name != "quick":
        yield from _digit_cells(profile)
    yield from _point_cells(profile)


def _digit_cells(profile: Profile) -> Iterator[Cell]:
    for repetition in profile.repetitions(smoke=1, quick=8, paper=8):
        yield Cell(
            SLUG,
            {
                "task": "mnist",
                "channels": profile.pick(smoke=4, quick=32, hour=32, paper=64),
                "images": profile.pick(smoke=24, quick=16_384, hour=16_384, paper=60_000),
                "test_images": profile.pick(smoke=20, quick=1000, hour=1000, paper=10_000),
                "batch_size": profile.pick(smoke=8, quick=64, hour=64, paper=128),
                "epochs": profile.pick(smoke=2, quick=6, hour=6, paper=160),
                "evaluated": profile.pick(smoke=4, quick=4, hour=4, paper=32),
                "reference_steps": profile.pick(smoke=16, quick=256, hour=256, paper=1024),
            },
            repetition,
            profile.device,
        )


def _point_cells(profile: Profile) -> Iterator[Cell]:
    size = {
        "points": profile.pick(smoke=48, quick=3000, paper=3000),
        "batch_size": profile.pick(smoke=16, quick=64, paper=64),
        "epochs": profile.pick(smoke=2, quick=12, paper=50),
        "evaluated": profile.pick(smoke=8, quick=64, paper=64),
        "reference_steps": profile.pick(smoke=16, quick=128, paper=256),
    }
    for repetition in profile.repetitions(smoke=1, quick=8, paper=10):
        for task in TOYS:
            for arm, augment_dim in ARMS.items():
                params = {"task": task, "arm": arm, "augment_dim": augment_dim, **size}
                # Both arms see the same points.
                yield Cell(SLUG, params, repetition, paired=("arm", "augment_dim"))


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train a net, and solve it at both tolerances before its training and in the course of it."""
    return _digit_rows(cell, context) if cell.params["task"] == "mnist" else _point_rows(cell)


def _digit_rows(cell: Cell, context: Context) -> list[Row]:
    size, generator = cell.params, cell.generator()
    model = OdeClassifier(
        size["channels"],
        generator=generator,
        gradient=Adjoint(),
        **digits.at(TOLERANCES["loose"]),
    ).to(cell.device)
    data, unseen = (mnist.load(split) for split in ("train", "test"))
    test, evaluated = (mnist.spread(unseen, size[count]) for count in ("test_images", "evaluated"))
    observe = partial(_observe, model, evaluated, size["reference_steps"])
    # When a run goes on, this is done again: it depends on the seed alone.
    untrained = [{"epoch": 0, "test_error": error_rate(model, test), **row} for row in observe()]
    data = mnist.spread(data, size["images"])
    history = digits.train(
        model, data, test, cell, context, generator, observe=observe, schedule=size["epochs"]
    )
    trained = [
        {
            "epoch": epoch.number,
            "loss": epoch.loss,
            "test_error": epoch.test_error,
            "training_nfe_forward": epoch.nfe_forward,
            "training_nfe_backward": epoch.nfe_backward,
            **row,
        }
        for epoch in history
        for row in epoch.observed
    ]
    return [{"arm": "node", "augment_dim": 0, **row} for row in untrained + trained]


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


def _observe(model: OdeClassifier, evaluated: MNIST, reference_steps: int) -> list[Row]:
    """A row for each tolerance: what a solve of the net as it is now costs, and its stamp."""
    frozen = digits.frozen_flow(model, evaluated, reference_steps)
    return at_each(TOLERANCES, frozen.observe)
