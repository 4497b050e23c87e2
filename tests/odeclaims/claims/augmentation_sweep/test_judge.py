"""The outcomes of made-up sweeps."""

import math

import pandas as pd
import pytest

from odeclaims.claims.augmentation_sweep import CLAIM
from odeclaims.claims.augmentation_sweep.judge import _more_accurate
from tests.odeclaims.claims.augmentation_sweep.examples import make_rows

CENTRAL = ["lower_loss", "fewer_evaluations", "better_accuracy"]
OTHERS = ["ten_zeros", "second_order", "input_layer"]
CROSSING = ["anode_crosses", "second_order_crosses", "input_layer_crosses"]


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def changed(df: pd.DataFrame) -> dict[str, str]:
    """The outcomes that are not "reproduced"."""
    return {name: outcome for name, outcome in outcomes(df).items() if outcome != "reproduced"}


def spread(df: pd.DataFrame, arm: str, column: str, values: list[float]) -> pd.DataFrame:
    """The rows with a value for each seed on the spheres, in turn."""
    rows = (df["task"] == "spheres") & (df["arm"] == arm) & (df["kind"] == "result")
    for seed in df["repetition"].unique():
        df.loc[rows & (df["repetition"] == seed), column] = values[int(seed) % len(values)]
    return df


def test_every_statement_can_hold():
    verdict = CLAIM.judge(make_rows())
    assert [j.statement.name for j in verdict.judgements] == CENTRAL + OTHERS + CROSSING
    assert {j.outcome for j in verdict.judgements} == {"reproduced"}
    assert (verdict.summary, verdict.scale) == ("3 of 3 reproduced", "published size")
    values = [j.decision.value for j in verdict.judgements[:4] if j.decision]
    assert values == pytest.approx([math.log(2), math.log(2), 1.0, math.log(2)])


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({("anode", None): {"loss": 0.03}}, ["lower_loss", "ten_zeros"]),
        ({("node", 0): {"nfe_forward": 119}}, ["fewer_evaluations"]),
        ({("anode", None): {"dense_accuracy": 0.98}}, ["better_accuracy"]),
        # One dimension of three that is a little worse is no more than a part of their mean.
        ({("anode", 1): {"loss": 0.021}}, []),
        # What is better in one respect of two does not buy both.
        ({("anode", 10): {"nfe_forward": 250}}, ["ten_zeros"]),
        ({("second_order", None): {"loss": 0.03}}, ["second_order"]),
        ({("input_layer", None): {"nfe_forward": 250}}, ["input_layer"]),
        ({("anode", None): {"mse": 0.5}}, ["anode_crosses"]),
        ({("second_order", None): {"mse": 0.5}}, ["second_order_crosses"]),
        ({("input_layer", None): {"mse": 0.5}}, ["input_layer_crosses"]),
    ],
)
def test_each_statement_can_fail(changes, failing):
    assert changed(make_rows(changed=changes)) == dict.fromkeys(failing, "not reproduced")


@pytest.mark.parametrize(
    ("arm", "column", "values", "name"),
    [
        ("node", "loss", [0.006, 0.02], "lower_loss"),
        ("node", "nfe_forward", [100, 140], "fewer_evaluations"),
    ],
)
def test_what_differs_from_seed_to_seed_is_undecided(arm, column, values, name):
    assert changed(spread(make_rows(), arm, column, values))[name] == "undecided"


def test_draws_are_no_losses():
    """Of ten seeds three draw: the rest decides, and each draw counts one half."""
    df = spread(make_rows(), "node", "dense_accuracy", [0.99, 0.995, 1.0])
    assert sorted(_more_accurate(df)) == pytest.approx(3 * [0.0] + 3 * [0.5] + 4 * [1.0])
    judgement = CLAIM.judge(df).judgements[2]
    assert judgement.outcome == "reproduced"
    assert judgement.decision
    assert judgement.decision.words == "8.5 of 10 beyond the bound"


def test_one_seed_turns_no_outcome():
    """The last seed's NODE is the better one in every respect."""
    df = make_rows()
    last = (df["repetition"] == 9) & (df["arm"] == "node") & (df["kind"] == "result")
    df.loc[last & (df["task"] == "spheres"), ["loss", "dense_accuracy", "nfe_forward"]] = [
        0.009,
        1.0,
        95,
    ]
    assert changed(df) == {}


def test_one_seed_shows_what_a_model_can():
    df = make_rows()
    others = (df["task"] == "crossing") & (df["arm"] != "node") & (df["repetition"] > 0)
    df.loc[others, "mse"] = 0.5
    assert changed(df) == {}
    # None of nine does not refute it.
    assert changed(df[df["repetition"] > 0]) == dict.fromkeys(CROSSING, "undecided")


def test_the_crossing_counts_what_can_be_taken_back():
    """Whatever the check of the gradient says."""
    df = make_rows()
    crossing = (df["task"] == "crossing") & (df["role"] == "checked")
    df.loc[crossing, "valid"] = False
    assert changed(df) == {}
    df.loc[crossing & (df["arm"] == "second_order"), "reconstruction_error"] = 1.0
    assert changed(df) == {"second_order_crosses": "insufficient"}


@pytest.mark.parametrize(
    ("invalid", "failing"),
    [
        ((("node", 0), ("anode", 1)), []),
        ((("node", 0), ("anode", 1), ("node", 2)), [*CENTRAL, "ten_zeros"]),
        ((("second_order", 0), ("second_order", 1), ("second_order", 2)), ["second_order"]),
    ],
)
def test_only_seeds_that_pass_the_checks_speak(invalid, failing):
    assert changed(make_rows(invalid=invalid)) == dict.fromkeys(failing, "insufficient")


def test_few_seeds_are_insufficient():
    assert changed(make_rows(5)) == dict.fromkeys(CENTRAL + OTHERS, "insufficient")
    # Six decide alone, but not among three; eight do.
    assert set(changed(make_rows(6)).values()) == {"undecided"}
    assert changed(make_rows(8)) == {}


def test_a_node_that_has_not_learnt_is_no_comparison():
    verdict = CLAIM.judge(make_rows(changed={("node", 0): {"dense_accuracy": 0.9}}))
    assert verdict.scale == "toy"
    assert {j.outcome for j in verdict.judgements} == {"insufficient"}
    assert "dense grid is 0.1, at most 0.02 needed" in verdict.size


def test_the_size_is_that_of_the_spheres():
    assert CLAIM.judge(make_rows(epochs=8)).scale == "reduced"
    assert CLAIM.judge(make_rows(points=48, epochs=2)).scale == "toy"


def test_a_failed_check_makes_what_rests_on_it_invalid():
    df = make_rows()
    df.loc[(df["repetition"] == 1) & (df["arm"] == "anode"), "seed"] = 7
    assert changed(df) == dict.fromkeys(CENTRAL + OTHERS, "invalid")
    df = make_rows()
    df.loc[df["parameters"] == 1583, "parameters"] = 1584
    assert changed(df) == dict.fromkeys(CENTRAL + OTHERS, "invalid")
    df = make_rows(changed={("node", 0): {"mse": 0.5}})
    assert changed(df) == dict.fromkeys(CROSSING, "invalid")


def test_the_caveats_name_the_budget_and_what_fails():
    text = " ".join(CLAIM.judge(make_rows(invalid=(("node", 0),))).caveats)
    assert "On spheres, 70 of 70 frozen flows fail a validity check at 0.001." in text
    assert "On spheres, 1 of 70 frozen flows fail a validity check at 1e-07." in text
    assert "On crossing, 50 epochs of 3000 points in batches of 64" in text
