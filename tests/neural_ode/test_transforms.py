"""Derivatives and batches by ``torch.func`` and by forward mode, through a solve."""

# Settings are plain dicts.
# pyright: reportArgumentType=false

import pytest
import torch

import neural_ode

F64 = torch.float64


def times(*values):
    return torch.tensor(values, dtype=F64)


TS = times(0, 0.4, 1)
A = times(0.1, 0.9, -0.7, 0.2).view(2, 2)


def decay(t, y):
    return -y


TRANSFORMED = {
    "rk4": {},
    "euler": {"step_size": 0.1, "perturb": True},
    "heun3": {"step_size": 0.3},
    "midpoint": {"step_size": 0.3, "interp": "cubic"},
    "dopri5": {},
    "dopri8": {},
    "bosh3": {},
    "reversible_heun": {},
}
EACH = pytest.mark.parametrize("method", TRANSFORMED)


def flow(y, ts=TS, method="dopri5", a=A):
    def field(t, y):
        return torch.tanh(a @ y) * torch.cos(t)

    tolerance = 1e-4 if method == "reversible_heun" else 1e-7
    settings = {"method": method, "options": TRANSFORMED[method]}
    ys = neural_ode.odeint(field, y, ts, rtol=tolerance, atol=tolerance, **settings)
    assert isinstance(ys, torch.Tensor)
    return ys[1:]


@EACH
def test_derivatives_by_torch_func_are_those_of_autograd(method):
    y, func = times(1, 2), torch.func
    truth = torch.autograd.functional.jacobian(lambda y: flow(y, method=method), y)
    # The dense output of dopri8 has coefficients to 2000, which cancel.
    bars = {"rtol": 1e-9, "atol": 1e-9}
    for jacobian in (func.jacrev, func.jacfwd):
        result = jacobian(lambda y: flow(y, method=method))(y)
        torch.testing.assert_close(result, truth, **bars)
    _, along = func.jvp(lambda y: flow(y, method=method), (y,), (y,))
    torch.testing.assert_close(along, truth @ y, **bars)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(y, y)
        tangent = torch.autograd.forward_ad.unpack_dual(flow(dual, method=method)).tangent
    torch.testing.assert_close(tangent, truth @ y, **bars)
    gradient = func.grad(lambda y: flow(y, method=method).sum())(y)
    torch.testing.assert_close(gradient, truth.sum((0, 1)), **bars)


@EACH
def test_derivatives_by_the_times(method):
    def loss(t):
        return flow(times(1, 2), t, method=method).square().sum()

    ts = TS.clone().requires_grad_()
    (truth,) = torch.autograd.grad(loss(ts), ts)
    for derivative in (torch.func.grad, torch.func.jacfwd):
        torch.testing.assert_close(derivative(loss)(TS), truth, rtol=1e-8, atol=1e-8)


@EACH
def test_vmap_over_states_and_over_parameters(method):
    ys, weights = torch.stack([times(1, 2), times(-2, 0.3)]), torch.stack([A, 2 * A])

    def end(y, a):
        return flow(y, method=method, a=a)

    bars = {"rtol": 1e-3, "atol": 1e-3} if method == "reversible_heun" else {}
    # The samples share their steps, so they agree to the tolerance.
    bars = bars or {"rtol": 1e-5, "atol": 1e-6}
    alone = torch.stack([end(y, a) for y, a in zip(ys, weights, strict=True)])
    torch.testing.assert_close(torch.func.vmap(end)(ys, weights), alone, **bars)
    alone = torch.stack([end(ys[0], a) for a in weights])
    torch.testing.assert_close(torch.func.vmap(end, (None, 0))(ys[0], weights), alone, **bars)


def test_second_derivatives_by_torch_func():
    y = times(1, 2)
    ours = torch.func.hessian(lambda y: flow(y, method="rk4").sum())(y)
    truth = torch.autograd.functional.hessian(lambda y: flow(y, method="rk4").sum(), y)
    torch.testing.assert_close(ours, truth, rtol=1e-10, atol=1e-10)


def test_a_slope_that_is_the_same_for_all_samples():
    ys = torch.func.vmap(lambda y: neural_ode.odeint(lambda t, y: torch.ones_like(t), y, TS))(TS)
    torch.testing.assert_close(ys, TS[:, None] + TS)


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_a_failure_inside_vmap_says_so(method):
    def solve(y):
        return neural_ode.odeint(lambda t, y: 1 / y, y, TS, method=method)

    with pytest.raises(neural_ode.NonFinite, match="not finite"):
        torch.func.vmap(solve)(times(1, 0))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda y: neural_ode.odeint_adjoint(decay, y, TS, adjoint_params=()),
            "the adjoint cannot",
        ),
        (lambda y: neural_ode.odeint(decay, y, TS, method="adams"), "runs in SciPy"),
        (lambda y: neural_ode.odeint(decay, TS, y), "ts differs within a batch"),
    ],
)
def test_what_cannot_be_transformed_is_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        torch.func.vmap(call)(torch.stack([TS, TS + 1]))
