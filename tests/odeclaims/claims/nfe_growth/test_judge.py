"""The verdict, the caveats and the map on made-up curves."""

import pandas as pd
import pytest

from neural_ode.data import mnist
from neural_ode.training import PUBLISHED_EPOCHS
from odeclaims.claims.nfe_growth import CLAIM, judge
from odeclaims.claims.nfe_growth.settings import looks
from odeclaims.statement import Judgement
from tests.odeclaims.claims.nfe_growth.examples import curve, made_up, toys

DIGITS = {"digits_grow", "digits_keep_growing", "digits_grow_as_trained"}
# Of made-up nets that all grow alike, the last count can be predicted.
UNPREDICTABLE = "last_count_is_unpredictable"


def test_the_published_budget_is_that_of_the_recipe_and_of_the_data():
    assert judge.PUBLISHED_EPOCHS == PUBLISHED_EPOCHS
    assert len(mnist.load("train").images) == judge.TRAINING_IMAGES


def judgements(df: pd.DataFrame) -> dict[str, Judgement]:
    return {j.statement.name: j for j in CLAIM.judge(df).judgements}


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {name: j.outcome for name, j in judgements(df).items()}


def everything(**spheres) -> pd.DataFrame:
    digits = made_up([curve(1.9, epochs=160)] * 8)
    parts = [digits, toys(**{"epochs": 50, **spheres}), toys(task="sines", epochs=50)]
    return pd.concat(parts, ignore_index=True)


def different(df: pd.DataFrame) -> dict[str, str]:
    """The outcomes that are not those of the good rows."""
    good = outcomes(everything())
    return {name: o for name, o in outcomes(df).items() if o != good[name]}


def test_the_published_picture_is_reproduced():
    verdict = CLAIM.judge(everything())
    assert verdict.summary == "5 of 5 reproduced"
    assert verdict.scale == "published size"
    found = {j.statement.name for j in verdict.judgements if j.outcome != "reproduced"}
    assert found == {UNPREDICTABLE}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"node": [(104, 50)]},
            {"node_grows", "node_grows_more", "node_grows_as_trained", "anode_needs_fewer"},
        ),
        ({"anode": [(50, 98)]}, {"anode_hardly_grows", "anode_hardly_grows_later"}),
        ({"node": [(50, 56)], "anode": [(44, 50)]}, {"node_grows_more"}),
        ({"node": [(50, 104)], "anode": [(110, 122)]}, {"anode_needs_fewer"}),
    ],
)
def test_each_statement_about_the_arms_can_fail(changed, expected):
    assert different(everything(**changed)) == dict.fromkeys(expected, "not reproduced")


def test_nets_that_part_ways_are_unpredictable():
    apart = [(50, 56), (50, 182), (50, 92), (50, 302)]
    assert outcomes(everything(node=apart))[UNPREDICTABLE] == "reproduced"


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ([curve(1.9)] * 8, "reproduced"),
        # One seed that does not grow turns nothing.
        ([curve(1.9)] * 9 + [curve(0.9)], "reproduced"),
        ([curve(1.9)] * 5 + [curve(0.5)] * 4, "undecided"),
        ([curve(0.5)] * 8, "not reproduced"),
        # What comes before the first epoch does not count.
        ([[98, *curve(0.9)[1:]]] * 8, "not reproduced"),
        ([curve(1.9)] * 5, "insufficient"),
    ],
)
def test_digits_are_judged_by_paired_seeds(curves, expected):
    assert outcomes(made_up(curves))["digits_grow"] == expected


def test_a_curve_that_rises_at_first_alone_does_not_keep_growing():
    found = outcomes(made_up([[500, 200, 302, 302, 302, 302, 302, 302, 296]] * 8))
    assert found["digits_grow"] == "reproduced"
    assert found["digits_keep_growing"] == "not reproduced"


def test_a_loose_tolerance_can_hide_the_growth():
    found = outcomes(made_up([curve(1.9)] * 8, loose=[[20] * 8 + [14]] * 8))
    assert found["digits_grow"] == "reproduced"
    assert found["digits_grow_as_trained"] == "not reproduced"


