"""The rules by which a claim is judged."""

import pandas as pd
import pytest

from odeclaims.claim import Bounds, Criterion, Verdict

ROWS = pd.DataFrame({"repetition": [0, 1, 2], "x": [1.0, 2.0, 9.0], "status": "ok"})


def criterion(**changes) -> Criterion:
    settings = {
        "name": "x",
        "values": lambda df: df["x"],
        "reproduced": Bounds(at_most=2),
        "because": "a test",
    }
    return Criterion(**(settings | changes))


@pytest.mark.parametrize(
    ("statistic", "outcome"),
    [("median", "reproduced"), ("min", "reproduced"), ("max", "not reproduced")],
)
def test_the_statistic_decides(statistic, outcome):
    assert criterion(statistic=statistic).judge(ROWS).outcome == outcome


def test_partly_is_the_wider_range():
    rule = criterion(reproduced=Bounds(at_most=1), partly=Bounds(at_most=2))
    assert rule.judge(ROWS).outcome == "partly"


def test_too_few_seeds_are_insufficient_and_say_so():
    judgement = criterion(least_seeds=4).judge(ROWS)
    assert judgement.outcome == "insufficient"
    assert judgement.lacking == "3 of at least 4 values"
    assert judgement.value is None


def test_a_value_that_is_not_finite_is_no_evidence():
    rows = ROWS.assign(x=[1.0, float("nan"), float("inf")])
    assert criterion(least_seeds=2).judge(rows).outcome == "insufficient"
    assert criterion().judge(ROWS.iloc[:0]).outcome == "insufficient"


def test_lacking_evidence_silences_the_criterion():
    needs = [lambda df: "", lambda df: "too short", lambda df: "too old"]
    judgement = criterion(needs=needs).judge(ROWS)
    assert (judgement.outcome, judgement.lacking) == ("insufficient", "too short")


def test_a_verdict_is_its_worst_criterion():
    good, bad = criterion().judge(ROWS), criterion(statistic="max").judge(ROWS)
    assert Verdict("c", "t", (good, bad), ()).outcome == "not reproduced"
    assert Verdict("c", "t", (good, bad, bad, good), ()).decisive is bad
    assert Verdict("c", "t", (good,), ()).outcome == "reproduced"


def test_an_expectation_is_judged_but_does_not_decide():
    good = criterion().judge(ROWS)
    aside = criterion(statistic="max", decides=False).judge(ROWS)
    assert aside.outcome == "not reproduced"
    assert Verdict("c", "t", (good, aside), ()).outcome == "reproduced"


def test_only_a_median_has_an_interval():
    assert criterion().judge(ROWS).interval is not None
    assert criterion(statistic="max").judge(ROWS).interval is None


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (Bounds(), "any value"),
        (Bounds(at_most=0.5), "<= 0.5"),
        (Bounds(at_least=3), ">= 3"),
        (Bounds(at_least=0.5, at_most=1.3), "0.5 to 1.3"),
    ],
)
def test_bounds_read_well_and_hold_at_their_ends(bounds, text):
    assert str(bounds) == text
    end = bounds.at_most if bounds.at_most < 1e9 else bounds.at_least
    assert bounds.hold(end)
    assert not bounds.hold(float("nan"))
