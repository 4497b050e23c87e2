"""What cannot be solved: each failure has a status, a time and one sentence."""

# Wrong arguments are the subject here.
# pyright: reportArgumentType=false

import math

import pytest
import torch

from neural_ode import (
    METHODS,
    Adjoint,
    NonFinite,
    SolverFailure,
    StepLimit,
    StepUnderflow,
    odeint,
    odeint_adjoint,
    solve,
)
from tests.neural_ode.failing import TS, Y0, Decay, decay, says, times

pytestmark = pytest.mark.usefixtures("unchecked")
EVERY = pytest.mark.parametrize("method", METHODS)
ADAPTIVE = pytest.mark.parametrize("method", [m for m, t in METHODS.items() if t.adaptive])


# --- solves that cannot go on --------------------------------------------------------------------


@ADAPTIVE
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_field_that_turns_non_finite(method, value):
    def field(t, y):
        return torch.where(t > 0.7, value, 1.0).to(y) * y

    failure = says(
        NonFinite,
        "the field or the state is not finite just after t=0.7",
        lambda: solve(field, Y0, TS, method=method, rtol=1e-3),
    )
    assert failure.t == pytest.approx(0.7)
    assert failure.status == "nonfinite"


@ADAPTIVE
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_field_that_is_not_finite_at_the_start(method, value):
    failure = says(
        NonFinite,
        "the field or the state is not finite at t=0.5",
        lambda: solve(lambda t, y: value * y, Y0, times(0.5, 1), method=method),
    )
    assert failure.t == 0.5


@EVERY
def test_initial_state_that_is_not_finite(method):
    for value in (math.nan, math.inf):
        with pytest.raises(NonFinite, match="not finite"):
            solve(decay, times(1, value), TS, method=method)


@EVERY
def test_fixed_steps_name_the_first_step_that_is_not_finite(method):
    def field(t, y):
        return torch.where(t > 0.5, math.nan, 1.0).to(y) * y

    # Euler's method sees the field at the start of a step alone.
    start, end = (0.75, 1) if method == "euler" else (0.5, 0.75)
    failure = says(
        NonFinite,
        f"the state is not finite after the step from t={start} to {end}",
        lambda: solve(field, Y0, TS, method=method, step_size=0.25),
    )
    assert failure.t == start


def test_overflow_of_a_trial_step_is_survived():
    """The first step is far too long and overflows, yet shorter ones reach the end."""
    field_limit = 50.0

    def field(t, y):
        return torch.where(y.abs() > field_limit, math.inf, -y)

    solution = solve(field, times(1), times(0, 1), first_step=1e4)
    assert solution.stats.rejected > 0
    assert solution.ys[-1].item() == pytest.approx(math.exp(-1), rel=1e-6)


@pytest.mark.slow(reason="solves go on until no step is left")
@pytest.mark.parametrize(
    ("method", "tol"), [("bosh3", 1e-3), ("dopri5", 1e-6), ("tsit5", 1e-9), ("dopri8", 1e-3)]
)
def test_step_underflow_before_a_pole(method, tol):
    # Near the pole a step is rounded to whole units of the last place, and must shrink even so.
    failure = says(
        StepUnderflow,
        "is too small to move the time",
        lambda: solve(lambda t, y: y**2, times(1), times(0, 2), method=method, rtol=tol, atol=tol),
    )
    assert failure.t == pytest.approx(1, abs=10 * tol)
    assert failure.status == "underflow"


def test_step_limit_counts_between_outputs():
    calm = {"max_num_steps": 12, "rtol": 1e-6}
    solve(decay, Y0, torch.linspace(0, 5, 21, dtype=torch.float64), **calm)
    failure = says(
        StepLimit,
        "12 steps taken without reaching t=50",
        lambda: solve(lambda t, y: torch.cos(9 * t) * y, Y0, times(0, 50), **calm),
    )
    assert 0 < failure.t < 50
    assert failure.status == "max_steps"


def test_every_failure_is_a_solver_failure():
    assert all(issubclass(x, SolverFailure) for x in (NonFinite, StepLimit, StepUnderflow))
    assert issubclass(SolverFailure, RuntimeError)


def test_backward_solve_fails_as_the_forward_one_does():
    y0 = Y0.clone().requires_grad_()
    gradient = Adjoint(params=(), settings={"max_num_steps": 1})
    ys = solve(decay, y0, TS, gradient=gradient).ys
    with pytest.raises(StepLimit, match=r"1 steps taken without reaching t=0\.5"):
        ys.sum().backward()


