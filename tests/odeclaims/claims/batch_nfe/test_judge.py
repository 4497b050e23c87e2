"""The judgements of invented ratios."""

import pandas as pd
import pytest

from odeclaims.claims.batch_nfe import CLAIM
from tests.odeclaims.claims.batch_nfe.examples import make_rows

CENTRAL = ("nets_hardly_more", "oscillators_several_times", "up_to_four_times")


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def test_both_sides_are_right_where_nets_are_even_and_oscillators_are_not():
    verdict = CLAIM.judge(make_rows())
    assert verdict.summary == "3 of 3 reproduced"
    assert verdict.scale == "published size"
    assert set(outcomes(make_rows()).values()) == {"reproduced"}


@pytest.mark.parametrize(
    ("changed", "statement"),
    [
        ({"nets": 1.5}, "nets_hardly_more"),
        ({"untrained": 1.5}, "untrained_hardly_more"),
        ({"largest": 2.0}, "oscillators_several_times"),
        ({"largest": 7.0}, "up_to_four_times"),
        ({"own": 1.5}, "own_steps_hardly_more"),
        ({"joint_error": 1e-5}, "hardest_sample_errs_more"),
    ],
)
def test_what_is_otherwise_is_not_reproduced(changed, statement):
    assert outcomes(make_rows(**changed))[statement] == "not reproduced"


def test_larger_batches_that_cost_less_are_seen():
    df = make_rows()
    df.loc[(df["task"] == "vdp") & (df["samples"] == 64), "ratio"] = 1.0
    assert outcomes(df)["larger_batches_cost_more"] == "not reproduced"


def test_a_solver_without_steps_of_each_sample_is_judged_by_the_rest():
    df = make_rows()
    df[["nfe_own", "ratio_own", "error_own"]] = float("nan")
    found = outcomes(df)
    assert {found[name] for name in CENTRAL} == {"reproduced"}
    assert found["own_steps_hardly_more"] == "insufficient"


def test_few_nets_and_few_batches_are_insufficient():
    assert outcomes(make_rows(seeds=5))["nets_hardly_more"] == "insufficient"
    few = outcomes(make_rows(draws=9))
    assert {few[name] for name in CENTRAL[1:]} == {"insufficient"}
    assert few["nets_hardly_more"] == "reproduced"
    assert {outcomes(make_rows(draws=2))[name] for name in CENTRAL} == {"insufficient"}


def test_a_net_with_two_batches_does_not_count():
    df = make_rows()
    fewer = (df["task"] == "net") & (df["repetition"] < 3) & (df["draw"] >= 2)
    found = outcomes(df[~fewer])
    assert found["nets_hardly_more"] == found["untrained_hardly_more"] == "insufficient"


def test_singles_that_are_not_the_flow_and_parts_of_steps_invalidate():
    assert {outcomes(make_rows(single_error=0.02))[name] for name in CENTRAL} == {"invalid"}
    df = make_rows()
    df["nfe_joint"] = df["nfe_joint"].where(df.index > 0, df["nfe_joint"] + 1)
    assert {outcomes(df)[name] for name in CENTRAL} == {"invalid"}


def test_the_caveats_name_the_nets_and_the_other_norm():
    text = " ".join(CLAIM.judge(make_rows()).caveats)
    assert "for 8 of reduced_ode_net, ode_net" in text
    assert "the largest ratio of the oscillators is 4.3" in text
