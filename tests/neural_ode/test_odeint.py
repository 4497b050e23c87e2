"""``odeint`` and ``odeint_adjoint`` against torchdiffeq, which they are to replace."""

import math
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import nn

import neural_ode
from neural_ode import Checkpointed, odeint_adjoint, solve

F64 = torch.float64


def times(*values):
    return torch.tensor(values, dtype=F64)


SEVERAL = times(0, 0.35, 0.9, 2)
ONE = times(0, 2)
Y0 = times(0.3, -0.2, 0.5)


class Field(nn.Module):
    """A small nonlinear field that counts its calls.

    It is autonomous by default: where a field depends on the time, torchdiffeq lets the adjoint of
    the time take part in the choice of the backward steps, even if nobody asked for its gradient.
    """

    def __init__(self, driven=False):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 3).to(F64)
        self.driven, self.calls = driven, 0

    def forward(self, t, y):
        self.calls += 1
        slope = 2 * torch.tanh(self.linear(y))
        return slope * torch.cos(3 * t) if self.driven else slope


class TupleField(Field):
    def forward(self, t, y):  # pyright: ignore[reportIncompatibleMethodOverride]
        position, scale = y
        return super().forward(t, position), -scale * position.square().mean()


def forward(package, t=SEVERAL, y0=Y0, driven=True, **settings):
    """The states and the number of evaluations."""
    field = Field(driven)
    with torch.no_grad():
        ys = package.odeint(field, y0, t, **settings)
    return ys, field.calls


def backward(package, t=SEVERAL, field=Field, with_times=False, entry="odeint_adjoint", **settings):
    """The gradients of the state, parameters and times, and the evaluations there and back."""
    f, t = field(), t.clone().requires_grad_(with_times)
    y0 = Y0.clone().requires_grad_()
    state = (y0, torch.ones(2, 2, dtype=F64)) if field is TupleField else y0
    ys = getattr(package, entry)(f, state, t, **settings)
    nfe_forward = f.calls
    parts = ys if isinstance(ys, tuple) else (ys,)
    torch.cat([part.flatten() for part in parts]).square().sum().backward()
    gradients = [x.grad for x in (y0, *f.parameters(), *([t] if with_times else []))]
    return gradients, (nfe_forward, f.calls - nfe_forward)


def assert_all_close(ours, theirs, rtol=1e-9, atol=1e-11):
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=rtol, atol=atol)


def both(run, **settings):
    return run(neural_ode, **settings), run(torchdiffeq, **settings)


# --- states and evaluations ----------------------------------------------------------------------


@pytest.mark.parametrize("t", [SEVERAL, SEVERAL.flip(0), ONE])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_dopri5_takes_the_same_steps(t, tolerance):
    (ys, nfe), (their_ys, their_nfe) = both(forward, t=t, rtol=tolerance, atol=tolerance)
    assert nfe == their_nfe
    # Inside a step torchdiffeq fits a quartic through its midpoint, which is the same polynomial.
    # The step sizes follow from an error that cancels down to its rounding, so they agree to about
    # 1e-12, and with them the states, the better the smaller the error is.
    torch.testing.assert_close(ys, their_ys, rtol=1e-8 * tolerance, atol=1e-8 * tolerance + 1e-13)


def end_at(t):
    """An option that makes a step end there, so that no interpolation is compared."""
    return {"step_t": times(*t)}


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_bosh3_takes_the_same_steps(tolerance):
    settings = {"method": "bosh3", "rtol": tolerance, "atol": tolerance}
    (ys, nfe), (their_ys, their_nfe) = both(forward, **settings, options=end_at(SEVERAL[1:]))
    assert nfe == their_nfe
    torch.testing.assert_close(ys, their_ys, rtol=1e-8 * tolerance, atol=1e-8 * tolerance + 1e-13)


