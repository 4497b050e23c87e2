"""Arguments of ``solve``, ``odeint`` and the gradients of a wrong type: one sentence each."""

# Wrong types are the subject; settings are plain dicts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOptionalMemberAccess=false

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from neural_ode import (
    Adjoint,
    Checkpointed,
    IntegralController,
    InterpolatedAdjoint,
    PIController,
    Reversible,
    SolverFailure,
    odeint,
    odeint_adjoint,
    solve,
)
from neural_ode.settings import Callbacks
from tests.neural_ode.failing import TS, Y0, Decay, decay, says

pytestmark = pytest.mark.usefixtures("unchecked")
HUGE = 10**400


def pair(t, y):
    return -y[0], -y[1]


@pytest.mark.parametrize("name", ["rtol", "atol"])
@pytest.mark.parametrize("entry", ["odeint", "odeint_adjoint"])
@pytest.mark.parametrize("bad", [True, "a", None, 1j, HUGE, torch.tensor(True), [None], object()])
def test_an_entry_of_tolerances_that_is_no_number(name, entry, bad):
    function = odeint if entry == "odeint" else partial(odeint_adjoint, adjoint_params=())
    with pytest.raises(TypeError, match=f"{name} holds .*, expected positive numbers"):
        function(pair, (Y0, Y0), TS, **{name: (1e-6, bad)})
    with pytest.raises(TypeError, match=f"{name} holds .*, expected positive numbers"):
        function(decay, Y0, TS, **{name: [bad, 1e-6]})


def test_an_entry_of_tolerances_that_does_not_fit_its_part():
    says(
        ValueError,
        "rtol has an entry of shape (3,) for a part of shape (2,)",
        lambda: odeint(pair, (Y0, Y0), TS, rtol=(torch.full((3,), 1e-3), 1e-3)),
    )


TIMES = [
    ("abc", "is 'abc', expected a sequence of times"),
    (3, "is 3, expected a sequence of times"),
    ({0: 1}, "is dict, expected a sequence of times"),
    (torch.zeros(2, 2), "has shape (2, 2), expected one dimension"),
    (np.zeros(()), "has shape (), expected one dimension"),
    ([None, 1], "holds None, expected numbers"),
    (["a"], "holds 'a', expected numbers"),
    ([0.5, True], "holds True, expected numbers"),
    ([[0.5]], "holds list, expected numbers"),
    ([1j], "holds complex, expected numbers"),
    ([HUGE], "holds 1000"),
]


@pytest.mark.parametrize("name", ["grid", "step_t", "jump_t"])
@pytest.mark.parametrize(("bad", "sentence"), TIMES)
def test_times_that_are_none(name, bad, sentence):
    wrong = (TypeError, ValueError)
    says(wrong, f"{name} {sentence}", lambda: solve(decay, Y0, TS, **{name: bad}))
    gradient = Adjoint(params=(), settings={name: bad})
    if not isinstance(bad, str | int | dict) and not hasattr(bad, "ndim"):
        says(wrong, f"{name} {sentence}", lambda: solve(decay, Y0, TS, gradient=gradient))
    if name != "grid":
        says(wrong, f"{name} {sentence}", lambda: odeint(decay, Y0, TS, options={name: bad}))
    else:
        options = {"grid_constructor": lambda f, y, t: bad}
        call = partial(odeint, decay, Y0, TS, method="rk4", options=options)
        says(wrong, f"{name} {sentence}", call)


