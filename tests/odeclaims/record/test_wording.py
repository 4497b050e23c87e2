"""What a reader is told of several verdicts together."""

import pytest

from odeclaims.record.wording import describe_overall
from odeclaims.rules import (
    Attempts,
    Better,
    Bounds,
    Curve,
    Equal,
    Exact,
    Impossible,
    Level,
    Rule,
    Scales,
)
from odeclaims.statement import Judgement, Statement, Verdict
from tests.odeclaims.toy_claims import x_of

SEEDS = [0.9, 1.0, 1.1, 1.2, 1.3, 1.4]
EXACT = (Exact(Bounds(at_most=2)), SEEDS)
BETTER = (Better(Bounds(at_least=0)), SEEDS)
EQUAL = (Equal(2.0), SEEDS)
LEVEL = (Level(1.0, widest=9.0), SEEDS)
CURVE = (Scales(Bounds(0.8, 1.2)), Curve((1.0, 2.0, 4.0, 8.0), (1.0, 2.1, 3.9, 8.0)))
NONE = (Impossible(), Attempts((False,) * 9))


def verdict(*decided: tuple[Rule, object], central: bool = True) -> Verdict:
    """That of a claim whose statements are decided by these rules on these quantities."""
    judgements = []
    for number, (rule, quantity) in enumerate(decided):
        statement = Statement(f"s{number}", "x", x_of, rule, "a test", central=central)
        decision = rule.decide(quantity)
        judgements.append(Judgement(statement, decision.outcome, decision, ""))
    return Verdict("toy", "A toy", 1, "reduced", "", tuple(judgements))


@pytest.mark.parametrize(
    ("decided", "at_most"),
    [
        ([BETTER, BETTER], "0.05"),
        ([EQUAL], "0.1"),
        ([LEVEL], "0.05"),
        ([CURVE, CURVE], "0.1"),
        ([EXACT, BETTER, EQUAL, LEVEL], "0.2"),
        ([EQUAL] * 12, "1"),
    ],
)
def test_chance_enters_what_an_interval_decides(decided, at_most):
    assert describe_overall([verdict(*decided)]).endswith(
        "over 1 claim. It rests on random numbers. If none of the effects existed, chance alone"
        f" would decide wrongly with a probability of at most {at_most}."
    )


def test_what_no_seed_does_may_be_rare():
    ends = (
        " That no seed did a thing shows only that it is rare: its share may be as high as the"
        " upper end of the interval."
    )
    assert describe_overall([verdict(NONE)]).endswith(f" at most 0.05.{ends}")
    several = describe_overall([verdict(NONE), verdict(BETTER)])
    assert several.endswith(f"at most 0.1 of them wrongly, on average.{ends}")


@pytest.mark.parametrize("free", [verdict(EXACT), verdict(EQUAL, central=False), verdict()])
def test_chance_enters_nothing_else(free):
    assert describe_overall([free]).endswith("over 1 claim. No decision rests on random numbers.")


def test_several_claims_are_counted_together():
    together = describe_overall([verdict(BETTER), verdict(EXACT), verdict(CURVE, EQUAL)])
    assert together.endswith(
        "over 3 claims. Of these claims 2 rest on random numbers. If none of the effects"
        " existed, chance alone would decide at most 0.2 of them wrongly, on average."
    )
