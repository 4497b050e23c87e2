"""The rows of small runs, and the verdict on made-up errors."""

from typing import Any

import pandas as pd
import pytest
import torch
from odeclaims.validity import STAMP_COLUMNS

from neural_ode import StepLimit
from odeclaims.claim import Cell, Profile
from odeclaims.claims import crossing_1d as claim
from odeclaims.claims.crossing_1d import CLAIM, REFINEMENTS, TOLERANCES

SMALL: dict[str, Any] = {
    "augment_dim": 0,
    "points": 16,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "reference_steps": 8,
}
FLOW = {**SMALL, "training": "checked", "training_tolerance": 1e-3}


def measured(repetition: int = 0, **params) -> pd.DataFrame:
    rows = CLAIM.measure(Cell(CLAIM.slug, params, repetition))
    df = pd.DataFrame([{**params, "repetition": repetition, "status": "ok", **r} for r in rows])
    assert set(df.columns) <= set(CLAIM.all_columns)
    return df


@pytest.mark.parametrize(("arm", "augment_dim"), [("node", 0), ("anode", 1)])
def test_a_flow_is_looked_at_and_drawn(arm, augment_dim):
    df = measured(arm=arm, **{**FLOW, "augment_dim": augment_dim})
    results = df[df["kind"] == "result"]
    assert results["role"].tolist() == list(TOLERANCES)
    assert (
        results[["mse", "order_violations", "nfe_forward", *STAMP_COLUMNS]].notna().all(axis=None)
    )
    assert df[df["kind"] == "training"]["epoch"].tolist() == [1, 2]
    paths, field = (df[df["kind"] == kind] for kind in ("path", "field"))
    assert {-1.0, 1.0} <= set(paths["start"])
    assert paths["a"].notna().all() == field["slope_a"].notna().all() == (augment_dim == 1)
    assert (paths[paths["t"] == 0]["h"] == paths[paths["t"] == 0]["start"]).all()


def test_only_one_repetition_is_drawn():
    assert set(measured(1, arm="node", **FLOW)["kind"]) == {"training", "result"}


@pytest.mark.parametrize("arm", ["euler", "resnet", "resnet_relu"])
def test_steps_are_made_smaller(arm):
    df = measured(arm=arm, steps=1, **SMALL)
    results = df[df["kind"] == "result"]
    assert results["substeps"].tolist() == list(REFINEMENTS)
    # Little has been learnt, so the finest steps are a flow: in order, and above the floor.
    assert results["order_violations"].iloc[-1] == 0
    assert results["mse"].iloc[-1] >= 1


def test_a_linear_field_passes_with_one_step_and_no_other():
    """f = -2h in n steps multiplies by (1 - 2/n)^n."""
    df = measured(arm="linear", steps=1)
    assert df["mse"].tolist() == pytest.approx([(1 + (1 - 2 / n) ** n) ** 2 for n in REFINEMENTS])
    assert df["order_violations"].tolist() == [20, 20, 0, 0, 0, 0, 0]


def test_a_training_that_fails_is_left_to_the_runner(monkeypatch):
    monkeypatch.setattr("odeclaims.toys.STEP_LIMIT", 1)
    with pytest.raises(StepLimit):
        measured(arm="node", **{**FLOW, "training_tolerance": 1e-6})


def test_crossings_are_counted():
    kept = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    swapped = kept[[0, 2, 1, 3, 4]]
    merged = kept.clone()
    merged[1] = merged[0]
    assert claim._seen(torch.stack([kept, kept]))["order_violations"] == 0
    assert claim._seen(torch.stack([kept, swapped]))["order_violations"] == 1
    assert claim._seen(torch.stack([merged, kept]))["order_violations"] == 1
    assert claim._seen(torch.stack([kept, -kept])) == {"mse": 0.0, "order_violations": 4}


GOOD: dict[tuple[str, float], float] = {
    ("euler", 1): 1e-6,
    ("euler", 64): 1.2,
    ("resnet", 1): 1e-6,
    ("resnet", 64): 1.3,
    ("resnet_relu", 1): 2.0,
}


