"""The rows of nets from the pool, and of models of points that are trained here."""

import pandas as pd
import pytest

from odeclaims.cell import Cell, Context, Profile
from odeclaims.claims.nfe_growth import CLAIM, measure
from odeclaims.claims.nfe_growth.settings import ARMS, SLUG, TOLERANCES, TOY_TOLERANCES, TOYS
from odeclaims.trained import ode_nets
from odeclaims.trained.recipes import table1
from odeclaims.trained.store import Network
from tests.odeclaims.claims.nfe_growth.examples import POINTS

FLOWS = [
    {
        "kind": "flow",
        "epoch": epoch,
        "role": role,
        "tolerance": tolerance,
        "status": "ok",
        "nfe_forward": 20 + 6 * epoch,
        "rejected": 0,
        "reconstruction_error": 1e-5,
        "gradient_error": 1e-3,
        "reference_error": 1e-4,
        "valid": True,
    }
    for epoch in (0, 1)
    for role, tolerance in TOLERANCES.items()
]
EPOCHS = [
    {"kind": "epoch", "epoch": 0, "test_error": 0.9},
    {"kind": "epoch", "epoch": 1, "test_error": 0.1, "loss": 0.5, "nfe_forward": 25.5},
]


def test_the_tolerances_are_those_at_which_the_pool_looked():
    assert TOLERANCES == table1.TOLERANCES


def test_a_net_of_the_pool_gives_what_its_training_recorded(monkeypatch):
    (cell,) = (c for c in measure.cells(Profile("smoke")) if c.params["task"] == "mnist")
    history = pd.DataFrame([*EPOCHS, *FLOWS])
    network = Network(ode_nets.specify(cell), {}, history, {})
    monkeypatch.setattr(measure, "take_network", lambda cell, context: network)
    df = pd.DataFrame(measure.measure(cell, Context()))
    assert df["epoch"].tolist() == [0, 0, 1, 1]
    assert df["role"].tolist() == ["loose", "checked"] * 2
    assert df["nfe_forward"].tolist() == [20, 20, 26, 26]
    assert df["test_error"].tolist() == [0.9, 0.9, 0.1, 0.1]
    assert df["training_nfe_forward"].tolist()[2:] == [25.5, 25.5]
    assert df["loss"].isna().tolist() == [True, True, False, False]
    assert df["training_nfe_backward"].isna().all()
    assert df["valid"].tolist() == [True] * 4
    assert set(df.columns) <= set(CLAIM.all_columns)


SMALL_POINTS = {
    **POINTS,
    "points": 48,
    "batch_size": 16,
    "epochs": 2,
    "evaluated": 8,
    "reference_steps": 64,
}


def test_every_toy_problem_has_its_points():
    assert tuple(measure.TOY_DATA) == TOYS


@pytest.mark.parametrize("task", TOYS)
@pytest.mark.parametrize("arm", ARMS)
def test_points_are_observed_at_every_tolerance(task, arm):
    params = {"task": task, "arm": arm, "augment_dim": ARMS[arm], **SMALL_POINTS}
    df = pd.DataFrame([{**params, **row} for row in measure.measure(Cell(SLUG, params), Context())])
    assert set(df["status"]) == {"ok"}
    assert df["epoch"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert df["tolerance"].tolist() == list(TOY_TOLERANCES.values()) * 3
    assert df["test_error"].between(0, 1).all()
    trained = df[df["epoch"] > 0]
    assert trained[["loss", "training_nfe_forward"]].notna().all(axis=None)
    checked = df[df["role"] == "checked"]
    assert checked["valid"].all()
    assert (checked["nfe_forward"].to_numpy() > df[df["role"] == "loose"]["nfe_forward"]).all()
    assert set(df.columns) <= set(CLAIM.all_columns)


def test_a_failed_training_keeps_what_came_before(monkeypatch):
    params = {"task": "spheres", "arm": "node", "augment_dim": 0, **SMALL_POINTS}
    monkeypatch.setitem(TOY_TOLERANCES, "loose", 1e-9)
    monkeypatch.setattr("odeclaims.kits.toy_models.STEP_LIMIT", 1)
    assert measure.measure(Cell(SLUG, params), Context()) == [{"status": "max_steps"}]


def test_arms_share_their_points():
    cells = [c for c in measure.cells(Profile("quick")) if c.params["task"] != "mnist"]
    assert len(cells) == 8 * len(TOYS) * len(ARMS)
    assert len({cell.seed for cell in cells}) == 8 * len(TOYS)


def test_points_are_looked_at_after_epochs_that_double():
    params = {"task": "spheres", "arm": "node", "augment_dim": 0, **SMALL_POINTS, "epochs": 5}
    rows = measure.measure(Cell(SLUG, params), Context())
    assert sorted({int(row["epoch"] or 0) for row in rows}) == [0, 1, 2, 4, 5]
