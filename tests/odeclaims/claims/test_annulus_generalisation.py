"""The rows of small runs, what is held out, and the verdict on made-up accuracies."""

import math
from typing import Any

import pandas as pd
import pytest
import torch
from odeclaims.validity import STAMP_COLUMNS

from neural_ode import StepLimit
from odeclaims.claim import Cell, Profile
from odeclaims.claims import annulus_generalisation as claim
from odeclaims.claims.annulus_generalisation import (
    AUGMENT_DIMS,
    CITED,
    CLAIM,
    TOLERANCES,
    WEDGES,
)

SMALL: dict[str, Any] = {
    "points": 48,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "training_tolerance": 1e-3,
    "directions": 12,
    "reference_steps": 8,
}


def cell(augment_dim: int, wedge: str = CITED, repetition: int = 0, **changed) -> Cell:
    params = {"augment_dim": augment_dim, "wedge": wedge, "wedge_rad": WEDGES[wedge]}
    return Cell(CLAIM.slug, {**params, **SMALL, **changed}, repetition, paired=tuple(params))


def measured(one: Cell) -> pd.DataFrame:
    common = {**one.params, "repetition": one.repetition, "status": "ok"}
    df = pd.DataFrame([{**common, **row} for row in CLAIM.measure(one)])
    assert set(df.columns) <= set(CLAIM.all_columns)
    return df


@pytest.mark.parametrize("augment_dim", AUGMENT_DIMS)
def test_a_model_is_trained_and_looked_at(augment_dim):
    df = measured(cell(augment_dim))
    results = df[df["kind"] == "result"]
    assert results["role"].tolist() == list(TOLERANCES)
    columns = ["held_out_accuracy", "seen_accuracy", "training_accuracy", "nfe_forward"]
    assert results[[*columns, *STAMP_COLUMNS]].notna().all(axis=None)
    assert df[df["kind"] == "training"]["epoch"].tolist() == [1, 2]
    assert len(df[df["kind"] == "map"]) == claim.MAP_SIDE**2


def test_one_wedge_of_one_repetition_is_drawn():
    for one in (cell(0, repetition=1), cell(0, "pi/10")):
        assert set(measured(one)["kind"]) == {"training", "result"}


def test_a_training_that_fails_is_left_to_the_runner(monkeypatch):
    monkeypatch.setattr("odeclaims.toys.STEP_LIMIT", 1)
    with pytest.raises(StepLimit):
        measured(cell(0, training_tolerance=1e-6))


@pytest.mark.parametrize("wedge", WEDGES)
def test_nothing_of_the_wedge_is_trained_on_and_nothing_else_is_held_out(monkeypatch, wedge):
    """The accuracies of a model that is right in the wedge's angles alone."""
    seen: list[torch.Tensor] = []

    def fit(model, data, **budget):
        seen.append(data.inputs)
        return []

    def outputs(frozen, tolerance, x):
        inside = torch.atan2(x[:, 1], x[:, 0]) % (2 * math.pi) < WEDGES[wedge]
        target = torch.where(x.norm(dim=1) < 0.75, -1.0, 1.0)
        return torch.where(inside, target, -target)[:, None]

    monkeypatch.setattr(claim, "fit", fit)
    monkeypatch.setattr(claim, "_outputs", outputs)
    df = measured(cell(0, wedge))
    angles = torch.atan2(seen[0][:, 1], seen[0][:, 0]) % (2 * math.pi)
    assert angles.min() >= WEDGES[wedge]
    assert len(angles) < SMALL["points"]
    results = df[df["kind"] == "result"]
    assert (results["held_out_accuracy"] == 1).all()
    assert (results["seen_accuracy"] == 0).all()
    assert (results["training_accuracy"] == 0).all()


def test_the_disc_has_a_third_of_the_weight():
    assert claim._weighted(1, 0) == pytest.approx(1 / 3)
    assert claim._weighted(0, 1) == pytest.approx(2 / 3)


def test_figure_and_table_show_every_model_and_width():
    cells = [cell(p) for p in AUGMENT_DIMS] + [cell(0, w) for w in WEDGES if w != CITED]
    parts = [measured(one) for one in cells]
    df = pd.concat(parts).reindex(columns=list(CLAIM.all_columns))
    assert len(CLAIM.figure(df).axes) == len(AUGMENT_DIMS) + 3
    table = CLAIM.table(df)
    assert table["model"].drop_duplicates().tolist() == ["NODE", "ANODE, 1", "ANODE, 2", "ANODE, 5"]
    assert table["wedge"].drop_duplicates().tolist() == list(WEDGES)
    assert len(table) == len(cells) * len(TOLERANCES)


