"""The rules by which a claim is judged, and how a cell is named and seeded."""

import pandas as pd
import pytest
import torch

from neural_ode import NonFinite
from odeclaims.claim import Bounds, Cell, Criterion, Profile, Verdict, guarded

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
    judgement = criterion(lacking=lambda df: "too short").judge(ROWS)
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


def test_seeds_depend_on_the_cell_but_not_on_paired_parameters():
    def cell(arm: str, size: int = 1, repetition: int = 0) -> Cell:
        return Cell("c", {"arm": arm, "size": size}, repetition, paired=("arm",))

    assert cell("a").seed == cell("b").seed
    seeds = {cell("a", size, r).seed for size in (1, 2) for r in (0, 1)}
    assert len(seeds) == 4
    assert cell("a").key("code") != cell("b").key("code")
    assert cell("a").key("code") != cell("a").key("other code")


def test_generators_of_a_cell_are_equal_and_fresh():
    cell = Cell("c", {})
    first, second = (torch.rand(3, generator=cell.generator()) for _ in range(2))
    assert torch.equal(first, second)


def test_guarded_turns_failures_into_rows_and_lets_bugs_through():
    def fail() -> dict:
        raise NonFinite("no", 0.5)

    def out_of_memory() -> dict:
        raise torch.OutOfMemoryError("no")

    assert guarded(lambda: {"x": 1}) == {"status": "ok", "x": 1}
    assert guarded(fail) == {"status": "nonfinite"}
    assert guarded(out_of_memory) == {"status": "oom"}
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: {"x": 1 / 0})


def test_the_user_sets_the_repetitions():
    counts = {"smoke": 1, "quick": 3, "paper": 5}
    assert len(Profile("quick").repetitions(**counts)) == 3
    assert len(Profile("quick", seeds=7).repetitions(**counts)) == 7
