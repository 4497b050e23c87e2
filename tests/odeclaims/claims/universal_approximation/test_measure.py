"""The target, its floors, and the networks."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from odeclaims.cell import Cell, Profile
from odeclaims.claims.universal_approximation import CLAIM
from odeclaims.claims.universal_approximation.judge import SQUARE_FLOOR
from odeclaims.claims.universal_approximation.measure import build, bump, cells
from odeclaims.claims.universal_approximation.settings import (
    ABLE,
    FINE_GRID,
    GRID,
    NETWORKS,
    SLUG,
    UNABLE,
)
from tests.odeclaims.claims.small_runs import measure_rows


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def grid(count: int) -> torch.Tensor:
    axis = torch.linspace(-1, 1, count)
    return torch.cartesian_prod(axis, axis)


def test_the_bump_is_one_in_the_middle_and_zero_on_the_edge():
    points, values = grid(GRID), bump(grid(GRID))[:, 0]
    assert float(values.max()) == float(values[len(values) // 2]) == 1
    assert float(values[points.abs().amax(dim=1) == 1].max()) == 0


def test_the_fine_grid_holds_the_coarse_one():
    fine = {tuple(point) for point in grid(FINE_GRID).tolist()}
    assert {tuple(point) for point in grid(GRID).tolist()} <= fine


def test_the_best_quadratic_is_off_by_nine_thirty_seconds():
    """By linear programming over all six coefficients, on a grid."""
    points, wanted = grid(GRID).double().numpy(), bump(grid(GRID))[:, 0].double().numpy()
    x, y = points.T
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    least = np.ones((len(x), 1))
    bounds = np.vstack([np.hstack([terms, -least]), np.hstack([-terms, -least])])
    best = linprog(
        [0] * 6 + [1], bounds, np.concatenate([wanted, -wanted]), bounds=[(None, None)] * 7
    )
    assert best.fun == pytest.approx(SQUARE_FLOOR, abs=2e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_its_widths(name):
    model, network = build(NETWORKS[name], generator()), NETWORKS[name]
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    assert tuple(layer.out_features for layer in linear) == (*network.widths, 1)
    x = torch.randn(50, 2, generator=generator())
    affine = torch.allclose(model(x) + model(-x), 2 * model(torch.zeros(1, 2)), atol=1e-4)
    assert affine == (name == "linear")


def test_what_can_has_ten_seeds_and_what_cannot_five():
    quick = list(cells(Profile("quick")))
    counts = {name: sum(cell.params["network"] == name for cell in quick) for name in NETWORKS}
    assert counts == {**dict.fromkeys(ABLE, 10), **dict.fromkeys(UNABLE, 5), "relu_n": 50}


def test_training_lowers_the_error():
    def unexplained(iterations: int) -> float:
        params = {"network": "tanh", "iterations": iterations}
        rows = measure_rows(CLAIM, Cell(SLUG, params))
        assert set(rows["kind"]) == {"result", "section"}
        coarse, fine = (rows[rows["grid"] == count].iloc[0] for count in (GRID, FINE_GRID))
        assert fine["largest_error"] >= coarse["largest_error"]
        return float(coarse["unexplained"])

    assert unexplained(60) < unexplained(1) / 2
