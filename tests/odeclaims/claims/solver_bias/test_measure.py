"""Fits of linear fields, small nets, and the rows of a small run."""

import pandas as pd
import pytest
import torch

from odeclaims.cell import Profile
from odeclaims.claims.solver_bias import CLAIM, measure
from odeclaims.claims.solver_bias.roots import nearest
from odeclaims.claims.solver_bias.settings import FACTORS, SOLVED
from tests.odeclaims.claims.small_runs import measure_rows

RATE = complex(-0.1, 2)


def test_the_linear_flow_is_the_exponential_of_its_matrix():
    matrix = torch.tensor([[RATE.real, -RATE.imag], [RATE.imag, RATE.real]], dtype=torch.float64)
    found = measure.linear_flow(RATE.real, RATE.imag, 0.7)
    torch.testing.assert_close(found, torch.linalg.matrix_exp(0.7 * matrix))


@pytest.mark.parametrize("value", [RATE, RATE.conjugate(), complex(1.5, 0)])
def test_the_eigenvalue_has_the_direction_of_the_turn(value):
    matrix = torch.tensor([[value.real, -value.imag], [value.imag, value.real]])
    assert measure.eigenvalue(matrix.double()) == pytest.approx(value)


@pytest.mark.parametrize("method", measure.METHODS)
def test_a_linear_fit_ends_at_a_root(method):
    target = measure.linear_flow(RATE.real, RATE.imag, 1.0)
    scaled = torch.tensor([[0.1, -1.5], [1.0, -0.2]], dtype=torch.float64)
    assert measure.fit_linear(method, scaled, target) < SOLVED
    learnt = measure.eigenvalue(scaled)
    assert abs(learnt - nearest(learnt, method, 1.0, RATE)) < 1e-9


def test_l_bfgs_ends_at_the_minimum_of_a_valley():
    y = torch.tensor([-1.0, 1.0], dtype=torch.float64, requires_grad=True)
    measure.descend(
        [y], lambda: 1e8 * ((1 - y[0]).square() + 100 * (y[1] - y[0].square()).square()), 100
    )
    torch.testing.assert_close(y.detach(), torch.ones(2, dtype=torch.float64), atol=1e-8, rtol=0)


def test_a_net_is_made_by_its_generator_and_takes_float64():
    nets = [measure.Net(8, 2, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    y = torch.ones(3, 2, dtype=torch.float64)
    first, again, other = (net(y) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert sum(p.numel() for p in nets[0].parameters()) == 3 * 8 + 9 * 8 + 9 * 2


@pytest.fixture(scope="module")
def smoke() -> pd.DataFrame:
    cells = CLAIM.cells(Profile("smoke"))
    return pd.concat([measure_rows(CLAIM, cell).assign(seed=cell.seed) for cell in cells])


def test_every_net_is_compared_and_solved_in_every_step(smoke):
    fields = smoke[smoke["kind"] == "field"]
    assert fields.groupby("method")["step"].nunique().to_dict() == {
        "euler": 2,
        "midpoint": 2,
        "rk4": 1,
    }
    assert (fields[["residual", "leading", "error_true"]] > 0).all(axis=None)
    assert fields["error_predicted"].notna().equals(fields["method"] != "rk4")
    assert (fields["energy_drift"] < 1e-9).all()
    solves = smoke[smoke["kind"] == "solve"]
    assert set(solves["status"]) == {"ok"}
    assert set(solves["factor"]) == set(FACTORS)
    assert len(solves) == len(fields) * len(FACTORS)


def test_the_true_field_converges_with_its_order(smoke):
    rows = smoke[(smoke["kind"] == "solve") & (smoke["step"] == 0.08)]
    errors = rows.pivot_table("solve_error_true", "factor", "method")
    assert (errors.loc[0.25] / errors.loc[0.125]).to_dict() == pytest.approx(
        {"euler": 2, "midpoint": 4}, rel=0.05
    )


def test_all_nets_and_all_fits_start_alike(smoke):
    assert smoke.groupby("problem")["seed"].nunique().to_dict() == {"linear": 1, "pendulum": 1}


def test_the_small_run_is_judged_drawn_and_tabulated(smoke):
    df = smoke.reindex(columns=list(CLAIM.all_columns))
    assert {each.outcome for each in CLAIM.judge(df).judgements} == {"insufficient"}
    assert len(CLAIM.figure(df).axes) == 3
    assert len(CLAIM.table(df)) == 5 + 6


def test_training_comes_nearer_to_what_euler_can_learn_than_to_the_field():
    cells = CLAIM.cells(Profile("smoke"))
    cell = next(c for c in cells if c.params["method"] == "euler" and c.params["step"] == 0.08)
    size = {"width": 16, "pairs": 100, "adam_updates": 50, "updates": 120}
    found = measure_rows(CLAIM, type(cell)(cell.claim, {**cell.params, **size})).iloc[0]
    assert found["residual"] < 0.1 * found["leading"]
    assert found["error_predicted"] < 0.2 * found["error_true"]
    assert found["error_true"] == pytest.approx(found["leading"], rel=0.1)
