"""Reversible Heun: its order, its definition, and the state that it carries."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

import math

import pytest
import torch

from neural_ode import Adjoint, Backprop, InterpolatedAdjoint, solve
from tests.neural_ode.gradients.problems import F64, Y0, B, W, inputs, seasonal, times


def test_reversible_heun_has_order_two():
    def error(count):
        ts, y0 = times(0, 1), times(1.0)
        settings = {"method": "reversible_heun", "step_size": 1 / count}
        return abs(solve(lambda t, y: -y + t, y0, ts, **settings).ys[-1] - 2 / math.e).item()

    assert math.log2(error(40) / error(80)) == pytest.approx(2, abs=0.1)


def test_reversible_heun_follows_its_definition():
    """Two steps of the paper's algorithm 1 by hand, without the noise."""
    h, field = 0.3, seasonal(W, B)
    y, w, t = Y0, Y0, torch.tensor(0.0, dtype=F64)
    f = field(t, w)
    for _ in range(2):
        w, t = 2 * y - w + h * f, t + h
        ahead = field(t, w)
        y, f = y + h / 2 * (f + ahead), ahead
    ours = solve(field, Y0, times(0, 2 * h), method="reversible_heun", step_size=h).ys[-1]
    torch.testing.assert_close(ours, y, rtol=1e-14, atol=0)


@pytest.mark.parametrize("settings", [{}, {"step_size": 0.01}], ids=["adaptive", "fixed"])
@pytest.mark.parametrize("gradient", [Adjoint, InterpolatedAdjoint])
def test_reversible_heun_carries_the_integrals_of_an_adjoint(gradient, settings):
    """Its second state leaves the slot of the rates to the parameters' gradients."""

    def by(gradient, **settings):
        y0, w, b = inputs()
        ts = times(0, 0.4, 1)
        solution = solve(seasonal(w, b), y0, ts, gradient=gradient(params=(w, b)), **settings)
        return torch.autograd.grad(solution.ys.square().sum(), [y0, w, b])

    tolerances = {"rtol": 1e-6, "atol": 1e-6}
    ours = by(gradient, method="reversible_heun", **tolerances, **settings)
    truth = by(lambda params: Backprop(), rtol=1e-9, atol=1e-9)
    for value, exact in zip(ours, truth, strict=True):
        torch.testing.assert_close(value, exact, rtol=1e-3, atol=1e-3)
