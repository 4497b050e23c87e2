"""The four energies against a second writing of their formulas, their walls and normalisers."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from neural_ode.flows.energies import ENERGIES, HALF_WIDTH, log_normaliser, u1, u2, u3, u4, walls

WITHOUT_WALLS = {"U1": u1, "U2": u2, "U3": u3, "U4": u4}


def by_numpy(name: str, a: float, b: float) -> float:
    """The energy of Rezende and Mohamed 2015, Table 1, with walls."""
    exp, w1 = np.exp, np.sin(2 * np.pi * a / 4)
    w2, w3 = 3 * exp(-0.5 * ((a - 1) / 0.6) ** 2), 3 / (1 + exp(-(a - 1) / 0.3))
    if name == "U1":
        sides = exp(-0.5 * ((a - 2) / 0.6) ** 2) + exp(-0.5 * ((a + 2) / 0.6) ** 2)
        inside = 0.5 * ((np.hypot(a, b) - 2) / 0.4) ** 2 - np.log(sides)
    elif name == "U2":
        inside = 0.5 * ((b - w1) / 0.4) ** 2
    elif name == "U3":
        second = exp(-0.5 * ((b - w1 + w2) / 0.35) ** 2)
        inside = -np.log(exp(-0.5 * ((b - w1) / 0.35) ** 2) + second)
    else:
        second = exp(-0.5 * ((b - w1 + w3) / 0.35) ** 2)
        inside = -np.log(exp(-0.5 * ((b - w1) / 0.4) ** 2) + second)
    return inside + sum(0.5 * (max(abs(c) - 4, 0) / 0.25) ** 2 for c in (a, b))


@pytest.mark.parametrize("name", ENERGIES)
def test_the_formulas_are_those_of_the_table(name):
    z = 2 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = [by_numpy(name, *p) for p in z.tolist()]
    torch.testing.assert_close(ENERGIES[name](z), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_has_gradients_everywhere(name):
    z = torch.tensor([[0.0, 0.0], [4.0, -4.0], [9.0, 9.0], [-50.0, 3.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(ENERGIES[name](z).sum(), z)
    assert gradient.isfinite().all()


def test_the_walls_begin_at_the_box_and_are_smooth():
    inside = torch.tensor([[4.0, -4.0], [-4.0, 0.0]], dtype=torch.float64)
    assert walls(inside).tolist() == [0, 0]
    z = torch.tensor([[4.0 + 1e-7, 0.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(walls(z).sum(), z)
    assert gradient.abs().max() < 1e-5
    assert walls(torch.tensor([4.5, -4.25])) == pytest.approx(0.5 * (2**2 + 1))


@pytest.mark.parametrize(
    ("name", "expected"), [("U1", 1.8775), ("U2", 2.0823), ("U3", 2.6420), ("U4", 2.6849)]
)
def test_normalisers_of_the_hard_box(name, expected):
    """Against values by a coarser grid, from which the last digits come."""
    found = log_normaliser(WITHOUT_WALLS[name], HALF_WIDTH)
    assert found == pytest.approx(expected, abs=4e-4)


@pytest.mark.parametrize("name", ENERGIES)
def test_normalisers_agree_with_scipy(name):
    value, error = integrate.dblquad(
        lambda b, a: math.exp(-by_numpy(name, a, b)), -6.5, 6.5, -6.5, 6.5, epsabs=1e-4, epsrel=1e-4
    )
    assert log_normaliser(ENERGIES[name]) == pytest.approx(math.log(value), abs=2 * error / value)


@pytest.mark.parametrize("name", ENERGIES)
def test_normalisers_do_not_depend_on_the_grid(name):
    """With walls the width of the square no longer matters; without, U2 to U4 are improper."""
    found = log_normaliser(ENERGIES[name])
    assert found == pytest.approx(log_normaliser(ENERGIES[name], panels=104), abs=1e-12)
    assert found == pytest.approx(log_normaliser(ENERGIES[name], 8.0, panels=64), abs=1e-12)
    bare = [log_normaliser(WITHOUT_WALLS[name], width) for width in (6.5, 8.0)]
    assert (bare[1] - bare[0] > 0.1) == (name != "U1")
