"""Gradients against finite differences, the closed form and each other."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

import math
import re
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from neural_ode import (
    METHODS,
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    solve,
)
from neural_ode.gradients.interpolated import _Along

F64 = torch.float64
TOL = 1e-8
EVERY = pytest.mark.parametrize("method", METHODS)
# The adjoint is the gradient of the exact flow, so its steps must be small for a finite difference
# of the computed one to agree.
SETTINGS = {
    "adaptive": {"method": "dopri5", "rtol": TOL, "atol": TOL},
    "fixed": {"method": "rk4", "step_size": 0.05},
    "grid": {"method": "rk4_classic", "grid": torch.linspace(0, 1, 21, dtype=F64).tolist()},
}
TIMES = {"one": (0.0, 1.0), "several": (0.0, 0.32, 0.7, 1.0), "decreasing": (1.0, 0.55, 0.3, 0.0)}
GRADIENTS = {
    "backprop": lambda params=None: Backprop(),
    "adjoint": lambda params=None: Adjoint(params=params),
    "seminorm": lambda params=None: Adjoint(params=params, norm="seminorm"),
    "checkpointed": lambda params=None: Checkpointed(params=params),
    "interpolated": lambda params=None: InterpolatedAdjoint(params=params),
}
EACH = pytest.mark.parametrize("gradient", GRADIENTS)


def times(*values):
    return torch.tensor(values, dtype=F64)


def make(gradient, params=()):
    return GRADIENTS[gradient](params)


def seasonal(w, b):
    """A nonlinear field of two dimensions that depends on the time and on two parameters."""
    return lambda t, y: torch.tanh(w @ y + b * torch.cos(2 * t))


Y0 = times(0.4, -0.7)
W = torch.tensor([[0.3, 1.1], [-0.9, 0.2]], dtype=F64)
B = times(0.5, -0.3)


def inputs():
    return [x.clone().requires_grad_() for x in (Y0, W, B)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(W.clone()), nn.Parameter(B.clone())

    def forward(self, t, y):
        return seasonal(self.w, self.b)(t, y)


# --- finite differences --------------------------------------------------------------------------


# gradcheck's fast mode compares the derivatives along random directions, not entry by entry.


@EACH
@pytest.mark.parametrize("ts", TIMES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_gradcheck_of_state_and_parameters(gradient, ts, setting):
    settings = dict(SETTINGS[setting])
    if ts == "decreasing" and "grid" in settings:
        settings["grid"] = settings["grid"][::-1]

    def solved(y0, w, b):
        method = make(gradient, (w, b))
        return solve(seasonal(w, b), y0, times(*TIMES[ts]), gradient=method, **settings).ys

    assert gradcheck(solved, inputs(), fast_mode=True)


@EACH
@pytest.mark.parametrize("ts", TIMES)
@pytest.mark.parametrize("setting", ["adaptive", "fixed"])
def test_gradcheck_of_the_times(gradient, ts, setting):
    def solved(ts):
        return solve(seasonal(W, B), Y0, ts, gradient=make(gradient), **SETTINGS[setting]).ys

    assert gradcheck(solved, times(*TIMES[ts]).requires_grad_(), fast_mode=True)


@EVERY
def test_backprop_is_exact_for_every_method_however_large_the_steps(method):
    """It differentiates what was computed, so no step is too large, for the times neither."""

    def solved(y0, w, ts):
        return solve(seasonal(w, B), y0, ts, method=method, step_size=0.4).ys

    y0, w, _ = inputs()
    # 0.4 leaves a short last step, which moves with the last time.
    assert gradcheck(solved, (y0, w, times(0, 0.5, 1.1).requires_grad_()), fast_mode=True)


@pytest.mark.parametrize("setting", ["adaptive", "fixed"])
def test_gradgradcheck_of_backprop(setting):
    settings = SETTINGS[setting] | ({"step_size": 0.25} if setting == "fixed" else {"rtol": 1e-6})

    def solved(y0, b):
        return solve(seasonal(W, b), y0, times(0, 0.3, 1), **settings).ys

    y0, _, b = inputs()
    assert gradgradcheck(solved, (y0, b), fast_mode=True)


def test_second_derivative_of_a_closed_form():
    """y(1) = y0 / (1 - y0 s), with s the length of the time, has d2y/dy0^2 = 2 s / (1 - y0 s)^3."""
    y0 = times(0.4).requires_grad_()
    end = solve(lambda t, y: y**2, y0, times(0, 1)).ys[-1]
    (first,) = torch.autograd.grad(end, y0, create_graph=True)
    (second,) = torch.autograd.grad(first, y0)
    assert first.item() == pytest.approx(1 / 0.6**2, rel=1e-6)
    assert second.item() == pytest.approx(2 / 0.6**3, rel=1e-5)


def test_adjoint_refuses_a_second_derivative():
    y0 = Y0.clone().requires_grad_()
    end = solve(seasonal(W, B), y0, times(0, 1), gradient=Adjoint(params=())).ys[-1]
    (first,) = torch.autograd.grad(end.square().sum(), y0, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        first.sum().backward()


# --- closed forms --------------------------------------------------------------------------------


@EACH
def test_gradients_of_a_linear_scalar_flow(gradient):
    """y(t) = y0 e^(a t): dy/dy0 = e^(a t), dy/da = t y, dy/dt = a y and dy/dt0 = -a y."""
    y0, a = times(1.5).requires_grad_(), times(-0.8).requires_grad_()
    ts = times(0.0, 2.0).requires_grad_()
    end = solve(lambda t, y: a * y, y0, ts, gradient=make(gradient, (a,))).ys[-1]
    end.backward()
    y = end.item()
    assert y0.grad.item() == pytest.approx(y / 1.5, rel=1e-6)
    assert a.grad.item() == pytest.approx(2 * y, rel=1e-6)
    assert ts.grad.tolist() == pytest.approx([0.8 * y, -0.8 * y], rel=1e-6)


@EACH
@pytest.mark.parametrize("setting", ["adaptive", "fixed"])
@pytest.mark.parametrize("ts", TIMES)
def test_gradient_of_a_time_is_the_loss_along_the_flow(gradient, setting, ts):
    """dL/dt_i = dL/dy_i . f(t_i, y_i), and dL/dt_0 = -a(t_0) . f(t_0, y_0)."""
    y0, ts = Y0.clone().requires_grad_(), times(*TIMES[ts]).requires_grad_()
    field = seasonal(W, B)
    ys = solve(field, y0, ts, gradient=make(gradient), **SETTINGS[setting]).ys
    weights = torch.linspace(-1, 2, ys.numel(), dtype=F64).reshape(ys.shape)
    (ys * weights).sum().backward()
    with torch.no_grad():
        slopes = torch.stack([field(t, y) for t, y in zip(ts, ys, strict=True)])
        expected = (weights * slopes).sum(dim=1)
        # The loss's own share of dL/dy_0 does not travel along the flow.
        expected[0] = -((y0.grad - weights[0]) * slopes[0]).sum()
    # Backprop differentiates the dense output, whose slope is one order less accurate.
    torch.testing.assert_close(ts.grad, expected, rtol=1e-5, atol=1e-6)


# --- the two methods agree -----------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("method", [m for m, t in METHODS.items() if t.order > 2])
def test_gradients_of_a_module_agree_with_tight_backprop(gradient, method):
    def gradients(gradient, method, tol):
        net, y0 = Net(), Y0.clone().requires_grad_()
        step_size = None if METHODS[method].adaptive else 0.05
        settings = {"rtol": tol, "atol": tol, "step_size": step_size, "gradient": gradient}
        ys = solve(net, y0, times(0, 0.4, 1), method=method, **settings).ys
        ys.square().sum().backward()
        return [y0.grad, net.w.grad, net.b.grad]

    ours = gradients(make(gradient, None), method, 1e-7)
    truth = gradients(Backprop(), "dopri8", 1e-11)
    for value, exact in zip(ours, truth, strict=True):
        torch.testing.assert_close(value, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["rms", "seminorm"])
def test_adjoint_of_an_exact_method_equals_backprop_to_rounding(norm):
    """y' = t y0-free: with a field that is a polynomial in t both gradients are exact."""
    a = times(0.7).requires_grad_()

    def slope(gradient):
        ys = solve(lambda t, y: a * t**2, times(0), times(0, 1, 2), gradient=gradient).ys
        return torch.autograd.grad(ys.sum(), a)[0].item()

    # The sum of t^3 / 3 over the output times 1 and 2.
    assert slope(Backprop()) == pytest.approx(3, rel=1e-14)
    assert slope(Adjoint(params=(a,), norm=norm)) == pytest.approx(3, rel=1e-14)


