"""Norms, controllers and tensors that the caller gives: the right value, or one clear sentence."""

# Wrong types are the subject.
# pyright: reportArgumentType=false, reportCallIssue=false

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from neural_ode import (
    Adjoint,
    IntegralController,
    InterpolatedAdjoint,
    PIController,
    odeint,
    odeint_adjoint,
    rms_norm,
    solve,
)
from tests.neural_ode.failing import TS, Y0, says
from tests.neural_ode.random_problems import F32, F64
from tests.neural_ode.ways import FOR_EVERY_METHOD

pytestmark = pytest.mark.usefixtures("unchecked")
LOOSE = {"rtol": 1e-4, "atol": 1e-4}
NESTED = torch.nested.nested_tensor([torch.ones(2)])
WITHOUT_VALUES = {
    "a meta tensor": torch.ones((), device="meta"),
    "a sparse tensor": torch.tensor(1.0).to_sparse(),
    "a nested tensor": NESTED,
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(2, 2, dtype=F64)

    def forward(self, t, y):
        return torch.tanh(self.layer(y)) + t


def gradients(**chosen):
    field, y0 = Net(), Y0.clone().requires_grad_(True)
    solve(field, y0, TS, **(LOOSE | chosen)).ys.square().sum().backward()
    return y0.grad, field.layer.weight.grad


# --- tensors and other numbers as options ---------------------------------------------------------


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", ["first_step", "min_step", "max_step", "step_size"])
@pytest.mark.parametrize("way", list(FOR_EVERY_METHOD))
def test_the_size_of_a_step_may_be_a_tensor(name, way, dtype):
    size, gradient = torch.tensor(0.05, dtype=dtype), FOR_EVERY_METHOD[way]
    given, plain = (gradients(gradient=gradient, **{name: x}) for x in (size, size.item()))
    for a, b in zip(given, plain, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["first_step", "min_step", "max_step"])
def test_the_size_of_a_step_on_the_way_back_may_be_a_tensor(name):
    sizes = torch.tensor(0.05), torch.tensor(0.05).item()
    given, plain = (gradients(gradient=Adjoint(settings={name: size})) for size in sizes)
    for a, b in zip(given, plain, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("number", [Fraction(1, 1000), np.float32(1e-3), torch.tensor(1e-3)])
def test_a_tolerance_may_be_any_kind_of_number(number):
    wanted = odeint(Net(), Y0, TS, rtol=float(number), atol=1e-3)
    torch.testing.assert_close(odeint(Net(), Y0, TS, rtol=number, atol=Fraction(1, 1000)), wanted)
    assert torch.equal(solve(Net(), Y0, TS, rtol=number, atol=1e-3).ys, wanted)


@pytest.mark.parametrize("kind", list(WITHOUT_VALUES))
@pytest.mark.parametrize(
    "name", ["rtol", "atol", "first_step", "min_step", "max_step", "max_num_steps", "step_t"]
)
def test_a_tensor_without_values_as_an_option_is_named(kind, name):
    value = WITHOUT_VALUES[kind]
    with pytest.raises((TypeError, ValueError), match=f"^{name} ") as caught:
        solve(Net(), Y0, TS, **{name: value})
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("kind", list(WITHOUT_VALUES))
@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_a_tensor_without_values_as_a_tolerance_of_odeint_is_named(kind, name):
    value, sentence = WITHOUT_VALUES[kind], f"{name} is {kind}, expected numbers"
    one, back, entry = {name: value}, {f"adjoint_{name}": value}, {name: (value, 1e-3)}
    says(TypeError, sentence, lambda: odeint(Net(), Y0, TS, **one))
    says(TypeError, sentence, lambda: odeint_adjoint(Net(), Y0, TS, **back))
    pair = (Y0, Y0)
    says(TypeError, f"an entry of {sentence}", lambda: odeint(lambda t, y: y, pair, TS, **entry))


# --- norms ----------------------------------------------------------------------------------------

NO_NORMS = [
    (-1.0, "the norm returned -1, expected a number of at least 0"),
    (torch.tensor(-2.0), "the norm returned -2, expected a number of at least 0"),
    (math.nan, "the norm returned nan, expected a number of at least 0"),
    (torch.tensor(math.inf), "the norm returned inf, expected a number of at least 0"),
    (10**400, "the norm returned a number too large for the computer"),
    (1j, "the norm returned complex, expected one number"),
    (torch.tensor(1j), "the norm returned torch.complex64, expected one real number"),
    (True, "the norm returned True, expected one number"),
    (None, "the norm returned None, expected one number"),
    (torch.ones(2), "the norm returned shape (2,), expected one number"),
    *((x, f"what the norm returned is {kind}") for kind, x in WITHOUT_VALUES.items()),
]


@pytest.mark.parametrize(("value", "sentence"), NO_NORMS)
@pytest.mark.parametrize("first_step", [None, 0.1])
def test_what_a_norm_must_not_return(value, sentence, first_step):
    """At the choice of the first step, and at the error of a step."""
    errors, chosen = (TypeError, ValueError), {"first_step": first_step}
    says(errors, sentence, lambda: solve(Net(), Y0, TS, norm=lambda x: value, **chosen))
    options = {"norm": lambda y: value} | ({} if first_step is None else chosen)
    says(errors, sentence, lambda: odeint(Net(), Y0, TS, options=options))
    settings = {} if first_step is None else chosen
    for way in (Adjoint, InterpolatedAdjoint):
        gradient = way(norm=lambda z, a, g: value, settings=settings)
        says(errors, sentence, lambda gradient=gradient: gradients(gradient=gradient))


@pytest.mark.parametrize("value", [0.5, 1, Fraction(1, 2), np.float32(0.5), torch.tensor([0.5])])
def test_a_norm_may_return_any_kind_of_number(value):
    ys = solve(Net(), Y0, TS, norm=lambda x: value, max_step=0.1).ys
    torch.testing.assert_close(ys, solve(Net(), Y0, TS).ys, rtol=1e-4, atol=1e-4)


def test_a_norm_of_an_adjoint_serves_the_interpolated_one_too():
    def norm(z, a, g):
        return max(x.abs().max() for x in (z, a, *g))

    wanted = gradients(rtol=1e-9, atol=1e-9)
    got = gradients(gradient=InterpolatedAdjoint(norm=norm), rtol=1e-9, atol=1e-9)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_what_rms_norm_is_called_with_is_named():
    says(TypeError, "x is None, expected a torch tensor", lambda: rms_norm(None))
    says(TypeError, "x has the dtype torch.int64", lambda: rms_norm(torch.ones(2).long()))
    says(TypeError, "x is a nested tensor", lambda: rms_norm(NESTED))
    assert rms_norm(torch.tensor([3 + 4j])).item() == pytest.approx(5)


# --- controllers ----------------------------------------------------------------------------------


class Constant:
    """A controller that always gives the same factor."""

    dfactor = 0.2

    def __init__(self, value):
        self.value = value

    def factor(self, ratio, previous, order):
        return self.value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "the controller's factor is None, expected a number"),
        (math.nan, "the controller's factor is nan, expected a positive finite number"),
        (0, "the controller's factor is 0, expected a positive finite number"),
        (-1.0, "the controller's factor is -1.0, expected a positive finite number"),
        (math.inf, "the controller's factor is inf, expected a positive finite number"),
        (1j, "the controller's factor is complex, expected a number"),
        (10**400, "the controller's factor is too large"),
        (WITHOUT_VALUES["a meta tensor"], "the controller's factor is a meta tensor"),
        (1.0, "the controller's factor is 1 for a step whose error is"),
        (1.5, "the controller's factor is 1.5 for a step whose error is"),
    ],
)
def test_what_a_controller_must_not_return(value, sentence):
    tight = {"rtol": 1e-9, "atol": 1e-9, "first_step": 0.5}
    says(
        (TypeError, ValueError),
        sentence,
        lambda: solve(Net(), Y0, TS, controller=Constant(value), **tight),
    )


