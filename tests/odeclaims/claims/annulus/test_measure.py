"""The rows of small runs."""

import pytest

from neural_ode import StepLimit
from odeclaims.cell import Profile
from odeclaims.claims.annulus import CLAIM
from odeclaims.claims.annulus import measure as room
from odeclaims.claims.annulus.settings import TOLERANCES
from odeclaims.kits.columns import STAMP_COLUMNS
from tests.odeclaims.claims.annulus.examples import ARMS, FLOW, measure


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("arm", ARMS)
def test_a_model_is_trained_and_looked_at(arm, dim):
    df = measure(arm=arm, dim=dim, **ARMS[arm])
    results = df[df["kind"] == "result"]
    flow = arm in ("node", "anode")
    assert len(results) == (2 if flow else 1)
    columns = ["training_accuracy", "dense_accuracy", "mse", "bridge_share", "overhang"]
    assert results[columns].notna().all(axis=None)
    if flow:
        assert results["role"].tolist() == list(TOLERANCES[dim])
        assert results[["nfe_forward", *STAMP_COLUMNS]].notna().all(axis=None)
    if dim == 2:
        # Little has been learnt, so that a residual network is still a homeomorphism.
        numbers = results["winding_number"]
        assert numbers.isna().all() if arm == "anode" else (numbers == 1).all()
    elif flow:
        assert (arm == "anode") or (results["order_violations"] == 0).all()
    assert df[df["kind"] == "training"]["epoch"].tolist() == [1, 2]
    drawn = (arm, dim) in (("node", 1), ("node", 2), ("anode", 2))
    assert ("path" in set(df["kind"])) == drawn


def test_only_one_repetition_is_drawn():
    assert set(measure(1, arm="node", dim=2, **FLOW)["kind"]) == {"training", "result"}


def test_paths_start_at_the_input():
    df = measure(arm="anode", dim=2, **ARMS["anode"])
    paths = df[df["kind"] == "path"]
    starts = paths[paths["t"] == 0]
    distance = (starts["x"] ** 2 + starts["y"] ** 2) ** 0.5
    assert distance.tolist() == pytest.approx(starts["radius"].tolist(), abs=1e-5)
    assert (starts["lift"] == 0).all()


def test_a_training_that_fails_is_left_to_the_runner(monkeypatch):
    monkeypatch.setattr("odeclaims.kits.toy_models.STEP_LIMIT", 1)
    with pytest.raises(StepLimit):
        measure(arm="node", dim=2, **{**FLOW, "training_tolerance": 1e-6})


@pytest.mark.parametrize(
    ("dim", "found", "roles"),
    [
        (1, {"mse": 0.6}, ["loose", "checked", "tight"]),
        (1, {"mse": 0.67}, ["loose", "checked"]),
        (2, {"dense_accuracy": 1.0, "bridge_share": 0.0}, ["loose", "checked", "tight"]),
        (2, {"dense_accuracy": 1.0, "bridge_share": 1e-6}, ["loose", "checked"]),
    ],
)
def test_what_no_flow_can_is_solved_again(monkeypatch, dim, found, roles):
    real = room.examine
    monkeypatch.setattr(room, "examine", lambda *arguments: {**real(*arguments), **found})
    for arm, expected in (("node", roles), ("anode", ["loose", "checked"])):
        df = measure(1, arm=arm, dim=dim, **ARMS[arm])
        assert df[df["kind"] == "result"]["role"].tolist() == expected


def test_arms_share_their_data_and_what_cannot_be_has_more_seeds():
    seeds: dict[tuple[int, int], set[int]] = {}
    counts: dict[str, set[int]] = {}
    for cell in CLAIM.cells(Profile("quick")):
        seeds.setdefault((cell.repetition, cell.params["dim"]), set()).add(cell.seed)
        counts.setdefault(cell.params["arm"], set()).add(cell.repetition)
    assert len(seeds) == 16
    assert all(len(each) == 1 for each in seeds.values())
    assert {arm: len(each) for arm, each in counts.items()} == {
        "node": 8,
        "anode": 4,
        "resnet": 4,
        "resnet_relu": 4,
    }
