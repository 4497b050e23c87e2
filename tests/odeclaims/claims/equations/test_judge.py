"""How a residual becomes a verdict."""

import pandas as pd
import pytest

from odeclaims.claims.equations import CLAIM
from odeclaims.claims.equations.catalogue import EQUATIONS
from odeclaims.claims.equations.judge import TOLERANCE
from tests.odeclaims.claims.equations.example_rows import rows


def values(df: pd.DataFrame) -> list[float | None]:
    return [judgement.value for judgement in CLAIM.judge(df).judgements]


def test_verdict_follows_the_residuals():
    share, _, corrected, surprises, undecided = values(rows())
    counted = [e for e in EQUATIONS if e.role != "example"]
    assert share == pytest.approx(sum(not e.kind for e in counted) / len(counted))
    assert corrected == pytest.approx(1e-12)
    assert surprises == undecided == 0


def test_without_slips_every_equation_holds_and_the_expectation_fails():
    share, asserting, _, surprises, _ = values(rows(slips=frozenset()))
    assert share == asserting == 1
    assert surprises == sum(bool(e.kind) and e.role != "example" for e in EQUATIONS)


def test_the_best_reading_of_a_printed_form_counts():
    df = rows()
    printed = df[(df["equation"] == "adjoint_ode") & (df["form"] == "printed")]
    better = printed.assign(reading=2, residual=0.0)
    assert values(pd.concat([df, better], ignore_index=True))[3] == 1


def test_a_residual_near_the_tolerance_is_reported():
    df = rows()
    df.loc[(df["equation"] == "taylor") & (df["form"] == "printed"), "residual"] = 5 * TOLERANCE
    assert values(df)[4] == 1


def test_a_missing_equation_is_insufficient_evidence():
    df = rows()
    assert CLAIM.judge(df[df["equation"] != "boxed"]).outcome == "insufficient"


def test_a_failed_section_is_insufficient_evidence():
    df = rows()
    failed = pd.DataFrame([{"section": "proof", "status": "timeout", "repetition": 3}])
    verdict = CLAIM.judge(pd.concat([df, failed], ignore_index=True))
    assert verdict.outcome == "insufficient"
