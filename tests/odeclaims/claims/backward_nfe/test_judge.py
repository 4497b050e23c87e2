"""The statements and the caveats, on made-up rows."""

import pandas as pd
import pytest

from odeclaims.claims.backward_nfe import CLAIM
from odeclaims.claims.backward_nfe.judge import caveats
from odeclaims.statement import Judgement
from tests.odeclaims.claims.backward_nfe.examples import TOLERANCES, made_up

ALL = {
    "half_counted_apart",
    "half_as_logged",
    "fewer_counted_apart",
    "as_in_corrected_logs",
    "half_as_logged_at_their_tolerances",
    "half_counted_apart_dopri5",
    "half_counted_apart_bosh3",
}
THEIRS = {"half_as_logged_at_their_tolerances"}
LOGGED = {"half_as_logged", "half_as_logged_at_their_tolerances"}
HALVES = {name for name in ALL if name.startswith("half_counted_apart")}


def judgements(df: pd.DataFrame) -> dict[str, Judgement]:
    return {j.statement.name: j for j in CLAIM.judge(df).judgements}


def reproduced(df: pd.DataFrame) -> set[str]:
    """The statements that hold; every other one is refuted."""
    outcomes = {name: j.outcome for name, j in judgements(df).items()}
    assert set(outcomes) == ALL
    assert set(outcomes.values()) <= {"reproduced", "not reproduced"}
    return {name for name, outcome in outcomes.items() if outcome == "reproduced"}


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.5, HALVES | {"fewer_counted_apart"}),
        (0.35, {"fewer_counted_apart"}),
        (0.82, {"fewer_counted_apart", "as_in_corrected_logs", *LOGGED}),
        (0.95, {"fewer_counted_apart", *LOGGED}),
        (1.1, LOGGED),
        (4.0, set()),
    ],
)
def test_each_statement_can_hold_and_fail(ratio, expected):
    assert reproduced(made_up(ratio)) == expected


def test_the_two_countings_are_two_central_statements():
    verdict = CLAIM.judge(made_up(0.82))
    assert [j.statement.name for j in verdict.central] == ["half_counted_apart", "half_as_logged"]
    assert verdict.summary == "1 of 2 reproduced, 1 not reproduced"
    assert verdict.scale == "reduced"


def test_each_solver_has_a_statement_of_its_own():
    found = reproduced(made_up({"adams": 0.5, "dopri5": 2.0, "bosh3": 0.9}))
    assert found == {"half_counted_apart", "fewer_counted_apart"}


def test_an_interval_across_a_bound_is_undecided():
    parts = [made_up(ratio, seeds=4) for ratio in (0.5, 0.7)]
    parts[1]["repetition"] += 4
    assert judgements(pd.concat(parts))["half_counted_apart"].outcome == "undecided"


@pytest.mark.parametrize(
    "changed",
    [
        {"trained": False},
        {"adjoint_factor": 100},
        {"norm": "seminorm"},
        {"loss": "sum"},
        {"status": "max_steps"},
    ],
)
def test_rows_of_another_setting_do_not_count(changed):
    others = made_up(0.5, seeds=9, **changed)
    good = made_up(2.0, seeds=9)
    assert reproduced(pd.concat([good, others], ignore_index=True)) == reproduced(good)
    assert {j.outcome for j in judgements(others).values()} == {"insufficient"}


@pytest.mark.parametrize(
    ("changed", "lacking"),
    [
        ({"seeds": 5}, "5 of at least 6 seeds"),
        ({"test_error": 0.3}, "the median test error of the trained nets is 0.3, at most 0.02"),
        ({"valid": False}, "0 of 8 seeds have valid solves by adams at 3 tolerances"),
        ({"tolerances": TOLERANCES[:2]}, "0 of 8 seeds have valid solves by adams at 3 tolerances"),
        ({"images": 1000}, "too little training to judge"),
    ],
)
def test_too_little_evidence_is_insufficient(changed, lacking):
    found = judgements(made_up(**changed))
    whatever = set() if {"valid", "tolerances"}.isdisjoint(changed) else THEIRS
    outcomes = {j.outcome for name, j in found.items() if name not in whatever}
    assert outcomes == {"insufficient"}
    assert found["half_counted_apart"].lacking.startswith(lacking)


def test_only_valid_solves_are_judged():
    loose = made_up(2.0, tolerances=TOLERANCES[:4], valid=False)
    df = pd.concat([loose, made_up(0.5, tolerances=TOLERANCES[4:])], ignore_index=True)
    assert reproduced(df) - THEIRS == reproduced(made_up(0.5)) - THEIRS
    # At the tolerances of the authors any solve counts.
    assert judgements(df)["half_as_logged_at_their_tolerances"].outcome == "not reproduced"


@pytest.mark.parametrize("column", ["calls_forward", "calls_backward"])
def test_calls_that_are_not_counted_invalidate_everything(column):
    df = made_up()
    df.loc[df["method"] == "dopri5", column] += 1
    assert {j.outcome for j in judgements(df).values()} == {"invalid"}


def test_caveats_say_where_the_ratio_turns():
    loose, tight = made_up(1.2, tolerances=TOLERANCES[:2]), made_up(0.8, tolerances=TOLERANCES[2:])
    sum_ = made_up(3.0, loss="sum")
    text = " ".join(caveats(pd.concat([loose, tight, sum_], ignore_index=True)))
    assert "test error 1.0% (median of 8 nets)" in text
    assert (
        "adams, trained, published setting: the ratio is below 1 at 0.01, 0.001, 0.0001, 1e-05,"
        " 1e-06, 1e-07 and"
        " not below 1 at 1, 0.1." in text
    )
    assert "from 0.800 (adams, trained" not in text
    assert "from 0.8 (adams, trained, adjoint at the forward tolerance" in text
    assert "3 (adams, trained, adjoint at the forward tolerance, norm rms, loss sum)" in text


def test_the_map_has_one_range_and_every_setting():
    assert CLAIM.flips
    flips = CLAIM.flips(made_up(0.8))
    assert (flips.reproduced.at_least, flips.reproduced.at_most) == (0.4, 0.6)
    assert set(flips.values["value"]) == {0.8}
