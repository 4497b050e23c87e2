"""The criteria and the caveats, on made-up rows and on those of the smoke run."""

import pandas as pd
import pytest

from odeclaims.claims.backward_nfe import CLAIM
from odeclaims.claims.backward_nfe.judge import caveats
from tests.odeclaims.claims.backward_nfe.examples import TOLERANCES, made_up


def outcomes(df: pd.DataFrame) -> list[str]:
    return [criterion.judge(df).outcome for criterion in CLAIM.criteria]


@pytest.mark.parametrize(
    ("ratio", "apart", "beside_logs", "cumulative"),
    [
        (0.5, "reproduced", "not reproduced", "not reproduced"),
        (0.39, "partly", "not reproduced", "not reproduced"),
        (0.8, "partly", "reproduced", "reproduced"),
        (0.99, "partly", "not reproduced", "reproduced"),
        (1.0, "not reproduced", "not reproduced", "reproduced"),
        (4.0, "not reproduced", "not reproduced", "not reproduced"),
    ],
)
def test_every_outcome_can_come_about(ratio, apart, beside_logs, cumulative):
    df = made_up(ratio)
    assert outcomes(df) == [apart] * 4 + [beside_logs, cumulative]
    assert CLAIM.judge(df).outcome == apart


def test_the_paper_s_solver_alone_decides():
    ratio = {"adams": 0.5, "dopri5": 2.0, "bosh3": 0.9}
    assert outcomes(made_up(ratio))[:3] == ["reproduced", "not reproduced", "partly"]
    assert CLAIM.judge(made_up(ratio)).outcome == "reproduced"


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 0},
        {"adjoint_factor": 100},
        {"norm": "seminorm"},
        {"loss": "sum"},
        {"status": "max_steps"},
    ],
)
def test_rows_of_another_setting_do_not_count(changed):
    others = made_up(0.5, seeds=9, **changed)
    assert outcomes(pd.concat([made_up(2.0), others], ignore_index=True)) == outcomes(made_up(2.0))
    assert set(outcomes(others)) == {"insufficient"}


def test_a_median_needs_seeds_and_tolerances():
    assert set(outcomes(made_up(seeds=2))) == {"insufficient"}
    assert set(outcomes(made_up(tolerances=TOLERANCES[:3]))) == {"insufficient"}
    assert outcomes(made_up(tolerances=TOLERANCES[:4]))[0] == "reproduced"


def test_rows_that_fail_a_check_are_counted_where_all_are_and_not_where_valid_ones_are():
    loose = made_up(2.0, tolerances=TOLERANCES[:4], valid=False)
    df = pd.concat([loose, made_up(0.5, tolerances=TOLERANCES[4:])], ignore_index=True)
    judged = outcomes(df)
    assert (judged[0], judged[3]) == ("not reproduced", "reproduced")
    assert outcomes(made_up(0.5, valid=False))[3] == "insufficient"


def test_caveats_say_where_the_ratio_turns():
    loose, tight = made_up(1.2, tolerances=TOLERANCES[:2]), made_up(0.8, tolerances=TOLERANCES[2:])
    sum_ = made_up(3.0, loss="sum")
    text = " ".join(caveats(pd.concat([loose, tight, sum_], ignore_index=True)))
    assert "test error 30.0% (median of 3 nets)" in text
    assert (
        "adams, trained, published setting: the ratio is below 1 at 0.01, 0.001, 0.0001, 1e-05 and"
        " not below 1 at 1, 0.1." in text
    )
    assert "from 0.800 (adams, trained" not in text
    assert "from 0.8 (adams, trained, adjoint at the forward tolerance" in text
    assert "3 (adams, trained, adjoint at the forward tolerance, norm rms, loss sum)" in text


def test_smoke_is_too_little_for_a_verdict(smoke):
    verdict = CLAIM.judge(smoke)
    assert verdict.outcome == "insufficient"
    assert verdict.judgements[0].lacking == "3 tolerances solved by adams, at least 4 needed"
