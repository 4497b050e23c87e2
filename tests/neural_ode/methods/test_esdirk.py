"""The implicit methods for stiff problems, against order conditions, closed forms and SciPy."""

import math
import re

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn

from neural_ode import Adjoint, Backprop, Checkpointed, InterpolatedAdjoint, NonFinite, solve
from neural_ode.methods.esdirk import KVAERNO3, KVAERNO5, MOST_ENTRIES, ImplicitTableau
from tests.neural_ode.methods.test_tableau import residual

F64 = torch.float64
EVERY = pytest.mark.parametrize("method", [KVAERNO3, KVAERNO5], ids=lambda m: m.name)
pytestmark = pytest.mark.usefixtures("unchecked")


def times(*values):
    return torch.tensor(values, dtype=F64)


# --- coefficients --------------------------------------------------------------------------------


@EVERY
def test_solution_and_estimate_have_the_published_orders(method):
    for order in range(1, method.order + 1):
        assert residual(method.b, method.a, order) < 1e-14
    assert residual(method.b, method.a, method.order + 1) > 1e-3
    embedded = method.b - method.b_error
    for order in range(1, method.order):
        assert residual(embedded, method.a, order) < 1e-14
    assert residual(embedded, method.a, method.order) > 1e-4


@EVERY
def test_the_dense_output_loses_no_order_and_joins_slopes(method):
    powers = np.arange(1, method.dense.shape[1] + 1)
    # One order less inside a step is an error of the same power of its size.
    for x in (0.1, 0.5, 0.8):
        for order in range(1, method.order if method.order > 3 else 4):
            assert residual(method.dense @ x**powers, method.a, order, x) < 1e-14
    np.testing.assert_allclose(method.dense[:, 0], np.eye(len(method.a))[0], atol=1e-14)
    np.testing.assert_allclose(method.dense @ powers, np.eye(len(method.a))[-1], atol=1e-13)


@EVERY
def test_steps_are_stable_everywhere_left_of_the_imaginary_axis(method):
    one = np.ones(len(method.a))

    def growth(z):
        return abs(1 + z * method.b @ np.linalg.solve(np.eye(len(one)) - z * method.a, one))

    # On the axis, which bounds the rest by the maximum principle, as no pole lies left of it.
    assert max(growth(1j * y) for y in np.logspace(-3, 5, 2000)) < 1 + 1e-12
    assert growth(-1e9) < 1e-6


# --- stiff problems ------------------------------------------------------------------------------


def van_der_pol(mu):
    return lambda t, y: torch.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


def robertson(t, y):
    a, b, c = y
    slow, fast, square = 0.04 * a, 1e4 * b * c, 3e7 * b * b
    return torch.stack([fast - slow, slow - fast - square, square])


def by_radau(field, y0, ts, **tolerances):
    def in_numpy(t, y):
        return field(torch.tensor(t, dtype=F64), torch.from_numpy(y)).numpy()

    span = (float(ts[0]), float(ts[-1]))
    done = solve_ivp(in_numpy, span, y0.numpy(), "Radau", t_eval=ts.numpy(), **tolerances)
    return torch.from_numpy(done.y.T)


