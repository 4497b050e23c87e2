"""The judgements of invented counts."""

import pandas as pd
import pytest

from odeclaims.claims.seminorm_nfe import CLAIM, judge
from odeclaims.claims.seminorm_nfe.judge import at_equal_error, by_seed, pairs
from tests.odeclaims.claims.seminorm_nfe.examples import make_rows

CENTRAL = ("saves_a_quarter", "gradient_as_good", "can_save_half")


STATEMENTS = {statement.name: statement for statement in judge.STATEMENTS}


def outcome(df: pd.DataFrame, name: str) -> str:
    """Of one statement, without those beside it."""
    return STATEMENTS[name].judge(df).outcome


def failing(df: pd.DataFrame) -> list[str]:
    return [check.name for check in judge.CHECKS if not check.run(df).passed]


def test_the_published_saving_is_reproduced():
    verdict = CLAIM.judge(make_rows(seeds=7))
    assert verdict.summary == "3 of 3 reproduced"
    assert verdict.scale == "reduced"
    assert {j.outcome for j in verdict.judgements} == {"reproduced"}
    assert judge.SIZE.label(make_rows(width=300)) == "published size"


@pytest.mark.parametrize(
    ("changed", "statement"),
    [
        ({"saving": 0.2}, "saves_a_quarter"),
        ({"error_ratio": 3.0}, "gradient_as_good"),
        ({"best": 0.4}, "can_save_half"),
        ({"saving": 0.6}, "saves_as_published"),
        ({"of_sum": 0.1}, "saves_on_a_sum"),
        ({"on_mixed": 0.1}, "saves_on_the_mixed_norm"),
        ({"saving": -0.1, "best": -0.1}, "saves_at_equal_error"),
        ({"pooled": 0.1}, "pooled_nets_save"),
    ],
)
def test_what_is_otherwise_is_not_reproduced(changed, statement):
    assert outcome(make_rows(**changed), statement) == "not reproduced"


def test_six_seeds_and_three_tasks_are_insufficient():
    for few in (make_rows(seeds=6), make_rows(untaught=("digits", "moons"))):
        assert {outcome(few, name) for name in CENTRAL} == {"insufficient"}
    assert outcome(make_rows(untaught=("digits",)), "saves_a_quarter") == "reproduced"


def test_half_has_to_be_saved_in_most_seeds():
    df = make_rows(best=0.6)
    assert outcome(df, "can_save_half") == "reproduced"
    mixed = pd.concat([df[df["repetition"] < 3], make_rows(best=0.4).query("repetition >= 3")])
    assert outcome(mixed, "can_save_half") == "undecided"


def test_only_tolerances_at_which_the_other_norm_is_valid_count():
    df = make_rows()
    loose = (df["tolerance"] == 1e-3) & (df["norm"] == "flat")
    df.loc[loose, "valid"] = False
    assert set(pairs(df)["tolerance"]) == {1e-4, 1e-5, 1e-6, 1e-7}
    semi = (df["tolerance"] == 1e-4) & (df["norm"] == "seminorm")
    df.loc[semi, "valid"] = False
    assert 1e-4 in set(pairs(df)["tolerance"])


def test_an_error_within_that_of_the_reference_says_nothing():
    ratios = pairs(make_rows(error_ratio=3.0, reference_error=1e-6)).dropna(subset=["error_ratio"])
    assert set(ratios["tolerance"]) == {1e-3, 1e-4, 1e-5}
    assert ratios["error_ratio"].tolist() == pytest.approx([3.0] * len(ratios))


def test_the_value_of_a_seed_is_the_median_over_its_tasks():
    df = pd.DataFrame(
        [
            {"task": task, "net": "", "repetition": seed, "tolerance": tolerance, "saving": saving}
            for seed, savings in enumerate([[0.1, 0.2, 0.6], [0.3, 0.5]])
            for task, saving in zip(("moons", "pendulum", "spheres"), savings, strict=False)
            for tolerance in (1e-3, 1e-4)
        ]
    )
    # The second seed has two tasks.
    assert by_seed(df, "saving").tolist() == [0.2]


def test_at_equal_error_a_worse_gradient_costs_what_it_saves():
    # Ten times the error is that of a flat solve a decade looser, which takes half.
    table = at_equal_error(make_rows(saving=0.5, best=0.5, error_ratio=10.0))
    moons = table[(table["task"] == "moons") & (table["repetition"] == 0)]
    assert len(moons) == 4
    assert moons["saving"].to_numpy() == pytest.approx([0.0] * 4, abs=0.01)


def test_parts_of_steps_other_forward_solves_and_failures_are_seen():
    df = make_rows()
    assert failing(df) == []
    first = df.index[df["norm"] == "seminorm"][0]
    for column, value, check in (
        ("nfe_backward", df["nfe_backward"][first] + 1, "whole_steps"),
        ("nfe_forward", 68, "same_forward"),
        ("status", "max_steps", "seminorm_solves"),
    ):
        changed = df.copy()
        changed.loc[first, column] = value
        assert failing(changed) == [check]


def test_the_caveats_name_the_tasks_and_what_is_left_out():
    text = " ".join(judge.caveats(make_rows(untaught=("digits",))))
    assert "moons 40%" in text
    assert "left out: 4 of digits" in text
