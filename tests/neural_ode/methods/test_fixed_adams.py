"""The Adams methods with steps of given sizes, against torchdiffeq and classical numbers."""

# Settings are plain dicts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportIndexIssue=false, reportOperatorIssue=false

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchdiffeq
from torch import nn

import neural_ode
from neural_ode import Adjoint, Checkpointed, NonFinite, odeint, solve
from neural_ode.methods import NAMED
from neural_ode.methods.fixed_adams import FixedAdams, polynomials
from tests.neural_ode.failing import says

F64 = torch.float64
BOTH = (neural_ode, torchdiffeq)
NAMES = pytest.mark.parametrize("method", ["explicit_adams", "implicit_adams", "fixed_adams"])
KINDS = pytest.mark.parametrize("method", ["explicit_adams", "implicit_adams"])


def times(*values):
    return torch.tensor(values, dtype=F64)


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(times(0.3, 1, -1, 0.1).view(2, 2))
        self.calls = 0

    def forward(self, t, y):
        self.calls += 1
        return torch.tanh(y @ self.w) * torch.cos(t)


def test_weights_of_equal_steps_are_the_classical_numbers():
    for nodes, numbers, divisor in [
        ((0, -1, -2), (23, -16, 5), 12),
        ((0, -1, -2, -3), (55, -59, 37, -9), 24),
        ((1, 0, -1, -2), (9, 19, -5, 1), 24),
        ((1, 0, -1, -2, -3, -4), (475, 1427, -798, 482, -173, 27), 1440),
    ]:
        ours = polynomials(tuple(map(float, nodes))).sum(axis=1)
        np.testing.assert_allclose(ours, np.array(numbers) / divisor, rtol=1e-12)


@NAMES
@pytest.mark.parametrize("entry", ["odeint", "odeint_adjoint"])
@pytest.mark.parametrize(
    "options",
    [{}, {"max_order": 5}, {"perturb": True}, {"max_order": 4, "max_iters": 9}],
    ids=str,
)
def test_steps_of_one_size_are_those_of_torchdiffeq(method, entry, options):
    outs = []
    # With a step a whole part of each interval; otherwise torchdiffeq ends with a step of another
    # size and the weights of equal ones.
    ts, options = times(0, 0.5, 2), {"step_size": 0.1} | options
    for package in BOTH:
        field, y0 = Field(), times(1, -0.5).requires_grad_()
        ys = getattr(package, entry)(field, y0, ts, method=method, options=options)
        calls = field.calls
        grads = torch.autograd.grad(ys.square().sum(), (y0, field.w))
        outs.append((calls, ys.detach(), *grads))
    (ours, *our), (theirs, *their) = outs
    assert ours == theirs
    bars = {"rtol": 1e-10, "atol": 1e-10}
    if entry == "odeint_adjoint" and method != "explicit_adams":
        # There the iteration goes on for the gradients of the parameters too.
        bars = {"rtol": 1e-6, "atol": 1e-7}
    torch.testing.assert_close(our, their, **bars)


def driven(t, y):
    """Its solution is y0 exp(sin t)."""
    return y * torch.cos(t)


def errors(method, grids, at=()):
    """The largest error at the end, or at the times, for each of the grids."""
    result = []
    for grid in grids:
        solution = solve(driven, times(1), grid[[0, -1]], method=method, grid=grid, dense=True)
        ts = times(*at) if at else grid[-1:]
        result.append((solution.at(ts)[:, 0] - ts.sin().exp()).abs().max().item())
    return result


def even(count):
    return torch.linspace(0, 3, count + 1, dtype=F64)


def uneven(count):
    """Steps whose sizes swing by a factor of three, the same at every refinement."""
    x = torch.linspace(0, 1, count + 1, dtype=F64)
    return 3 * (x + torch.sin(4 * math.pi * x) / (8 * math.pi))