def test_only_the_loss_chooses_which_outputs_count():
    y0 = Y0.clone().requires_grad_()
    ts = times(0, 0.5, 1)
    middle = solve(seasonal(W, B), y0, ts, gradient=Adjoint(params=())).ys[1].sum()
    alone = solve(seasonal(W, B), y0, ts[:2], gradient=Adjoint(params=())).ys[1].sum()
    (of_middle,) = torch.autograd.grad(middle, y0)
    (of_alone,) = torch.autograd.grad(alone, y0)
    torch.testing.assert_close(of_middle, of_alone, rtol=1e-7, atol=1e-9)


@EACH
def test_frozen_and_unused_parameters(gradient):
    net = Net()
    net.b.requires_grad_(False)
    net.unused = nn.Parameter(times(1, 2, 3))
    solve(net, Y0, times(0, 1), gradient=make(gradient, None)).ys.sum().backward()
    assert net.w.grad.abs().sum() > 0
    assert net.b.grad is None
    assert net.unused.grad is None or not net.unused.grad.any()


@EACH
def test_field_that_does_not_depend_on_the_state(gradient):
    y0 = Y0.clone().requires_grad_()
    ys = solve(lambda t, y: torch.ones(2, dtype=F64), y0, times(0, 1), gradient=make(gradient)).ys
    ys[-1].sum().backward()
    assert y0.grad.tolist() == [1, 1]


