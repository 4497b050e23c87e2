"""One Runge-Kutta step, against the textbook formulas written out."""

# What may be None fails a test all the same.
# pyright: reportArgumentType=false, reportCallIssue=false

import math

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from neural_ode import METHODS, rms_norm
from neural_ode.field import Plain
from neural_ode.step.base import Step
from neural_ode.step.error import ErrorTest
from neural_ode.step.runge_kutta import RungeKutta

EVERY = pytest.mark.parametrize("name", METHODS)
Y0 = torch.tensor([[0.4, -1.1, 0.7]], dtype=torch.float64)
# In these units the error is its own largest entry.
ABSOLUTE = ErrorTest(rtol=1e-300, atol=1.0, norm=lambda error: error.abs().max())


def time(t):
    return torch.tensor(t, dtype=torch.float64)


def field(t, y):
    return torch.sin(3 * t) * y - y**3


def stepper(name, y=Y0, field=field):
    return RungeKutta(METHODS[name], y, Plain(field, y))


def advance(rk, t, h, y, f0, nudge_end=False, test=None):
    """A step from its beginning, as the loops take it."""
    y1, q1, f1, ratio, ks, _ = rk.advance(t, h, y, (f0, None), None, nudge_end, test)
    ratio = None if ratio is None else float(ratio)
    return Step(t, h, y, y1, q1, (f0, None), f1, ratio, ks, rk.tableau.stages)


def take(name, t=0.3, h=0.1, y=Y0, test=None):
    rk = stepper(name, y)
    return rk, advance(rk, t, h, y, field(time(t), y), test=test)


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
    _, step = take(name, h=h, test=ABSOLUTE if tableau.adaptive else None)
    ks = stages_of(tableau, 0.3, h, Y0.numpy())
    np.testing.assert_allclose(torch.stack(step.ks), ks, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(step.y1, Y0.numpy() + h * np.tensordot(tableau.b, ks, 1), rtol=1e-14)
    if tableau.b_error is not None:
        expected = h * np.tensordot(tableau.b_error, ks, 1)
        np.testing.assert_allclose(step.ratio, np.abs(expected).max(), rtol=1e-6, atol=1e-16)


@EVERY
def test_dense_output_meets_both_ends(name):
    rk, step = take(name)
    torch.testing.assert_close(rk.interpolate(step, 0.0), step.y0, rtol=0, atol=1e-15)
    torch.testing.assert_close(rk.interpolate(step, 1 - 1e-15), step.y1, rtol=0, atol=1e-13)
    assert rk.interpolate(step, 1.0) is step.y1


@EVERY
def test_the_polynomial_is_the_dense_output(name):
    with torch.no_grad():
        rk, step = take(name)
        coefficients = rk.polynomial(step)
        for x in (0.2, 0.7):
            powers = x ** torch.arange(1.0, len(coefficients) + 1, dtype=torch.float64)
            inside = step.y0 + torch.tensordot(powers, coefficients, dims=1)
            torch.testing.assert_close(inside, rk.interpolate(step, x), rtol=1e-13, atol=1e-15)


def test_what_is_called_at_every_stage_has_its_annotations_checked():
    with pytest.raises(TypeCheckError):
        rms_norm([1.0, 2.0])


def test_extra_stages_are_evaluated_once_a_step_and_only_when_needed():
    calls = []
    rk = stepper("dopri8", field=lambda t, y: calls.append(t) or field(t, y))
    step = advance(rk, 0.3, 0.1, Y0, field(time(0.3), Y0))
    assert len(calls) == 13
    rk.interpolate(step, 1.0)
    assert len(calls) == 13
    rk.interpolate(step, 0.5)
    rk.interpolate(step, 0.7)
    assert len(calls) == 17


def test_method_without_an_error_estimate():
    with pytest.raises(ValueError, match="rk4 has no error estimate"):
        take("rk4", test=ABSOLUTE)


@EVERY
@pytest.mark.parametrize("grad", [True, False])
def test_what_a_compiler_reads_is_the_same_step(name, grad):
    """Spelled out, the combinations have the values of the fused ones."""
    test = ABSOLUTE if METHODS[name].adaptive else None
    spelled = RungeKutta(METHODS[name], Y0, Plain(field, Y0), traced=True)
    with torch.set_grad_enabled(grad):
        rk, step = take(name, test=test)
        times = [time(x) for x in (0.3, 0.1)]
        y1, _, (f1, _), ratio, ks, rates = spelled.advance(*times, Y0, step.f0, None, False, test)
        read = Step(0.3, 0.1, Y0, y1, None, step.f0, step.f1, None, ks, 0, rates)
        torch.testing.assert_close(rk.interpolate(read, 0.3), rk.interpolate(step, 0.3))
    torch.testing.assert_close(y1, step.y1, rtol=1e-14, atol=0)
    torch.testing.assert_close(f1, step.f1[0], rtol=1e-13, atol=0)
    if test:
        assert float(ratio) == pytest.approx(step.ratio, rel=1e-6)


@EVERY
def test_integrals_follow_their_definition(name):
    """Quadratures beside the state: their stages are those of the state."""
    tableau = METHODS[name]

    def evaluate(t, y, integral):
        return field(t, y), torch.stack([y.sum(), y.square().sum()]) if integral else None

    rk = RungeKutta(tableau, Y0, evaluate)
    q0 = torch.tensor([0.5, -2.0], dtype=torch.float64)
    f0 = evaluate(time(0.3), Y0, True)
    with torch.no_grad():
        _, q1, *_ = rk.advance(0.3, 0.1, Y0, f0, q0, False, None)
    states = [
        Y0.numpy()
        + 0.1
        * sum(a * k for a, k in zip(row, stages_of(tableau, 0.3, 0.1, Y0.numpy()), strict=False))
        for row in tableau.a
    ]
    rates = np.array([[y.sum(), (y**2).sum()] for y in states])
    np.testing.assert_allclose(q1, q0 + 0.1 * tableau.b @ rates, rtol=1e-13)


@EVERY
def test_a_new_step_leaves_the_gradient_of_the_last_one_alone(name):
    """The scratch buffer is used again, so nothing that autograd keeps may live in it."""

    def two_steps(y):
        rk = stepper(name, y)
        first = advance(rk, 0.3, 0.1, y, field(time(0.3), y))
        inside = rk.interpolate(first, 0.4)
        second = advance(rk, 0.4, 0.2, first.y1, field(time(0.4), first.y1))
        return inside, rk.interpolate(second, 0.6)

    assert torch.autograd.gradcheck(two_steps, Y0.clone().requires_grad_())


@pytest.mark.parametrize("name", ["euler", "rk4", "dopri5", "dopri8"])
def test_gradient_reaches_the_time_and_the_size_of_a_step(name):
    def step(t, h, x):
        rk = stepper(name)
        taken = advance(rk, t, h, Y0, field(t, Y0))
        return taken.y1, rk.interpolate(taken, x)

    times = [time(x).requires_grad_() for x in (0.3, 0.2, 0.6)]
    assert torch.autograd.gradcheck(step, times)


def test_nudge_end_stays_before_a_jump():
    seen = []
    rk = stepper("rk4", field=lambda t, y: seen.append(t.item()) or y)
    advance(rk, 0.0, 0.5, Y0, Y0, nudge_end=True)
    advance(rk, 1.0, -0.5, Y0, Y0, nudge_end=True)
    assert seen[2] == math.nextafter(0.5, -math.inf)
    assert seen[5] == math.nextafter(0.5, math.inf)