def test_a_controller_may_return_a_tensor():
    class InTensors(IntegralController):
        def factor(self, ratio, previous, order):
            return torch.tensor([super().factor(ratio, previous, order)], dtype=F64)

    assert torch.equal(
        *(solve(Net(), Y0, TS, controller=c()).ys for c in (InTensors, IntegralController))
    )


def test_a_controller_needs_a_factor_for_steps_that_are_not_finite():
    class Half:
        def factor(self, ratio, previous, order):
            return 0.5

    sentence = (
        "controller is Half, expected an object such as PIController(), with a function factor and"
        " a number dfactor"
    )
    says(TypeError, sentence, lambda: solve(Net(), Y0, TS, controller=Half()))


def test_exponents_by_which_a_power_would_be_zero_are_refused():
    says(
        ValueError,
        "alpha is 1e+300, expected a number from 0 to 1",
        lambda: PIController(alpha=1e300),
    )
    says(ValueError, "beta is 1.5, expected a number from 0 to 1", lambda: PIController(beta=1.5))


def test_a_safety_of_one_does_not_end_a_solve():
    ys = solve(Net(), Y0, TS, controller=IntegralController(safety=1.0)).ys
    torch.testing.assert_close(ys, solve(Net(), Y0, TS).ys, rtol=1e-6, atol=1e-7)