CASES = {
    "numbers": [
        (lambda n=n: solve(decay, Y0, TS, **{n: HUGE}), f"{n} is 1000")
        for n in ("rtol", "atol", "step_size", "first_step", "max_step", "min_step", "max_num_ste"
                  "ps")
    ],
    "norm": [
        (lambda: solve(decay, Y0, TS, norm=3), "norm is 3, expected a function"),
        (lambda: solve(decay, Y0, TS, norm=None), "norm is None, expected a function"),
        (lambda: solve(decay, Y0, TS, norm=int), "norm is the class int, expected a function"),
        (lambda: odeint(decay, Y0, TS, options={"norm": "seminorm"}), "norm is 'seminorm', expec"),
        (lambda: odeint(pair, (Y0, Y0), TS, options={"norm": 3}), "norm is 3, expected a function"),
        (lambda: solve(decay, Y0, TS, norm=lambda y: "a"), "the norm returned 'a', expected one"),
        (lambda: solve(decay, Y0, TS, norm=lambda y: y), "the norm returned shape (2,), expected"),
        (lambda: odeint(pair, (Y0, Y0), TS, options={"norm": lambda y: None}), "the norm returned"),
        (lambda: back(adjoint_options={"norm": lambda y: None}), "the norm returned None, expecte"),
        (lambda: back(adjoint_options={"norm": int}), "unknown adjoint norm <class 'int'>; expect"),
    ],
    "objects": [
        (lambda: solve(decay, Y0, TS, controller=3), "controller is 3, expected an object such as"),
        (lambda: solve(decay, Y0, TS, controller=0), "controller is 0, expected an object such as"),
        (
            lambda: solve(decay, Y0, TS, controller=PIController),
            "controller is the class PIController, expected an object",
        ),
        (lambda: solve(decay, Y0, TS, callbacks=3), "callbacks is 3, expected Callbacks(...)"),
        (lambda: Callbacks(step=3), "step is 3, expected a function or None"),
        (lambda: Callbacks(reject="x"), "reject is 'x', expected a function or None"),
        (lambda: IntegralController(safety="x"), "safety is 'x', expected a number"),
        (lambda: IntegralController(dfactor=1.0), "dfactor is 1.0, expected less than 1"),
        (lambda: PIController(ifactor=0.5), "ifactor is 0.5, expected at least 1"),
        (lambda: PIController(beta=math.nan), "beta is nan, expected a number from 0 to 1"),
    ],
    "options": [
        (lambda: odeint(decay, Y0, TS, options=[1]), "options is list, expected a dict of options"),
        (lambda: odeint(decay, Y0, TS, options="x"), "options is 'x', expected a dict of options"),
        (lambda: odeint(decay, Y0, TS, options={1: 2}), "options has the key 1, expected names of"),
        (lambda: back(options=[1]), "options is list, expected a dict of options by name"),
        (lambda: back(adjoint_options=3), "adjoint_options is 3, expected a dict of options by na"),
        (lambda: odeint(decay, Y0, TS, options={"safety": None}), "safety is None, expected a num"),
        (
            lambda: odeint(decay, Y0, TS, method="rk4", options={"grid_constructor": 3}),
            "grid_constructor is 3, expected a function",
        ),
        (
            lambda: back(method="rk4", adjoint_options={"grid_constructor": "x"}),
            "grid_constructor is 'x', expected a function",
        ),
    ],
    "params": [
        *(
            (lambda c=c: c(params=3), "params is 3, expected a sequence of tensors")
            for c in (Adjoint, Checkpointed, InterpolatedAdjoint, Reversible)
        ),
        (lambda: Adjoint(params=Y0), "params is Tensor, expected a sequence of tensors"),
        (lambda: Adjoint(params=nn.Linear(1, 1)), "params is Linear, expected a sequence of tenso"),
        (lambda: Adjoint(params=[3]), "params holds 3, expected tensors"),
        (lambda: back(adjoint_params="ab"), "adjoint_params is 'ab', expected a sequence of tenso"),
        (lambda: back(adjoint_params=3), "adjoint_params is 3, expected a sequence of tensors"),
        (lambda: adjoint(settings=5), "settings is 5, expected a dict of settings by name"),
        (lambda: adjoint(settings={"max_stp": 1}), "unknown setting 'max_stp' of the backward sol"
                                                   "ve; did you mean 'max_step'?"),
        (lambda: adjoint(settings={3: 1}), "unknown setting 3 of the backward solve; known are"),
        (lambda: adjoint(settings={"callbacks": 3}), "callbacks is 3, expected Callbacks(...)"),
    ],
    "flags": [
        (lambda: solve(decay, Y0, TS, grid=TS, perturb="yes"), "perturb is 'yes', expected True o"),
        (lambda: solve(decay, Y0, TS, compile="yes"), "compile is 'yes', expected True or False"),
        (lambda: solve(decay, Y0, TS, compile=1), "compile is 1, expected True or False"),
    ],
}  # fmt: skip


def back(**chosen):
    y0 = Y0.clone().requires_grad_(True)
    odeint_adjoint(Decay(), y0, TS, **chosen).sum().backward()


def adjoint(**chosen):
    solve(Decay(), Y0, TS, gradient=Adjoint(**chosen))


