"""The method that hands a solve to SciPy, against closed forms, SciPy itself and torchdiffeq."""

# Settings are plain dicts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false

import math

import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.integrate import solve_ivp
from torch import nn

import neural_ode
from neural_ode import Adjoint, NonFinite, StepLimit, odeint, solve
from neural_ode.methods.scipy_solver import ScipySolver
from tests.neural_ode.failing import says

F64 = torch.float64
SOLVERS = pytest.mark.parametrize("solver", ["RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA"])
TOLERANCES = {"rtol": 1e-6, "atol": 1e-8}


def times(*values):
    return torch.tensor(values, dtype=F64)


TS = times(0, 0.4, 1)


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(times(0.7))
        self.calls = 0

    def forward(self, t, y):
        self.calls += 1
        return self.rate * y * torch.cos(t)


@SOLVERS
@pytest.mark.parametrize("direction", [1, -1])
def test_solutions_are_the_closed_form_and_evaluations_are_counted(solver, direction):
    field, ts = Field(), direction * TS
    with torch.no_grad():
        solution = solve(field, times(1, -2), ts, method=ScipySolver(solver), **TOLERANCES)
    truth = torch.exp(0.7 * ts.sin())[:, None] * times(1, -2)
    torch.testing.assert_close(solution.ys, truth, rtol=1e-4, atol=1e-5)
    assert solution.stats.nfe_forward == field.calls
    assert solution.stats.accepted > 0


@pytest.mark.parametrize(("solver", "stages"), [("RK23", 3), ("RK45", 6), ("DOP853", 12)])
def test_rejected_steps_of_the_explicit_solvers_are_counted(solver, stages):
    def van_der_pol(t, y):
        return torch.stack([y[1], 10 * (1 - y[0] ** 2) * y[1] - y[0]])

    method = ScipySolver(solver)
    stats = solve(van_der_pol, times(2, 0), times(0, 20), method=method, **TOLERANCES).stats
    assert stats.rejected > 5
    # Two evaluations choose the first step, every attempt takes one for each stage, and the dense
    # output of DOP853, by which the state at the end is read, takes three.
    others = 5 if solver == "DOP853" else 2
    assert stats.nfe_forward == others + stages * (stats.accepted + stats.rejected)


@SOLVERS
def test_a_script_of_torchdiffeq_has_the_same_solution(solver):
    field = Field()
    ours, theirs = (
        package.odeint(field, times(1, -2), TS, method="scipy_solver", options={"solver": solver})
        for package in (neural_ode, torchdiffeq)
        for _ in [torch.set_grad_enabled(False)]
    )
    torch.set_grad_enabled(True)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["DOP853", "LSODA", "Radau"])
@pytest.mark.parametrize("norm", ["rms", "seminorm"])
def test_the_adjoint_has_the_gradient_of_the_closed_form(solver, norm):
    field, y0 = Field(), times(1, -2).requires_grad_()
    chosen = {"gradient": Adjoint(norm=norm), "rtol": 1e-8, "atol": 1e-8}
    end = solve(field, y0, TS, method=ScipySolver(solver), **chosen).ys[-1]
    truth = y0 * torch.exp(field.rate * math.sin(1))
    grads, closed = (torch.autograd.grad(x.square().sum(), (y0, field.rate)) for x in (end, truth))
    torch.testing.assert_close(grads, closed, rtol=1e-6, atol=1e-6)


def test_a_stiff_problem():
    def van_der_pol(t, y):
        return torch.stack([y[1], 30 * (1 - y[0] ** 2) * y[1] - y[0]])

    run = solve_ivp(
        lambda t, y: van_der_pol(t, torch.as_tensor(y)).numpy(), (0, 60), [2, 0], method="Radau",
        **TOLERANCES,
    )  # fmt: skip
    solution = solve(
        van_der_pol, times(2, 0), times(0, 60), method=ScipySolver("Radau"), **TOLERANCES
    )
    np.testing.assert_allclose(solution.ys[-1], run.y[:, -1], rtol=1e-3, atol=1e-3)
    assert solution.stats.accepted == len(run.t) - 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128])
def test_other_states(dtype):
    y0 = torch.tensor([[1.0, 2]], dtype=dtype)
    ys = odeint(lambda t, y: (y[0] * t.cos(), -y[1]), (y0, y0), TS, method="scipy_solver")
    bars = {"rtol": 1e-5, "atol": 1e-5}
    assert [y.dtype for y in ys] == [dtype, dtype]
    torch.testing.assert_close(ys[0][-1], y0 * math.exp(math.sin(1)), **bars)
    torch.testing.assert_close(ys[1][-1], y0 * math.exp(-1), **bars)
    empty = torch.ones(0, 2, dtype=dtype)
    assert odeint(lambda t, y: y, empty, TS, method="scipy_solver").shape == (3, 0, 2)


def test_tolerances_of_several_entries_and_sizes_of_steps():
    run = {"method": "scipy_solver", "rtol": times(1e-3, 1e-9), "atol": 1e-9}
    for solver in ("LSODA", "RK45", "BDF"):
        ys = odeint(lambda t, y: -y, times(1, 1), TS, options={"solver": solver}, **run)
        assert ys[-1, 1].item() == pytest.approx(math.exp(-1), rel=1e-5)
    solution = solve(lambda t, y: -y, times(1), TS, method="scipy_solver", max_step=0.01)
    assert solution.stats.accepted >= 100
    odeint(lambda t, y: -y, times(1), TS, method="scipy_solver", options={"min_step": 1e-9})


class Broken(Exception):
    pass


def breaks(t, y):
    if t > 0.3:
        raise Broken
    return y


@SOLVERS
def test_an_exception_of_the_field_comes_out_as_it_is(solver):
    with pytest.raises(Broken):
        solve(breaks, times(1), TS, method=ScipySolver(solver))


@SOLVERS
def test_a_field_that_is_not_finite_is_named(solver):
    with pytest.raises(NonFinite, match="not finite"):
        solve(lambda t, y: y / (t < 0.3), times(1), TS, method=ScipySolver(solver))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (ValueError, "solver is 'Euler', expected 'RK23' or 'RK45' or",
         lambda: odeint(Field(), times(1), TS, method="scipy_solver",
                        options={"solver": "Euler"})),
        (ValueError, "method 'scipy_solver' runs in SciPy, where autograd cannot follow",
         lambda: solve(Field(), times(1), TS, method="scipy_solver")),
        (ValueError, "method 'scipy_solver' runs in SciPy, where torch.func",
         lambda: torch.func.vmap(
             lambda y: odeint(lambda t, y: y, y, TS, method="scipy_solver"))(times(1, 2))),
        (ValueError, "method 'scipy_solver' does not take event_fn",
         lambda: odeint(lambda t, y: y, times(1), TS[:2], method="scipy_solver",
                        event_fn=lambda t, y: y)),
        (ValueError, "method 'scipy_solver' does not take min_step",
         lambda: odeint(lambda t, y: y, times(1), TS, method="scipy_solver",
                        options={"min_step": 0.1, "solver": "RK45"})),
        (StepLimit, "3 steps taken without reaching t=0.4",
         lambda: solve(lambda t, y: y, times(1), TS, method="scipy_solver", max_num_steps=3)),
        (NonFinite, "the field or the state is not finite at t=0",
         lambda: solve(lambda t, y: y, times(math.nan), TS, method="scipy_solver")),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(error, sentence, call):
    says(error, sentence, call)