@pytest.mark.parametrize("method", ["bosh3", "dopri8"])
def test_outputs_inside_a_step_are_more_accurate(method):
    """torchdiffeq's interpolant of these two is of lower order than the method."""
    t = torch.linspace(0, 2, 31, dtype=F64)
    settings = {"method": method, "rtol": 1e-7, "atol": 1e-7}
    truth, _ = forward(neural_ode, t=t, rtol=1e-12, atol=1e-12)
    ys, their_ys = (forward(p, t=t, **settings)[0] for p in (neural_ode, torchdiffeq))
    assert (ys - truth).abs().max() < 0.5 * (their_ys - truth).abs().max()


@pytest.mark.parametrize(("t", "steps_with_outputs"), [(ONE, 1), (SEVERAL, 3)])
def test_dopri8_takes_the_same_steps_and_pays_four_for_a_step_with_outputs(t, steps_with_outputs):
    (_, nfe), (_, their_nfe) = both(forward, t=t, method="dopri8", rtol=1e-9, atol=1e-9)
    assert nfe == their_nfe + 4 * steps_with_outputs


def test_dopri8_takes_the_same_steps_where_they_end_at_the_outputs():
    settings = {"method": "dopri8", "rtol": 1e-9, "atol": 1e-9, "options": end_at(SEVERAL[1:])}
    (ys, nfe), (their_ys, their_nfe) = both(forward, **settings)
    assert nfe == their_nfe
    # As for dopri5, the step sizes agree to about 1e-12 only, and these steps are large.
    torch.testing.assert_close(ys, their_ys, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "dopri8"])
def test_steps_of_a_given_size_agree_to_rounding(method):
    sizes = {"first_step": 0.05, "min_step": 0.05, "max_step": 0.05}
    (ys, nfe), (their_ys, their_nfe) = both(
        forward, method=method, options=sizes | end_at(SEVERAL[1:])
    )
    assert nfe == their_nfe
    torch.testing.assert_close(ys, their_ys, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("euler", "euler"), ("midpoint", "midpoint"), ("heun", "heun2"), ("rk4", "rk4")],
)
@pytest.mark.parametrize("t", [SEVERAL, SEVERAL.flip(0)])
@pytest.mark.parametrize("interp", ["linear", "cubic"])
@pytest.mark.parametrize("perturb", [False, True])
@pytest.mark.parametrize("grid", [{}, {"step_size": 0.15}])
def test_fixed_grids_give_the_same(method, theirs, t, interp, perturb, grid):
    options = {"interp": interp, "perturb": perturb, **grid}
    ys, nfe = forward(neural_ode, t=t, method=method, options=options)
    their_ys, their_nfe = forward(torchdiffeq, t=t, method=theirs, options=options)
    torch.testing.assert_close(ys, their_ys, rtol=1e-13, atol=1e-14)
    if interp == "linear" or grid:
        # For a cubic at the very end of a step torchdiffeq evaluates a slope that it does not need.
        assert nfe <= their_nfe
    if interp == "linear":
        assert nfe == their_nfe