@pytest.mark.parametrize(("call", "sentence"), [case for cases in CASES.values() for case in cases])
def test_what_is_of_a_wrong_type_is_named(call, sentence):
    says((TypeError, ValueError), sentence, call)


def test_parameters_from_an_iterator_are_there_for_every_solve():
    field = nn.Linear(2, 2)
    gradient = Adjoint(params=field.parameters())
    for _ in range(2):
        field.zero_grad()
        solve(lambda t, y: field(y), torch.ones(2), torch.tensor([0.0, 1]), gradient=gradient).ys[
            -1
        ].sum().backward()
        assert field.weight.grad.abs().sum() > 0


class Owner:
    """An object whose method is a field."""

    def __init__(self, net):
        self.inner = net

    def field(self, t, y):
        return self.inner(y)


def hidden(way):
    net = nn.Linear(2, 2)
    return {
        "lambda": lambda t, y: net(y),
        "weight": lambda t, y: y @ net.weight,
        "partial": partial(lambda net, t, y: net(y), net),
        "method": Owner(net).field,
    }[way]


@pytest.mark.parametrize("way", ["lambda", "weight", "partial", "method"])
@pytest.mark.parametrize("entry", [solve, odeint])
def test_a_net_of_another_dtype_inside_a_function_is_named(way, entry):
    sentence = (
        r"y0 has dtype torch.float64, what the field uses \(.*\) has torch.float32: convert one of"
        r" them, as y0.to\(torch.float32\) does"
    )
    with pytest.raises(TypeError, match=sentence):
        entry(hidden(way), Y0, TS)


def test_another_failure_of_such_a_field_is_its_own():
    net = nn.Linear(3, 3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        solve(lambda t, y: net(y[None].float())[0].double(), Y0, TS)


def test_callbacks_may_change_what_they_are_given():
    def spoil(t, y, h):
        for x in (t, y, h):
            x.fill_(7)

    callbacks = Callbacks(step=spoil, accept=spoil, reject=spoil)
    for chosen in ({"method": "dopri5"}, {"method": "rk4", "step_size": 0.1}):
        wanted = solve(decay, Y0, TS, **chosen).ys
        assert torch.equal(solve(decay, Y0, TS, callbacks=callbacks, **chosen).ys, wanted)


class Watched(nn.Module):
    """A field on a pair, whose callbacks spoil what they are told."""

    def __init__(self, spoils):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(-1.0, dtype=torch.float64))
        if spoils:
            self.callback_step = self.callback_step_adjoint = self.spoil

    def forward(self, t, y):
        return self.rate * y[0], y[0] - y[1]

    def spoil(self, t, y, h):
        for x in y:
            x.data.fill_(7)


def test_callbacks_of_odeint_may_change_what_they_are_given():
    fields = Watched(True), Watched(False)
    for field in fields:
        ys = odeint_adjoint(field, (Y0, Y0), TS, rtol=1e-4, atol=1e-4)
        ys[1][-1].sum().backward()
    assert torch.equal(*(field.rate.grad for field in fields))


