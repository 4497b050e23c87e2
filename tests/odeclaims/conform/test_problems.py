"""The solutions of the checks' problems, against solvers that were not used for them."""

from dataclasses import replace

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


@pytest.mark.parametrize(("rate", "off"), [(1e3, 2e-6), (1e5, 1e-9)])
def test_the_stiff_answer_is_that_of_an_implicit_method(rate, off):
    known = problems.stiff(rate)
    for start, expected in zip(known.problem.y0.numpy(), known.states()[0], strict=True):
        field = lambda t, y: [np.tanh(y[0]), -rate * np.tanh(y[1] - y[0])]  # noqa: E731
        solution = solve_ivp(field, (0, 2), start, "Radau", rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(solution.y[:, -1], expected, atol=off)


def test_the_event_is_where_scipy_finds_it():
    known, event = problems.crossing()
    (y0,) = known.problem.y0.numpy()
    weights = [p.detach().numpy() for p in known.problem.field.parameters()]
    reaches = lambda t, y: event.value(t, y[None])  # noqa: E731
    solution = solve_ivp(
        lambda t, y: problems._mlp_forward(weights, t, y)[1],
        (0, problems.END),
        y0,
        "DOP853",
        rtol=1e-12,
        atol=1e-12,
        events=reaches,
    )
    # It comes twice: the way there meets one first, and the way back the other.
    expected = [
        problems.crossing_time(0.0, problems.END),
        problems.crossing_time(problems.END, 0.0),
    ]
    assert solution.t_events is not None
    np.testing.assert_allclose(solution.t_events[0], expected, atol=1e-9)


def test_the_gradient_of_its_time_is_that_of_differences():
    known, event = problems.crossing()
    t, h = problems.crossing_time(0.0, problems.END), 1e-5
    expected = problems.crossing_gradient()[:3]
    rate = (event.value(t + h, known.flow(t + h)) - event.value(t - h, known.flow(t - h))) / (2 * h)
    for i in range(3):
        ends = []
        for sign in (1, -1):
            moved = known.problem.y0.clone()
            moved[0, i] += sign * h
            problem = replace(known.problem, y0=moved)
            ends.append(problems._by_scipy(problem, t)[0, event.feature])
        difference = (ends[0] - ends[1]) / (2 * h)
        assert -difference / rate == pytest.approx(expected[i], rel=1e-5, abs=1e-8)