@pytest.mark.slow(reason="a stiff oscillator is solved twice")
@EVERY
def test_van_der_pol_is_that_of_radau_and_takes_few_steps(method):
    y0, ts = torch.tensor([2.0, 0.0], dtype=F64), times(0, 500, 1000, 1500)
    with torch.no_grad():
        solution = solve(van_der_pol(1000.0), y0, ts, method=method, rtol=1e-5, atol=1e-7)
        expected = by_radau(van_der_pol(1000.0), y0, ts, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(solution.ys, expected, rtol=1e-3, atol=1e-5)
    # An explicit method is stable for steps of some 1 / (3 mu), of which there are millions.
    assert solution.stats.accepted < 2000


@pytest.mark.slow(reason="a stiff problem is solved twice")
def test_robertson_is_that_of_radau_over_seven_decades():
    y0, ts = torch.tensor([1.0, 0, 0], dtype=F64), times(0, 0.4, 40, 4e3, 4e6)
    with torch.no_grad():
        solution = solve(robertson, y0, ts, method="kvaerno5", rtol=1e-7, atol=1e-12)
        expected = by_radau(robertson, y0, ts, rtol=1e-10, atol=1e-16)
    slow = [0, 2]
    torch.testing.assert_close(solution.ys[:, slow], expected[:, slow], rtol=1e-5, atol=1e-12)
    # What follows the others at once loses orders.
    torch.testing.assert_close(solution.ys[:, 1], expected[:, 1], rtol=1e-4, atol=1e-12)
    torch.testing.assert_close(solution.ys.sum(dim=1), torch.ones(5, dtype=F64))
    assert solution.stats.accepted < 300


@EVERY
def test_the_error_follows_the_tolerance_at_all_outputs(method):
    """The solution is the cosine, which everything near it falls onto a thousand times faster."""
    ts = torch.linspace(0, 10, 101, dtype=F64)
    errors = []
    for tol in (1e-4, 1e-7):
        with torch.no_grad():
            ys = solve(
                lambda t, y: -1e3 * (y - torch.cos(t)) - torch.sin(t),
                torch.ones(1, dtype=F64),
                ts,
                method=method,
                rtol=tol,
                atol=tol,
            ).ys
        errors.append(float((ys[:, 0] - torch.cos(ts)).abs().max()))
    assert errors[0] < 1e-3
    assert errors[1] < 1e-6


def test_it_goes_back_in_time_and_takes_any_shape():
    y0 = torch.randn(2, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        end = solve(lambda t, y: 2 * t * y, y0, times(1, 0), method="kvaerno5").ys[-1]
    torch.testing.assert_close(end, y0 / math.e, rtol=1e-6, atol=1e-8)


@EVERY
@pytest.mark.parametrize("differentiable", [True, False])
def test_every_call_of_the_field_is_counted(method, differentiable):
    calls = []

    def field(t, y):
        calls.append(t)
        return -50 * (y.detach() if not differentiable else y) ** 3

    y0 = torch.tensor([1.0, 0.3], dtype=F64)
    with torch.no_grad():
        solution = solve(field, y0, times(0, 0.5, 1), method=method, rtol=1e-6, atol=1e-8)
    assert solution.stats.nfe_forward == len(calls)
    torch.testing.assert_close(solution.ys[-1], (y0**-2 + 100).rsqrt(), rtol=1e-4, atol=1e-7)


def test_a_stage_that_cannot_be_solved_is_tried_again_shorter():
    """The slope jumps down at 1/2, where no stage can stand and so Newton's method turns round."""

    def field(t, y):
        return torch.where(y > 0.5, -40.0, 1.0) * torch.ones_like(y)

    chosen = {"method": "kvaerno3", "rtol": 1e-3, "atol": 1e-3}
    with torch.no_grad():
        solution = solve(field, torch.ones(1, dtype=F64), times(0, 0.012), **chosen)
    assert float(solution.ys[-1]) == pytest.approx(0.52, abs=1e-3)
    with torch.no_grad(), pytest.raises(NonFinite):
        solve(lambda t, y: y / 0, torch.ones(1, dtype=F64), times(0, 1), **chosen)


# --- gradients -----------------------------------------------------------------------------------


class Decay(nn.Module):
    """A linear field whose rates lie three decades apart, coupled."""

    def __init__(self):
        super().__init__()
        rates = torch.diag(torch.tensor([1.0, 30.0, 1000.0], dtype=F64))
        turn = torch.tensor([[0.0, 0.5, 0.2], [-0.5, 0, 0.1], [0.3, 0.2, 0]], dtype=F64)
        self.matrix = nn.Parameter(turn - rates)

    def forward(self, t, y):
        return y @ self.matrix.T


@pytest.mark.slow(reason="many small implicit steps are differentiated")
@EVERY
@pytest.mark.parametrize("way", [Backprop(), InterpolatedAdjoint()])
def test_gradients_of_a_stiff_problem_are_those_of_the_closed_form(method, way):
    field, end = Decay(), torch.tensor(1.0, dtype=F64, requires_grad=True)
    y0 = torch.tensor([[1.0, -2, 0.5], [0.3, 1, 1]], dtype=F64, requires_grad=True)
    wanted = [y0, end, field.matrix]
    ts = torch.stack([torch.zeros_like(end), 0.3 * end, end])
    weights = torch.arange(1.0, 13, dtype=F64).view(2, 2, 3)
    tol = 1e-9 if method.order == 5 else 1e-6
    ys = solve(field, y0, ts, method=method, rtol=tol, atol=tol / 100, gradient=way).ys[1:]
    found = torch.autograd.grad((ys * weights).sum(), wanted, retain_graph=True)
    flows = [torch.linalg.matrix_exp(t * field.matrix) for t in ts[1:]]
    exact = torch.stack([y0 @ flow.T for flow in flows])
    expected = torch.autograd.grad((exact * weights).sum(), wanted)
    torch.testing.assert_close(ys, exact, rtol=1e3 * tol, atol=tol)
    torch.testing.assert_close(found, expected, rtol=1e4 * tol, atol=1e2 * tol)


@pytest.mark.parametrize("way", [Adjoint(params=()), Adjoint(norm="seminorm", params=())])
def test_the_adjoint_works_where_the_flow_can_be_reversed(way):
    y0 = torch.tensor([1.2, -0.4], dtype=F64, requires_grad=True)
    field = van_der_pol(2.0)
    grads = []
    for method, gradient in (("kvaerno5", way), ("dopri5", Backprop())):
        chosen = {"method": method, "gradient": gradient}
        ys = solve(field, y0, times(0, 1), rtol=1e-8, atol=1e-8, **chosen).ys
        grads.append(torch.autograd.grad(ys[-1].sum(), y0)[0])
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-6)


def test_a_second_derivative_is_an_error_and_no_zero():
    y0 = torch.tensor([1.0], dtype=F64, requires_grad=True)
    end = solve(lambda t, y: -(y**2), y0, times(0, 1), method="kvaerno3").ys[-1]
    (first,) = torch.autograd.grad(end.sum(), y0, create_graph=True)
    with pytest.raises(RuntimeError, match="an implicit method gives first derivatives alone"):
        torch.autograd.grad(first.sum(), y0)


# --- what is not there ---------------------------------------------------------------------------


def says(message, **chosen):
    with pytest.raises(ValueError, match=re.escape(message)):
        solve(lambda t, y: -y, torch.ones(2), torch.tensor([0.0, 1]), method="kvaerno5", **chosen)


def test_what_it_lacks_is_a_sentence():
    says("method 'kvaerno5' does not take step_size", step_size=0.1)
    says("method 'kvaerno5' does not take min_step", min_step=0.1)
    says("method 'kvaerno5' does not take compile", compile=True)
    with pytest.raises(ValueError, match="choose an explicit method"):
        torch.func.vmap(
            lambda y: solve(lambda t, x: -x, y, torch.tensor([0.0, 1]), method="kvaerno3").ys
        )(torch.ones(2, 2))
    y0 = torch.ones(MOST_ENTRIES + 1)
    with pytest.raises(ValueError, match="expected at most 4,096"):
        solve(lambda t, y: -y, y0, torch.tensor([0.0, 1]), method="kvaerno3")
    with pytest.raises(ValueError, match="Checkpointed"):
        solve(
            lambda t, y: -y,
            torch.ones(2, requires_grad=True),
            torch.tensor([0.0, 1]),
            method="kvaerno3",
            gradient=Checkpointed(),
        )


def test_a_tableau_of_ones_own_is_a_method():
    """The trapezoidal rule, with the implicit Euler step as the estimate's other end."""
    half = 0.5
    a = np.array([[0, 0, 0], [half, half, 0], [half, 0, half]])
    rule = ImplicitTableau(
        name="trapezoids",
        order=2,
        c=np.array([0.0, 1, 1]),
        a=a,
        b=a[-1],
        b_error=np.array([0.5, -0.5, 0]) * 0.1,
        dense=np.array([[1, -half], [0, 0], [0, half]]),
        source="Newton, by hand",
    )
    with torch.no_grad():
        end = solve(lambda t, y: -y, torch.ones(1), torch.tensor([0.0, 1]), method=rule, rtol=1e-4)
    assert float(end.ys[-1]) == pytest.approx(math.exp(-1), abs=1e-3)


def test_no_stage_lies_behind_a_jump():
    """The third stage of kvaerno5 lies beyond the end of its step, and saw the field behind it."""
    ts = times(0, 1).requires_grad_()
    solution = solve(
        lambda t, y: -y / 2 + 3 * (t >= 0.5),
        times(1),
        ts,
        method="kvaerno5",
        rtol=1e-7,
        atol=1e-7,
        jump_t=[0.5],
    )
    end = math.exp(-0.5) + 6 * (1 - math.exp(-0.25))
    assert solution.ys[-1].item() == pytest.approx(end, rel=1e-6)
    (by_times,) = torch.autograd.grad(solution.ys[-1].sum(), ts)
    # The start decays to e^-1/2 of itself; at the end the state moves along the field.
    assert by_times.tolist() == pytest.approx([math.exp(-0.5) / 2, 3 - end / 2], rel=1e-5)
    # It was 1,503, as the steps before the jump shrank to nothing.
    assert solution.stats.nfe_forward < 300
