"""The rows of small runs."""

import pytest

from neural_ode import StepLimit
from odeclaims.cell import Profile
from odeclaims.claims.annulus import CLAIM
from odeclaims.claims.annulus import measure as room
from odeclaims.claims.annulus.settings import SPACES, TOLERANCES
from odeclaims.kits.columns import STAMP_COLUMNS
from tests.odeclaims.claims.annulus.examples import ARMS, FLOW, measure, measured


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("arm", ARMS)
def test_a_model_is_trained_and_looked_at(arm, dim):
    df = measured(arm=arm, dim=dim, **ARMS[arm])
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
    assert set(measured(1, arm="node", dim=2, **FLOW)["kind"]) == {"training", "result"}


def test_paths_start_at_the_input():
    df = measured(arm="anode", dim=2, **ARMS["anode"])
    paths = df[df["kind"] == "path"]
    starts = paths[paths["t"] == 0]
    distance = (starts["x"] ** 2 + starts["y"] ** 2) ** 0.5
    assert distance.tolist() == pytest.approx(starts["radius"].tolist(), abs=1e-5)
    assert (starts["lift"] == 0).all()


def test_a_training_that_fails_is_left_to_the_runner(monkeypatch):
    monkeypatch.setattr("odeclaims.kits.toy_models.STEP_LIMIT", 1)
    with pytest.raises(StepLimit):
        measure(arm="node", dim=2, **{**FLOW, "training_tolerance": 1e-6})


@pytest.mark.slow(reason="a flow is looked at by searches")
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


@pytest.mark.slow(reason="a flow is looked at by searches")
@pytest.mark.parametrize("dim", SPACES)
@pytest.mark.parametrize("arm", ["node", "anode"])
def test_space_is_looked_at_by_random_points_and_searches(arm, dim):
    df = measured(arm=arm, dim=dim, **{**ARMS[arm], "training": "loose"})
    results = df[df["kind"] == "result"]
    assert results["role"].tolist() == ["checked"]
    found = results[["sampled_margin", "searched_margin", "margin", "nfe_forward", "overhang"]]
    assert found.notna().all(axis=None)
    # Little has been learnt, so that much is wrong.
    assert (results["searched_margin"] <= results["sampled_margin"]).all()
    assert (results["margin"] < 0).all()
    assert results["traced_margin"].notna().all() == (arm == "node")
    assert arm == "anode" or (results["overhang"] > -1e-3).all()


@pytest.mark.slow(reason="a flow is looked at by searches")
def test_a_node_of_space_that_does_what_no_flow_can_is_solved_again(monkeypatch):
    real = room.examine_space
    monkeypatch.setattr(
        room, "examine_space", lambda *arguments: {**real(*arguments), "margin": 0.1}
    )
    for arm, roles in (("node", ["checked", "tight"]), ("anode", ["checked"])):
        df = measure(1, arm=arm, dim=3, **{**ARMS[arm], "training": "loose"})
        assert df[df["kind"] == "result"]["role"].tolist() == roles


def test_features_are_kept_as_training_goes_on():
    df = measured(arm="anode", dim=2, **{**ARMS["anode"], "epochs": 4})
    features = df[df["kind"] == "features"]
    assert features["epoch"].unique().tolist() == [0, 1]
    assert features.groupby("epoch")["point"].nunique().tolist() == [108, 108]
    assert features[["x", "y", "lift", "output", "radius"]].notna().all(axis=None)


def test_every_epoch_says_what_it_cost():
    df = measured(1, arm="node", dim=2, **FLOW)
    epochs = df[df["kind"] == "training"]
    assert (epochs["cpu_s"] > 0).all()
    assert (epochs["training_nfe"] > 0).all()


def test_arms_share_their_data_and_what_cannot_be_has_more_seeds():
    seeds: dict[tuple[int, int], set[int]] = {}
    counts: dict[tuple[str, str, int], set[int]] = {}
    for cell in CLAIM.cells(Profile("quick")):
        arm, dim = cell.params["arm"], cell.params["dim"]
        seeds.setdefault((cell.repetition, dim), set()).add(cell.seed)
        key = (arm, cell.params.get("training", ""), dim)
        counts.setdefault(key, set()).add(cell.repetition)
    # In ten dimensions the arms have different numbers of points.
    assert all(len(each) == (2 if dim == 10 and k < 2 else 1) for (k, dim), each in seeds.items())
    assert {key: len(each) for key, each in counts.items()} == {
        ("node", "checked", 1): 8,
        ("node", "checked", 2): 8,
        ("node", "loose", 2): 8,
        ("node", "loose", 3): 6,
        ("node", "loose", 10): 6,
        ("anode", "checked", 1): 4,
        ("anode", "checked", 2): 6,
        ("anode", "loose", 3): 2,
        ("anode", "loose", 10): 2,
        **{(arm, "", dim): 4 for arm in ("resnet", "resnet_relu") for dim in (1, 2)},
    }