def made_up(
    accuracies: dict[int, float] | None = None,
    wedge: str = CITED,
    fitted: float = 1.0,
    reconstruction: float = 1e-4,
    seeds: int = 10,
) -> pd.DataFrame:
    """Rows of every seed alike: accuracies at one wedge, fit and reconstruction of NODE."""
    rows = []
    good = {0: 0.65, 1: 1.0, 2: 1.0, 5: 1.0}
    for seed in range(seeds):
        for name in WEDGES:
            for p, accuracy in {**good, **(accuracies or {} if name == wedge else {})}.items():
                stamp = {"reconstruction_error": reconstruction if p == 0 else 1e-4, "valid": True}
                rows += [
                    {
                        **SMALL,
                        **stamp,
                        "kind": "result",
                        "status": "ok",
                        "repetition": seed,
                        "augment_dim": p,
                        "wedge": name,
                        "wedge_rad": WEDGES[name],
                        "role": role,
                        "tolerance": tolerance,
                        "held_out_accuracy": accuracy,
                        "training_accuracy": fitted if p == 0 else 1.0,
                        "nfe_forward": 100,
                    }
                    for role, tolerance in TOLERANCES.items()
                ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(made_up())) == {"reproduced"}


@pytest.mark.parametrize(
    ("accuracies", "wedge", "expected"),
    [
        ({0: 0.95}, CITED, {0: "partly", 2: "not reproduced", 4: "not reproduced"}),
        ({0: 0.99}, CITED, {0: "not reproduced", 2: "not reproduced", 4: "not reproduced"}),
        ({5: 0.96}, CITED, {1: "partly"}),
        ({5: 0.8}, CITED, {1: "not reproduced"}),
        ({1: 0.7}, CITED, {4: "not reproduced"}),
        ({0: 1.0, 5: 0.9}, "pi/10", {3: "not reproduced"}),
    ],
)
def test_what_breaks_a_criterion(accuracies, wedge, expected):
    found = outcomes(made_up(accuracies, wedge))
    wanted = ["reproduced"] * len(CLAIM.criteria)
    for i, outcome in expected.items():
        wanted[i] = outcome
    assert found == wanted


def test_the_gap_is_that_of_the_same_sample():
    """Medians of 1 and 0.5 whose gaps are 0.5, 0 and 0.5 seed by seed, and one seed is missing."""
    df = made_up()
    checked = (df["role"] == "checked") & (df["wedge"] == CITED)
    for seed, node in enumerate((0.5, 1.0, 0.5)):
        chosen = checked & (df["augment_dim"] == 0) & (df["repetition"] == seed)
        df.loc[chosen, "held_out_accuracy"] = node
    df.loc[checked & (df["augment_dim"] == 5) & (df["repetition"] == 4), "status"] = "max_steps"
    assert claim._gap(5, CITED, df).tolist() == pytest.approx([0.5, 0, 0.5] + 6 * [0.35])


def test_a_model_that_does_not_fit_says_nothing_of_generalisation():
    judgement = CLAIM.judge(made_up(fitted=0.9)).judgements[0]
    assert judgement.outcome == "insufficient"
    assert "augment_dim 0 is right on 0.900 of its training points" in judgement.lacking


def test_flows_that_cannot_be_taken_back_never_speak():
    assert set(outcomes(made_up(reconstruction=0.1))) == {"insufficient"}


@pytest.mark.parametrize(("seeds", "speaking"), [(9, 2), (4, 0)])
def test_few_seeds_are_insufficient(seeds, speaking):
    found = outcomes(made_up(seeds=seeds))
    assert found == ["insufficient"] * (5 - speaking) + ["reproduced"] * speaking


def test_the_caveat_counts_the_bridges_in_the_wedge():
    text = " ".join(CLAIM.judge(made_up()).caveats)
    assert "At pi/5 10 of 10 NODE seeds are below 0.9 in the wedge" in text


def test_widths_and_dimensions_share_their_sample():
    seeds: dict[int, set[int]] = {}
    for one in CLAIM.cells(Profile("quick")):
        seeds.setdefault(one.repetition, set()).add(one.seed)
    assert len(seeds) == 10
    assert all(len(found) == 1 for found in seeds.values())
