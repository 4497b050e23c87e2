"""The rows of small models."""

from typing import Any

import pandas as pd
import pytest
import torch

from neural_ode import StepLimit
from odeclaims.cell import Cell, Profile
from odeclaims.claims.augmentation_sweep import CLAIM
from odeclaims.claims.augmentation_sweep import measure as room
from odeclaims.claims.augmentation_sweep.settings import TASKS, TOLERANCES
from odeclaims.kits.columns import STAMP_COLUMNS
from odeclaims.kits.toy_models import Frozen
from tests.odeclaims.claims.augmentation_sweep.examples import MODELS
from tests.odeclaims.claims.small_runs import measure_rows

SMALL: dict[str, Any] = {
    "points": 48,
    "epochs": 2,
    "batch_size": 24,
    "learning_rate": 1e-3,
    "reference_steps": 16,
}


def measure(**params) -> pd.DataFrame:
    return measure_rows(CLAIM, Cell(CLAIM.slug, params))


@pytest.mark.slow(reason="models are trained")
@pytest.mark.parametrize(("task", "model"), MODELS, ids=lambda part: str(part))
def test_every_model_is_trained_and_looked_at(task, model):
    df = measure(task=task, **model, **SMALL)
    assert df[df["kind"] == "training"]["epoch"].tolist() == [1, 2]
    results = df[df["kind"] == "result"]
    assert results["tolerance"].tolist() == list(TOLERANCES.values())
    quality = {"spheres": "dense_accuracy", "crossing": "mse"}[task]
    columns = ["loss", "training_nfe", "parameters", "nfe_forward", quality, *STAMP_COLUMNS]
    assert results[columns].notna().all(axis=None)
    assert results["loss"].iloc[0] == df[df["epoch"] == 2]["loss"].iloc[0]


def test_the_time_of_an_update_is_that_of_as_many_evaluations_for_every_model(monkeypatch):
    monkeypatch.setattr(room, "TIMED_REPEATS", 3)
    df = pd.concat(
        measure(kind="cost", task="spheres", batch_size=8, **model)
        for model in room.models("spheres")
    )
    assert set(df["nfe_forward"]) == {4 * room.TIMED_STEPS}
    assert (df["time_s"] > 0).all()
    # As published: 1253 without augmentation, 1583 with five dimensions.
    parameters = df.set_index(["arm", "augment_dim"])["parameters"]
    assert (parameters["node", 0], parameters["anode", 5]) == (1253, 1583)
    assert CLAIM.all_columns["time_s"].varies


def frozen(task: str, scale: float) -> Frozen:
    """A model whose flow stands still and whose head is linear."""
    model = room._model({"task": task, "arm": "node", "augment_dim": 0}, torch.Generator())
    for p in model.parameters():
        torch.nn.init.zeros_(p)
    if task == "spheres":
        torch.nn.init.constant_(dict(model.head.named_parameters())["bias"], scale)
    return Frozen(model, torch.zeros(1, TASKS[task].dim), 2)


def test_dense_accuracy_weighs_the_regions_by_their_area():
    """Everything is in the ring, or everything in the disc: 5/6 and 1/6 of the area."""
    assert room._dense_accuracy(frozen("spheres", 1.0), 1e-3) == {
        "dense_accuracy": pytest.approx(1.25 / 1.5)
    }
    assert room._dense_accuracy(frozen("spheres", -1.0), 1e-3) == {
        "dense_accuracy": pytest.approx(0.25 / 1.5)
    }


def test_points_that_stay_have_the_error_of_two():
    assert room._crossing_error(frozen("crossing", 0.0), 1e-3) == {"mse": 4.0}


def test_a_training_that_fails_is_left_to_the_runner(monkeypatch):
    monkeypatch.setattr("odeclaims.kits.toy_models.STEP_LIMIT", 1)
    monkeypatch.setitem(TOLERANCES, "loose", 1e-9)
    with pytest.raises(StepLimit):
        measure(task="spheres", arm="node", augment_dim=0, **SMALL)


def test_models_share_their_points_and_only_timings_run_alone():
    cells = list(CLAIM.cells(Profile("quick")))
    trained = [c for c in cells if c.params.get("kind") != "cost"]
    samples = {(c.params["task"], c.repetition) for c in trained}
    assert [task for task, _ in samples].count("spheres") == 8
    assert [task for task, _ in samples].count("crossing") == 3
    assert len({c.seed for c in trained}) == len(samples)
    assert {CLAIM.alone(c) for c in trained} == {False}
    assert {CLAIM.alone(c) for c in cells if c.params.get("kind") == "cost"} == {True}
