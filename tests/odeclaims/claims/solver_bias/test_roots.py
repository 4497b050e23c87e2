"""The roots of the stability polynomials, against numbers that were computed beforehand."""

import numpy as np
import pytest
import torch

from odeclaims.claims.solver_bias.pendulum import increment
from odeclaims.claims.solver_bias.roots import STABILITY, nearest, roots

# Of the real part of the root nearest to i, at these steps.
STEPS = (0.05, 0.1, 0.25, 0.5, 1.0)
REAL_PARTS = {
    "euler": (-0.0250, -0.0500, -0.1244, -0.2448, -0.4597),
    "midpoint": (-0.00002, -0.00012, -0.0018, -0.0122, -0.0605),
    "rk4": (0.0, 0.0, 0.00001, 0.0002, 0.0065),
}


@pytest.mark.parametrize("method", STABILITY)
def test_a_step_along_a_root_is_the_flow(method):
    rate, step = complex(-0.1, 2), 0.5
    every = roots(method, step, rate)
    assert len(every) == len(STABILITY[method]) - 1
    one = torch.ones((), dtype=torch.complex128)
    for root in every:
        end = one + increment(method, lambda y, root=root: root * y, one, step)
        assert complex(end) == pytest.approx(np.exp(step * rate), abs=1e-12)


@pytest.mark.parametrize("method", REAL_PARTS)
def test_the_roots_nearest_to_i_are_those_computed_beforehand(method):
    found = [nearest(1j, method, step, 1j).real for step in STEPS]
    assert found == pytest.approx(REAL_PARTS[method], abs=6e-5)


def test_rk4_has_an_antidamped_and_a_reversed_root_at_a_step_of_one():
    rate = complex(-0.1, 2)
    every = sorted(roots("rk4", 1.0, rate), key=lambda z: -z.real)
    expected = [0.105 + 1.927j, 0.002 - 2.787j, -1.561 + 2.024j, -2.546 - 1.164j]
    assert np.abs(np.array(every) - expected).max() < 1e-3
    assert nearest(rate, "rk4", 1.0, rate) == every[0]
    assert nearest(rate, "rk4", 0.5, rate) == pytest.approx(-0.090 + 2.015j, abs=1e-3)


def test_eulers_root_is_the_difference_quotient_of_the_flow():
    (root,) = roots("euler", 0.3, complex(-0.1, 2))
    assert root == pytest.approx((np.exp(0.3 * complex(-0.1, 2)) - 1) / 0.3)
