"""Gradients against finite differences, the closed form and each other."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

import re
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint

from neural_ode import (
    METHODS,
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    SymplecticAdjoint,
    solve,
)
from tests.neural_ode.gradients.problems import (
    F64,
    GRADIENTS,
    SETTINGS,
    TIMES,
    Y0,
    B,
    Net,
    W,
    inputs,
    seasonal,
    times,
)
from tests.neural_ode.ways import EVERY, method_for

EACH = pytest.mark.parametrize("gradient", GRADIENTS)


def make(gradient, params=()):
    return GRADIENTS[gradient](params)


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
def test_a_parameter_that_is_named_twice_counts_once(gradient):
    a = times(-0.8).requires_grad_()
    end = solve(lambda t, y: a * y, times(1.5), times(0, 2), gradient=make(gradient, (a, a))).ys[-1]
    end.backward()
    assert a.grad.item() == pytest.approx(2 * end.item(), rel=1e-6)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("graph", [False, True])
def test_a_solve_may_be_taken_again_by_torchs_checkpoint(name, graph):
    """It hands out what the backward pass saved once."""
    way = replace(EVERY[name], params=(W,)) if hasattr(EVERY[name], "params") else EVERY[name]

    def end(y0):
        chosen = {"method": method_for(name), "gradient": way}
        return solve(seasonal(W, B), y0, times(0, 1), **chosen).ys[-1]

    def gradient(solved):
        y0 = Y0.clone().requires_grad_()
        return torch.autograd.grad(solved(y0).sum(), y0, create_graph=graph)[0]

    assert torch.equal(gradient(lambda y0: checkpoint(end, y0, use_reentrant=False)), gradient(end))


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
        # Fine enough for the order: the error is below the tolerance of the comparison.
        fine = 0.05 if METHODS[method].order > 3 else 0.02
        step_size = None if METHODS[method].adaptive else fine
        settings = {"rtol": tol, "atol": tol, "step_size": step_size, "gradient": gradient}
        ys = solve(net, y0, times(0, 0.4, 1), method=method, **settings).ys
        ys.square().sum().backward()
        return [y0.grad, net.w.grad, net.b.grad]

    ours = gradients(make(gradient, None), method, 1e-7)
    truth = gradients(Backprop(), "dopri8", 1e-11)
    for value, exact in zip(ours, truth, strict=True):
        torch.testing.assert_close(value, exact, rtol=1e-5, atol=1e-6)


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


@pytest.mark.parametrize(
    ("gradient", "settings", "sentence"),
    [
        (Reversible(()), {}, "such as 'reversible_heun' or a Coupled one, got 'dopri5'"),
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


@pytest.mark.parametrize(
    "gradient",
    [Checkpointed(()), SymplecticAdjoint(()), Adjoint(params=()), InterpolatedAdjoint(params=())],
    ids=lambda gradient: type(gradient).__name__,
)
@pytest.mark.parametrize("ts", [(0.5, 1.0), (0.0, 0.5), (0.5, 0.0), (1.0, 0.5), (0.0, 0.5, 1.0)])
@pytest.mark.parametrize("from_above", [True, False])
def test_the_gradient_by_a_time_at_a_jump_is_that_of_the_side_of_the_solve(
    gradient, ts, from_above
):
    def field(t, y):
        return torch.where(t < 0.5 if from_above else t <= 0.5, -y, 3 * y)

    def by_times(way):
        leaf = times(*ts).requires_grad_()
        solved = solve(field, times(1), leaf, jump_t=[0.5], gradient=way, rtol=1e-9, atol=1e-9)
        (found,) = torch.autograd.grad(solved.ys[-1].sum(), leaf)
        return found

    torch.testing.assert_close(by_times(gradient), by_times(Backprop()), rtol=1e-6, atol=1e-6)


def decay_with_a_push(t, y):
    """A push sets in at 0.5, wherever the solve begins."""
    return -y / 2 + 3 * (t >= 0.5)


@pytest.mark.parametrize("ts", [(0.0, 0.3, 1.0, 1.5), (1.5, 1.0, 0.2, 0.0)])
@pytest.mark.parametrize("stops", [{"jump_t": [0.5]}, {"jump_t": [0.9, 0.5], "step_t": [0.75]}])
@pytest.mark.parametrize(
    "gradient",
    [
        Backprop(),
        Checkpointed(()),
        SymplecticAdjoint(()),
        Adjoint(params=()),
        InterpolatedAdjoint(params=()),
    ],
    ids=lambda gradient: type(gradient).__name__,
)
def test_a_jump_does_not_move_with_the_first_time(gradient, stops, ts):
    weights = torch.tensor([0.0, 0.7, 1.0, 2.0], dtype=F64)

    def loss(ts):
        ys = solve(
            decay_with_a_push, times(1), ts, gradient=gradient, rtol=1e-9, atol=1e-9, **stops
        ).ys
        return (weights * ys[:, 0]).sum()

    def closed_form(ts):
        """Of the decay from the start, and of the push from 0.5 on or back to it."""
        start, pushed = ts[0], lambda t: 6 * (1 - torch.exp((0.5 - t) / 2)) * (t >= 0.5)
        ys = (1 - pushed(start)) * torch.exp((start - ts) / 2) + pushed(ts)
        return (weights * ys).sum()

    grids = [times(*ts).requires_grad_() for _ in range(2)]
    ours, true = (f(grid) for f, grid in zip((loss, closed_form), grids, strict=True))
    assert ours.item() == pytest.approx(true.item(), rel=1e-7)
    (by_ours,), (by_true,) = (
        torch.autograd.grad(ours, grids[0]),
        torch.autograd.grad(true, grids[1]),
    )
    assert by_ours.tolist() == pytest.approx(by_true.tolist(), rel=1e-6)