OPTIONS = {
    "first_step": {"first_step": 0.01},
    "max_step": {"max_step": 0.1},
    "min_step": {"min_step": 0.3},
    "step_t": {"step_t": times(1.3, 0.5)},
    "jump_t": {"jump_t": times(1.3, 0.5)},
    "step_t and jump_t": {"step_t": times(0.5), "jump_t": times(1.3)},
    "controller": {"safety": 0.7, "ifactor": 3.0, "dfactor": 0.5},
    "norm": {"norm": lambda y: y.abs().max()},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("t", [SEVERAL, SEVERAL.flip(0)])
def test_adaptive_options_mean_the_same(option, t):
    settings = {"rtol": 1e-5, "atol": 1e-5, "options": OPTIONS[option]}
    (ys, nfe), (their_ys, their_nfe) = both(forward, t=t, **settings)
    assert nfe == their_nfe
    torch.testing.assert_close(ys, their_ys, rtol=1e-11, atol=1e-12)


def test_the_gradient_by_the_times_across_a_jump_is_that_of_torchdiffeq():
    found = []
    for package in (neural_ode, torchdiffeq):
        ts = times(0, 1).requires_grad_()
        ys = package.odeint(
            lambda t, y: -y / 2 + 3 * (t >= 0.5),
            times(1),
            ts,
            rtol=1e-9,
            atol=1e-9,
            options={"jump_t": times(0.5)},
        )
        found += torch.autograd.grad(ys[-1].sum(), ts)
    assert found[0].tolist() == pytest.approx(found[1].tolist(), rel=1e-9)
    # The start decays to e^-1/2 of itself.
    assert found[0][0].item() == pytest.approx(math.exp(-0.5) / 2, rel=1e-7)


def test_max_num_steps_is_the_same_limit():
    for limit, fails in ((200, False), (3, True)):
        options = {"max_num_steps": limit}
        outcomes = []
        for package in (neural_ode, torchdiffeq):
            try:
                forward(package, t=ONE, options=options)
                outcomes.append(False)
            except (neural_ode.StepLimit, AssertionError):
                outcomes.append(True)
        assert outcomes == [fails, fails]


@pytest.mark.parametrize("t", [SEVERAL, SEVERAL.flip(0)])
def test_grid_constructor(t):
    def constructor(func, y0, t):
        assert func(t[0], y0).shape == y0.shape
        return torch.cat([t[:1], t.mean()[None], t[-1:]])

    settings = {"method": "rk4", "options": {"grid_constructor": constructor}}
    (ys, nfe), (their_ys, their_nfe) = both(forward, t=t, **settings)
    torch.testing.assert_close(ys, their_ys, rtol=1e-14, atol=1e-15)
    assert nfe == their_nfe


def test_float32_state():
    y0, t = Y0.float(), SEVERAL.float()
    outs = []
    for package in (neural_ode, torchdiffeq):
        field = Field().float()
        outs.append((package.odeint(field, y0, t, rtol=1e-4, atol=1e-4), field.calls))
    (ys, nfe), (their_ys, their_nfe) = outs
    assert nfe == their_nfe
    torch.testing.assert_close(ys, their_ys)


def test_tuple_state_and_tuple_tolerances():
    settings = {"rtol": (1e-8, 1e-3), "atol": (1e-9, 1e-2)}
    state = (Y0, torch.ones(2, 2, dtype=F64))
    outs = []
    for package in (neural_ode, torchdiffeq):
        field = TupleField()
        outs.append((package.odeint(field, state, SEVERAL, **settings), field.calls))
    (ys, nfe), (their_ys, their_nfe) = outs
    assert [y.shape for y in ys] == [(4, 3), (4, 2, 2)]
    assert nfe == their_nfe
    assert_all_close(ys, their_ys)


def test_norm_of_a_tuple_state_sees_the_tuple():
    state = (Y0, torch.ones(2, 2, dtype=F64))
    options = {"norm": lambda parts: parts[1].abs().max()}
    calls = []
    for package in (neural_ode, torchdiffeq):
        field = TupleField()
        package.odeint(field, state, SEVERAL, options=options)
        calls.append(field.calls)
    assert calls[0] == calls[1]


# --- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [SEVERAL, SEVERAL.flip(0), ONE])
@pytest.mark.parametrize("field", [Field, TupleField])
def test_backprop_gradients(t, field):
    settings = {"t": t, "field": field, "entry": "odeint", "rtol": 1e-8, "atol": 1e-8}
    (ours, _), (theirs, _) = both(backward, **settings)
    # torchdiffeq also differentiates its first step size, whose effect is below the tolerance.
    assert_all_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
@pytest.mark.parametrize(
    "options", [{}, {"step_size": 0.15}, {"step_size": 0.15, "interp": "cubic"}]
)
def test_backprop_gradients_of_fixed_grids_and_of_the_times(method, options):
    settings = {"entry": "odeint", "with_times": True, "method": method, "options": options}
    (ours, _), (theirs, _) = both(backward, **settings)
    assert_all_close(ours, theirs, rtol=1e-12, atol=1e-12)


ADJOINT_SETTINGS = {
    "default": {},
    "seminorm": {"adjoint_options": {"norm": "seminorm"}},
    "rtol": {"adjoint_rtol": 1e-4},
    "atol": {"adjoint_atol": 1e-3},
    # Steps that end at the outputs, since torchdiffeq's bosh3 is less accurate inside a step.
    "bosh3": {"method": "bosh3", "options": {"step_t": SEVERAL}},
    "rk4": {"method": "rk4", "options": {"step_size": 0.1}},
    "another method": {"adjoint_method": "rk4", "adjoint_options": {"step_size": 0.1}},
    "another step": {
        "method": "rk4",
        "options": {"step_size": 0.1},
        "adjoint_options": {"step_size": 0.03},
    },
    # Nothing of the forward options may leak into a backward solve that has its own.
    "forward step only": {
        "method": "rk4",
        "options": {"step_size": 0.1},
        "adjoint_options": {"norm": "seminorm"},
    },
    "forward first_step only": {
        "method": "dopri5",
        "options": {"first_step": 0.01, "max_step": 0.1},
        "adjoint_options": {"norm": "seminorm"},
    },
    "first_step": {"method": "dopri5", "options": {"first_step": 0.01}},
    "max_step": {"method": "dopri5", "options": {"max_step": 0.1}},
    "step_t": {"method": "dopri5", "options": {"step_t": times(1.3, 0.5)}},
    "jump_t": {"method": "dopri5", "options": {"jump_t": times(1.3, 0.5)}},
    "forward norm": {"method": "dopri5", "options": {"norm": lambda y: y.abs().max()}},
    "grid": {
        "method": "rk4",
        "options": {"grid_constructor": lambda f, y, t: torch.linspace(t[0], t[-1], 9, dtype=F64)},
    },
    "backward grid": {
        "method": "rk4",
        "options": {"step_size": 0.1},
        "adjoint_options": {
            "grid_constructor": lambda f, y, t: torch.linspace(t[0], t[-1], 9, dtype=F64)
        },
    },
}


@pytest.mark.parametrize("name", ADJOINT_SETTINGS)
@pytest.mark.parametrize("t", [ONE, SEVERAL])
def test_adjoint_gradients_and_evaluations(name, t):
    settings = {"rtol": 1e-6, "atol": 1e-7, **ADJOINT_SETTINGS[name]}
    (ours, nfe), (theirs, their_nfe) = both(backward, t=t, **settings)
    assert nfe == their_nfe
    assert_all_close(ours, theirs)


@pytest.mark.parametrize("norm", [None, "seminorm"])
def test_adjoint_of_a_tuple_state(norm):
    adjoint_options = {"norm": norm} if norm else {}
    settings = {"field": TupleField, "rtol": 1e-6, "atol": 1e-7}
    (ours, nfe), (theirs, their_nfe) = both(backward, adjoint_options=adjoint_options, **settings)
    assert nfe == their_nfe
    assert_all_close(ours, theirs)


@pytest.mark.parametrize("field", [Field, TupleField])
def test_adjoint_norm_of_ones_own_sees_the_parts_that_torchdiffeq_shows_it(field):
    shapes = []

    def norm(parts):
        shapes.append([tuple(x.shape) for x in parts])
        return torch.stack([x.abs().max() for x in parts]).max()

    settings = {"field": field, "adjoint_options": {"norm": norm}}
    ours, nfe = backward(neural_ode, **settings)
    our_shapes, shapes = shapes[-1], []
    theirs, their_nfe = backward(torchdiffeq, **settings)
    assert our_shapes == shapes[-1]
    assert nfe == their_nfe
    assert_all_close(ours, theirs)


@pytest.mark.parametrize("t", [SEVERAL, SEVERAL.flip(0)])
def test_adjoint_gradients_of_the_times(t):
    settings = {"t": t, "with_times": True, "rtol": 1e-8, "atol": 1e-8}
    (ours, _), (theirs, _) = both(backward, **settings)
    # Where torchdiffeq integrates dL/dt_0, here it is a product at t_0; both are right to the
    # tolerance.
    assert_all_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_adjoint_params_choose_who_gets_a_gradient():
    w = times(0.5).requires_grad_()
    v = times(0.2).requires_grad_()
    grads = []
    for package in (neural_ode, torchdiffeq):
        ys = package.odeint_adjoint(lambda t, y: w * y + v, times(1), ONE, adjoint_params=(w,))
        grads.append(torch.autograd.grad(ys.sum(), (w, v), allow_unused=True))
    assert grads[0][1] is grads[1][1] is None
    torch.testing.assert_close(grads[0][0], grads[1][0], rtol=1e-9, atol=1e-9)


def test_adjoint_params_may_be_a_generator():
    field = Field()
    params = (p for p in [field.linear.weight])
    ys = neural_ode.odeint_adjoint(field, Y0, ONE, adjoint_params=params)
    assert isinstance(ys, torch.Tensor)
    ys.sum().backward()
    assert field.linear.weight.grad is not None
    assert field.linear.bias.grad is None


# --- arguments -----------------------------------------------------------------------------------


def test_unknown_options_are_named_in_a_warning():
    with pytest.warns(UserWarning, match="options not known and left out: colour, flavour"):
        neural_ode.odeint(Field(), Y0, ONE, options={"flavour": 1, "colour": 2})


def test_options_are_left_as_they_were():
    options, adjoint_options = {"first_step": 0.1}, {"norm": "seminorm"}
    neural_ode.odeint_adjoint(
        Field(), Y0, ONE, method="dopri5", options=options, adjoint_options=adjoint_options
    )
    assert (options, adjoint_options) == ({"first_step": 0.1}, {"norm": "seminorm"})


def test_method_defaults_to_dopri5():
    (default, _), (named, _) = forward(neural_ode), forward(neural_ode, method="dopri5")
    torch.testing.assert_close(default, named, rtol=0, atol=0)


# --- options without a meaning --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "named"),
    [
        ("dopri5", {"step_size": 1.0}, "step_size"),
        ("dopri5", {"step_size": 1.0, "perturb": True, "interp": "cubic"}, "interp, perturb, step"),
        (None, {"grid_constructor": lambda f, y, t: t}, "grid_constructor"),
        ("rk4", {"first_step": 0.1, "safety": 0.5}, "first_step, safety"),
    ],
)
@pytest.mark.parametrize("entry", ["odeint", "odeint_adjoint", "adjoint_options"])
@pytest.mark.filterwarnings("ignore:.*Unexpected arguments")
def test_options_of_the_other_kind_of_method_are_left_out_with_a_warning(
    method, options, named, entry
):
    def end(package, **chosen):
        field, y0 = Linear(-8.0), torch.ones(1, dtype=F64)
        # ``odeint_adjoint`` would warn once for each of its two solves.
        solve = package.odeint if entry == "odeint" else package.odeint_adjoint
        ys = solve(field, y0, times(0, 1), method=method, rtol=1e-6, atol=1e-6, **chosen)
        return torch.stack([ys[-1, 0].detach(), *torch.autograd.grad(ys[-1], field.rate)])

    given = {"options" if entry != "adjoint_options" else entry: options}
    with pytest.warns(UserWarning, match=f"options without a meaning for method .*: {named}"):
        ours = end(neural_ode, **given)
    torch.testing.assert_close(ours, end(neural_ode), rtol=0, atol=0)
    torch.testing.assert_close(ours, end(torchdiffeq, **given), rtol=1e-4, atol=1e-6)


class Linear(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=F64))

    def forward(self, t, y):
        return self.rate * y


# --- replicas -------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"gradient": Checkpointed()}])
def test_a_replica_of_data_parallel_gives_the_gradient_of_the_module(params):
    """A replica holds plain copies of the parameters, as ``torch.nn.parallel.replicate`` makes."""
    module = Linear(-0.5)
    replica: Any = module._replicate_for_data_parallel()
    copy = module.rate.expand_as(module.rate)
    replica.rate, replica._former_parameters = copy, {"rate": copy}
    y0, ts = torch.ones(1, dtype=F64), times(0, 1)
    ys: Any = solve(replica, y0, ts, **params).ys if params else odeint_adjoint(replica, y0, ts)
    (by_rate,) = torch.autograd.grad(ys[-1].sum(), module.rate)
    assert by_rate.item() == pytest.approx(math.exp(-0.5), rel=1e-5)
