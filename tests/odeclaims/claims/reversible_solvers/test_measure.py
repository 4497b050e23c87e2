"""Matrices and edges against closed forms, gradients, and the rows of a small run."""

import numpy as np
import pandas as pd
import pytest
import torch

from neural_ode import Backprop, Reversible, solve
from odeclaims.cell import Cell, Profile
from odeclaims.claims.reversible_solvers import CLAIM, measure
from odeclaims.claims.reversible_solvers.settings import BASES, COUPLINGS, DEFAULT, HEUN, SLUG
from odeclaims.claims.reversible_solvers.stability import exact_edge, trace
from tests.odeclaims.claims.small_runs import measure_rows

COUPLING = 0.7


@pytest.mark.parametrize("base", BASES)
def test_the_matrix_of_a_step_has_the_published_determinant_and_trace(base):
    x = -np.geomspace(1e-3, 2, 9)
    matrices = measure.step_matrices(measure.method_of(base, COUPLING), x)
    np.testing.assert_allclose(np.linalg.det(matrices), COUPLING, rtol=1e-11)
    found = np.trace(matrices, axis1=1, axis2=2)
    np.testing.assert_allclose(found, trace(base, COUPLING, x), rtol=1e-12)


@pytest.mark.parametrize("method", [*BASES, HEUN])
def test_the_matrix_moves_a_pair_as_a_solve_does(method):
    solver = measure.method_of(method, None if method == HEUN else COUPLING)
    ts = torch.arange(4, dtype=torch.float64) * 0.2
    one = torch.ones(1, dtype=torch.float64)
    ys = solve(lambda t, y: -0.5 * y, one, ts, method=solver, step_size=0.2).ys[:, 0]
    (matrix,) = measure.step_matrices(solver, np.array([-0.1]))
    pair, found = np.ones(2), [1.0]
    for _ in range(3):
        pair = matrix @ pair
        found.append(pair[0])
    np.testing.assert_allclose(found, ys.numpy(), rtol=1e-13)


@pytest.mark.parametrize("base", BASES)
def test_the_edge_is_where_the_base_shrinks_by_the_coupling(base):
    found = measure.edge_of(measure.method_of(base, COUPLING))
    assert found == pytest.approx(exact_edge(base, COUPLING), rel=1e-8)


@pytest.mark.parametrize(("base", "edge"), [("euler", 2), ("midpoint", 2), ("rk4", 2.7853)])
def test_the_edge_of_a_base_is_that_of_the_books(base, edge):
    found = measure.edge_of(measure.method_of(base, None), pair=False)
    assert found == pytest.approx(edge, abs=1e-4)


def test_without_a_coupling_below_1_nothing_is_stable():
    assert measure.edge_of(measure.method_of("rk4", 1.0)) == 0
    assert measure.edge_of(measure.method_of(HEUN, None)) == 0


def test_the_gradient_is_that_of_backpropagation_and_holds_less():
    net, y0 = measure.random_net(3, 2.0), torch.ones(4, 2, dtype=torch.float64)
    solver = {"method": measure.method_of("midpoint", 0.99), "step_size": 0.05}
    (found, held), (expected, held_by_backprop) = (
        measure.gradient_and_bytes(net, y0, each, solver) for each in (Reversible(), Backprop())
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert len(found) == 8 + sum(p.numel() for p in net.parameters())
    # Both states at the end.
    assert held == 2 * y0.nbytes
    assert held_by_backprop > 20 * held


def test_a_random_net_is_that_of_its_seed_in_both_precisions():
    double, single = (measure.random_net(3, 2.0, dtype) for dtype in measure.DTYPES)
    y = torch.ones(1, 2)
    time = torch.zeros(())
    torch.testing.assert_close(double(time.double(), y.double()).float(), single(time, y))


def test_a_gradient_that_rounding_has_destroyed_is_a_row():
    params = {"part": "gradient", "dtype": "float64", "steps": 200}
    arm = {"arm": "coupled", "method": "euler", "coupling": 0.5}
    (row,) = measure_rows(CLAIM, Cell(SLUG, {**params, **arm})).to_dict("records")
    assert row["status"] == "nonfinite" or row["gradient_error"] > 0.1
    assert row["held_bytes"] > 0


def test_the_default_coupling_has_all_bases_at_quick():
    cells = [c.params for c in CLAIM.cells(Profile("quick")) if c.params["part"] == "gradient"]
    for base in BASES:
        steps = {
            c["steps"]
            for c in cells
            if (c["method"], c["coupling"], c["dtype"]) == (base, DEFAULT, "float64")
        }
        assert {10, 30, 100, 300, 1000} <= steps
    assert {c["coupling"] for c in cells if c["method"] == "midpoint"} == set(COUPLINGS)


@pytest.fixture(scope="module")
def smoke() -> pd.DataFrame:
    cells = CLAIM.cells(Profile("smoke"))
    return pd.concat([measure_rows(CLAIM, cell).assign(seed=cell.seed) for cell in cells])


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_every_part_has_every_arm(smoke):
    assert set(smoke["status"]) == {"ok"}
    for part, rows in smoke.groupby("part"):
        arms = {"coupled", "plain", HEUN} - ({"plain"} if part == "gradient" else set())
        assert set(rows["arm"]) == arms
        assert set(rows[rows["arm"] == "coupled"]["method"]) == set(BASES)
    assert smoke[smoke["part"] == "gradient"]["seed"].nunique() == 1


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_errors_of_nets_are_the_largest_so_far(smoke):
    rows = smoke[(smoke["part"] == "net") & (smoke["method"] == "euler")]
    for _, each in rows.groupby(["arm", rows["coupling"].fillna(0)]):
        assert each["time"].to_list() == pytest.approx(list(range(2, 21, 2)))
        assert each["error"].is_monotonic_increasing


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_a_decay_keeps_its_start_and_falls_with_the_plain_base(smoke):
    rows = smoke[(smoke["part"] == "decay") & (smoke["arm"] == "plain")]
    for _, each in rows.groupby("method"):
        assert each["size"].iloc[0] == 1
        assert each["size"].iloc[-1] == pytest.approx(np.exp(-20), rel=0.9)
        assert each["time"].iloc[-1] == pytest.approx(20)


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_the_small_run_is_judged_drawn_and_tabulated(smoke):
    df = smoke.reindex(columns=list(CLAIM.all_columns))
    verdict = CLAIM.judge(df)
    assert all(check.passed for check in verdict.checks)
    found = {each.statement.name: each.outcome for each in verdict.judgements}
    assert found["real_edge"] == found["edge_is_that_of_shrinking"] == "reproduced"
    assert found["trained_nets_stay"] == "insufficient"
    assert len(CLAIM.figure(df).axes) == 6
    assert len(CLAIM.table(df)) == 4 * 4 + 4 + 1
