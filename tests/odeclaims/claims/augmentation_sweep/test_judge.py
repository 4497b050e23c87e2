"""The verdict on made-up sweeps."""

import pandas as pd
import pytest

from odeclaims.claims.augmentation_sweep import CLAIM
from tests.odeclaims.claims.augmentation_sweep.examples import make_rows


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(make_rows())) == {"reproduced"}
    assert CLAIM.judge(make_rows()).outcome == "reproduced"


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        # One augment_dim of four that is no better is one too many; one that is expensive is not.
        ({("anode", 1): {"loss": 0.02}}, [0]),
        ({("anode", 1): {"dense_accuracy": 0.99}}, [2]),
        ({("anode", 1): {"nfe_forward": 400}}, []),
        ({("node", 0): {"nfe_forward": 119}}, [1]),
        # What is better in two respects of three does not buy it all.
        ({("anode", 5): {"nfe_forward": 200}}, [3]),
        ({("second_order", None): {"loss": 0.03}}, [4]),
        ({("input_layer", None): {"dense_accuracy": 0.98}}, [5]),
        ({("second_order", None): {"mse": 0.5}, ("anode", 1): {"mse": 0.5}}, [6]),
    ],
)
def test_each_rule_can_fail_alone(changed, failing):
    df = make_rows(changed=changed)
    assert [i for i, outcome in enumerate(outcomes(df)) if outcome != "reproduced"] == failing
    expected = "not reproduced" if failing and failing[0] < 3 else "reproduced"
    assert CLAIM.judge(df).outcome == expected


def test_the_crossing_counts_what_can_be_taken_back():
    """Two models of six are too many, whatever the check of the gradient says."""
    df = make_rows()
    crossing = (df["task"] == "crossing") & (df["role"] == "checked")
    df.loc[crossing, "valid"] = False
    assert outcomes(df)[6] == "reproduced"
    failing = crossing & df["arm"].isin(["second_order", "input_layer"])
    df.loc[failing, "reconstruction_error"] = 1.0
    assert outcomes(df)[6] == "not reproduced"


def test_a_model_that_did_not_finish_does_not_beat_the_node():
    df = make_rows()
    df = df[~((df["arm"] == "second_order") & (df["kind"] == "result"))]
    assert outcomes(df)[4] == "not reproduced"


@pytest.mark.parametrize(
    ("invalid", "expected"),
    [
        ((("node", 0),), "reproduced"),
        ((("node", 0), ("anode", 1)), "insufficient"),
        ((("second_order", 0), ("input_layer", 1)), "reproduced"),
    ],
)
def test_only_seeds_that_pass_the_checks_speak(invalid, expected):
    assert set(outcomes(make_rows(invalid=invalid))[:3]) == {expected}


@pytest.mark.parametrize("budget", [{"seeds": 4}, {"epochs": 7}, {"points": 2999}])
def test_a_small_budget_is_insufficient(budget):
    assert set(outcomes(make_rows(**budget))[:6]) == {"insufficient"}


def test_the_caveats_name_the_budget_and_what_fails():
    text = " ".join(CLAIM.judge(make_rows(invalid=(("node", 0),))).caveats)
    assert "On spheres, 35 of 35 frozen flows fail a validity check at 0.001." in text
    assert "On spheres, 1 of 35 frozen flows fail a validity check at 1e-06." in text
    assert "On crossing, 8 epochs of 3000 points in batches of 64" in text
