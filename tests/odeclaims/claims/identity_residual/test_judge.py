"""The judgements of invented errors."""

import numpy as np
import pandas as pd
import pytest

from odeclaims.claims.identity_residual import CLAIM
from odeclaims.claims.identity_residual.judge import best, lead
from odeclaims.claims.identity_residual.settings import DEEP, SHALLOW
from tests.odeclaims.claims.identity_residual.examples import make_rows


def others_than_reproduced(df: pd.DataFrame) -> dict[str, str]:
    judgements = CLAIM.judge(df).judgements
    return {j.statement.name: j.outcome for j in judgements if j.outcome != "reproduced"}


def test_every_statement_holds_where_the_paper_does():
    verdict = CLAIM.judge(make_rows())
    assert not others_than_reproduced(make_rows())
    assert verdict.summary == "5 of 5 reproduced"
    assert len(verdict.caveats) == 1


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({("identity", SHALLOW, "plain"): 1e-4}, "identity_shallow"),
        ({("identity", DEEP, "plain_he"): 1e-4}, "identity_deep"),
        ({("near_identity", SHALLOW, "plain_he"): 1e-3}, "near_identity_shallow"),
        ({("near_identity", DEEP, "plain"): 1e-3}, "near_identity_deep"),
        ({("near_zero", SHALLOW, "residual"): 1e-3}, "near_zero_shallow"),
        ({("near_zero", DEEP, "residual"): 1e-3}, "near_zero_deep"),
    ],
)
def test_the_other_kind_ahead_breaks_a_statement(changes, broken):
    found = others_than_reproduced(make_rows(changes))
    assert found.pop(broken) == "not reproduced"
    # A plain network that is good in the deep does not degrade.
    assert set(found) <= {"plain_degrades"}


def test_a_residual_lead_near_zero_is_a_caveat():
    verdict = CLAIM.judge(make_rows({("near_zero", DEEP, "residual"): 1e-3}))
    assert "leads on a map near zero as well" in verdict.caveats[1]


def test_branches_that_grow_and_plain_networks_that_do_not_degrade_are_seen():
    to_zero = {"identity_means_zero": "not reproduced"}
    assert others_than_reproduced(make_rows(branch=0.05)) == to_zero
    grown = to_zero | {"identity_shrinks_branches": "not reproduced"}
    assert others_than_reproduced(make_rows(branch=0.6)) == grown
    alike = {("identity", DEEP, "plain"): 2e-3}
    assert others_than_reproduced(make_rows(alike)) == {"plain_degrades": "not reproduced"}


def test_a_lead_that_is_lost_in_the_seeds_is_undecided():
    close = {("near_identity", DEEP, arm): 0.0105 for arm in ("plain", "plain_he")}
    found = others_than_reproduced(make_rows(close, scatter=0.5))
    assert found["near_identity_deep"] == "undecided"


def test_few_seeds_and_networks_that_learned_nothing_are_insufficient():
    names = {statement.name for statement in CLAIM.statements}
    assert others_than_reproduced(make_rows(seeds=7)) == dict.fromkeys(names, "insufficient")
    slow = {("identity", DEEP, "residual"): 0.4}
    assert others_than_reproduced(make_rows(slow)) == dict.fromkeys(
        ("identity_deep", "identity_means_zero", "identity_shrinks_branches"), "insufficient"
    )


def test_a_target_that_is_not_near_makes_its_statements_invalid():
    far = make_rows(distances={"near_identity": 0.9, "near_zero": 0.9})
    assert others_than_reproduced(far) == dict.fromkeys(
        ("near_identity_shallow", "near_identity_deep", "near_zero_shallow", "near_zero_deep"),
        "invalid",
    )


def test_the_best_learning_rate_counts_and_one_that_blew_up_does_not():
    df = make_rows(scatter=0.0)
    assert set(best(df, "residual", "identity", DEEP)["learning_rate"]) == {0.01}
    end = (df["iteration"] == 250) & (df["learning_rate"] == 0.01) & (df["arm"] == "residual")
    df.loc[end, "error"] = np.nan
    assert set(best(df, "residual", "identity", DEEP)["learning_rate"]) == {0.03}
    assert lead("residual", "plain", "identity", DEEP, df) == pytest.approx(np.log(250))
