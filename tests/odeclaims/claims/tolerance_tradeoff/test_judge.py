"""The statements and the caveats on made-up rows."""

import numpy as np
import pandas as pd
import pytest

from odeclaims.claims.tolerance_tradeoff import CLAIM
from odeclaims.claims.tolerance_tradeoff.settings import METHODS
from odeclaims.kits.rows import of
from odeclaims.statement import Judgement
from tests.odeclaims.claims.tolerance_tradeoff.examples import TOLERANCES, made_up

CONTROLLED = {"error_is_controlled"} | {f"error_is_controlled_{m}" for m in METHODS[:-1]}
PROPORTIONAL = {"time_is_proportional"} | {f"time_is_proportional_{m}" for m in METHODS[:-1]}
CLASSIFIED = {"accuracy_is_traded", "training_tolerance_is_enough"}


def judgements(df) -> dict[str, Judgement]:
    return {j.statement.name: j for j in CLAIM.judge(df).judgements}


def outcomes(df) -> dict[str, str]:
    return {name: j.outcome for name, j in judgements(df).items()}


def test_the_published_picture_is_reproduced():
    verdict = CLAIM.judge(made_up())
    assert {j.outcome for j in verdict.judgements} == {"reproduced"}
    assert verdict.summary == "4 of 4 reproduced"
    assert verdict.scale == "reduced"


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"slope": 0.3}, CONTROLLED),
        ({"time_slope": 0.5}, PROPORTIONAL),
        ({"lost": -0.005}, {"accuracy_is_traded"}),
    ],
)
def test_each_statement_can_be_refuted(changed, refuted):
    found = outcomes(made_up(**changed))
    assert {name for name, o in found.items() if o == "not reproduced"} == refuted
    assert {o for name, o in found.items() if name not in refuted} == {"reproduced"}


def test_methods_are_judged_apart():
    df = made_up()
    of_dopri5 = df["method"] == "dopri5"
    df.loc[of_dopri5, "error"] = 0.1 * df["tolerance"] ** 0.4
    found = outcomes(df)
    assert {n for n, o in found.items() if o != "reproduced"} == {"error_is_controlled_dopri5"}


def test_an_error_that_grows_with_the_evaluations_is_refuted():
    found = outcomes(made_up(slope=-0.5))
    assert found["tighter_is_never_worse"] == "undecided"
    assert found["error_is_controlled"] == "not reproduced"
    df = made_up()
    df["nfe_forward"] = df["nfe_forward"].max() + 2 - df["nfe_forward"]
    assert outcomes(df)["error_falls_with_evaluations"] == "not reproduced"


def test_a_training_tolerance_that_costs_accuracy_is_not_enough():
    df = made_up()
    df.loc[(df["method"] == "classifier") & (np.isclose(df["tolerance"], 1e-3)), "test_error"] += (
        0.005
    )
    assert outcomes(df)["training_tolerance_is_enough"] == "not reproduced"


@pytest.mark.parametrize("test_error", [None, 0.03])
def test_accuracy_is_judged_of_nets_that_have_learnt(test_error):
    found = outcomes(made_up(test_error=test_error))
    assert {name for name, o in found.items() if o == "insufficient"} == CLASSIFIED


def test_few_seeds_and_few_tolerances_are_insufficient():
    few = judgements(made_up(seeds=5))
    assert few["error_is_controlled"].lacking == "5 of at least 6 values"
    few = judgements(made_up(tolerances=TOLERANCES[:3]))
    assert few["error_is_controlled"].lacking == "3 tolerances, at least 4 needed"
    assert CLAIM.judge(made_up(seeds=1)).scale == "toy"


def test_rows_without_the_papers_solver_say_nothing_about_it():
    df = of(made_up(test_error=None), method=list(METHODS[:-1]))
    assert outcomes(df)["error_is_controlled"] == "insufficient"
    assert outcomes(df)["error_is_controlled_dopri5"] == "reproduced"


@pytest.mark.parametrize(("column", "value"), [("nfe_forward", 15), ("error", 1e-9)])
def test_a_failed_check_invalidates_what_rests_on_it(column, value):
    df = made_up()
    df.loc[df["method"] == "dopri5", column] = value
    found = outcomes(df)
    assert {o for name, o in found.items() if name not in CLASSIFIED} == {"invalid"}
    assert {found[name] for name in CLASSIFIED} == {"reproduced"}


def test_the_caveats_say_what_was_learnt_and_what_is_valid():
    text = " ".join(CLAIM.judge(made_up()).caveats)
    assert "Trained for 2 epochs of 100 images: test error 1.0% (median of 8 nets)" in text
    assert "adams: the loosest tolerance that passes the validity checks on every net is" in text


def test_the_caveats_name_the_error_of_the_nets_and_not_of_the_loosest_solve():
    rows = made_up(lost=0.05)
    # As they are measured: the classifier's rows come first.
    first = rows[rows["method"] == "classifier"]
    text = " ".join(CLAIM.judge(pd.concat([first, rows.drop(first.index)])).caveats)
    assert "test error 1.0% (median of 8 nets)" in text
