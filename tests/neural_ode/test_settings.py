"""Settings that make no sense: each is refused in one sentence."""

# Wrong arguments are the subject here.
# pyright: reportArgumentType=false

import math

import pytest
import torch

from neural_ode import Adjoint, StepLimit, StepUnderflow, solve
from tests.neural_ode.failing import TS, Y0, Decay, decay, says, times

pytestmark = pytest.mark.usefixtures("unchecked")


def test_unknown_method_lists_the_known_ones():
    says(
        ValueError,
        "unknown method 'rk45'; did you mean 'dopri5'? expected one of euler, midpoint, heun, rk4,"
        " rk4_classic, bosh3, adaptive_heun, dopri5, tsit5, dopri8",
        lambda: solve(decay, Y0, TS, method="rk45"),
    )


@pytest.mark.parametrize("name", ["rtol", "atol"])
@pytest.mark.parametrize("value", [0, 0.0, -1e-3, math.nan, math.inf, "tight", None, True])
def test_tolerance_that_is_not_positive(name, value):
    says(
        ValueError,
        f"{name} is {value!r}, expected a positive number",
        lambda: solve(decay, Y0, TS, **{name: value}),
    )


@pytest.mark.parametrize("value", [torch.tensor(True), torch.tensor(1j)])
def test_tensor_of_tolerances_that_are_no_real_numbers(value):
    says(ValueError, "expected a positive number", lambda: solve(decay, Y0, TS, atol=value))


def never(t, y):
    raise AssertionError


@pytest.mark.parametrize(
    ("settings", "sentence", "t"),
    [
        (
            {"step_size": 1e-9, "max_num_steps": 100},
            "the grid has 500,000,000 steps from t=0 to 0.5, more than max_num_steps, 100",
            0,
        ),
        (
            {"grid": [0, 0.5, 0.6, 0.8, 1], "max_num_steps": 2},
            "the grid has 3 steps from t=0.5 to 1, more than max_num_steps, 2",
            0.5,
        ),
    ],
)
def test_a_grid_of_too_many_steps_fails_before_the_field_is_called(settings, sentence, t):
    failure = says(StepLimit, sentence, lambda: solve(never, Y0, TS, **settings))
    assert failure.t == t


@pytest.mark.parametrize(
    "settings",
    [
        {"step_size": 0.05, "max_num_steps": 10},
        {"step_size": 0.05, "max_num_steps": 1e6},
        {"step_size": 0.05, "max_num_steps": math.inf},
        {"grid": [0, 0.4, 0.6, 1], "max_num_steps": 2},
        # Two outputs inside one step.
        {"grid": [0, 1], "max_num_steps": 1},
    ],
)
def test_a_grid_of_as_many_steps_as_allowed_is_taken(settings):
    assert solve(decay, Y0, TS, method="rk4", **settings).ys.isfinite().all()


@pytest.mark.parametrize(("name", "size"), [("step_size", 1e-320), ("max_step", 1e-320)])
@pytest.mark.parametrize("ts", [TS, -TS, TS.flip(0)])
def test_steps_that_rounding_swallows_fail_before_the_field_is_called(name, size, ts):
    sentence = "is too small to move the time"
    says(StepUnderflow, sentence, lambda: solve(never, Y0, ts, **{name: size}))


def test_a_largest_step_that_makes_for_a_million_steps_is_told_before_they_are_taken():
    with (
        pytest.warns(UserWarning, match=r"max_step=1e-09 makes for at least 1,000,000,000 steps"),
        pytest.raises(StepLimit),
    ):
        solve(decay, Y0, TS, max_step=1e-9, max_num_steps=3)


def test_tensor_of_tolerances_with_one_that_is_not_positive():
    says(
        ValueError,
        "expected a positive number",
        lambda: solve(decay, Y0, TS, rtol=times(1e-3, 0)),
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"step_size": 0.1, "grid": [0, 1]},
            "step_size and grid exclude each other, give one of them",
        ),
        ({"step_size": -0.1}, "step_size is -0.1, expected a positive number"),
        ({"step_size": math.nan}, "step_size is nan, expected a positive number"),
        ({"first_step": 0.0}, "first_step is 0.0, expected a positive number"),
        ({"max_step": 0}, "max_step is 0, expected a positive number"),
        ({"min_step": -1}, "min_step is -1, expected a number from 0 to max_step, inf"),
        (
            {"min_step": 0.2, "max_step": 0.1},
            "min_step is 0.2, expected a number from 0 to max_step, 0.1",
        ),
        ({"max_num_steps": 0}, "max_num_steps is 0, expected at least 1"),
        ({"max_num_steps": True}, "max_num_steps is True, expected at least 1"),
        ({"max_num_steps": 1.5}, "max_num_steps is 1.5, expected a whole number"),
        ({"step_size": True}, "step_size is True, expected a positive number"),
        ({"step_size": "0.1"}, "step_size is '0.1', expected a positive number"),
        ({"max_step": None}, "max_step is None, expected a positive number"),
        ({"min_step": True}, "min_step is True, expected a number from 0 to max_step, inf"),
        ({"step_size": torch.tensor(True)}, "expected a positive number"),
        (
            {"step_size": 1e-9},
            "the grid has 1,000,000,000 steps, more than 10,000,000: take longer steps, or allow so"
            " many by max_num_steps",
        ),
        (
            {"interpolation": "spline"},
            "unknown interpolation 'spline'; expected one of dense, linear, cubic",
        ),
        ({"grid": [0.0, 0.7, 0.6, 1.0]}, "grid must run strictly from the first output time"),
        ({"grid": [1.0, 0.5, 0.0]}, "grid must run strictly from the first output time"),
        ({"grid": [0.0, math.nan, 1.0]}, "grid must run strictly from the first output time"),
        ({"grid": []}, "grid must run strictly from the first output time"),
        ({"grid": [0.0, 2.0]}, "grid runs from 0 to 2, but the output times from 0 to 1"),
        ({"step_t": [0.5, 0.5]}, "step_t and jump_t must not repeat a time"),
        ({"step_t": [0.5], "jump_t": [0.5]}, "step_t and jump_t must not repeat a time"),
    ],
)
def test_settings_that_contradict_themselves(settings, sentence):
    says(ValueError, sentence, lambda: solve(decay, Y0, TS, **settings))


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"params": None}, "the adjoint cannot see what a plain function closes over"),
        ({"norm": "max"}, "unknown adjoint norm 'max'; expected 'rms', 'seminorm' or a function"),
        ({"rtol": -1}, "rtol is -1, expected a positive number"),
        ({"atol": 0}, "atol is 0, expected a positive number"),
        ({"method": "rk5"}, "unknown method 'rk5'; did you mean 'dopri5'? expected one"),
        ({"settings": {"step_size": -1}}, "step_size is -1, expected a positive number"),
        ({"rtol": times(1e-3, 1)}, "rtol of the backward solve has shape (2,), expected one"),
    ],
)
def test_adjoint_that_makes_no_sense_fails_before_the_forward_solve(own, sentence):
    def never(t, y):
        raise AssertionError

    gradient = Adjoint(**{"params": (), **own})
    says(ValueError, sentence, lambda: solve(never, Y0, TS, gradient=gradient))


def test_tolerances_of_the_parts_of_the_state_do_not_fit_the_backward_solve():
    says(
        ValueError,
        "rtol of the backward solve has shape (2,), expected one number, since its state is z, a"
        " and the parameter gradients: give the adjoint an rtol of its own",
        lambda: solve(Decay(), Y0, TS, rtol=times(1e-3, 1e-4), gradient=Adjoint()),
    )