@pytest.mark.parametrize("grid", [even, uneven])
@pytest.mark.parametrize("at", [(), (0.31, 1.07, 2.93)], ids=["end", "inside"])
# The first steps have fewer slopes: the third one alone loses an order. An explicit one has then
# three of them, an implicit one four.
@pytest.mark.parametrize(("method", "order"), [("explicit_adams", 4), ("implicit_adams", 5)])
def test_the_order_is_that_of_the_first_steps_on_even_and_uneven_grids(method, order, grid, at):
    # So that neither the end of the iteration is measured nor the instability of many slopes.
    chosen = replace(NAMED[method], max_order=6, max_iters=12)
    coarse, fine = errors(chosen, [grid(60), grid(120)], at)
    assert math.log2(coarse / fine) > order - 0.5


@pytest.mark.parametrize(("method", "order"), [("explicit_adams", 3), ("implicit_adams", 4)])
def test_with_few_slopes_the_order_is_theirs(method, order):
    coarse, fine = errors(replace(NAMED[method], max_order=4), [even(80), even(160)])
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.35)


@KINDS
def test_uneven_steps_keep_the_order_that_those_of_torchdiffeq_lose(method):
    options, orders = {"max_order": 5, "max_iters": 12}, []
    for package in BOTH:
        ends = [
            package.odeint(driven, times(1), uneven(n), method=method, options=options)[-1].item()
            for n in (120, 240)
        ]
        coarse, fine = (abs(end - math.exp(math.sin(3))) for end in ends)
        orders.append(math.log2(coarse / fine))
    ours, theirs = orders
    assert ours > theirs + 1
    assert ours > (3.6 if method == "explicit_adams" else 4.6)


@KINDS
def test_the_adjoint_of_uneven_intervals_has_the_gradient_of_backprop(method):
    grads = []
    for entry in ("odeint", "odeint_adjoint"):
        field, y0 = Field(), times(1, -0.5).requires_grad_()
        chosen = {
            "method": method,
            "options": {"step_size": 0.01, "interp": "dense", "max_order": 5},
        }
        ys = getattr(neural_ode, entry)(field, y0, times(0, 0.555, 1.001), **chosen)
        grads.append(torch.autograd.grad(ys.square().sum(), (y0, field.w)))
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-5)


@KINDS
def test_counts_are_those_of_the_field_and_gradients_reach_the_times(method):
    field, ts = Field(), times(0, 0.5, 1).requires_grad_()
    chosen = replace(NAMED[method], max_order=5)
    solution = solve(field, times(1, -0.5), ts, method=chosen, step_size=0.05)
    assert solution.stats.nfe_forward == field.calls
    (grad,) = torch.autograd.grad(solution.ys[-1].sum(), ts)
    slope = field(ts[-1], solution.ys[-1]).sum().detach()
    torch.testing.assert_close(grad[-1], slope, rtol=1e-4, atol=1e-4)


