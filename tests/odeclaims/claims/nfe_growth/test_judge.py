"""The verdict and the caveats on made-up curves."""

import pandas as pd
import pytest

from neural_ode.data import mnist
from neural_ode.training import PUBLISHED_EPOCHS
from odeclaims.claims.nfe_growth import CLAIM, judge
from odeclaims.claims.nfe_growth.settings import TOYS
from tests.odeclaims.claims.nfe_growth.examples import SMALL, curve, made_up, toys


def test_the_published_budget_is_that_of_the_recipe_and_of_the_data():
    assert judge.PUBLISHED_EPOCHS == PUBLISHED_EPOCHS
    assert len(mnist.load("train").images) == judge.TRAINING_IMAGES


def outcomes(df: pd.DataFrame) -> list[str]:
    """How the criteria of the digits are judged."""
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements[:4]]


def whole_outcome(digits: pd.DataFrame, points: pd.DataFrame) -> str:
    return CLAIM.judge(pd.concat([digits, points], ignore_index=True)).outcome


def test_growth_in_every_seed_is_reproduced():
    df = made_up([curve(1.9)] * 5)
    assert outcomes(df) == ["reproduced"] * 4
    values = [judgement.value for judgement in CLAIM.judge(df).judgements[:4]]
    assert values == pytest.approx([1, 1, 1.9, 1])


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        # Four seeds of five are enough, three are not.
        ([curve(1.9)] * 4 + [curve(1.0)], "reproduced"),
        ([curve(1.9)] * 3 + [curve(1.0)] * 2, "not reproduced"),
        # Steady but small; large but at once, and back in between.
        ([curve(1.19)] * 5, "not reproduced"),
        ([[500, 200, 300, 290, 280, 270, 260, 250, 301]] * 5, "not reproduced"),
        # Falling, and never changing.
        ([curve(0.5)] * 5, "not reproduced"),
        ([curve(1.0)] * 5, "not reproduced"),
        # What comes before the first epoch does not count.
        ([[100, *curve(1.0)[1:]]] * 5, "not reproduced"),
    ],
)
def test_the_share_of_seeds_decides(curves, expected):
    df = made_up(curves)
    assert outcomes(df)[0] == expected
    assert whole_outcome(df, toys()) == expected


def test_a_loose_tolerance_can_hide_the_growth_without_deciding():
    df = made_up([curve(1.9)] * 3, loose=[[20.0] * 9] * 3)
    assert outcomes(df) == ["reproduced"] * 3 + ["not reproduced"]
    assert whole_outcome(df, toys()) == "reproduced"


def test_too_little_evidence_is_insufficient():
    few_seeds, few_epochs = made_up([curve(1.9)] * 2), made_up([curve(1.9, epochs=5)] * 5)
    assert outcomes(few_seeds) == outcomes(few_epochs) == ["insufficient"] * 4
    failed = pd.DataFrame([{**SMALL, "epochs": 8, "status": "underflow", "repetition": 3}])
    df = pd.concat([made_up([curve(1.9)] * 3), failed], ignore_index=True)
    judgement = CLAIM.judge(df).judgements[0]
    assert judgement.outcome == "insufficient"
    assert judgement.lacking.startswith("3 of 4 seeds")


def invalid(df: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """One seed fails the check at the checked tolerance after this epoch."""
    solve = (df["role"] == "checked") & (df["repetition"] == 0) & (df["epoch"] == epoch)
    df.loc[solve, "valid"] = False
    df.loc[solve, "reconstruction_error"] = 1.0
    df.loc[solve, "nfe_forward"] = 1.0
    return df


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, "reproduced"), (4, "reproduced"), (1, "insufficient"), (8, "insufficient")],
)
def test_a_solve_that_fails_a_check_is_not_judged(epoch, expected):
    """A gap inside the curve is left out; without its ends there is no curve."""
    assert outcomes(invalid(made_up([curve(1.9)] * 3), epoch))[0] == expected


