import pytest
import torch
from scipy.integrate import solve_ivp

from odeclaims.cell import Profile
from odeclaims.claims.adjoint_gradients.measure import cells
from odeclaims.claims.adjoint_gradients.problems import FAMILIES, GradientProblem, build_problem
from odeclaims.claims.adjoint_gradients.reference import difference_error, solver_settings

CLOSED = [
    (name, rate)
    for name, family in FAMILIES.items()
    for rate in family.rates
    if family.group != "kinked" and build_problem(name, rate, 1).flow
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


def loss_of(problem: GradientProblem, inputs):
    assert problem.flow is not None
    return float(problem.loss(problem.flow(*inputs)))


@pytest.mark.parametrize(("name", "rate"), CLOSED)
@torch.no_grad()
def test_the_closed_form_is_the_solution(name, rate):
    problem = build_problem(name, rate, 1)
    assert problem.flow is not None
    torch.testing.assert_close(
        problem.flow(*problem.inputs), by_scipy(problem, problem.inputs), rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize(("name", "rate"), CLOSED)
@torch.no_grad()
def test_the_exact_gradient_agrees_with_central_differences(name, rate):
    problem = build_problem(name, rate, 1)
    with torch.enable_grad():
        gradient = problem.exact_gradient()
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
        build_problem("mlp", 0.0, 1).exact_gradient()


@pytest.mark.parametrize("name", FAMILIES)
def test_both_precisions_solve_the_same_problem(name):
    problem = build_problem(name, FAMILIES[name].rates[0], 1)
    for value in problem.inputs:
        assert value.dtype == torch.float64
        assert torch.equal(value, value.float().double())


def test_a_wrong_gradient_is_seen_by_the_central_differences():
    problem = build_problem("sine", 0.0, 1)
    gradient = problem.exact_gradient()
    solver = solver_settings("dopri8", 1e-12)

    def error(g):
        return difference_error(problem, g, torch.Generator().manual_seed(0), solver)

    assert error(gradient) < 1e-8
    assert error([gradient[0], *(-g for g in gradient[1:])]) > 1e-2


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.random])
def test_a_random_problem_is_the_same_again_and_another_for_another_seed(name):
    first, again, other = (build_problem(name, 0.0, seed).inputs for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_quick_is_a_part_of_paper_and_its_arms_share_their_seeds():
    quick, paper = (list(cells(Profile(name))) for name in ("quick", "paper"))
    keys = {cell.key("source") for cell in paper}
    assert {cell.key("source") for cell in quick} <= keys
    assert len(keys) == len(paper)
    seeds = {}
    for cell in paper:
        seeds.setdefault((cell.params["problem"], cell.params["rate"], cell.repetition), set())
        seeds[cell.params["problem"], cell.params["rate"], cell.repetition].add(cell.seed)
    assert all(len(of_problem) == 1 for of_problem in seeds.values())
