"""Statements beside one another: evidence, checks, toys, and several at once."""

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from odeclaims.rules import Better, Bounds, Exact
from odeclaims.statement import (
    NOT_OF_THE_REST,
    Check,
    Size,
    Statement,
    Verdict,
    judge_statements,
    summarise,
)

ROWS = pd.DataFrame({"repetition": range(8), "x": np.linspace(1, 2, 8), "status": "ok"})
POSITIVE = Bounds(at_least=0)


def x_of(df: pd.DataFrame) -> pd.Series:
    return df["x"]


def shifted(by: float, df: pd.DataFrame) -> pd.Series:
    return df["x"] - by


def one(df: pd.DataFrame) -> float:
    return 1.0


def statement(name: str = "x_is_large", **changes: Any) -> Statement:
    settings: dict[str, Any] = {
        "text": "x is large",
        "quantity": x_of,
        "rule": Better(POSITIVE),
        "because": "a test",
        "central": True,
    }
    return Statement(name, **(settings | changes))


def outcomes(*statements: Statement, checks: tuple[Check, ...] = (), scale: Any = "reduced"):
    results = [check.run(ROWS) for check in checks]
    return [j.outcome for j in judge_statements(ROWS, statements, results, scale)]


def test_the_interval_decides():
    assert outcomes(statement()) == ["reproduced"]
    assert outcomes(statement(quantity=partial(shifted, 3))) == ["not reproduced"]
    assert outcomes(statement(quantity=partial(shifted, 1.5))) == ["undecided"]


def test_a_need_that_is_not_met_is_said():
    short = statement(needs=(lambda df: "", lambda df: "too short"))
    judgement = short.judge(ROWS)
    assert (judgement.outcome, judgement.lacking) == ("insufficient", "too short")
    assert judgement.as_dict()["value"] is None


def test_fewer_values_than_the_rule_judges_are_insufficient():
    judgement = statement().judge(ROWS.iloc[:5])
    assert (judgement.outcome, judgement.lacking) == ("insufficient", "5 of at least 6 values")
    assert statement().judge(ROWS.iloc[:0]).outcome == "insufficient"


def test_values_that_are_not_finite_are_insufficient():
    judgement = statement().judge(ROWS.assign(x=[np.nan, *range(7)]))
    assert (judgement.outcome, judgement.lacking) == (
        "insufficient",
        "1 of 8 values are not finite",
    )


def rows_of_an_arm(df: pd.DataFrame) -> list[float]:
    wide = df[df["status"] == "ok"].pivot_table("x", "repetition", "arm")
    return list(wide["node"] - wide["anode"])


def test_what_needs_rows_that_failed_is_insufficient():
    df = pd.DataFrame({"arm": ["node", "anode"], "x": [1.0, 2.0], "repetition": 0})
    lost = Statement("lost", "x", rows_of_an_arm, Exact(Bounds(at_most=2)), "a test")
    check = Check("lost_check", "x", rows_of_an_arm, Bounds(at_most=2), "a test")
    judgement = lost.judge(df.assign(status=["ok", "oom"]))
    assert (judgement.outcome, judgement.decision) == ("insufficient", None)
    assert judgement.lacking == NOT_OF_THE_REST
    assert check.run(df.assign(status=["ok", "oom"])).as_dict()["values"] == 0
    # Where nothing failed it is an error of the code or of the rows.
    for judge in (lost.judge, check.run):
        with pytest.raises(KeyError, match="anode"):
            judge(df[:1].assign(status="ok"))


def test_a_size_that_is_not_known_is_none():
    lost = Size("ten rows", lambda df: float(df["no such"].max()))
    failed = ROWS.assign(status="oom")
    assert (lost.label(failed), lost.words(failed)) == ("toy", "0% of ten rows")
    unknown = Size("ten rows", lambda df: math.nan, lambda df: df["no such"].max())
    assert unknown.words(failed) == f"0% of ten rows; {NOT_OF_THE_REST}"
    with pytest.raises(KeyError):
        lost.label(ROWS)


def test_a_failed_check_makes_what_rests_on_it_invalid():
    checks = (
        Check("small", "x is small", x_of, Bounds(at_most=1.5), "a test"),
        Check("positive", "x is positive", x_of, POSITIVE, "a test"),
    )
    on_it, beside = statement(rests_on=("small",)), statement("beside", rests_on=("positive",))
    assert outcomes(on_it, beside, checks=checks) == ["invalid", "reproduced"]
    result = checks[0].run(ROWS)
    assert (result.passed, result.count, result.outside) == (False, 8, 4)
    assert checks[1].run(ROWS.iloc[:0]).passed


def test_a_toy_is_no_verdict_but_of_what_is_exact():
    exact = statement("exact", rule=Exact(POSITIVE))
    assert outcomes(statement(), exact, scale="toy") == ["insufficient", "reproduced"]


def test_what_chance_explains_among_several_is_undecided():
    # Six seeds alone reach p = 1/32, which is enough for one statement and not for four.
    rows = ROWS.iloc[:6]
    four = [statement(f"s{i}") for i in range(4)]
    for count, outcome in ((1, "reproduced"), (4, "undecided")):
        judgements = judge_statements(rows, four[:count], [], "reduced")
        assert [j.outcome for j in judgements] == [outcome] * count
    assert "among 4 statements" in judgements[0].lacking
    # What is not central is no reason to doubt the others.
    aside = [statement("s0"), *(statement(f"s{i}", central=False) for i in range(1, 4))]
    assert {j.outcome for j in judge_statements(rows, aside, [], "reduced")} == {"reproduced"}


def test_a_claim_counts_its_central_statements():
    judgements = judge_statements(
        ROWS,
        [
            statement("a"),
            statement("b", quantity=partial(shifted, 1.5)),
            statement("c", quantity=partial(shifted, 3), central=False),
        ],
        [],
        "reduced",
    )
    verdict = Verdict("toy", "A toy", 1, "reduced", "half", judgements)
    assert verdict.summary == "1 of 2 reproduced, 1 undecided"
    assert verdict.counts == {"reproduced": 1, "undecided": 1}
    assert summarise([]) == "0 of 0 reproduced"


@pytest.mark.parametrize(
    ("share", "missed", "label"),
    [
        (1.0, "", "published size"),
        (0.5, "", "reduced"),
        (0.009, "", "toy"),
        (float("nan"), "", "toy"),
        (1.0, "the error is 0.5", "toy"),
    ],
)
def test_the_scale_follows_from_the_share_and_the_floor(share, missed, label):
    size = Size("100 images", lambda df: share, lambda df: missed)
    assert size.label(ROWS) == label
    assert "of 100 images" in size.words(ROWS)
    assert missed in size.words(ROWS)
