"""The pendulum, a step without a solve, and the inverse modified equations."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from neural_ode import solve
from odeclaims.claims.solver_bias import pendulum
from odeclaims.claims.solver_bias.pendulum import (
    LEARNABLE,
    distance,
    field,
    flow,
    increment,
    leading,
)


@pytest.fixture(scope="module")
def states() -> torch.Tensor:
    return pendulum.draw(60, torch.Generator().manual_seed(0))


def after(y: np.ndarray, time: float) -> np.ndarray:
    """One state after a time, by scipy."""
    ends = solve_ivp(
        lambda t, y: [-10 * math.sin(y[1]), y[0]], (0, time), y, "DOP853", rtol=1e-12, atol=1e-12
    )
    return ends.y[:, -1]


def test_states_fill_the_published_domain(states):
    assert states.abs().amax(dim=0) == pytest.approx(pendulum.BOX, rel=0.1)
    assert (states.abs() <= torch.tensor(pendulum.BOX)).all()


def test_the_flow_is_that_of_scipy_and_so_is_what_euler_can_learn(states):
    step, few = 0.16, states[:5]
    expected = torch.tensor(np.array([after(y.numpy(), step) for y in few]))
    torch.testing.assert_close(flow(few, step), expected, rtol=0, atol=1e-10)
    learnable = pendulum.learnable_by_euler(few, step)
    torch.testing.assert_close(learnable, (expected - few) / step, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_a_step_is_that_of_the_solver(method, states):
    ts = torch.tensor([0.0, 0.1], dtype=torch.float64)
    ends = solve(lambda t, y: field(y), states, ts, method=method, step_size=0.1).ys[-1]
    torch.testing.assert_close(states + increment(method, field, states, 0.1), ends)


def misses(method: str, y: torch.Tensor, step: float) -> float:
    """By how much a step through what it can learn misses the flow, over the step."""

    def learnt(each: torch.Tensor) -> torch.Tensor:
        return LEARNABLE[method](each, step)

    return distance(y + increment(method, learnt, y, step), flow(y, step)) / step


def test_a_step_through_what_euler_can_learn_is_the_flow(states):
    assert misses("euler", states, 0.1) < 1e-12


def test_a_step_through_what_midpoint_can_learn_is_the_flow_to_one_order_above_its_series(states):
    errors = [misses("midpoint", states, step) for step in (0.02, 0.01)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.15)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_the_leading_term_has_the_order_of_the_method(method, order, states):
    sizes = [leading(method, states, step).abs().mean().item() for step in (0.04, 0.02)]
    assert math.log2(sizes[0] / sizes[1]) == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2)])
def test_the_leading_term_is_that_of_the_series(method, order, states):
    off = []
    for step in (0.02, 0.01):
        bias = LEARNABLE[method](states, step) - field(states)
        off.append(distance(bias, leading(method, states, step)))
    # What Euler's method can learn is its leading term; midpoint's differ one order further on.
    assert off[0] < 1e-9 if order == 1 else math.log2(off[0] / off[1]) == pytest.approx(3, abs=0.1)


def test_the_bias_has_the_sizes_computed_beforehand():
    y = pendulum.draw(4000, torch.Generator().manual_seed(1))
    for step, euler, midpoint in ((0.02, 0.155, 0.0030), (0.08, 0.62, 0.0472)):
        zero = torch.zeros_like(y)
        assert distance(leading("euler", y, step), zero) == pytest.approx(euler, rel=0.04)
        assert distance(leading("midpoint", y, step), zero) == pytest.approx(midpoint, rel=0.04)


def test_the_flow_keeps_the_energy_and_what_euler_can_learn_loses_it(states):
    drift = pendulum.energy(flow(states, 0.3)) - pendulum.energy(states)
    assert drift.abs().max() < 1e-10
    assert pendulum.power(states, field(states)).abs().max() < 1e-12
    learnable = pendulum.learnable_by_euler(states, 0.02)
    assert pendulum.power(states, learnable).mean() < -0.5


def test_the_power_is_the_derivative_of_the_energy(states):
    derivative = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ahead, behind = (pendulum.energy(states + s * derivative) for s in (1e-6, -1e-6))
    power = pendulum.power(states, derivative)
    torch.testing.assert_close((ahead - behind) / 2e-6, power, rtol=1e-6, atol=1e-6)


def test_orbits_of_low_energy_stay_in_the_domain(states):
    y = states[pendulum.energy(states) < pendulum.LEAVES]
    for time in (0.3, 0.7, 1.1):
        assert (flow(y, time).abs() <= torch.tensor(pendulum.BOX)).all()