def test_nets_that_have_not_learnt_are_not_judged():
    found = judgements(made_up([curve(1.9)] * 8, test_error=0.5))
    assert {found[name].outcome for name in DIGITS} == {"insufficient"}
    assert found["digits_grow"].lacking.startswith("the median test error of the trained nets is")
    found = judgements(toys(test_error=0.05))
    assert found["node_grows"].lacking.startswith("the median test error of the NODEs on spheres")


def invalid_digits(*solves: tuple[int, int]) -> pd.DataFrame:
    """Eight nets, of which the given (seed, epoch) fail a check at the checked tolerance."""
    df = made_up([curve(1.9)] * 8)
    for seed, epoch in solves:
        solve = (df["role"] == "checked") & (df["repetition"] == seed) & (df["epoch"] == epoch)
        df.loc[solve, ["valid", "reconstruction_error", "nfe_forward"]] = [False, 1.0, 2]
    return df


@pytest.mark.parametrize(
    ("invalid", "expected"),
    [
        ([(0, 0), (1, 5), (2, 5), (3, 5)], "reproduced"),
        ([(0, 1)], "reproduced"),
        ([(0, 8)], "reproduced"),
        ([(0, 8), (1, 1)], "insufficient"),
    ],
)
def test_a_seed_in_five_may_fail_a_check_at_an_end(invalid, expected):
    assert outcomes(invalid_digits(*invalid))["digits_grow"] == expected


def test_counts_that_are_no_whole_steps_invalidate_everything():
    df = everything()
    df.loc[df.index[0], "nfe_forward"] += 1
    assert set(outcomes(df).values()) == {"invalid"}


def test_few_seeds_and_small_trainings_are_not_judged():
    assert outcomes(toys(seeds=5))["node_grows"] == "insufficient"
    verdict = CLAIM.judge(toys(points=30, epochs=12))
    assert verdict.scale == "toy"
    assert verdict.summary == "0 of 5 reproduced, 5 insufficient"
    assert CLAIM.judge(toys(epochs=12)).scale == "reduced"


def test_the_map_is_about_the_node_and_names_the_tolerances_of_its_task():
    assert CLAIM.flips
    flips = CLAIM.flips(everything())
    values = flips.values
    rows = {task: set(group["row"]) for task, group in values.groupby("panel")}
    assert rows == {
        "mnist": {"0.001", "1e-07"},
        "spheres": {"0.001", "1e-06", "1e-07"},
        "sines": {"0.001", "1e-06", "1e-07"},
    }
    last = values[(values["panel"] == "spheres") & (values["column"] == 50)]
    assert last["value"].tolist() == pytest.approx([104 / 50] * 3)
    assert not flips.reproduced.hold(1.0)


def test_looks_double_and_end_with_the_last_epoch():
    assert looks(12) == [1, 2, 4, 8, 12]
    assert looks(8) == [1, 2, 4, 8]
    assert looks(1) == [1]
    assert [judge.middle_look(epochs) for epochs in (1, 2, 8, 12, 50, 160)] == [1, 1, 4, 4, 16, 64]


def test_the_caveats_say_what_was_learnt_from_points_and_what_failed():
    text = " ".join(CLAIM.judge(toys(invalid=((0, "node", 1),), epochs=12)).caveats)
    assert "No net that learnt the digits is published." in text
    assert "On spheres, after 12 epochs of 3,000 points, the NODE gets 1.0% wrong" in text
    assert "7 of 8 seeds pass the checks at both ends of training, in both arms" in text
    assert "On spheres, 96 of 96 solves at 0.001 fail" in text
    assert "1 of 96 solves at 1e-07 fail a validity check (NODE 1, ANODE 0)" in text
    assert "On spheres at 1e-6 a NODE takes 104 evaluations at the end and an ANODE 56" in text
    assert "sines" not in text


def test_the_caveats_name_the_epochs_that_fail():
    text = " ".join(CLAIM.judge(invalid_digits((0, 4))).caveats)
    assert "At tolerance 0.001 the reconstruction fails its check in 72 of 72 solves" in text
    assert "(epochs 0 to 8)" in text
    assert "At tolerance 1e-07 the reconstruction fails its check in 1 of 72 solves" in text
    assert "(epochs 4)" in text
    assert "At 1e-7 a net takes" in text
    assert "reference" not in text
    assert judge._ranges(pd.Series([5.0, 1.0, 0.0, 2.0, 2.0])) == "0 to 2, 5"