class Net(nn.Module):
    """A small net, on a tensor or on the first of a pair."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(2, 2, dtype=torch.float64)

    def forward(self, t, y):
        if isinstance(y, tuple):
            return torch.tanh(self.layer(y[0])), -y[1]
        return torch.tanh(self.layer(y))


@pytest.mark.parametrize(
    ("pair", "tolerances"),
    [
        (False, {"rtol": 1e-6, "atol": 0}),
        (False, {"rtol": 0, "atol": 1e-6}),
        (False, {"rtol": 1e-6, "atol": 0, "adjoint_options": {"norm": "seminorm"}}),
        (False, {"rtol": 1e-6, "atol": 1e-6, "adjoint_atol": 0}),
        (True, {"rtol": (0, 1e-6), "atol": (1e-7, 0)}),
        (True, {"rtol": (1e-6, 0.0), "atol": (0, torch.tensor([1e-8, 1e-8]))}),
        (True, {"rtol": (1e-6, 1e-6), "atol": 0}),
    ],
)
@pytest.mark.parametrize("t", [[0.0, 1.0], [3.0, 4.0, 5.5]])
def test_a_gradient_where_a_tolerance_is_zero_is_that_of_others(pair, tolerances, t):
    grads = []
    for chosen in (tolerances, {"rtol": 1e-8, "atol": 1e-8}):
        field, y0 = Net(), (Y0, Y0) if pair else Y0
        ys = odeint_adjoint(field, y0, torch.tensor(t, dtype=torch.float64), **chosen)
        (ys[0] if pair else ys)[-1].sum().backward()
        grads.append(field.layer.weight.grad)
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.just(HUGE),
    st.floats(),
    st.text(max_size=2),
    st.binary(max_size=1),
    st.lists(st.one_of(st.none(), st.floats(-1, 1), st.booleans()), max_size=3),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.dictionaries(st.text(max_size=1), st.none()),
    st.sampled_from([np.float32(0.1), np.ones(2), np.ones((2, 2)), np.array(True)]),
    st.sampled_from([torch.ones(2), torch.ones(3, 1), torch.tensor(True), torch.tensor(1j)]),
    st.sampled_from(
        [int, object(), 1j, lambda *_: None, nn.Linear(2, 2).double(), IntegralController]
    ),
    st.sampled_from([Adjoint, Callbacks()]),
)
NAMES = ["method", "rtol", "atol", "gradient", "norm", "controller", "step_size", "grid",
         "first_step", "min_step", "max_step", "max_num_steps", "step_t", "jump_t", "perturb",
         "interpolation", "compile", "callbacks"]  # fmt: skip


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), value=ODD, inside=st.booleans())
def test_any_argument_of_a_solve_works_or_is_named(unchecked, name, value, inside):
    """For the forward solve, or for the backward one among the settings of its gradient."""
    chosen = {"rtol": 1e-3, "atol": 1e-3, "max_num_steps": 50}
    if inside:
        chosen["gradient"] = Adjoint(params=(), settings={name: value})
    else:
        chosen[name] = value
    if name == "compile" and value is True:
        return
    y0 = Y0.clone().requires_grad_(True)
    try:
        solve(Decay(), y0, TS, **chosen).ys.sum().backward()
    except SolverFailure:
        return
    except (TypeError, ValueError) as error:
        sentence = str(error)
    else:
        return
    if "\n" in sentence or not any(word in sentence for word in (name, name.replace("_", " "))):
        raise AssertionError(sentence)


Y, TIMES = torch.ones(2, dtype=torch.float64), torch.linspace(0, 1, 3, dtype=torch.float64)
FAR = torch.tensor([-1e308, 1.5e308], dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: odeint(decay, Y, TIMES, options={"safety": 1.2}), "safety is 1.2, expected at"),
        (lambda: odeint(decay, Y, TIMES, rtol=torch.tensor(True)), "rtol holds"),
        (lambda: odeint(decay, Y, TIMES, atol=torch.tensor(True)), "atol holds"),
        (lambda: odeint(decay, Y, TIMES, method={}), "method"),
        (lambda: odeint(decay, Y, TIMES, method=0), "unknown method 0"),
        (lambda: solve(decay, Y, TIMES, gradient=torch.ones(2)), "gradient is"),
        (lambda: solve(decay, Y, FAR), "farther than"),
        (lambda: solve(decay, Y, TIMES, controller=IntegralController(safety=10**400)), "safety"),
    ],
)
def test_what_was_taken_without_a_word_is_one_sentence(call, said):
    with pytest.raises((TypeError, ValueError), match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_array_of_no_dimension_is_a_tolerance():
    got = odeint(decay, Y, TIMES, rtol=np.array(1e-4), atol=np.array(1e-6))
    assert torch.equal(got, odeint(decay, Y, TIMES, rtol=1e-4, atol=1e-6))


def test_a_conjugate_is_a_state_and_an_output_like_any_other():
    start = torch.tensor([1 + 1j, 2 - 1j], dtype=torch.complex128)
    plain = odeint(lambda t, y: y.conj().resolve_conj(), start, TIMES)
    torch.testing.assert_close(odeint(lambda t, y: y.conj(), start, TIMES), plain)
    conjugate = start.conj()
    torch.testing.assert_close(odeint(decay, conjugate, TIMES)[0], conjugate.resolve_conj())


def _turn(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 1j * y


def test_a_complex_state_without_a_dimension_turns():
    start = torch.tensor(1j, dtype=torch.complex128)
    got = odeint(_turn, start, TIMES, rtol=1e-9, atol=1e-9)
    expected = torch.complex(-TIMES.sin(), TIMES.cos())
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-7)