@KINDS
def test_complex_states_tuples_and_float32(method):
    options = {"step_size": 0.02, "max_order": 5}
    z0 = torch.ones(2, dtype=torch.complex128)
    z, w = odeint(lambda t, y: (1j * y[0], -y[1]), (z0, z0), times(0, 1), method=method,
                  options=options)  # fmt: skip
    torch.testing.assert_close(z[-1], torch.exp(1j * times(1, 1)), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(w[-1].real, torch.exp(-times(1, 1)), rtol=1e-7, atol=1e-7)
    # Times that float32 does not hold are steps of one size all the same.
    chosen = {"method": method, "options": options, "rtol": 1e-5, "atol": 1e-5}
    end = odeint(driven, torch.ones(1), torch.tensor([10.0, 11]), **chosen)[-1]
    truth = math.exp(math.sin(11) - math.sin(10))
    assert end.item() == pytest.approx(truth, rel=1e-5)


@KINDS
def test_transforms_of_torch_func(method):
    def flow(y):
        return odeint(driven, y, times(0, 1), method=method, options={"step_size": 0.1})[-1]

    y0 = times(1, 2)
    jacobian = torch.autograd.functional.jacobian(flow, y0)
    torch.testing.assert_close(torch.func.jacrev(flow)(y0), jacobian)
    torch.testing.assert_close(torch.func.jvp(flow, (y0,), (y0,))[1], jacobian @ y0)
    batch = torch.func.vmap(flow)(torch.stack([y0, -y0]))
    torch.testing.assert_close(batch, torch.stack([flow(y0), -flow(y0)]), rtol=1e-7, atol=1e-8)


def test_an_iteration_that_does_not_end_is_warned_of_by_both():
    for package in BOTH:
        with pytest.warns(UserWarning, match=r"not solved to the tolerance|did not converge"):
            package.odeint(
                lambda t, y: -15 * y, times(1), times(0, 1), method="implicit_adams",
                options={"step_size": 0.1},
            )  # fmt: skip


@KINDS
def test_a_field_that_fills_one_tensor_is_an_error_where_autograd_needs_it(method):
    rate, out = times(1).requires_grad_(), torch.empty(1, dtype=F64)

    def field(t, y):
        nonlocal out
        out = out.detach().copy_(y).mul_(rate)
        return out

    chosen = {"method": method, "step_size": 0.1}
    with pytest.raises(ValueError, match="one tensor that it fills anew"):
        solve(field, times(1), times(0, 1), **chosen)
    with torch.no_grad():
        ours = solve(field, times(1), times(0, 1), **chosen).ys
    torch.testing.assert_close(ours[1], times(math.e), rtol=1e-4, atol=0)


def test_tolerances_are_those_of_the_iteration():
    calls = []
    for tolerance in (1e-3, 1e-9):
        field = Field()
        odeint(field, times(1, 1), times(0, 1), method="implicit_adams", rtol=tolerance,
               atol=(tolerance), options={"step_size": 0.1})  # fmt: skip
        calls.append(field.calls)
    assert calls[0] < calls[1]


def test_events_are_found_on_the_dense_output():
    t, _ = odeint(driven, times(1), times(0, 1), method="explicit_adams",
                  options={"step_size": 0.02, "interp": "dense", "max_order": 6},
                  event_fn=lambda t, y: y - math.exp(math.sin(0.777)))  # fmt: skip
    assert t.item() == pytest.approx(0.777, abs=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (ValueError, "max_order is 13, expected at most 12",
         lambda: odeint(driven, times(1), times(0, 1), method="explicit_adams",
                        options={"max_order": 13})),
        (TypeError, "max_iters is 2.5, expected a whole number",
         lambda: FixedAdams("mine", implicit=True, max_iters=2.5)),
        (ValueError, "method 'implicit_adams' does not take compile",
         lambda: solve(driven, times(1), times(0, 1), method="implicit_adams", compile=True)),
        (ValueError, "Checkpointed() takes each step again from the state at its beginning, which"
                     " method 'explicit_adams' does not allow",
         lambda: solve(driven, times(1), times(0, 1), method="explicit_adams",
                       gradient=Checkpointed(params=()))),
        (ValueError, "rtol is -1, expected a positive number",
         lambda: odeint(driven, times(1), times(0, 1), method="implicit_adams", rtol=-1)),
        (NonFinite, "the state is not finite",
         lambda: solve(lambda t, y: y / (t - 0.5), times(1), times(0, 1), method="explicit_adams",
                       step_size=0.125)),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(error, sentence, call):
    says(error, sentence, call)


def test_fewer_than_four_slopes_are_the_method_rk4_and_a_warning_says_so():
    with pytest.warns(
        UserWarning, match="below 4 every step of 'explicit_adams' is one of the 3/8"
    ):
        few = FixedAdams("explicit_adams", implicit=False, max_order=3)
    ours, rk4 = (
        solve(driven, times(1), even(9), method=method, gradient=Adjoint(params=())).ys
        for method in (few, "rk4")
    )
    torch.testing.assert_close(ours, rk4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FixedAdams("explicit_adams", implicit=False, max_order=4)
