"""Backpropagation through the solver, also twice."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

import pytest
import torch
from torch.autograd import gradcheck

from neural_ode import METHODS, solve
from tests.neural_ode.gradients.problems import Y0, B, Net, inputs, seasonal, times

EVERY = pytest.mark.parametrize("method", METHODS)


@EVERY
def test_backprop_is_exact_for_every_method_however_large_the_steps(method):
    """It differentiates what was computed, so no step is too large, for the times neither."""

    def solved(y0, w, ts):
        return solve(seasonal(w, B), y0, ts, method=method, step_size=0.4).ys

    y0, w, _ = inputs()
    # 0.4 leaves a short last step, which moves with the last time.
    assert gradcheck(solved, (y0, w, times(0, 0.5, 1.1).requires_grad_()), fast_mode=True)


def test_second_derivative_of_a_closed_form():
    """y(1) = y0 / (1 - y0 s), with s the length of the time, has d2y/dy0^2 = 2 s / (1 - y0 s)^3."""
    y0 = times(0.4).requires_grad_()
    end = solve(lambda t, y: y**2, y0, times(0, 1)).ys[-1]
    (first,) = torch.autograd.grad(end, y0, create_graph=True)
    (second,) = torch.autograd.grad(first, y0)
    assert first.item() == pytest.approx(1 / 0.6**2, rel=1e-6)
    assert second.item() == pytest.approx(2 / 0.6**3, rel=1e-5)


def test_backprop_solves_nothing_backward():
    solution = solve(Net(), Y0, times(0, 1))
    assert solution.stats.nfe_backward is None
    solution.ys.sum().backward()
    assert solution.stats.nfe_backward is None
