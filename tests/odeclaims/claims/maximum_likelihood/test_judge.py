"""The verdict on made-up gaps."""

from collections.abc import Mapping

import pandas as pd
import pytest

from odeclaims.claims.maximum_likelihood import CLAIM
from odeclaims.claims.maximum_likelihood.judge import NAMES, caveats
from odeclaims.claims.maximum_likelihood.settings import DATA, EVEN_TIME

GAPS = {"cnf": 0.1, "cnf_constant": 0.2, "nf": 0.5, "nf_long": 0.4}


def made_up(
    gaps: Mapping[tuple[str, str], float] = {},
    *,
    seeds: int = 3,
    error: float = 1e-4,
    iterations: int = 1000,
    bad: int = 0,
    status: str = "ok",
) -> pd.DataFrame:
    """Results of every seed alike; ``status`` is that of one model of the CNF.

    So many models, ``bad``, fail the reconstruction check.
    """
    rows = []
    for repetition in range(seeds):
        for arm in NAMES:
            for data in DATA:
                row = {
                    "kind": "result",
                    "arm": arm,
                    "data": data,
                    "repetition": repetition,
                    "iterations": iterations * (EVEN_TIME if arm == "nf_long" else 1),
                    "batch_size": 512,
                    "gap": gaps.get((arm, data), GAPS[arm]),
                    "gap_se": 0.01,
                    "reconstruction_error": error if arm == "cnf" else 1e-9,
                    "status": status if (arm, data, repetition) == ("cnf", "moons", 0) else "ok",
                }
                rows.append(row)
    for row in rows[:bad]:
        row["reconstruction_error"] = 0.1
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(made_up())) == {"reproduced"}
    assert CLAIM.judge(made_up()).outcome == "reproduced"


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({"gaps": {("cnf", "circles"): 0.2}}, {0}),
        ({"gaps": {("cnf", "moons"): 0.2}}, {1}),
        ({"gaps": {("nf", "moons"): 0.15}}, {2, 6}),
        ({"error": 2e-3}, {4}),
        ({"gaps": {("nf_long", "circles"): -0.05}}, {5}),
    ],
)
def test_a_verdict_that_fails(changed, failing):
    found = outcomes(made_up(**changed))
    assert {i for i, outcome in enumerate(found) if outcome == "not reproduced"} == failing
    assert CLAIM.judge(made_up(**changed)).outcome == "not reproduced"


def test_an_edge_with_equal_iterations_alone_holds_in_part():
    df = made_up({("nf_long", "moons"): 0.05})
    assert outcomes(df)[3] == "partly"
    assert CLAIM.judge(df).outcome == "partly"


def test_what_does_not_decide_does_not():
    df = made_up({("cnf_constant", "moons"): 0.6, ("nf", "circles"): 0.1})
    assert outcomes(df)[6:] == ["not reproduced"] * 2
    assert CLAIM.judge(df).outcome == "reproduced"


@pytest.mark.parametrize(
    "changed", [{"seeds": 2}, {"iterations": 999}, {"status": "max_steps"}, {"error": 0.1}]
)
def test_little_evidence_is_insufficient(changed):
    assert outcomes(made_up(**changed))[:4] == ["insufficient"] * 4


def test_a_short_training_is_a_caveat():
    short, full = (" ".join(caveats(made_up(iterations=n))) for n in (1000, 10_000))
    assert "The CNF had 1000 of the 10000 iterations" in short
    assert "may be that of a short training" not in full
    assert "1 of 24 models fail the reconstruction check" in " ".join(
        caveats(made_up(iterations=1000, bad=1))
    )
