import math

import numpy as np
import pandas as pd
import pytest

from odeclaims.cell import Profile
from odeclaims.claims.adjoint_gradients.judge import CRITERIA, GROUPS, caveats
from odeclaims.claims.adjoint_gradients.measure import ARMS, cells
from odeclaims.claims.adjoint_gradients.problems import FAMILIES


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


def outcomes(df):
    return [criterion.judge(df).outcome for criterion in CRITERIA]


def test_the_criteria_hold_where_theory_does():
    assert outcomes(rows_of(expected)) == ["reproduced"] * 8


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (0, lambda arm, group, p: max(expected(arm, group, p), 1e-5)),
        (1, lambda arm, group, p: 1e-7 if group == "benign" else expected(arm, group, p)),
        (2, lambda arm, group, p: p["tol"] * math.exp(p["rate"] / 2)),
        (3, lambda arm, group, p: expected("adjoint", group, p)),
        (4, lambda arm, group, p: p["tol"] * (1e9 if group == "decaying" else 1)),
        (7, lambda arm, group, p: expected("adjoint", group, p)),
    ],
)
def test_each_criterion_can_fail(broken, error):
    assert outcomes(rows_of(error))[broken] == "not reproduced"


@pytest.mark.parametrize(("broken", "arm"), [(5, "checkpointed"), (6, "reversible")])
def test_a_difference_to_backprop_is_seen(broken, arm):
    judged = outcomes(rows_of(expected, different=arm))
    assert judged[broken] == "not reproduced"
    assert judged.count("reproduced") == 7


def test_a_reference_that_is_not_confirmed_makes_no_judgement():
    df = rows_of(expected)
    df["finite_difference_error"] = np.where(df["problem"] == "sine", 1e-3, 1e-10)
    assert outcomes(df)[:2] == ["insufficient"] * 2


def test_every_problem_belongs_to_a_group_that_is_judged():
    assert {family.group for family in FAMILIES.values()} == set(GROUPS)


def test_a_caveat_names_the_loosest_tolerance_of_each_problem_and_those_without_one():
    text = caveats(rows_of(expected))[0]
    assert (
        ": 0.001 for constant, linear, sine, exponential, spiral, mlp; 1e-06 for decay 5;" in text
    )
    assert text.endswith("; at no tolerance that was tried for decay 20, decay 40.")