def test_digits_and_points_are_judged_apart():
    df = pd.concat([made_up([curve(1.9)] * 3), toys((100, 50), (100, 90))], ignore_index=True)
    assert outcomes(df) == ["reproduced"] * 4
    assert toy_outcomes(df) == ["not reproduced"] * 3
    df = pd.concat([made_up([curve(0.5)] * 3), toys()], ignore_index=True)
    assert outcomes(df) == ["not reproduced"] * 4
    assert toy_outcomes(df) == ["reproduced"] * 3


def toy_outcomes(df: pd.DataFrame, task: str = "spheres") -> list[str]:
    judgements = CLAIM.judge(df).judgements
    return [j.outcome for j in judgements if j.criterion.name.startswith(task)]


@pytest.mark.parametrize(
    ("node", "anode", "expected"),
    [
        # Growth of the NODE, its lead, and the NFE of both in the end.
        ((100, 200), (100, 110), ["reproduced"] * 3),
        ((100, 119), (50, 52), ["not reproduced", "not reproduced", "reproduced"]),
        ((100, 119), (50, 50), ["not reproduced", "reproduced", "reproduced"]),
        ((100, 200), (50, 100), ["reproduced", "not reproduced", "reproduced"]),
        ((100, 200), (150, 180), ["reproduced", "reproduced", "not reproduced"]),
    ],
)
def test_each_rule_of_the_two_arms_can_fail_alone(node, anode, expected):
    for task in TOYS:
        assert toy_outcomes(toys(node, anode, task), task) == expected


def test_spheres_decide_and_sines_do_not():
    digits, failing = made_up([curve(1.9)] * 3), ((100, 100), (100, 100))
    sines = toys(*failing, task="sines")
    assert whole_outcome(digits, pd.concat([toys(), sines])) == "reproduced"
    assert whole_outcome(digits, toys(*failing)) == "not reproduced"


@pytest.mark.parametrize(
    ("invalid", "expected"),
    [
        # One seed of five may fail, in either arm and at either end; between them nothing counts.
        ((), "reproduced"),
        (((0, "node", 1),), "reproduced"),
        (((0, "node", 12), (0, "anode", 1)), "reproduced"),
        (((0, "node", 5), (1, "node", 5)), "reproduced"),
        (((0, "node", 12), (1, "anode", 12)), "insufficient"),
    ],
)
def test_only_seeds_that_pass_the_checks_are_judged(invalid, expected):
    assert toy_outcomes(toys(invalid=invalid)) == [expected] * 3


@pytest.mark.parametrize("lacking", [{"seeds": 4}, {"epochs": 11}, {"points": 2999}])
def test_a_small_budget_of_points_is_insufficient(lacking):
    assert toy_outcomes(toys(**lacking)) == ["insufficient"] * 3


def test_the_caveats_say_what_was_learnt_from_points_and_what_failed():
    text = " ".join(CLAIM.judge(toys(invalid=((0, "node", 1),))).caveats)
    assert "On spheres, after 12 epochs of 3,000 points, the NODE gets 10.0% wrong" in text
    assert "4 of 5 seeds pass the checks at both ends of training, in both arms" in text
    assert "On spheres, 130 of 130 solves at 0.001 fail" in text
    assert "1 of 130 solves at 1e-06 fail a validity check (NODE 1, ANODE 0)" in text
    assert "sines" not in text


def test_the_caveats_name_the_epochs_that_fail():
    text = " ".join(CLAIM.judge(invalid(made_up([curve(1.9)] * 3), 4)).caveats)
    assert "At tolerance 0.001 the reconstruction fails its check in 27 of 27 solves" in text
    assert "(epochs 0 to 8)" in text
    assert "At tolerance 1e-07 the reconstruction fails its check in 1 of 27 solves" in text
    assert "(epochs 4)" in text
    assert "reference" not in text
    assert judge._ranges(pd.Series([5.0, 1.0, 0.0, 2.0, 2.0])) == "0 to 2, 5"