def made_up(
    node: float = 1.002,
    anode: float = 1e-5,
    violations: int = 0,
    reconstruction: float = 1e-4,
    seeds: int = 5,
    jumps: dict[tuple[str, float], float] | None = None,
) -> pd.DataFrame:
    """Rows of every seed alike, but for what is given, which the last seed alone has."""
    rows = []
    for seed in range(seeds):
        last = seed == seeds - 1
        common = {"kind": "result", "repetition": seed, "status": "ok", **SMALL}
        errors = {"node": node if last else 1.002, "anode": anode if last else 1e-5}
        for arm, mse in errors.items():
            for role in TOLERANCES:
                stamp = {"reconstruction_error": reconstruction if last else 1e-4, "valid": True}
                rows.append(
                    {
                        **common,
                        **stamp,
                        "arm": arm,
                        "training": role,
                        "training_tolerance": TOLERANCES[role],
                        "role": role,
                        "tolerance": TOLERANCES[role],
                        "mse": mse,
                        "order_violations": violations if last else 0,
                        "nfe_forward": 100,
                    }
                )
        for (arm, substeps), mse in {**GOOD, **(jumps or {} if last else {})}.items():
            steps = 1 if arm == "euler" else None
            found = {"arm": arm, "steps": steps, "substeps": substeps, "mse": mse}
            rows.append({**common, **found, "order_violations": 0})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(made_up())) == {"reproduced"}


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({"node": 0.9}, [0]),
        ({"node": 1.2}, [1]),
        ({"violations": 1}, [2]),
        ({"anode": 0.02}, [3]),
        ({"jumps": {("euler", 1): 0.02}}, [4]),
        ({"jumps": {("resnet", 1): 0.02}}, [5]),
        ({"jumps": {("euler", 64): 0.5}}, [6]),
        ({"jumps": {("resnet", 64): 0.5}}, [7]),
    ],
)
def test_one_seed_is_enough_to_break_a_criterion(changed, failing):
    df = made_up(**changed)
    assert [i for i, outcome in enumerate(outcomes(df)) if outcome != "reproduced"] == failing
    assert CLAIM.judge(df).outcome == "not reproduced"


def test_a_flow_that_cannot_be_taken_back_never_speaks():
    found = outcomes(made_up(reconstruction=0.1))
    assert found[:4] == ["insufficient"] * 4
    assert found[4:] == ["reproduced"] * 6
    text = " ".join(CLAIM.judge(made_up(reconstruction=0.1)).caveats)
    assert "Solved at 0.001, 2 of 10 flows trained at 0.001 fail" in text
    assert "Solved at 1e-06, 2 of 10 flows trained at 1e-06 fail" in text


def test_few_seeds_are_insufficient():
    assert set(outcomes(made_up(seeds=4))) == {"insufficient"}


def test_arms_share_their_data_and_quick_has_five_seeds():
    cells = [c for c in CLAIM.cells(Profile("quick")) if c.params["arm"] != "linear"]
    by_repetition: dict[int, set[int]] = {}
    for cell in cells:
        by_repetition.setdefault(cell.repetition, set()).add(cell.seed)
    assert len(by_repetition) == 5
    assert all(len(seeds) == 1 for seeds in by_repetition.values())
    assert not any(cell.alone for cell in cells)


def test_figure_and_table_show_every_arm():
    parts = [
        measured(arm="node", **FLOW),
        measured(arm="anode", **{**FLOW, "augment_dim": 1}),
        measured(arm="euler", steps=1, **SMALL),
        measured(arm="resnet", **SMALL),
        measured(arm="linear", steps=1),
    ]
    df = pd.concat(parts).reindex(columns=list(CLAIM.all_columns))
    assert len(CLAIM.figure(df).axes) == 6
    table = CLAIM.table(df)
    assert table["model"].drop_duplicates().tolist() == [
        "NODE",
        "ANODE",
        "Euler",
        "ResNet",
        "y' = -2y",
    ]
    assert len(table) == 2 * len(TOLERANCES) + 3 * len(REFINEMENTS)
