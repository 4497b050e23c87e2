"""The rows of a small run, and that it can be stopped."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from neural_ode.data import MNIST, mnist
from neural_ode.networks import OdeClassifier
from odeclaims.cell import Cell, Context, Profile
from odeclaims.claims.nfe_growth import CLAIM, judge, measure
from odeclaims.claims.nfe_growth.settings import ARMS, SLUG, TOLERANCES, TOY_TOLERANCES, TOYS
from odeclaims.kits.columns import STAMP_COLUMNS
from odeclaims.kits.constants import RECONSTRUCTION_LIMIT
from tests.odeclaims.claims.nfe_growth.examples import POINTS, SMALL


def digits(count: int) -> MNIST:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    return MNIST(images, torch.arange(count) % 10)


@pytest.fixture(autouse=True, scope="module")
def cheap() -> Iterator[None]:
    """A few digits of noise, and a looser checked tolerance: no test depends on either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "load", lambda split: digits(20))
        patch.setitem(TOLERANCES, "checked", 1e-5)
        yield


def small_run(checkpoint: Path | None = None) -> pd.DataFrame:
    rows = measure.measure(Cell(SLUG, SMALL), Context(checkpoint))
    return pd.DataFrame([{**SMALL, "repetition": 0, **row} for row in rows])


@pytest.fixture(scope="module")
def whole(cheap) -> pd.DataFrame:
    """The rows of a run that was not stopped."""
    return small_run()


def test_both_tolerances_are_observed_at_every_epoch(whole):
    df = whole
    assert set(df["status"]) == {"ok"}
    assert df["epoch"].tolist() == [0, 0, 1, 1, 2, 2]
    assert df["role"].tolist() == ["loose", "checked"] * 3
    assert df["tolerance"].tolist() == list(TOLERANCES.values()) * 3
    # dopri5: two evaluations before the first step, and six in each.
    assert ((df["nfe_forward"] - 2) % 6 == 0).all()
    loose, checked = (df[df["role"] == role] for role in ("loose", "checked"))
    assert (checked["nfe_forward"].to_numpy() > loose["nfe_forward"].to_numpy()).all()
    assert (checked["reconstruction_error"] < RECONSTRUCTION_LIMIT).all()
    trained = df[df["epoch"] > 0]
    assert trained[["loss", "training_nfe_forward", "training_nfe_backward"]].notna().all(axis=None)
    assert df[df["epoch"] == 0]["loss"].isna().all()
    assert df[["test_error", *STAMP_COLUMNS]].notna().all(axis=None)
    assert set(df.columns) <= set(CLAIM.all_columns)


class Stopped(Exception):
    pass


def test_a_stopped_run_goes_on_to_the_same_rows(whole, tmp_path, monkeypatch):
    looks = []
    observe = measure._observe

    def interrupt(*arguments):
        looks.append(1)
        # The untrained net, the first epoch, the second: its training and its rows are lost.
        if len(looks) == 3:
            raise Stopped
        return observe(*arguments)

    checkpoint = tmp_path / "state"
    monkeypatch.setattr(measure, "_observe", interrupt)
    with pytest.raises(Stopped):
        small_run(checkpoint)
    resumed = small_run(checkpoint)
    pd.testing.assert_frame_equal(resumed, whole)
    # The untrained net is looked at again, the first epoch is not.
    assert len(looks) == 3 + 2
    # A run stopped between its last epoch and its last row has nothing left to train.
    pd.testing.assert_frame_equal(small_run(checkpoint), whole)
    assert len(looks) == 3 + 2 + 1


def test_looking_leaves_the_net_as_it_is():
    model = OdeClassifier(4, generator=torch.Generator().manual_seed(0), rtol=0.1, atol=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure._observe(model, digits(2), 4)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(p.grad is None for p in model.parameters())


def test_a_solve_that_fails_is_a_row(monkeypatch):
    monkeypatch.setattr("odeclaims.kits.digits.STEP_LIMIT", 10)
    loose, checked = measure._observe(
        OdeClassifier(4, generator=torch.Generator().manual_seed(0)), digits(2), 4
    )
    assert loose["status"] == "ok"
    assert checked == {
        "role": "checked",
        "tolerance": TOLERANCES["checked"],
        "status": "max_steps",
    }


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
def test_points_are_observed_at_both_tolerances(task, arm):
    params = {"task": task, "arm": arm, "augment_dim": ARMS[arm], **SMALL_POINTS}
    df = pd.DataFrame([{**params, **row} for row in measure.measure(Cell(SLUG, params), Context())])
    assert set(df["status"]) == {"ok"}
    assert df["epoch"].tolist() == [0, 0, 1, 1, 2, 2]
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


def test_the_seed_alone_sets_the_repetitions_apart():
    cells = [c for c in measure.cells(Profile("hour")) if c.params["task"] == "mnist"]
    assert len({cell.seed for cell in cells}) == len(cells) >= judge.LEAST_SEEDS
    assert len({tuple(cell.params.items()) for cell in cells}) == 1
    assert not any(CLAIM.alone(cell) for cell in cells)


def test_a_profile_that_teaches_no_digits_trains_no_net_on_them():
    assert "mnist" not in {c.params["task"] for c in measure.cells(Profile("quick"))}


def test_points_are_looked_at_after_epochs_that_double():
    params = {"task": "spheres", "arm": "node", "augment_dim": 0, **SMALL_POINTS, "epochs": 5}
    rows = measure.measure(Cell(SLUG, params), Context())
    assert sorted({int(row["epoch"] or 0) for row in rows}) == [0, 1, 2, 4, 5]
