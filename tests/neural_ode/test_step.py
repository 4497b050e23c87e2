"""One step, its error and the size of the next, against the textbook formulas written out."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import RK23, RK45

from neural_ode import METHODS, IntegralController, PIController, rms_norm
from neural_ode.step import RungeKutta, error_ratio, initial_step, nudge

EVERY = pytest.mark.parametrize("name", METHODS)
Y0 = torch.tensor([[0.4, -1.1, 0.7]], dtype=torch.float64)


def time(t):
    return torch.tensor(t, dtype=torch.float64)


def field(t, y):
    return torch.sin(3 * t) * y - y**3


def take(name, t=0.3, h=0.1, y=Y0, **options):
    rk = RungeKutta(METHODS[name], y, field)
    return rk, rk.step(t, h, y, field(time(t), y), **options)


def stages_of(tableau, t, h, y):
    """The stages as the definition of a Runge-Kutta method has them, in NumPy, sum by sum."""
    ks = []
    for c, row in zip(tableau.c, tableau.a, strict=True):
        z = y + h * sum(a * k for a, k in zip(row, ks, strict=False))
        ks.append(np.sin(3 * (t + c * h)) * z - z**3)
    return ks


@EVERY
@pytest.mark.parametrize("h", [0.1, -0.1])
def test_step_and_error_follow_the_definition(name, h):
    tableau = METHODS[name]
    rk, step = take(name, h=h)
    ks = stages_of(tableau, 0.3, h, Y0.numpy())
    np.testing.assert_allclose(torch.stack(step.ks), ks, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(step.y1, Y0.numpy() + h * np.tensordot(tableau.b, ks, 1), rtol=1e-14)
    if tableau.b_error is not None:
        expected = h * np.tensordot(tableau.b_error, ks, 1)
        np.testing.assert_allclose(rk.error(step), expected, rtol=1e-6, atol=1e-16)


@EVERY
def test_dense_output_meets_both_ends(name):
    rk, step = take(name)
    torch.testing.assert_close(rk.interpolate(step, 0.0), step.y0, rtol=0, atol=1e-15)
    torch.testing.assert_close(rk.interpolate(step, 1 - 1e-15), step.y1, rtol=0, atol=1e-13)
    assert rk.interpolate(step, 1.0) is step.y1


def test_extra_stages_are_evaluated_once_a_step_and_only_when_needed():
    calls = []
    rk = RungeKutta(METHODS["dopri8"], Y0, lambda t, y: calls.append(t) or field(t, y))
    step = rk.step(0.3, 0.1, Y0, field(time(0.3), Y0))
    assert len(calls) == 13
    rk.interpolate(step, 1.0)
    assert len(calls) == 13
    rk.interpolate(step, 0.5)
    rk.interpolate(step, 0.7)
    assert len(calls) == 17


def test_method_without_an_error_estimate():
    rk, step = take("rk4")
    with pytest.raises(ValueError, match="rk4 has no error estimate"):
        rk.error(step)


@EVERY
def test_a_new_step_leaves_the_gradient_of_the_last_one_alone(name):
    """The scratch buffer is used again, so nothing that autograd keeps may live in it."""

    def two_steps(y):
        rk = RungeKutta(METHODS[name], y, field)
        first = rk.step(0.3, 0.1, y, field(time(0.3), y))
        inside = rk.interpolate(first, 0.4)
        second = rk.step(0.4, 0.2, first.y1, field(time(0.4), first.y1))
        return inside, rk.interpolate(second, 0.6)

    assert torch.autograd.gradcheck(two_steps, Y0.clone().requires_grad_())


@pytest.mark.parametrize("name", ["euler", "rk4", "dopri5", "dopri8"])
def test_gradient_reaches_the_time_and_the_size_of_a_step(name):
    def step(t, h, x):
        rk = RungeKutta(METHODS[name], Y0, field)
        taken = rk.step(t, h, Y0, field(t, Y0))
        return taken.y1, rk.interpolate(taken, x)

    times = [time(x).requires_grad_() for x in (0.3, 0.2, 0.6)]
    assert torch.autograd.gradcheck(step, times)


def test_nudge_end_stays_before_a_jump():
    seen = []
    rk = RungeKutta(METHODS["rk4"], Y0, lambda t, y: seen.append(t.item()) or y)
    rk.step(0.0, 0.5, Y0, Y0, nudge_end=True)
    rk.step(1.0, -0.5, Y0, Y0, nudge_end=True)
    assert seen[2] == math.nextafter(0.5, -math.inf)
    assert seen[5] == math.nextafter(0.5, math.inf)


def test_nudge_passes_the_gradient():
    time = torch.tensor(2.0, requires_grad=True)
    nudge(time, math.inf).backward()
    assert nudge(time, math.inf) == torch.nextafter(time, torch.tensor(3.0))
    assert time.grad == 1


# --- error and first step ------------------------------------------------------------------------


def test_rms_norm():
    assert rms_norm(torch.tensor([[3.0, 4.0]])) == pytest.approx(math.sqrt(12.5))
    assert rms_norm(torch.empty(0, 3)) == 0


def test_error_ratio_is_one_at_the_tolerance():
    y0, y1 = torch.tensor([1.0, -2.0]), torch.tensor([-3.0, 1.0])
    at_tolerance = 1e-3 + 1e-2 * torch.tensor([3.0, 2.0])
    ratio = error_ratio(at_tolerance, y0, y1, 1e-2, 1e-3, rms_norm)
    assert ratio == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(("order", "scipy"), [(3, RK23), (5, RK45)])
@pytest.mark.parametrize("t1", [10.0, -10.0])
@pytest.mark.parametrize("y0", [[0.4, -1.1], [0.0, 0.0]])
def test_first_step_is_scipys(order, scipy, t1, y0):
    def swing(t, y):
        return np.array([y[1], np.cos(t) - np.sin(y[0])])

    def evaluate(t, y):
        return torch.from_numpy(swing(t.item(), y.numpy()))

    y, rtol, atol = torch.tensor(y0, dtype=torch.float64), 1e-4, 1e-6
    f = evaluate(torch.tensor(0.0), y)
    direction = math.copysign(1, t1)
    ours = initial_step(evaluate, 0.0, y, f, direction, order, rtol, atol, rms_norm)
    theirs = scipy(swing, 0.0, np.array(y0), t1, rtol=rtol, atol=atol).h_abs
    assert ours == pytest.approx(theirs, rel=1e-12)


# --- controllers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("controller", [IntegralController(), PIController()])
@pytest.mark.parametrize(("ratio", "factor"), [(0.0, 10), (1e-20, 10), (1e20, 0.2)])
def test_step_change_is_bounded(controller, ratio, factor):
    assert controller.factor(ratio, None, 5) == factor


def test_integral_controller_aims_at_the_safety_factor():
    factor = IntegralController(safety=0.8).factor
    assert factor(32.0, None, 5) == pytest.approx(0.4)
    assert factor(1 / 32, None, 5) == pytest.approx(1.6)


def test_integral_controller_does_not_shrink_an_accepted_step():
    assert IntegralController().factor(0.99, None, 5) == 1


def test_pi_controller_looks_at_the_last_two_ratios():
    controller = PIController(safety=1, alpha=0.7, beta=0.4)
    # Steady ratios: the exponents leave alpha - beta of the integral controller's correction.
    assert controller.factor(0.5, 0.5, 4) == pytest.approx(2 ** (0.3 / 4))
    # A ratio that grows shrinks the step more than the same ratio that was there before.
    assert controller.factor(0.5, 0.1, 4) < controller.factor(0.5, 0.5, 4)


@pytest.mark.parametrize(("ratio", "previous"), [(32.0, 0.5), (32.0, None), (1 / 32, None)])
def test_pi_controller_is_integral_on_rejection_and_at_the_start(ratio, previous):
    assert PIController().factor(ratio, previous, 5) == pytest.approx(0.9 / ratio ** (1 / 5))
