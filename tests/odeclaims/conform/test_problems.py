"""The solutions of the checks' problems, against solvers that were not used for them."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from neural_ode import Backprop, solve
from odeclaims.conform import problems
from odeclaims.workloads import loss_of

pytestmark = pytest.mark.usefixtures("unchecked")


def test_closed_form_and_scipy_agree():
    known = problems.mixed().at(0.5, 4.0)
    by_scipy = problems._by_scipy(known.problem, 4.0)
    np.testing.assert_allclose(known.states()[-1], by_scipy, atol=1e-10)


def test_the_gradient_is_that_of_a_tight_solve():
    known = problems.mixed().at(0.0, 2.0)
    y0 = known.problem.y0.clone().requires_grad_()
    inputs = [y0, *known.problem.field.parameters()]
    settings = {"rtol": 1e-11, "atol": 1e-11, "gradient": Backprop()}
    loss = loss_of(solve(known.problem.field, y0, known.problem.ts, **settings).ys)
    expected = torch.cat([g.ravel() for g in torch.autograd.grad(loss, inputs)]).numpy()
    np.testing.assert_allclose(problems.gradient_of(known), expected, rtol=1e-8, atol=1e-8)


def test_the_stiff_answer_is_that_of_an_implicit_method():
    known = problems.stiff()
    for start, expected in zip(known.problem.y0.numpy(), known.states()[0], strict=True):
        field = lambda t, y: -1000 * np.tanh(y - [t, 0])  # noqa: E731
        solution = solve_ivp(field, (0, 1), start, "Radau", rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(solution.y[:, -1], expected, atol=1e-9)
