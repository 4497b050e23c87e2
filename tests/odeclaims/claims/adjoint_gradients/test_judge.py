import math

import numpy as np
import pandas as pd
import pytest

from odeclaims.cell import Profile
from odeclaims.claims.adjoint_gradients import CLAIM
from odeclaims.claims.adjoint_gradients.judge import GROUPS, caveats
from odeclaims.claims.adjoint_gradients.measure import ARMS, cells
from odeclaims.claims.adjoint_gradients.problems import FAMILIES
from odeclaims.claims.adjoint_gradients.settings import NEAR


def rows_of(error, different=None):
    """Rows of every benign and decaying problem, with the error that a function gives to each.

    One arm may differ from backprop through its solver by a thousandth, the others by rounding.
    """
    rows = []
    for cell in cells(Profile("quick")):
        group = FAMILIES[cell.params["problem"]].group
        if group not in ("benign", "decaying"):
            continue
        for arm in ARMS:
            value = error(arm, group, cell.params)
            common = {"gradient": arm, "group": group, "status": "ok", "reconstruction_error": 1e-3}
            names = ("gradient_error", "error_y0", "error_parameters")
            checks = {"reference_error": 1e-13, "finite_difference_error": 1e-10}
            errors: dict[str, float] = dict.fromkeys(names, value)
            errors["difference_to_backprop"] = 1e-3 if arm == different else 1e-14
            rows.append(
                {**cell.params, **common, **checks, **errors, "repetition": cell.repetition}
            )
    return pd.DataFrame(rows)


def expected(arm, group, params):
    lost = group == "decaying" and arm in ("adjoint", "adjoint_seminorm")
    return params["tol"] * (math.exp(params["rate"]) if lost else 1.0)


def others_than_reproduced(df):
    """The names of the statements with another outcome, each with it."""
    judgements = CLAIM.judge(df).judgements
    return {j.statement.name: j.outcome for j in judgements if j.outcome != "reproduced"}


def test_the_statements_hold_where_theory_does():
    verdict = CLAIM.judge(rows_of(expected))
    assert not others_than_reproduced(rows_of(expected))
    assert verdict.summary == "3 of 3 reproduced"
    assert verdict.scale == "published size"


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (
            {"right_by_input", "right_by_parameters", "error_follows_tolerance"},
            lambda arm, group, p: max(expected(arm, group, p), 1e-5),
        ),
        (
            {"error_follows_tolerance"},
            lambda arm, group, p: 1e-7 if group == "benign" else expected(arm, group, p),
        ),
        (
            {"lost_on_decaying", "amplified_exponentially"},
            lambda arm, group, p: p["tol"] * math.exp(p["rate"] / 2 if arm == "adjoint" else 0),
        ),
        (
            {"backprop_keeps_it"},
            lambda arm, group, p: expected("adjoint" if arm == "backprop" else arm, group, p),
        ),
        (
            {"amplified_exponentially"},
            lambda arm, group, p: (
                p["tol"] * (1e9 if group == "decaying" and arm == "adjoint" else 1)
            ),
        ),
        (
            {"interpolated_keeps_it"},
            lambda arm, group, p: expected("adjoint" if arm == "interpolated" else arm, group, p),
        ),
    ],
)
def test_each_statement_can_fail(broken, error):
    assert others_than_reproduced(rows_of(error)) == dict.fromkeys(broken, "not reproduced")


@pytest.mark.parametrize(
    ("column", "broken"),
    [("error_y0", "right_by_input"), ("error_parameters", "right_by_parameters")],
)
def test_input_and_parameters_are_judged_apart(column, broken):
    df = rows_of(expected)
    tight = (df["gradient"] == "adjoint") & (df["tol"] == 1e-10) & (df["problem"] == "sine")
    df.loc[tight, column] = 1e-5
    found = others_than_reproduced(df)
    assert found.pop(broken) == "not reproduced"
    assert set(found) <= {"error_follows_tolerance"}


@pytest.mark.parametrize(
    ("broken", "arm"),
    [
        ("checkpointed_is_backprop", "checkpointed"),
        ("symplectic_is_backprop", "symplectic"),
        ("reversible_is_backprop", "reversible"),
        ("coupled_is_backprop", "coupled"),
    ],
)
def test_a_difference_to_backprop_is_seen(broken, arm):
    found = others_than_reproduced(rows_of(expected, different=arm))
    assert found == {broken: "not reproduced"}


def test_few_problems_are_insufficient():
    df = rows_of(expected)
    few = df[df["problem"].isin(["sine", "linear", "decay", "relu"])]
    assert others_than_reproduced(few) == dict.fromkeys(
        ("right_by_input", "right_by_parameters", "error_follows_tolerance"), "insufficient"
    )


def test_a_gradient_that_failed_is_no_small_one():
    df = rows_of(expected)
    failed = (df["gradient"] == "adjoint") & df["tol"].isin(NEAR[:7]) & (df["rate"] == 40)
    df.loc[failed, "status"] = "max_steps"
    assert others_than_reproduced(df) == {"lost_on_decaying": "insufficient"}


@pytest.mark.parametrize(
    ("problem", "invalid"),
    [
        ("sine", {"right_by_input", "right_by_parameters", "error_follows_tolerance"}),
        (
            "relu",
            {
                "lost_on_decaying",
                "backprop_keeps_it",
                "amplified_exponentially",
                "interpolated_keeps_it",
            },
        ),
    ],
)
def test_a_reference_that_is_not_confirmed_makes_no_judgement(problem, invalid):
    df = rows_of(expected)
    df["finite_difference_error"] = np.where(df["problem"] == problem, 1e-3, 1e-10)
    assert others_than_reproduced(df) == dict.fromkeys(invalid, "invalid")


@pytest.mark.parametrize(("lucky", "outcome"), [(7, "reproduced"), (8, "not reproduced")])
def test_the_luck_of_few_tolerances_decides_nothing(lucky, outcome):
    df = rows_of(expected)
    small = (df["gradient"] == "adjoint") & df["tol"].isin(NEAR[:lucky]) & (df["rate"] == 10)
    df.loc[small, "gradient_error"] = 0.01
    judgements = {j.statement.name: j for j in CLAIM.judge(df).judgements}
    assert judgements["lost_on_decaying"].outcome == outcome


def test_every_problem_belongs_to_a_group_that_is_judged():
    assert {family.group for family in FAMILIES.values()} == set(GROUPS)


def test_a_caveat_names_the_loosest_tolerance_of_each_problem_and_those_without_one():
    text = caveats(rows_of(expected))[0]
    assert (
        ": 0.001 for constant, linear, sine, exponential, spiral, mlp; 1e-06 for decay 5;" in text
    )
    assert text.endswith("; at no tolerance that was tried for decay 20, decay 40.")
