"""The solution at any time of a solve, against closed forms, SciPy and torchdiffeq."""

# Settings are plain dicts, and wrong arguments are the subject of some tests.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false

import math

import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.integrate import solve_ivp

import neural_ode
from neural_ode import (
    METHODS,
    Adjoint,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    odeint_dense,
    solve,
)
from tests.neural_ode.failing import says

F64, C128 = torch.float64, torch.complex128
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def times(*values):
    return torch.tensor(values, dtype=F64)


def driven(t, y):
    """Its solution is y0 exp(sin t)."""
    return y * torch.cos(t)


def exact(t, y0):
    return y0 * torch.exp(torch.sin(t))[..., None]


INSIDE = torch.linspace(0, 2, 41, dtype=F64)


@pytest.mark.parametrize("method", [*METHODS, "reversible_heun"])
def test_the_state_at_any_time_has_the_order_of_the_method(method):
    y0, coarse = times(1, -2), 0.25
    errors = []
    for step_size in (coarse, coarse / 2):
        solution = solve(driven, y0, times(0, 2), method=method, step_size=step_size, dense=True)
        errors.append((solution.at(INSIDE) - exact(INSIDE, y0)).abs().max().item())
    order = METHODS[method].order if method in METHODS else 2
    assert math.log2(errors[0] / errors[1]) > order - 0.35


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3", "reversible_heun", "rk4"])
@pytest.mark.parametrize("direction", [1, -1])
def test_it_is_what_an_output_time_gives(method, direction):
    ts, chosen = direction * INSIDE, {"method": method, "rtol": 1e-5, "atol": 1e-5}
    chosen |= {"step_size": 0.3} if method == "rk4" else {}
    ys = solve(driven, times(1, -2), ts, **chosen).ys
    solution = solve(driven, times(1, -2), ts[[0, -1]], dense=True, **chosen)
    torch.testing.assert_close(solution.at(ts), ys, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(solution.at(ts[7]), ys[7], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(solution.at(float(ts[7])), ys[7], rtol=1e-11, atol=1e-11)
    assert solution.at(ts[:0]).shape == (0, 2)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_grid_has_the_interpolation_that_was_asked_for(interpolation):
    chosen = {"method": "rk4", "step_size": 0.3, "interpolation": interpolation}
    ys = solve(driven, times(1), INSIDE, **chosen).ys
    solution = solve(driven, times(1), INSIDE[[0, -1]], dense=True, **chosen)
    torch.testing.assert_close(solution.at(INSIDE), ys)


def test_keeping_the_steps_changes_no_step():
    plain = solve(driven, times(1), times(0, 2))
    kept = solve(driven, times(1), times(0, 2), dense=True)
    assert torch.equal(plain.ys, kept.ys)
    assert plain.stats == kept.stats
    assert plain.trajectory is None
    # Four further evaluations in each step of dopri8.
    plain, kept = (solve(driven, times(1), times(0, 2), method="dopri8", dense=d).stats
                   for d in (False, True))  # fmt: skip
    assert kept.nfe_forward == plain.nfe_forward + 4 * (plain.accepted - 1)


def test_scipy_has_the_same_solution():
    def orbit(t, y):
        x, v = y[:2], y[2:]
        return torch.cat([v, -x / (x.square().sum() ** 1.5)])

    y0, end = times(1, 0, 0, 1.2), 12.0
    run = solve_ivp(
        lambda t, y: orbit(t, torch.as_tensor(y)).numpy(), (0, end), y0.numpy(), method="DOP853",
        rtol=1e-11, atol=1e-11, dense_output=True,
    )  # fmt: skip
    assert run.sol is not None
    state = odeint_dense(orbit, y0, 0.0, end, **TIGHT)
    ts = np.linspace(0, end, 57)
    np.testing.assert_allclose(state(torch.as_tensor(ts)), run.sol(ts).T, rtol=0, atol=1e-6)


def test_torchdiffeq_has_the_same_solution_and_gradient():
    outs, w = [], times(0.3, -0.5).requires_grad_()
    for package in (neural_ode, torchdiffeq):
        y0 = times(1, 2).requires_grad_()
        state = package.odeint_dense(
            lambda t, y: torch.tanh(w * y) * t.cos(), y0, times(0)[0], times(3)[0]
        )
        ys = torch.stack([state(t) for t in times(0.1, 1.3, 2.9)])
        outs.append((ys.detach(), *torch.autograd.grad(ys.square().sum(), (y0, w))))
    torch.testing.assert_close(*outs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "rk4"])
def test_gradients_are_those_of_an_output_time(method):
    chosen = {"method": method, "rtol": 1e-7, "atol": 1e-7}
    chosen |= {"step_size": 0.2} if method == "rk4" else {}
    rate = times(0.7).requires_grad_()
    y0, ends = times(1, 2).requires_grad_(), times(0.1, 2).requires_grad_()
    t = times(0.1, 0.55, 1.4).requires_grad_()

    def field(t, y):
        return rate * y * torch.cos(t)

    ys = solve(field, y0, torch.cat([t, ends[1:]]) if method == "rk4" else t, **chosen).ys
    whole = torch.autograd.grad(ys[1:3].square().sum(), (y0, rate, t))
    solution = solve(field, y0, ends, dense=True, **chosen)
    parts = torch.autograd.grad(solution.at(t[1:]).square().sum(), (y0, rate, ends, t))
    bars = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(parts[:2], whole[:2], **bars)
    torch.testing.assert_close(parts[3][1:], whole[2][1:], **bars)
    torch.testing.assert_close(parts[2][0], whole[2][0], **bars)
    # The slope of the solution is the field.
    slope = torch.autograd.functional.jacobian(lambda t: solution.at(t), times(1)[0])
    torch.testing.assert_close(slope, field(times(1)[0], solution.at(1.0)), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    "gradient", [Adjoint(), Checkpointed(), InterpolatedAdjoint(), Reversible()], ids=str
)
def test_other_gradients_give_the_state_and_say_that_it_has_no_gradient(gradient):
    layer = torch.nn.Linear(2, 2).to(F64)
    method = "reversible_heun" if isinstance(gradient, Reversible) else "bosh3"
    chosen = {"method": method, "rtol": 1e-4, "atol": 1e-4}

    class Field(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, t, y):
            return torch.tanh(self.layer(y))

    plain = solve(Field(), times(1, 2), times(0, 1), dense=True, **chosen)
    solution = solve(Field(), times(1, 2), times(0, 1), gradient=gradient, dense=True, **chosen)
    at = solution.at(0.4)
    torch.testing.assert_close(at, plain.at(0.4))
    with pytest.raises(RuntimeError, match=r"reaches its output times alone, and not at\(t\)"):
        at.sum().backward()
    count = len(solution.trajectory)
    solution.ys.sum().backward()
    assert len(solution.trajectory) == count == solution.stats.accepted
    assert layer.weight.grad is not None


def test_complex_states_and_tuples():
    z0, w0 = torch.ones(2, dtype=C128), torch.ones(1, 3, dtype=C128)
    state = odeint_dense(lambda t, y: (1j * y[0], -y[1]), (z0, w0), 0.0, 2.0, **TIGHT)
    t = times(0.3, 1.7)
    z, w = state(t)
    assert (z.shape, w.shape) == ((2, 2), (2, 1, 3))
    truth = torch.exp(1j * t)[:, None] * z0
    torch.testing.assert_close(z, truth, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(state(0.3)[1].real[0], times(*[math.exp(-0.3)] * 3))
    alone = odeint_dense(lambda t, y: 1j * y, z0, times(0)[0], 2.0, **TIGHT)
    torch.testing.assert_close(alone(t), truth, rtol=1e-7, atol=1e-7)


def test_a_solve_without_a_step_is_its_initial_state():
    start = solve(driven, times(1, 2), times(0.5), dense=True)
    torch.testing.assert_close(start.at(0.5), times(1, 2))
    event = solve(driven, times(0, 2), times(0, 1), event_fn=lambda t, y: y[0], dense=True)
    torch.testing.assert_close(event.at(times(0, 0)), times(0, 2, 0, 2).view(2, 2))


def test_an_interpolation_of_the_field_reaches_into_rounded_times():
    """The times of the solve in float32 lie a little beyond those that were meant."""
    solution = solve(driven, torch.ones(2), torch.tensor([0.1, 0.7]), dense=True)
    torch.testing.assert_close(solution.at(0.7), solution.ys[-1])
    torch.testing.assert_close(solution.at(0.1), solution.ys[0])


def test_transforms_of_torch_func():
    def at(y0):
        return solve(driven, y0, times(0, 2), dense=True).at(INSIDE[3:5])

    y0 = times(1, 2)
    jacobian = torch.autograd.functional.jacobian(at, y0)
    torch.testing.assert_close(torch.func.jacrev(at)(y0), jacobian)
    torch.testing.assert_close(torch.func.jacfwd(at)(y0), jacobian)
    batch = torch.func.vmap(at)(torch.stack([y0, -y0]))
    torch.testing.assert_close(batch, torch.stack([at(y0), -at(y0)]))


def dense(**chosen):
    return solve(driven, times(1), times(0, 1), dense=True, **chosen)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (ValueError, "the steps were not kept: solve with dense=True to have at(t)",
         lambda: solve(driven, times(1), times(0, 1)).at(0.5)),
        (ValueError, "t=1.01 lies outside the solution, which runs from t=0 to 1",
         lambda: dense().at(1.01)),
        (ValueError, "t=-0.01 lies outside the solution, which runs from t=0 to 1",
         lambda: dense().at(times(0.5, -0.01))),
        (ValueError, "t=nan lies outside the solution, which runs from t=0 to 1",
         lambda: odeint_dense(driven, times(1), 0, 1)(math.nan)),
        (ValueError, "t has shape (1, 1), expected at most one dimension",
         lambda: dense().at(times(0.5)[None])),
        (TypeError, "t is '0.5', expected a number or a floating-point tensor",
         lambda: dense().at("0.5")),
        (TypeError, "t is True, expected a number or a floating-point tensor",
         lambda: dense().at(True)),
        (TypeError, "dense is 'yes', expected True or False",
         lambda: solve(driven, times(1), times(0, 1), dense="yes")),
        (ValueError, "method 'adams' does not take dense", lambda: dense(method="adams")),
        (ValueError, "t differs within a batch of vmap: give all the times in one tensor",
         lambda: torch.func.vmap(dense().at)(times(0.1, 0.2))),
        (TypeError, "t1 is 'now', expected a number or a tensor of one number",
         lambda: odeint_dense(driven, times(1), 0, "now")),
        (TypeError, "t0 is Tensor of shape (2,), expected a number or a tensor of one number",
         lambda: odeint_dense(driven, times(1), times(0, 1), 1)),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(error, sentence, call):
    says(error, sentence, call)
