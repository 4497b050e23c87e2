"""Solves whose steps shrink without end are ended with a sentence; those that get on are not."""

# Settings are plain dicts.
# pyright: reportArgumentType=false

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from neural_ode import (
    Adjoint,
    InterpolatedAdjoint,
    NonFinite,
    SolverFailure,
    StepLimit,
    foresee,
    integrate,
    solve,
)
from tests.neural_ode.failing import times
from tests.neural_ode.random_problems import F32, F64, choosing, digits, dtypes, tolerance

pytestmark = pytest.mark.usefixtures("unchecked")
FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
CLEVER = ["bosh3", "dopri5", "tsit5", "dopri8"]
# All that choose their steps but reversible Heun, which damps nothing.
stable = choosing.filter(lambda method: method != "reversible_heun")
LOOSE = {"rtol": 1e-3, "atol": 1e-3}


class TooOften(AssertionError):
    """The field was called so often that the solve seems to have no end."""


class Counted:
    """A field that counts its evaluations, and ends a solve that asks for too many."""

    def __init__(self, field, most):
        self.field, self.most, self.calls = field, most, 0

    def __call__(self, t, y):
        self.calls += 1
        if self.calls > self.most:
            raise TooOften
        return self.field(t, y)


def end(field, y0, ts, most, **chosen):
    """How a solve ends that has to end by failing within so many evaluations."""
    counted = Counted(field, most)
    with torch.no_grad(), pytest.raises(SolverFailure) as caught:
        solve(counted, y0, ts, **(LOOSE | chosen))
    assert "\n" not in str(caught.value)
    return caught.value


# --- overflows -----------------------------------------------------------------------------------


def test_a_state_that_grows_beyond_float32_fails_within_a_few_hundred_evaluations():
    failure = end(lambda t, y: 60 * y, torch.ones(1), torch.tensor([0.0, 2.0]), most=600)
    assert isinstance(failure, NonFinite)
    assert "the state overflows torch.float32 just after t=1.41" in str(failure)
    assert failure.t == pytest.approx(1.411, abs=1e-3)


@pytest.mark.parametrize("method", CLEVER)
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_linear_growth_fails_where_the_numbers_end(method, dtype, back, beside):
    """Also where another part of the state moves on all the while."""

    def field(t, y):
        growth = -60 * y if back else 60 * y
        return torch.stack([growth[0], torch.cos(5 * t)]) if beside else growth

    # Where the exact solution passes the largest number; the field overflows a little before.
    last = math.log(torch.finfo(dtype).max) / 60
    y0 = torch.ones(2, dtype=dtype)
    failure = end(field, y0, times(0, -2 * last if back else 2 * last), most=7000, method=method)
    assert f"the state overflows {dtype}" in str(failure)
    assert abs(failure.t) == pytest.approx(last - math.log(60) / 60, rel=0.02)


@pytest.mark.slow(reason="twenty solves go on until they fail")
@FIXTURE
@given(
    method=choosing,
    rate=st.floats(3, 100),
    power=st.sampled_from([1, 1.05, 1.1, 1.5, 2, 3]),
    digits=digits,
    sign=st.sampled_from([-1, 1]),
)
def test_growth_of_every_kind_in_float32_ends_soon(unchecked, method, rate, power, digits, sign):
    tol = tolerance(method, F32, min(digits, 3))
    last = 180 / rate
    ts, tolerances = times(0, sign * last), {"rtol": tol, "atol": tol}

    def field(t, y):
        return sign * rate * y**power

    failure = end(field, torch.ones(1), ts, 20_000, method=method, **tolerances)
    assert abs(failure.t) < last


@pytest.mark.parametrize("method", [*CLEVER, "adaptive_heun", "reversible_heun", "adams"])
def test_a_bounded_slope_beyond_the_largest_number_is_no_solution(method):
    """Its error is finite in units of an infinite state, and so nothing."""
    slope = torch.finfo(F32).max / 3e6
    failure = end(
        lambda t, y: torch.full_like(y, slope), torch.zeros(1), times(0, 2e7), 3000, method=method
    )
    assert "not finite near the output at t=20000000" in str(failure)


# --- what the field cannot bear ------------------------------------------------------------------


@pytest.mark.parametrize("method", CLEVER)
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("beyond", [math.nan, 1e30])
def test_a_wall_in_the_state_ends_a_solve_though_rounding_would_stop_before_it(
    method, dtype, beyond
):
    """In float32 ever so many steps of 1e-9 leave the state where it is, just before the wall."""

    def field(t, y):
        return torch.where(y > 0.887, beyond, 1.0).to(y)

    failure = end(field, torch.zeros(1, dtype=dtype), times(0, 2), 3000, method=method, rtol=1e-6)
    assert failure.t == pytest.approx(0.887, abs=1e-6)


