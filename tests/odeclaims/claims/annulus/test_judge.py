"""The verdict on made-up rows."""

from typing import Any

import pandas as pd
import pytest

from odeclaims.claims.annulus import CLAIM
from odeclaims.claims.annulus.settings import TOLERANCES
from tests.odeclaims.claims.annulus.examples import SMALL

GOOD: dict[tuple[str, int], dict[str, Any]] = {
    ("node", 1): {"dense_accuracy": 0.75, "mse": 0.67, "overhang": 0.01, "order_violations": 0},
    ("node", 2): {"dense_accuracy": 0.99, "mse": 0.04, "overhang": 0.1, "winding_number": 1},
    ("anode", 1): {"dense_accuracy": 1.0, "mse": 1e-4, "overhang": -1.9},
    ("anode", 2): {"dense_accuracy": 1.0, "mse": 1e-4, "overhang": -1.9},
    ("resnet", 1): {"dense_accuracy": 1.0, "mse": 1e-4, "overhang": -1.9},
    ("resnet", 2): {"dense_accuracy": 1.0, "mse": 1e-4, "overhang": -1.9, "winding_number": 0},
}


def make_rows(
    changed: dict[tuple[str, int], dict[str, Any]] | None = None,
    reconstruction: float = 1e-4,
    seeds: int = 5,
) -> pd.DataFrame:
    """Rows of every seed alike, but for what is given, which the last seed alone has."""
    rows = []
    for seed in range(seeds):
        last = seed == seeds - 1
        for (arm, dim), good in GOOD.items():
            values = {**good, **((changed or {}).get((arm, dim), {}) if last else {})}
            common = {"kind": "result", "arm": arm, "dim": dim, "repetition": seed, "status": "ok"}
            row = {**SMALL, **common, "training_accuracy": 1.0, **values}
            if arm == "resnet":
                rows.append(row)
                continue
            for role, tolerance in TOLERANCES[dim].items():
                stamp = {"reconstruction_error": reconstruction if last else 1e-4, "valid": True}
                solved = {"training": role, "role": role, "tolerance": tolerance}
                rows.append({**row, **stamp, **solved, "training_tolerance": 1e-5})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(make_rows())) == {"reproduced"}


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({("node", 2): {"dense_accuracy": 1.0}}, [0, 9]),
        ({("node", 2): {"winding_number": 0}}, [1]),
        ({("node", 2): {"winding_number": 2}}, [1]),
        ({("anode", 2): {"dense_accuracy": 0.999}}, [2]),
        ({("node", 1): {"mse": 0.6}}, [3]),
        ({("node", 1): {"mse": 0.72}}, [4]),
        ({("node", 1): {"order_violations": 1}}, [5]),
        ({("anode", 1): {"dense_accuracy": 0.999}}, [6]),
    ],
)
def test_one_seed_is_enough_to_break_a_criterion(changed, failing):
    df = make_rows(changed)
    assert [i for i, outcome in enumerate(outcomes(df)) if outcome != "reproduced"] == failing
    assert CLAIM.judge(df).outcome == "not reproduced"


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({("node", 2): {"overhang": -0.1}}, [7]),
        ({("resnet", 1): {"dense_accuracy": 0.9}}, [10]),
    ],
)
def test_an_expectation_does_not_decide(changed, failing):
    df = make_rows(changed)
    assert [i for i, outcome in enumerate(outcomes(df)) if outcome != "reproduced"] == failing
    assert CLAIM.judge(df).outcome == "reproduced"


def test_a_circle_that_was_not_resolved_is_insufficient():
    assert outcomes(make_rows({("node", 2): {"winding_number": None}}))[1] == "insufficient"


def test_a_flow_that_cannot_be_taken_back_never_speaks():
    verdict = CLAIM.judge(make_rows(reconstruction=0.1))
    assert [j.outcome for j in verdict.judgements[:9]] == ["insufficient"] * 9
    assert "4 of 10 flows trained at 1e-05 fail" not in " ".join(verdict.caveats)
    assert "Solved at 1e-07, 2 of 10 flows trained at 1e-05 fail" in " ".join(verdict.caveats)


def test_of_ten_seeds_two_may_fail_the_check():
    ten = make_rows(seeds=10)
    failed = ten["repetition"] < 2
    ten.loc[failed & ten["tolerance"].notna(), "reconstruction_error"] = 0.1
    assert set(outcomes(ten)) == {"reproduced"}


def test_few_seeds_are_insufficient():
    assert set(outcomes(make_rows(seeds=4))) == {"insufficient"}


def test_the_caveat_says_that_a_sample_can_be_fitted():
    text = " ".join(CLAIM.judge(make_rows()).caveats)
    assert "A finite sample can be fitted by a Neural ODE" in text
    assert "5 of 5 checked flows are right on every training point" in text
