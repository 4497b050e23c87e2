"""The kinds of statement: what each rule decides, and how often it errs on simulated data."""

import math
from pathlib import Path

import numpy as np
import pytest

from odeclaims.rules import (
    Attempts,
    Better,
    Bounds,
    Curve,
    Equal,
    Exact,
    Impossible,
    Level,
    Outcome,
    Possible,
    Scales,
    Share,
)
from odeclaims.simulations import cases, simulate, simulate_several

# The whole, 2,000 sets a case, stands on the page on verdicts.
SETS = 150
# A two-way bootstrap of thousands of items takes longest.
SETS_OF_ITEMS = 50
CASES = list(cases())
POSITIVE = Bounds(at_least=0)


def no(count: int) -> tuple[bool, ...]:
    return (False,) * count


@pytest.mark.slow(reason="a rule judges hundreds of simulated results")
@pytest.mark.parametrize("case", CASES, ids=[f"{c.rule.kind}: {c.truth}" for c in CASES])
def test_a_rule_errs_seldom_and_sees_the_effect_that_it_promises(case):
    sets = SETS_OF_ITEMS if "items" in case.truth else SETS
    shares = simulate(case, sets)
    # Three standard deviations of a share over so many sets.
    if case.error:
        assert shares[case.error] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / sets)
    if case.power:
        outcome, share = case.power
        assert shares[outcome] >= share - 3 * math.sqrt(share * (1 - share) / sets)


def test_the_published_table_has_every_case_and_every_promise_is_kept():
    text = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text(encoding="utf-8")
    table = text.partition("<!-- simulations -->")[2].partition("<!-- end of")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    lines = [cells for cells in lines if len(cells) == 7][2:]
    assert [(kind, truth) for kind, _, truth, *_ in lines] == [
        (c.rule.kind, c.truth) for c in CASES
    ]
    for case, cells in zip(CASES, lines, strict=True):
        outcomes: tuple[Outcome, ...] = ("reproduced", "not reproduced", "undecided")
        shown = (float(each[:-1]) / 100 for each in cells[4:])
        shares: dict[Outcome, float] = dict(zip(outcomes, shown, strict=True))
        # Three standard deviations of a share over 2,000 sets.
        assert case.error is None or shares[case.error] <= 0.05 + 0.015
        assert case.power is None or shares[case.power[0]] >= case.power[1]


def test_of_several_statements_without_an_effect_seldom_is_any_decided():
    assert simulate_several(4, 10, SETS) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / SETS)


@pytest.mark.parametrize(
    ("rule", "quantity", "outcome"),
    [
        (Impossible(), Attempts(no(5)), "reproduced"),
        (Impossible(), Attempts((*no(4), True), (*no(4), True)), "not reproduced"),
        # Solved again it does no more, so that it was an error of the solver.
        (Impossible(), Attempts((*no(4), True), no(5)), "undecided"),
        (Impossible(), Attempts((*no(4), True)), "undecided"),
        # The seed that is confirmed is another one.
        (Impossible(), Attempts((True, *no(4)), (*no(4), True)), "undecided"),
        (Possible(), Attempts((True, *no(9))), "reproduced"),
        (Possible(), Attempts(no(9)), "undecided"),
        (Possible(), Attempts(no(10)), "not reproduced"),
        (Better(POSITIVE), np.arange(6) + 0.5, "reproduced"),
        (Better(POSITIVE), -np.arange(6) - 0.5, "not reproduced"),
        (Better(POSITIVE), np.arange(6) - 1.0, "undecided"),
        # Ties at the bound are no evidence.
        (Better(POSITIVE), np.zeros(8), "undecided"),
        (Better(Bounds(at_most=1)), np.full(6, 0.5), "reproduced"),
        (Better(POSITIVE, of="median"), np.arange(6) + 0.5, "reproduced"),
        (Equal(1), np.array([0.1, -0.2, 0.3, 0, 0.1]), "reproduced"),
        (Equal(1), np.full(5, 2.0), "not reproduced"),
        (Equal(1), np.array([0.5, 1.5, 0.9, 0.2, 1.2]), "undecided"),
        (Share(Bounds(at_least=0.5)), [True] * 10, "reproduced"),
        (Share(Bounds(at_least=0.5)), [False] * 10, "not reproduced"),
        (Share(Bounds(at_least=0.5)), [True, False] * 10, "undecided"),
        (Scales(Bounds(0.9, 1.1)), Curve((1, 2, 4, 8), (2, 4, 8, 16)), "reproduced"),
        (Scales(Bounds(1.5, 2.5)), Curve((1, 2, 4, 8), (2, 4, 8, 16)), "not reproduced"),
        (Scales(Bounds(0.9, 1.1)), Curve((1, 2, 4, 8), (2, 8, 6, 30)), "undecided"),
        (Scales(Bounds(0.9, 1.1)), np.full(6, 1.0), "reproduced"),
        (Level(1.0, widest=2), [0.9, 1.1, 1.0, 1.05], "reproduced"),
        (Level(9.0, widest=2), [0.9, 1.1, 1.0, 1.05], "not reproduced"),
        (Level(1.0, widest=0.1), [0.9, 1.1, 1.0, 1.05], "undecided"),
        (Exact(Bounds(at_most=1)), [0.5, 1.0], "reproduced"),
        (Exact(Bounds(at_most=1)), [0.5, 1.1], "not reproduced"),
    ],
)
def test_what_a_rule_decides(rule, quantity, outcome):
    assert len(quantity) >= rule.least
    assert rule.decide(quantity).outcome == outcome