# --- the field's output --------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (lambda y: y[:1], "shape (1,), torch.float64 on cpu"),
        (lambda y: y[None], "shape (1, 2), torch.float64 on cpu"),
        (lambda y: y.float(), "shape (2,), torch.float32 on cpu"),
        (lambda y: y.to("meta"), "shape (2,), torch.float64 on meta"),
    ],
)
def test_field_whose_output_does_not_fit(method, spoil, got):
    says(
        ValueError,
        f"the field returned {got} for a state of shape (2,), torch.float64 on cpu;"
        " the derivative must have the state's shape, dtype and device",
        lambda: solve(lambda t, y: spoil(y), Y0, TS, method=method),
    )


@pytest.mark.parametrize(("output", "name"), [((Y0,), "tuple"), (None, "NoneType"), (1.0, "float")])
def test_field_that_returns_no_tensor(output, name):
    says(
        TypeError,
        f"the field returned {name}, expected a tensor",
        lambda: solve(lambda t, y: output, Y0, TS),
    )


@pytest.mark.parametrize(
    ("field", "error", "sentence"),
    [
        (lambda t, y: y[0], TypeError, "the field returned Tensor, expected a tuple of tensors"),
        (
            lambda t, y: (y[1], y[0]),
            ValueError,
            "the field returned shapes [(1,), (2,)] for a state of shapes [(2,), (1,)]",
        ),
        (
            lambda t, y: (y[0], y[1], y[1]),
            ValueError,
            "the field returned shapes [(2,), (1,), (1,)] for a state of shapes [(2,), (1,)]",
        ),
    ],
)
def test_field_whose_output_does_not_fit_a_tuple(field, error, sentence):
    says(error, sentence, lambda: odeint(field, (Y0, Y0[:1]), TS))


# --- the problem ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ts", [(0, 0), (0, 1, 1), (0, 2, 1), (1, 0, 0.5), (0, 1, 0)])
def test_times_that_are_not_monotone(ts):
    says(
        ValueError,
        "ts must be strictly increasing or strictly decreasing",
        lambda: solve(decay, Y0, times(*ts)),
    )


@pytest.mark.parametrize(
    ("field", "y0", "ts", "error", "sentence"),
    [
        (5, Y0, TS, TypeError, "field is 5, expected a function of (t, y)"),
        (decay, [1.0], TS, TypeError, "y0 is list, expected a torch tensor"),
        (decay, 1.0, TS, TypeError, "y0 is float, expected a torch tensor"),
        (decay, Y0, [0.0, 1.0], TypeError, "ts is list, expected a torch tensor"),
        (
            decay,
            Y0.long(),
            TS,
            TypeError,
            "y0 has dtype torch.int64, expected a floating-point tensor",
        ),
        (
            decay,
            Y0.to(torch.complex128),
            TS,
            TypeError,
            "y0 has dtype torch.complex128, expected a floating-point tensor",
        ),
        (
            decay,
            Y0.half(),
            TS,
            TypeError,
            "y0 has dtype torch.float16, expected torch.float32 or torch.float64",
        ),
        (
            decay,
            Y0,
            torch.tensor([0, 1]),
            TypeError,
            "ts has dtype torch.int64, expected a floating-point tensor",
        ),
        (
            decay,
            Y0,
            TS[None],
            ValueError,
            "ts has shape (1, 3), expected one dimension with at least one time",
        ),
        (
            decay,
            Y0,
            TS[:0],
            ValueError,
            "ts has shape (0,), expected one dimension with at least one time",
        ),
        (decay, Y0, times(0, math.inf), ValueError, "ts holds a time that is not finite"),
        (decay, Y0, times(0, math.nan), ValueError, "ts holds a time that is not finite"),
    ],
)
def test_problems_that_make_no_sense(field, y0, ts, error, sentence):
    says(error, sentence, lambda: solve(field, y0, ts))


def test_tuple_with_something_else_in_it():
    says(
        TypeError,
        "y0 is a tuple with something in it that is not a torch tensor",
        lambda: odeint(lambda t, y: y, (Y0, 1.0), TS),
    )


# --- the drop-in face ----------------------------------------------------------------------------


def test_odeint_adjoint_needs_to_know_the_parameters():
    says(
        ValueError,
        "func is not an nn.Module, so its parameters are unknown: name them in adjoint_params,"
        " () if there are none",
        lambda: odeint_adjoint(decay, Y0, TS),
    )


def test_options_for_another_method():
    says(
        ValueError,
        "adjoint_method differs from method, so options need adjoint_options too",
        lambda: odeint_adjoint(
            Decay(), Y0, TS, method="dopri5", options={"first_step": 0.1}, adjoint_method="rk4"
        ),
    )


def test_tuple_of_tolerances_of_the_wrong_length():
    says(
        ValueError,
        "rtol has 2 entries for a state of 3 parts",
        lambda: odeint(lambda t, y: y, (Y0, Y0, Y0), TS, rtol=(1e-3, 1e-4)),
    )