# --- the way back --------------------------------------------------------------------------------


class Linear(nn.Module):
    def __init__(self, rate, dtype):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=dtype))
        self.calls = 0

    def forward(self, t, y):
        self.calls += 1
        if self.calls > 8000:
            raise TooOften
        return self.rate * y


@pytest.mark.parametrize(("dtype", "last"), [(F32, 2.0), (F64, 13.0)])
@pytest.mark.parametrize("method", ["dopri5", "tsit5"])
def test_an_adjoint_that_cannot_reverse_the_flow_says_so_and_names_the_others(dtype, last, method):
    field = Linear(-60.0, dtype)
    y0 = torch.ones(1, dtype=dtype)
    ys = solve(field, y0, times(0, last), gradient=Adjoint(), method=method, **LOOSE).ys
    with pytest.raises(NonFinite) as caught:
        ys.sum().backward()
    sentence = str(caught.value)
    assert sentence.startswith(f"on the adjoint's way back the state overflows {dtype}")
    for name in ("cannot be reversed", "Checkpointed()", "InterpolatedAdjoint()", "Backprop()"):
        assert name in sentence
    assert 0 < caught.value.t < last


def test_the_trajectory_need_not_be_reversed_where_it_is_kept():
    field = Linear(-60.0, F32)
    solve(field, torch.ones(1), times(0, 2), gradient=InterpolatedAdjoint(), **LOOSE).ys[
        -1
    ].backward()
    assert field.rate.grad is not None
    assert field.rate.grad.abs() < 1e-2


# --- solves that get on --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("late", [0.0, 1e4])
def test_a_tiny_first_step_into_a_wall_of_the_field_is_no_trouble(dtype, late):
    """Every first step is far too long and not finite, or far too short."""

    def field(t, y):
        return torch.where(y.abs() > 50, math.inf, -y)

    for first_step in (1e-12, 1e4):
        ts = times(late, late + 1)
        ys = solve(field, torch.ones(1, dtype=dtype), ts, first_step=first_step, **LOOSE).ys
        assert ys[-1].item() == pytest.approx(math.exp(-1), rel=2e-3)


@FIXTURE
@given(method=stable, stiffness=st.floats(50, 300), dtype=dtypes, late=st.sampled_from([0, 100]))
def test_a_stiff_solve_that_rejects_step_after_step_reaches_its_end(
    unchecked, method, stiffness, dtype, late
):
    """Stability holds the steps down, so many are rejected, and the state hardly moves."""

    def field(t, y):
        return stiffness * (torch.cos(t - late) - y)

    ts = times(late, late + 1)
    y0 = torch.ones(3, dtype=dtype)
    ys = solve(field, y0, ts, method=method, rtol=1e-3, atol=1e-4).ys
    assert ys[-1].tolist() == pytest.approx([math.cos(1)] * 3, abs=2e-2)


def test_the_same_wall_a_thousand_times_is_passed_as_long_as_the_time_gets_on():
    """The slope is not a number above the path, and every longer step would go there."""

    def field(t, y):
        return torch.where(y > 1 + 3e-4 * t, math.nan, 1e-4 + 100 * (1 - y))

    solution = solve(field, torch.ones(1, dtype=F64), times(0, 20), rtol=1e-2, atol=1e-2)
    assert solution.ys[-1].item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("chosen", [{}, {"method": "rk4", "step_size": 0.1}])
def test_an_event_that_does_not_come_is_told_of_after_a_while(monkeypatch, chosen):
    monkeypatch.setattr(integrate, "LOOK_AHEAD", 30)
    sentence = r"30 steps reached t=\d.*, and no event has come: without one the solve does not end"
    with pytest.warns(UserWarning, match=sentence), pytest.raises(StepLimit):
        solve(
            lambda t, y: -torch.sin(t) * y,
            torch.ones(1),
            times(0, 1),
            event_fn=lambda t, y: y[0] + 5,
            max_num_steps=50,
            **chosen,
        )


def test_steps_that_become_ever_shorter_are_told_of_after_a_while(monkeypatch):
    """Reversible Heun's second state drifts away where the flow damps, and the steps follow it."""
    monkeypatch.setattr(integrate, "LOOK_AHEAD", 300)
    monkeypatch.setattr(foresee, "MANY_STEPS", 10_000)
    chosen = {"method": "reversible_heun", "max_num_steps": 400, **LOOSE}
    sentence = r"300 steps reached t=0\.\d+, and steps of this size make for [\d,]+ more to t=1: "
    with pytest.warns(UserWarning, match=sentence), pytest.raises(StepLimit):
        solve(lambda t, y: 300 * (torch.cos(t) - y), torch.ones(1), times(0, 1), **chosen)
