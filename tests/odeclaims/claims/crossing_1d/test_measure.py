"""The rows of small runs."""

import pytest
import torch

from neural_ode import StepLimit
from odeclaims.cell import Profile
from odeclaims.claims.crossing_1d import CLAIM
from odeclaims.claims.crossing_1d.measure import _errors
from odeclaims.claims.crossing_1d.settings import CONFIRMING, REFINEMENTS, TOLERANCES
from odeclaims.kits.columns import STAMP_COLUMNS
from tests.odeclaims.claims.crossing_1d.examples import FLOW, SMALL, measure


@pytest.mark.parametrize(("arm", "augment_dim"), [("node", 0), ("anode", 1)])
def test_a_flow_is_looked_at_and_drawn(arm, augment_dim):
    df = measure(arm=arm, **{**FLOW, "augment_dim": augment_dim})
    results = df[df["kind"] == "result"]
    assert results["role"].tolist() == list(TOLERANCES | CONFIRMING)
    assert (
        results[["mse", "order_violations", "nfe_forward", *STAMP_COLUMNS]].notna().all(axis=None)
    )
    assert df[df["kind"] == "training"]["epoch"].tolist() == [1, 2]
    paths, field = (df[df["kind"] == kind] for kind in ("path", "field"))
    assert {-1.0, 1.0} <= set(paths["start"])
    assert paths["a"].notna().all() == field["slope_a"].notna().all() == (augment_dim == 1)
    assert (paths[paths["t"] == 0]["h"] == paths[paths["t"] == 0]["start"]).all()


def test_only_one_repetition_is_drawn():
    assert set(measure(1, arm="node", **FLOW)["kind"]) == {"training", "result"}


@pytest.mark.parametrize("arm", ["euler", "resnet", "resnet_relu"])
def test_steps_are_made_smaller(arm):
    df = measure(arm=arm, steps=1, **SMALL)
    results = df[df["kind"] == "result"]
    assert results["substeps"].tolist() == list(REFINEMENTS)
    # Little has been learnt, so the finest steps are a flow: in order, and above the floor.
    assert results["order_violations"].iloc[-1] == 0
    assert results["mse"].iloc[-1] >= 1


def test_a_linear_field_passes_with_one_step_and_no_other():
    """f = -2h in n steps multiplies by (1 - 2/n)^n."""
    df = measure(arm="linear", steps=1)
    assert df["mse"].tolist() == pytest.approx([(1 + (1 - 2 / n) ** n) ** 2 for n in REFINEMENTS])
    assert df["order_violations"].tolist() == [20, 20, 0, 0, 0, 0, 0]


def test_a_training_that_fails_is_left_to_the_runner(monkeypatch):
    monkeypatch.setattr("odeclaims.kits.toy_models.STEP_LIMIT", 1)
    with pytest.raises(StepLimit):
        measure(arm="node", **{**FLOW, "training_tolerance": 1e-6})


def test_crossings_are_counted():
    kept = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    swapped = kept[[0, 2, 1, 3, 4]]
    merged = kept.clone()
    merged[1] = merged[0]
    assert _errors(torch.stack([kept, kept]))["order_violations"] == 0
    assert _errors(torch.stack([kept, swapped]))["order_violations"] == 1
    assert _errors(torch.stack([merged, kept]))["order_violations"] == 1
    assert _errors(torch.stack([kept, -kept])) == {"mse": 0.0, "order_violations": 4}


def test_arms_share_their_data_and_quick_has_eight_seeds():
    cells = [c for c in CLAIM.cells(Profile("quick")) if c.params["arm"] != "linear"]
    by_repetition: dict[int, set[int]] = {}
    for cell in cells:
        by_repetition.setdefault(cell.repetition, set()).add(cell.seed)
    assert len(by_repetition) == 8
    assert all(len(seeds) == 1 for seeds in by_repetition.values())
    assert not any(CLAIM.alone(cell) for cell in cells)
