"""Claims whose rows failed are judged by what is left, and lose no other statement."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from odeclaims.cell import Profile
from odeclaims.claim import COMMON_COLUMNS, Claim
from odeclaims.claims import find_claims
from odeclaims.record.derive import judge_rows, tabulate_rows
from odeclaims.record.frame import frame, read_csv, to_csv
from odeclaims.record.results import read_results
from odeclaims.statement import NOT_OF_THE_REST

ROOT = Path(__file__).parents[3]
CLAIMS = find_claims()
DATA = Path("data.csv")


def all_failed(claim: Claim, status: str) -> pd.DataFrame:
    """What a run writes where every cell fails: its parameters, its seed and the status."""
    rows = [
        {
            **cell.params,
            "status": status,
            "repetition": cell.repetition,
            "seed": cell.seed,
            "device": "cpu",
            "solver": cell.solver,
        }
        for cell in claim.cells(Profile("quick"))
    ]
    return read_csv(to_csv(frame(claim, rows)))


@cache
def committed(slug: str) -> pd.DataFrame:
    (results,) = read_results(ROOT / "results", [CLAIMS[slug]], "quick")
    return results.read()


def with_failed(slug: str, failed: pd.Series, kept: Iterable[str]) -> pd.DataFrame:
    """The committed rows, of which some are failed: they keep what names them alone."""
    df = committed(slug).copy()
    df.loc[failed, "status"] = "oom"
    for name in df.columns.difference([*kept, *COMMON_COLUMNS]):
        df[name] = df[name].where(~failed)
    return read_csv(to_csv(df))


@pytest.mark.parametrize("status", ["oom", "nonfinite"])
@pytest.mark.parametrize("slug", CLAIMS)
def test_a_claim_of_which_every_row_failed_is_not_decided(slug, status):
    claim = CLAIMS[slug]
    df = all_failed(claim, status)
    verdict = judge_rows(claim, df, DATA)
    assert {j.outcome for j in verdict.judgements} <= {"insufficient", "invalid"}
    assert all(j.lacking for j in verdict.judgements)
    assert "nan%" not in verdict.size
    assert verdict.caveats[-1] == f"{len(df)} of {len(df)} rows have the status {status}."
    assert len(tabulate_rows(claim, df, DATA))


ARMS = {"field", "gradient", "sweep", "level"}


@pytest.mark.parametrize(
    ("gradient", "lost", "kept"),
    [
        ("backprop", "checkpoints_hold_little", "adjoint_constant_conv"),
        ("adjoint", "adjoint_constant_conv", "stages_hold_less"),
    ],
)
def test_an_arm_that_failed_takes_its_own_statements_alone(gradient, lost, kept):
    claim, df = CLAIMS["adjoint_memory"], committed("adjoint_memory")
    failed = with_failed("adjoint_memory", df["gradient"] == gradient, ARMS)
    before = {j.statement.name: j for j in claim.judge(df).judgements}
    after = {j.statement.name: j for j in claim.judge(failed).judgements}
    assert before[lost].outcome != "insufficient"
    assert after[lost].outcome == "insufficient"
    assert after[kept].as_dict() == before[kept].as_dict()


def test_a_statement_says_that_it_cannot_be_worked_out():
    df = committed("adjoint_memory")
    failed = with_failed("adjoint_memory", df["gradient"] == "backprop", ARMS)
    judgements = {j.statement.name: j for j in CLAIMS["adjoint_memory"].judge(failed).judgements}
    assert judgements["checkpoints_hold_little"].lacking == NOT_OF_THE_REST


@pytest.mark.parametrize(
    ("slug", "column", "value"),
    [
        ("annulus", "kind", "result"),
        ("equations", "form", "printed"),
        ("equations", "form", "corrected"),
        ("solver_dependence", "role", "training"),
    ],
)
def test_other_arms_that_failed_lose_no_verdict(slug, column, value):
    failed = committed(slug)[column] == value
    assert failed.any()
    df = with_failed(slug, failed, {column})
    verdict = judge_rows(CLAIMS[slug], df, DATA)
    assert len(verdict.judgements) == len(CLAIMS[slug].statements)
    assert len(tabulate_rows(CLAIMS[slug], df, DATA))


def test_a_table_that_cannot_be_made_says_so():
    table = tabulate_rows(CLAIMS["annulus"], all_failed(CLAIMS["annulus"], "oom"), DATA)
    assert table.to_dict("list") == {"note": [f"There is no table: {NOT_OF_THE_REST}."]}
