"""The rows of small nets, that a run can be stopped, and which nets a run trains."""

from collections.abc import Iterator

import pandas as pd
import pytest
import torch

from neural_ode.data import MNIST
from odeclaims.cell import Cell, Context, Profile
from odeclaims.claims.anode_mnist import CLAIM
from odeclaims.claims.anode_mnist import measure as room
from odeclaims.claims.anode_mnist.judge import PUBLISHED
from odeclaims.claims.anode_mnist.settings import ARMS, TOLERANCES
from odeclaims.kits.columns import STAMP_COLUMNS
from tests.odeclaims.claims.anode_mnist.examples import COUNTS, SMALL
from tests.odeclaims.claims.small_runs import measure_rows


def digits(count: int) -> MNIST:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    return MNIST(images, torch.arange(count) % 10)


@pytest.fixture(autouse=True, scope="module")
def noise() -> Iterator[None]:
    """A few digits of noise in the place of MNIST."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room.mnist, "load", lambda split: digits(20))
        yield


def measure(
    arm: str = "anode", time_dependent: bool = False, context: Context | None = None
) -> pd.DataFrame:
    params = {
        "arm": arm,
        "filters": 3,
        "augment_dim": ARMS[arm].augment_dim,
        "time_dependent": time_dependent,
        "side": 28,
        **SMALL,
    }
    return measure_rows(CLAIM, Cell(CLAIM.slug, params), context)


@pytest.mark.slow(reason="networks are trained")
@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("time_dependent", [False, True])
def test_a_net_is_trained_and_looked_at_at_both_tolerances(arm, time_dependent):
    df = measure(arm, time_dependent)
    training, results = (df[df["kind"] == kind] for kind in ("training", "result"))
    assert training["epoch"].tolist() == [1, 2]
    assert training["test_accuracy"].between(0, 1).all()
    columns = ["loss", "training_nfe_forward", "training_nfe_backward"]
    assert training[columns].notna().all(axis=None)
    assert results["tolerance"].tolist() == list(TOLERANCES.values())
    assert results[["nfe_forward", *STAMP_COLUMNS]].notna().all(axis=None)
    loose, checked = results["nfe_forward"]
    assert loose < checked
    assert results["reconstruction_error"].iloc[1] < results["reconstruction_error"].iloc[0]
    assert results["gradient_error"].iloc[1] < 1e-2


class Stopped(Exception):
    pass


@pytest.mark.slow(reason="networks are trained")
def test_a_stopped_run_goes_on_to_the_same_rows(tmp_path, monkeypatch):
    whole = measure()
    context = Context(checkpoint=tmp_path / "state")

    def interrupt(*arguments, **solver):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(room, "frozen_flow", interrupt)
        with pytest.raises(Stopped):
            measure(context=context)
    assert (tmp_path / "state").exists()
    pd.testing.assert_frame_equal(measure(context=context), whole)


def test_a_solve_that_fails_is_a_row(monkeypatch):
    monkeypatch.setitem(TOLERANCES, "checked", 1e-14)
    monkeypatch.setattr(room, "STEP_LIMIT", 10)
    loose, checked = measure().query("kind == 'result'")["status"]
    assert (loose, checked) == ("ok", "max_steps")


@pytest.mark.parametrize("profile", ["quick", "hour"])
def test_what_cannot_be_judged_is_not_trained(profile):
    """The paper states the first two counts, the released configuration has the others."""
    found = {}
    for cell in CLAIM.cells(Profile(profile)):
        if cell.params["kind"] == "network":
            assert cell.params["weights"]
            continue
        df = measure_rows(CLAIM, cell)
        assert df["kind"].tolist() == ["count"]
        found[cell.params["arm"], cell.params["time_dependent"]] = df["parameters"].item()
    assert found == COUNTS
    assert {arm: net.parameters for arm, net in PUBLISHED.items()} == {
        arm: COUNTS[arm, False] for arm in ARMS
    }


def test_paper_is_the_published_budget_and_arms_see_the_same_images():
    paper = list(CLAIM.cells(Profile("paper")))
    published = {"images": 60_000, "test_images": 10_000, "batch_size": 256, "epochs": 20}
    assert all(published.items() <= cell.params.items() for cell in paper)
    assert {(c.params["filters"], c.params["augment_dim"]) for c in paper} == {(92, 0), (64, 5)}
    assert {cell.repetition for cell in paper} == set(range(6))
    assert len({cell.seed for cell in paper}) == 6
    assert not any(CLAIM.alone(cell) for cell in paper)


def test_a_net_of_the_reduced_arm_is_trained_where_none_is_published():
    (cell,) = [c for c in CLAIM.cells(Profile("smoke")) if c.params.get("kind") == "network"]
    df = measure_rows(CLAIM, cell)
    assert df["kind"].tolist() == ["training", "network", "result", "result"]
    assert df["parameters"].nunique() == 1
    assert df["test_accuracy"].iloc[:2].between(0, 1).all()
    assert df["valid"].iloc[2:].notna().all()
