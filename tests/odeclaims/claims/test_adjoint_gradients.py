import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import solve_ivp

from odeclaims.claim import Profile
from odeclaims.claims import adjoint_gradients as claim
from odeclaims.claims.adjoint_gradients import PROBLEMS

CLOSED = [
    (name, rate)
    for name, kind in PROBLEMS.items()
    for rate in kind.rates
    if kind.group != "kinked" and claim._problem(name, rate, 1).flow
]


def by_scipy(problem, inputs):
    """The final state from SciPy's DOP853, which shares no code with the solver."""
    y0, *parameters = inputs

    def slope(t, y):
        state = torch.from_numpy(y).reshape(y0.shape)
        return problem.field.formula(torch.tensor(t), state, *parameters).numpy().reshape(-1)

    start = y0.numpy().reshape(-1)
    end = solve_ivp(slope, problem.span, start, "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return torch.from_numpy(end).reshape(y0.shape)


def loss_of(problem: claim.Problem, inputs):
    assert problem.flow is not None
    return float(problem.loss(problem.flow(*inputs)))


@pytest.mark.parametrize(("name", "rate"), CLOSED)
@torch.no_grad()
def test_the_closed_form_is_the_solution(name, rate):
    problem = claim._problem(name, rate, 1)
    assert problem.flow is not None
    torch.testing.assert_close(
        problem.flow(*problem.inputs), by_scipy(problem, problem.inputs), rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize(("name", "rate"), CLOSED)
@torch.no_grad()
def test_the_exact_gradient_agrees_with_central_differences(name, rate):
    problem = claim._problem(name, rate, 1)
    with torch.enable_grad():
        gradient = claim.exact_gradient(problem)
    inputs = [x.detach().clone() for x in problem.inputs]
    for i, exact in enumerate(gradient):
        for j in range(min(3, exact.numel())):
            sides = []
            for h in (1e-6, -1e-6):
                moved = [x.clone() for x in inputs]
                moved[i].view(-1)[j] += h
                sides.append(loss_of(problem, moved))
            difference = (sides[0] - sides[1]) / 2e-6
            assert difference == pytest.approx(float(exact.view(-1)[j]), rel=1e-5, abs=1e-6)


def test_a_problem_without_a_formula_has_no_exact_gradient():
    with pytest.raises(ValueError, match="no closed form"):
        claim.exact_gradient(claim._problem("mlp", 0.0, 1))


@pytest.mark.parametrize("name", PROBLEMS)
def test_both_precisions_solve_the_same_problem(name):
    problem = claim._problem(name, PROBLEMS[name].rates[0], 1)
    for value in problem.inputs:
        assert value.dtype == torch.float64
        assert torch.equal(value, value.float().double())


def test_a_wrong_gradient_is_seen_by_the_central_differences():
    problem = claim._problem("sine", 0.0, 1)
    gradient = claim.exact_gradient(problem)
    solver = claim._solver("dopri8", 1e-12)

    def error(g):
        return claim.difference_error(problem, g, torch.Generator().manual_seed(0), solver)

    assert error(gradient) < 1e-8
    assert error([gradient[0], *(-g for g in gradient[1:])]) > 1e-2


def test_quick_is_a_part_of_paper_and_its_arms_share_their_seeds():
    quick, paper = (list(claim.cells(Profile(name))) for name in ("quick", "paper"))
    keys = {cell.key("source") for cell in paper}
    assert {cell.key("source") for cell in quick} <= keys
    assert len(keys) == len(paper)
    seeds = {}
    for cell in paper:
        seeds.setdefault((cell.params["problem"], cell.params["rate"], cell.repetition), set())
        seeds[cell.params["problem"], cell.params["rate"], cell.repetition].add(cell.seed)
    assert all(len(found) == 1 for found in seeds.values())


def rows_of(error, different=None):
    """Rows of every benign and decaying problem, with the error that a function gives to each.

    One arm may differ from backprop through its solver by a thousandth, the others by rounding.
    """
    rows = []
    for cell in claim.cells(Profile("quick")):
        group = PROBLEMS[cell.params["problem"]].group
        if group not in ("benign", "decaying"):
            continue
        for arm in claim.ARMS:
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
    return [criterion.judge(df).outcome for criterion in claim.CRITERIA]


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
    found = outcomes(rows_of(expected, different=arm))
    assert found[broken] == "not reproduced"
    assert found.count("reproduced") == 7


def test_a_reference_that_is_not_confirmed_makes_no_judgement():
    df = rows_of(expected)
    df["finite_difference_error"] = np.where(df["problem"] == "sine", 1e-3, 1e-10)
    assert outcomes(df)[:2] == ["insufficient"] * 2


@pytest.mark.parametrize("name", [name for name, kind in PROBLEMS.items() if kind.random])
def test_a_random_problem_is_the_same_again_and_another_for_another_seed(name):
    first, again, other = (claim._problem(name, 0.0, seed).inputs for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