@EACH
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 1)])
def test_gradient_of_a_state_of_any_shape(gradient, shape):
    y0 = torch.ones(shape, dtype=F64, requires_grad=True)
    ys = solve(lambda t, y: -y, y0, times(0, 0.4, 1), gradient=make(gradient)).ys
    ys[-1].sum().backward()
    assert y0.grad is not None
    torch.testing.assert_close(y0.grad, torch.full(shape, 0.36787944, dtype=F64))


@EACH
def test_gradient_of_a_single_output_time(gradient):
    y0, ts = Y0.clone().requires_grad_(), times(0.3).requires_grad_()
    solve(seasonal(W, B), y0, ts, gradient=make(gradient)).ys.sum().backward()
    assert y0.grad.tolist() == [1, 1]
    assert ts.grad is None or ts.grad.tolist() == [0]


def test_no_graph_without_a_gradient():
    net = Net()
    with torch.no_grad():
        assert not solve(net, Y0, times(0, 1)).ys.requires_grad
    assert not solve(seasonal(W, B), Y0, times(0, 1)).ys.requires_grad


@EACH
def test_backward_twice_through_a_kept_graph(gradient):
    y0 = Y0.clone().requires_grad_()
    loss = solve(seasonal(W, B), y0, times(0, 1), gradient=make(gradient)).ys[-1].sum()
    (first,) = torch.autograd.grad(loss, y0, retain_graph=True)
    (second,) = torch.autograd.grad(loss, y0)
    assert torch.equal(first, second)


# --- discretise, then optimise, without keeping the graph -----------------------------------------

STEPS = {
    "adaptive": {"rtol": 1e-4, "atol": 1e-4},
    "fixed": {"method": "rk4", "step_size": 0.13},
    "not fsal": {"method": "adaptive_heun", "rtol": 1e-3, "atol": 1e-3},
    "extra stages": {"method": "dopri8", "rtol": 1e-6, "atol": 1e-6},
    "jumps": {"rtol": 1e-4, "atol": 1e-4, "jump_t": [0.5], "step_t": [0.25]},
    "perturb": {"method": "midpoint", "step_size": 0.25, "perturb": True},
    "cubic": {"method": "rk4", "step_size": 0.3, "interpolation": "cubic"},
    "grid": {"method": "dopri5", "grid": [0.0, 0.2, 0.5, 1.0]},
}


def every_gradient(gradient, *, of_times=True, **settings):
    """The gradients by y0, both parameters and, where wanted, the times, as one vector."""
    y0, w, b = inputs()
    ts = times(0, 0.3, 0.77, 1).requires_grad_(of_times)
    solution = solve(seasonal(w, b), y0, ts, gradient=gradient((w, b)), **settings)
    weights = torch.linspace(-1, 2, solution.ys.numel(), dtype=F64).reshape(solution.ys.shape)
    (solution.ys * weights).sum().backward()
    parts = [y0, w, b, ts] if of_times else [y0, w, b]
    return torch.cat([x.grad.reshape(-1) for x in parts]), solution.stats


@pytest.mark.parametrize("of_times", [False, True])
@pytest.mark.parametrize("steps", STEPS)
def test_checkpointed_is_backprop_to_rounding(steps, of_times):
    ours, stats = every_gradient(GRADIENTS["checkpointed"], of_times=of_times, **STEPS[steps])
    truth, _ = every_gradient(GRADIENTS["backprop"], of_times=of_times, **STEPS[steps])
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-13)
    # Nothing is evaluated but the accepted steps, once more.
    assert 0 < stats.nfe_backward <= stats.nfe_forward + stats.accepted


