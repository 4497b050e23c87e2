"""Settings that make no sense: each is refused in one sentence."""

# Wrong arguments are the subject here.
# pyright: reportArgumentType=false

import math

import pytest

from neural_ode import Adjoint, solve
from tests.neural_ode.failing import TS, Y0, Decay, decay, says, times

pytestmark = pytest.mark.usefixtures("unchecked")


def test_unknown_method_lists_the_known_ones():
    says(
        ValueError,
        "unknown method 'rk45'; expected one of euler, midpoint, heun, rk4, rk4_classic, bosh3,"
        " adaptive_heun, dopri5, tsit5, dopri8",
        lambda: solve(decay, Y0, TS, method="rk45"),
    )


@pytest.mark.parametrize("name", ["rtol", "atol"])
@pytest.mark.parametrize("value", [0, 0.0, -1e-3, math.nan, math.inf, "tight", None])
def test_tolerance_that_is_not_positive(name, value):
    says(
        ValueError,
        f"{name} is {value!r}, expected a positive number",
        lambda: solve(decay, Y0, TS, **{name: value}),
    )


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
        ({"method": "rk5"}, "unknown method 'rk5'; expected one of euler"),
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