def test_few_seeds_have_no_interval():
    decision = Better(POSITIVE, least=3).decide([1.0, 2.0, 3.0])
    assert (decision.interval, decision.outcome) == (None, "undecided")


def test_what_a_decision_says():
    assert Possible().decide(Attempts((True,) * 7 + no(3))).words == "7 of 10 [0.40, 0.89]"
    none = Impossible().decide(Attempts(no(60)))
    assert none.words == "0 of 60 [0.00, 0.06]"
    # The rule of three: 3 / 60, and a little more as the exact interval has two sides.
    assert none.interval
    assert none.interval[1] == pytest.approx(1 - 0.025 ** (1 / 60))
    assert Better(POSITIVE).decide([-1.0, 0, 0, 1, 1, 1]).words == "4 of 6 beyond the bound"
    worst = Exact(Bounds(1, 3)).decide([1.5, 2.9])
    assert (worst.value, worst.interval, worst.level) == (2.9, (1.5, 2.9), None)


def test_the_seeds_that_would_decide_do_decide():
    rng = np.random.default_rng(1)
    few = rng.normal(0.3, 1, 8)
    decision = Better(POSITIVE).decide(few)
    assert decision.outcome == "undecided"
    assert decision.seeds_needed
    effect, spread = few.mean(), few.std(ddof=1)
    decided = [
        Better(POSITIVE).decide(rng.normal(effect, spread, decision.seeds_needed)).outcome
        for _ in range(60)
    ]
    assert decided.count("reproduced") > 0.65 * 60


@pytest.mark.parametrize(
    ("values", "bounds", "share"),
    [
        ([1, 1, 1, 1, 1, -1, -1, -1.0], POSITIVE, 5 / 8),
        ([1, 1, 1, 1, 1, 1, 1, -1.0], POSITIVE, 7 / 8),
        ([1, 1, 1, 1, 1, 1, 0, 0.0], POSITIVE, 7 / 8),
        ([1, 1, 1, 1, -1, 1, 3, 1.0], Bounds(0, 2), 7 / 8),
        ([-1, -1, -1, -1, 1, -1, -1, 1.0], POSITIVE, 6 / 8),
    ],
)
def test_the_seeds_that_would_decide_about_a_median_do_decide(values, bounds, share):
    """By a test of signs: how far beyond the bound a value lies says nothing of its median."""
    decision = Better(bounds, "median").decide(values)
    assert decision.outcome == "undecided"
    assert decision.seeds_needed
    assert decision.seeds_needed > len(values)
    rng = np.random.default_rng(1)
    sign = 1 if np.median(values) > 0 else -1
    draws = sign * np.where(rng.random((200, decision.seeds_needed)) < share, 1.0, -1.0)
    decided = [Better(POSITIVE, "median").decide(draw).outcome != "undecided" for draw in draws]
    assert 0.7 < np.mean(decided) < 0.95


def test_more_values_than_there_are_would_decide():
    rng = np.random.default_rng(2)
    for of in ("mean", "median"):
        for _ in range(50):
            decision = Better(POSITIVE, of).decide(rng.normal(0.5, 1, 8))
            assert decision.seeds_needed is None or decision.seeds_needed > 8


def test_items_and_seeds_are_drawn_again_together():
    rng = np.random.default_rng(0)
    items = rng.normal(0, 1, (5, 400))
    decision = Equal(1.0).decide(items)
    assert decision.interval
    # The spread of seeds enters: the same values with a shift a seed have a wider interval.
    shifted = Equal(1.0).decide(items + np.linspace(-0.5, 0.5, 5)[:, None])
    assert shifted.interval
    assert np.ptp(shifted.interval) > 3 * np.ptp(decision.interval)


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="no value is at least 2 and at most 1"):
        Bounds(2, 1)
