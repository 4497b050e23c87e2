"""The judgements of invented models."""

import pytest

from odeclaims.claims.latent_ode_spirals import CLAIM
from odeclaims.claims.latent_ode_spirals.judge import STATEMENTS
from odeclaims.claims.latent_ode_spirals.settings import COUNTS
from tests.odeclaims.claims.latent_ode_spirals.examples import make_rows

EVERY = {each.name for each in STATEMENTS}
CENTRAL = tuple(f"beats_rnn_{points}" for points in COUNTS)


def outcomes(**changed) -> dict[str, str]:
    verdict = CLAIM.judge(make_rows(**changed))
    return {each.statement.name: each.outcome for each in verdict.judgements}


def named(found: dict[str, str], outcome: str) -> set[str]:
    return {name for name, each in found.items() if each == outcome}


def test_published_errors_reproduce_everything():
    verdict = CLAIM.judge(make_rows())
    assert verdict.summary == "3 of 3 reproduced"
    assert tuple(each.statement.name for each in verdict.central) == CENTRAL
    assert {each.outcome for each in verdict.judgements} == {"reproduced"}
    assert all(check.passed for check in verdict.checks)
    assert verdict.scale == "reduced"
    assert verdict.size.startswith("10% of")


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({("rnn", 30): 0.15}, {"beats_rnn_30", "ratio_30"}),
        (
            {("rnn", 50): 0.14, ("rnn_dt", 100): 0.1},
            {"beats_rnn_50", "ratio_50", "beats_rnn_dt_100"},
        ),
        ({("rnn", 100): 0.12}, {"beats_rnn_100"}),
        ({("rnn", 100): 0.5}, {"ratio_100"}),
        ({("rnn_dt", 30): 0.1, ("rnn_dt", 50): 0.1}, {"beats_rnn_dt_30", "beats_rnn_dt_50"}),
        ({("lookup", 30): 0.05}, {"beats_lookup_30"}),
    ],
)
def test_what_is_otherwise_is_not_reproduced(changed, names):
    assert named(outcomes(errors=changed), "not reproduced") == names


def test_seeds_that_differ_by_more_than_the_effect_leave_it_undecided():
    found = outcomes(errors={("rnn", 30): 0.17}, spread=0.2)
    assert found["beats_rnn_30"] == "undecided"
    assert found["beats_rnn_50"] == "reproduced"


def test_eight_seeds_decide_among_three_central_statements():
    assert named(outcomes(seeds=8), "reproduced") == EVERY
    assert named(outcomes(seeds=7), "insufficient") == EVERY


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"counts": (30,)}, {name for name in EVERY if not name.endswith("_30")}),
        # A lookup has no training.
        (
            {"gains": {("latent_ode", 30): 0.02}},
            {"beats_rnn_30", "beats_rnn_dt_30", "beats_lookup_30", "ratio_30"},
        ),
        ({"gains": {("rnn", 30): 0.02}}, {"beats_rnn_30", "ratio_30"}),
        ({"gains": {("rnn_dt", 100): 0.02}}, {"beats_rnn_dt_100"}),
        ({"gains": {("rnn_dt", 100): 0.009}}, set()),
        ({"updates": 100}, EVERY),
    ],
)
def test_what_lacks_evidence_is_insufficient(changed, names):
    assert named(outcomes(**changed), "insufficient") == names


def test_a_comparison_that_turns_with_the_length_of_the_training_is_insufficient():
    turned = {("rnn", 30): 0.1, ("rnn_dt", 50): 0.1}
    verdict = CLAIM.judge(make_rows(half_errors=turned))
    lacking = {each.statement.name: each.lacking for each in verdict.judgements if each.lacking}
    assert set(lacking) == {"beats_rnn_30", "beats_rnn_dt_50"}
    assert lacking["beats_rnn_30"] == (
        "the mean log ratio is 0.50 after half of the updates and -0.87 after all, and one sign is"
        " needed"
    )
    # A ratio that only grows or shrinks decides as before.
    assert named(outcomes(half_errors={("rnn", 30): 0.2}), "reproduced") == EVERY


def test_without_a_training_of_half_the_updates_no_model_is_better():
    rows = make_rows()
    found = CLAIM.judge(rows[rows["updates"] == 2000]).judgements
    assert {
        each.statement.name for each in found if each.lacking == "no trainings of half the updates"
    } == {name for name in EVERY if name.startswith("beats")}


def test_failed_trainings_are_no_seeds():
    df = make_rows()
    failed = (df["arm"] == "rnn") & (df["points"] == 30) & (df["repetition"] > 6)
    df.loc[failed, "status"] = "nonfinite"
    found = {each.statement.name: each for each in CLAIM.judge(df).judgements}
    assert found["beats_rnn_30"].outcome == "insufficient"
    assert found["beats_rnn_30"].lacking == "7 of at least 8 seeds"
    assert found["beats_rnn_dt_30"].outcome == "reproduced"


def test_a_coarse_solve_or_other_windows_are_invalid():
    assert named(outcomes(solver_difference=0.05), "invalid") == EVERY
    df = make_rows()
    df.loc[df["arm"] == "rnn_dt", "seed"] += 1
    assert {each.outcome for each in CLAIM.judge(df).judgements} == {"invalid"}


def test_the_caveats_say_what_is_missing_and_what_still_gains():
    rows = make_rows(counts=(30,), gains={("rnn", 30): 0.034})
    text = "\n".join(CLAIM.judge(rows).caveats)
    assert "Windows with 50 or 100 observed points were not measured, so that 2 of 3" in text
    assert "in their last tenth (median share of the loss): rnn 3.4%." in text
    assert "than that of rnn in 10 of 10 (median ratio 0.42), rnn_dt in 10 of 10" in text
    assert "where none does: latent_ode 0.082 and 0.33, rnn 0.20 and 0.79" in text
    assert "after half of the updates and after all: latent_ode 0.164 and 0.164, rnn" in text
    assert "not measured" not in "\n".join(CLAIM.judge(make_rows()).caveats)