@pytest.mark.parametrize("ts", TIMES)
@pytest.mark.parametrize("setting", [{"rtol": 1e-4, "atol": 1e-4}, {"step_size": 0.13}])
def test_reversible_is_backprop_to_rounding(ts, setting):
    def gradients(gradient):
        y0, w, b = inputs()
        solution = solve(
            seasonal(w, b),
            y0,
            times(*TIMES[ts]),
            method="reversible_heun",
            gradient=gradient((w, b)),
            **setting,
        )
        weights = torch.linspace(-1, 2, solution.ys.numel(), dtype=F64)
        (solution.ys.reshape(-1) * weights).sum().backward()
        return torch.cat([x.grad.reshape(-1) for x in (y0, w, b)]), solution.stats

    ours, stats = gradients(lambda params: Reversible(params))
    truth, _ = gradients(lambda params: Backprop())
    torch.testing.assert_close(ours, truth, rtol=1e-11, atol=1e-12)
    assert stats.nfe_backward == stats.accepted + 1


def test_reversible_heun_has_order_two():
    def error(count):
        ts, y0 = times(0, 1), times(1.0)
        settings = {"method": "reversible_heun", "step_size": 1 / count}
        return abs(solve(lambda t, y: -y + t, y0, ts, **settings).ys[-1] - 2 / math.e).item()

    assert math.log2(error(40) / error(80)) == pytest.approx(2, abs=0.1)


def test_reversible_heun_follows_its_definition():
    """Two steps of the paper's algorithm 1 by hand, without the noise."""
    h, field = 0.3, seasonal(W, B)
    y, w, t = Y0, Y0, torch.tensor(0.0, dtype=F64)
    f = field(t, w)
    for _ in range(2):
        w, t = 2 * y - w + h * f, t + h
        ahead = field(t, w)
        y, f = y + h / 2 * (f + ahead), ahead
    ours = solve(field, Y0, times(0, 2 * h), method="reversible_heun", step_size=h).ys[-1]
    torch.testing.assert_close(ours, y, rtol=1e-14, atol=0)


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_the_stored_trajectory_reads_the_same_where_the_time_stays_on_the_device(direction):
    ends = [0.0, 0.3, 0.8, 1.0][:: int(direction)]
    steps = [(a, b - a) for a, b in pairwise(ends)]
    pieces = torch.randn(3, 5, 2, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    listed = _Along(Net(), [], steps, list(pieces))
    stacked = _Along(Net(), [], steps, pieces)
    for t in (-0.1, 0.0, 0.1, 0.3, 0.5, 0.8, 0.9, 1.0, 1.1):
        now = torch.tensor(t, dtype=F64)
        torch.testing.assert_close(stacked.state(now), listed.state(now), rtol=1e-12, atol=1e-12)


def test_interpolated_adjoint_survives_a_flow_that_cannot_be_reversed():
    """z' = -20 z with the running cost q' = 40 z^2: dq(1)/dz(0) = 2 z(0) (1 - e^-40)."""

    def field(t, y):
        z, _ = y
        return torch.stack([-20 * z, 40 * z**2])

    def error(gradient):
        y0 = times(1.0, 0.0).requires_grad_()
        ys = solve(field, y0, times(0, 1), rtol=1e-5, atol=1e-5, gradient=gradient).ys
        return abs(torch.autograd.grad(ys[-1, 1], y0)[0][0].item() - 2)

    assert error(InterpolatedAdjoint(params=())) < 1e-3
    assert error(Adjoint(params=())) > 1


@pytest.mark.parametrize(
    ("gradient", "settings", "sentence"),
    [
        (Reversible(()), {}, "can be undone, such as 'reversible_heun', got 'dopri5'"),
        (Checkpointed(()), {"method": "reversible_heun"}, "does not allow"),
        (Checkpointed(()), {"method": "adams"}, "does not allow"),
        (InterpolatedAdjoint(params=()), {"method": "adams"}, "needs a dense output"),
        (Checkpointed(), {}, "name its tensors in params"),
        (Reversible(), {"method": "reversible_heun"}, "name its tensors in params"),
        (
            Reversible(()),
            {"method": "reversible_heun", "jump_t": [0.5]},
            "cannot take back what jump_t",
        ),
    ],
)
def test_gradient_methods_say_what_they_cannot_do(gradient, settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        solve(seasonal(W, B), Y0, times(0, 1), gradient=gradient, **settings)


def test_reversible_has_no_gradient_of_the_times():
    ts = times(0, 1).requires_grad_()
    with pytest.raises(ValueError, match="no gradient with respect to the times"):
        solve(Net(), Y0, ts, method="reversible_heun", gradient=Reversible())


# --- what the backward pass costs ----------------------------------------------------------------


def test_backprop_solves_nothing_backward():
    solution = solve(Net(), Y0, times(0, 1))
    assert solution.stats.nfe_backward is None
    solution.ys.sum().backward()
    assert solution.stats.nfe_backward is None


def test_adjoint_counts_its_own_evaluations():
    calls = []
    net = Net()
    net.register_forward_hook(lambda *_: calls.append(1))
    solution = solve(net, Y0, times(0, 0.5, 1), gradient=Adjoint())
    assert solution.stats.nfe_backward is None
    forward = len(calls)
    solution.ys.sum().backward()
    stats = solution.stats
    assert stats.nfe_forward == forward
    assert stats.nfe_backward == len(calls) - forward
    # Two intervals, each with the two evaluations that choose its first step.
    assert stats.nfe_backward == 2 * 2 + 6 * (stats.backward.accepted + stats.backward.rejected)


def test_adjoint_counts_the_evaluations_for_the_times_too():
    def backward_nfe(ts):
        solution = solve(Net(), Y0, ts, gradient=Adjoint())
        solution.ys.sum().backward()
        return solution.stats.nfe_backward

    ts = times(0, 0.3, 0.7, 1)
    assert backward_nfe(ts.clone().requires_grad_()) == backward_nfe(ts) + len(ts)


def test_adjoint_holds_as_much_for_many_steps_as_for_few():
    def saved(gradient, step_size):
        held = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: held.append(x) or x, lambda x: x):
            solve(Net(), Y0, times(0, 1), method="rk4", step_size=step_size, gradient=gradient)
        return len(held)

    assert saved(Adjoint(), 0.5) == saved(Adjoint(), 0.05)
    assert saved(Backprop(), 0.05) > 9 * saved(Backprop(), 0.5)
    # One state a step, and for the interpolated adjoint one with its polynomial.
    assert saved(Checkpointed(), 0.05) - saved(Checkpointed(), 0.5) == 18
    assert saved(InterpolatedAdjoint(), 0.05) - saved(InterpolatedAdjoint(), 0.5) == 18


def test_reversible_holds_as_much_for_many_steps_as_for_few():
    def saved(step_size):
        held = []
        settings = {"method": "reversible_heun", "step_size": step_size, "gradient": Reversible()}
        with torch.autograd.graph.saved_tensors_hooks(lambda x: held.append(x) or x, lambda x: x):
            solve(Net(), Y0, times(0, 1), **settings)
        return len(held)

    assert saved(0.5) == saved(0.01)


# --- settings of the adjoint ---------------------------------------------------------------------


def backward_counts(gradient, **settings):
    solution = solve(Net(), Y0, times(0, 1), gradient=gradient, **settings)
    solution.ys.sum().backward()
    return solution.stats.backward


def test_adjoint_has_tolerances_of_its_own():
    tight, loose = backward_counts(Adjoint()), backward_counts(Adjoint(rtol=1e-3, atol=1e-3))
    assert loose.nfe < tight.nfe / 2


def test_adjoint_has_a_method_and_settings_of_its_own():
    own = Adjoint(method="rk4", settings={"step_size": 0.1})
    assert backward_counts(own).nfe == 40
    assert backward_counts(Adjoint(), method="rk4", step_size=0.1).nfe == 40
    assert backward_counts(Adjoint(method="heun"), method="rk4", step_size=0.1).nfe == 2


def test_adjoint_goes_back_over_the_forward_grid():
    assert backward_counts(Adjoint(), method="euler", grid=[0, 0.1, 0.5, 1]).accepted == 3


def test_seminorm_needs_no_more_steps_than_the_full_norm():
    class Steep(nn.Module):
        """The gradient of the gain is large and fast, the state and its adjoint are slow."""

        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.zeros((), dtype=F64))

        def forward(self, t, y):
            return -y + self.gain * torch.cos(200 * t)

    def nfe(norm):
        solution = solve(Steep(), Y0, times(0, 1), gradient=Adjoint(norm=norm))
        solution.ys.sum().backward()
        return solution.stats.nfe_backward

    assert nfe("seminorm") < nfe("rms") / 3


def test_norm_of_ones_own_sees_the_parts():
    seen = []

    def norm(z, a, gradients):
        seen.append((z.shape, a.shape, [g.shape for g in gradients]))
        return z.abs().max()

    backward_counts(Adjoint(norm=norm))
    assert set(map(str, seen)) == {str((Y0.shape, Y0.shape, [W.shape, B.shape]))}
