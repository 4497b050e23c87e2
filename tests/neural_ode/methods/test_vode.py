"""The paper's Adams: right answers at the tolerance asked for, honest counts, clear failures."""

import math
import re
import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import ode, solve_ivp

from neural_ode.failures import NonFinite, StepLimit, StepUnderflow
from neural_ode.methods.vode import integrate_vode
from neural_ode.networks import MLPField
from neural_ode.solution import Counts

# SciPy warns where it fails; here that is an exception's business.
pytestmark = pytest.mark.filterwarnings("error")

FROM_LOOSE_TO_TIGHT = (1e-4, 1e-6, 1e-8, 1e-10)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def run(field, y0, ts, tol=1e-8, *, max_num_steps=100_000, rtol=None, atol=None, exempt=0):
    """The solution and what it has cost."""
    counts = Counts()
    ys = integrate_vode(
        field,
        y0,
        ts.tolist(),
        rtol=tol if rtol is None else rtol,
        atol=tol if atol is None else atol,
        counts=counts,
        max_num_steps=max_num_steps,
        exempt=exempt,
    )
    return ys, counts


def rotation(t, y):
    return torch.stack([y[1], -y[0]])


def van_der_pol(t, y):
    return torch.stack([y[1], 2 * (1 - y[0] ** 2) * y[1] - y[0]])


def decay(t, y):
    return -y


# --- the solution --------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [5.0, -5.0])
def test_rotation_in_both_directions(end):
    ts = torch.linspace(0, end, 23, dtype=torch.float64)
    ys, _ = run(rotation, vector(1, 0), ts, 1e-10)
    torch.testing.assert_close(ys, torch.stack([ts.cos(), -ts.sin()], 1), atol=1e-7, rtol=0)


def test_agrees_with_another_method():
    ts = torch.linspace(1, 4, 11, dtype=torch.float64)

    def field(t, y):
        return van_der_pol(None, y) + torch.cos(t)

    ys, _ = run(field, vector(2, 0), ts, 1e-10)
    reference = solve_ivp(
        lambda t, y: field(torch.tensor(t), torch.from_numpy(y)).numpy(),
        (1, 4),
        [2, 0],
        method="DOP853",
        rtol=1e-13,
        atol=1e-13,
        t_eval=ts.numpy(),
    )
    torch.testing.assert_close(ys, torch.from_numpy(reference.y.T), atol=1e-7, rtol=0)


def test_error_follows_the_tolerance():
    end = vector(0, 3)
    errors = [
        (run(rotation, vector(1, 0), end, tol)[0][-1] - vector(math.cos(3), -math.sin(3))).norm()
        for tol in FROM_LOOSE_TO_TIGHT
    ]
    slope = np.polyfit(np.log(FROM_LOOSE_TO_TIGHT), np.log(errors), 1)[0]
    assert 0.8 < slope < 1.2
    assert all(error < 100 * tol for error, tol in zip(errors, FROM_LOOSE_TO_TIGHT, strict=True))


def test_is_what_scipy_computes():
    ys, counts = run(van_der_pol, vector(2, 0), vector(0, 2))
    calls = []

    def field(t, y):
        calls.append(t)
        return van_der_pol(None, torch.from_numpy(y)).numpy()

    solver = ode(field).set_integrator("vode", method="adams", rtol=1e-8, atol=1e-8, nsteps=10_000)
    solver.set_initial_value([2, 0], 0)
    np.testing.assert_allclose(ys[-1].numpy(), solver.integrate(2), rtol=1e-13)
    assert counts.nfe == len(calls)


@pytest.mark.parametrize("shape", [(), (1,), (3, 2, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_of_the_state_are_kept(shape, dtype):
    y0 = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    seen = set()

    def field(t, y):
        seen.add((t.shape, t.dtype, y.shape, y.dtype, torch.is_grad_enabled()))
        return -y

    ys, _ = run(field, y0, torch.tensor([0.0, 0.5, 1.0]), 1e-6)
    assert (ys.shape, ys.dtype) == ((3, *shape), dtype)
    assert seen == {((), dtype, shape, dtype, False)}
    assert torch.equal(ys[0], y0)
    torch.testing.assert_close(ys[-1], y0 * math.exp(-1), rtol=1e-4, atol=1e-5)


def test_empty_state_costs_nothing():
    ys, counts = run(decay, torch.zeros(3, 0), torch.tensor([0.0, 1.0]))
    assert ys.shape == (2, 3, 0)
    assert counts == Counts()


def test_the_field_may_keep_and_overwrite_its_argument():
    kept = []

    def field(t, y):
        kept.append((y, y.clone()))
        return -y

    expected, _ = run(field, vector(1, 2), vector(0, 1))
    assert all(torch.equal(state, copy) for state, copy in kept)
    ys, _ = run(lambda t, y: y.neg_(), vector(1, 2), vector(0, 1))
    assert torch.equal(ys, expected)


# --- steps and what they cost --------------------------------------------------------------------


def test_counts_are_the_calls():
    calls = []

    def field(t, y):
        calls.append(t.item())
        return van_der_pol(t, y)

    counts = Counts(nfe=5, accepted=7, rejected=11)
    integrate_vode(
        field,
        vector(2, 0),
        [0.0, 3.0],
        rtol=1e-6,
        atol=1e-6,
        counts=counts,
        max_num_steps=1000,
    )
    assert counts.nfe == 5 + len(calls)
    assert counts.accepted > 7
    assert counts.rejected > 11
    # Every attempt has an evaluation of its own.
    assert counts.accepted - 7 + counts.rejected - 11 < len(calls)


@pytest.mark.parametrize("end", [1.0, -1.0])
def test_outputs_do_not_change_the_steps(end):
    few, cost = run(van_der_pol, vector(2, 0), vector(0, end))
    many, same = run(van_der_pol, vector(2, 0), torch.linspace(0, end, 50, dtype=torch.float64))
    early, again = run(van_der_pol, vector(2, 0), vector(0, end * 1e-9, end))
    assert cost == same == again
    assert torch.equal(few[-1], many[-1])
    assert torch.equal(few[-1], early[-1])


def test_an_output_may_be_the_end_of_a_step():
    """SciPy's own interpolation fails there when it goes backward from a positive time."""
    times = []

    def field(t, y):
        times.append(t.item())
        return rotation(t, y)

    run(field, vector(1, 0), vector(1, 0))
    ends = sorted({t for t in times[10:] if 0.2 < t < 0.8}, reverse=True)
    ys, _ = run(rotation, vector(1, 0), vector(1, *ends, 0))
    angles = vector(1, *ends, 0) - 1
    torch.testing.assert_close(ys, torch.stack([angles.cos(), -angles.sin()], 1), atol=1e-6, rtol=0)


def test_tolerances_of_single_entries():
    y0, ts, rates = torch.ones(2, 2, dtype=torch.float64), vector(0, 2), vector(1, 30)

    def field(t, y):
        return rates * torch.cos(rates * t) * y

    ys, cost = run(field, y0, ts, 1e-5)
    each = torch.full((2, 2), 1e-5, dtype=torch.float64)
    same, equal = run(field, y0, ts, rtol=each, atol=each[0])
    assert torch.equal(ys, same)
    assert cost == equal
    _, loose = run(field, y0, ts, rtol=1e-5, atol=vector(1e-5, 10))
    assert loose.nfe < cost.nfe / 2


# --- integrals that have no say ------------------------------------------------------------------


def with_integrals(t, state):
    y = state[:2]
    # The exact integrals over a rotation from (1, 0): sin, sin 2t / 4 + t / 2, and t^2 / 2.
    return torch.cat([rotation(t, y), torch.stack([y[0], y[0] ** 2, t])])


@pytest.mark.parametrize("end", [6.0, -6.0])
def test_integrals_are_right_and_leave_the_steps_alone(end):
    ts = torch.linspace(0, end, 14, dtype=torch.float64)
    alone, cost = run(rotation, vector(1, 0), ts)
    ys, same = run(with_integrals, vector(1, 0, 0, 3, 0), ts, exempt=3)
    assert same == cost
    assert torch.equal(ys[:, :2], alone)
    exact = torch.stack([ts.sin(), (2 * ts).sin() / 4 + ts / 2 + 3, ts**2 / 2], 1)
    torch.testing.assert_close(ys[:, 2:], exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize("tol", FROM_LOOSE_TO_TIGHT)
def test_integrals_are_as_exact_as_those_of_vode(tol):
    start, ts = vector(1, 0, 0, 0, 0), vector(0, 6)
    exact = vector(math.sin(6), math.sin(12) / 4 + 3, 18)
    ours, _ = run(with_integrals, start, ts, tol, exempt=3)
    unfelt = vector(tol, tol, 1e300, 1e300, 1e300)
    inside, _ = run(with_integrals, start, ts, rtol=tol, atol=unfelt)
    assert (ours[-1, 2:] - exact).norm() < 2 * (inside[-1, 2:] - exact).norm()


def test_integrals_alone_choose_the_steps():
    ys, _ = run(lambda t, q: torch.cos(t).expand(2), vector(0, 1), vector(0, 2), exempt=2)
    torch.testing.assert_close(ys[-1], math.sin(2) + vector(0, 1), atol=1e-6, rtol=0)


def test_integrals_that_are_not_finite():
    def field(t, state):
        return torch.stack([-state[0], torch.where(t > 0.5, math.nan, 1.0)])

    with pytest.raises(NonFinite, match="not finite just after t="):
        run(field, vector(1, 0), vector(0, 1), exempt=1)


@pytest.mark.parametrize("exempted", [False, True])
def test_gradient_by_an_augmented_system(exempted):
    """The adjoint by hand: z, a and g backward in time, against autograd through many steps."""
    net = MLPField(2, 8, generator=torch.Generator().manual_seed(0)).double()
    params = tuple(net.parameters())
    z0, ts = vector(0.5, -1).requires_grad_(), vector(0, 1)
    z, h = z0, 1 / 200
    for i in range(200):
        t = torch.tensor(i * h, dtype=torch.float64)
        k1 = net(t, z)
        k2 = net(t + h / 2, z + h / 2 * k1)
        k3 = net(t + h / 2, z + h / 2 * k2)
        z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + net(t + h, z + h * k3))
    expected = torch.autograd.grad(z.square().sum(), (z0, *params))
    zs, _ = run(net, z0, ts)
    size = sum(p.numel() for p in params)

    def augmented(t, state):
        y, a = state[:2].requires_grad_(), state[2:4]
        with torch.enable_grad():
            f = net(t, y)
            vjps = torch.autograd.grad(f, (y, *params), -a)
        return torch.cat([f.detach(), *(v.reshape(-1) for v in vjps)])

    start = torch.cat([zs[-1], 2 * zs[-1], torch.zeros(size, dtype=torch.float64)])
    state, _ = run(augmented, start, ts.flip(0), exempt=size if exempted else 0)
    gradient = torch.cat([g.reshape(-1) for g in expected])
    torch.testing.assert_close(state[-1, 2:], gradient, atol=1e-6, rtol=0)


# --- solves that cannot go on --------------------------------------------------------------------


def says(error, sentence, *args, **options):
    """The solve raises this error, and its whole message is this one sentence."""
    with pytest.raises(error, match=f"^{re.escape(sentence)}") as caught:
        run(*args, **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_field_that_turns_non_finite(value):
    failure = says(
        NonFinite,
        "the field or the state is not finite just after t=0.7",
        lambda t, y: torch.where(t > 0.7, value, 1.0) * y,
        vector(1, 2),
        vector(0, 0.5, 1),
    )
    assert failure.t == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("field", "y0"),
    [(lambda t, y: math.nan * y, vector(1)), (lambda t, y: y * 0 + 1, vector(math.inf))],
)
def test_start_that_is_not_finite(field, y0):
    failure = says(
        NonFinite, "the field or the state is not finite at t=0.5", field, y0, vector(0.5, 1)
    )
    assert failure.t == 0.5


def test_overflow_of_an_attempt_is_survived():
    ys, counts = run(lambda t, y: torch.where(y > 1.5, math.inf, y), vector(1), vector(0, 0.4))
    assert counts.rejected > 0
    assert ys[-1].item() == pytest.approx(math.exp(0.4), rel=1e-6)


def test_pole():
    failure = says(StepUnderflow, "the step ", lambda t, y: y**2, vector(1), vector(0, 2), 1e-4)
    assert failure.t == pytest.approx(1, abs=1e-2)


def test_steps_between_outputs_are_limited():
    ts = torch.linspace(0, 5, 21, dtype=torch.float64)
    _, counts = run(decay, vector(1), ts, 1e-6, max_num_steps=20)
    assert counts.accepted > 20
    failure = says(
        StepLimit,
        "20 steps taken without reaching t=5",
        decay,
        vector(1),
        vector(0, 5),
        tol=1e-6,
        max_num_steps=20,
    )
    assert 0 < failure.t < 5
    with pytest.raises(StepLimit, match="1 steps taken"):
        run(decay, vector(1), vector(0, 5), max_num_steps=1)
    run(decay, vector(1), vector(0, 5), max_num_steps=2**40)


@pytest.mark.parametrize(("tol", "end"), [(1e-18, 2.0), (1e-8, math.nextafter(1, 2))])
def test_less_than_rounding(tol, end):
    says(
        StepUnderflow,
        "the tolerance or the interval is smaller than float64 can resolve, at t=1",
        decay,
        vector(1),
        vector(1, end),
        tol=tol,
    )


def test_field_that_becomes_stiff_at_once():
    """VODE gives up on a step after ten attempts, each a quarter of the last."""
    failure = says(
        StepUnderflow,
        "the corrector does not converge however small the step, at t=0.4",
        lambda t, y: torch.where(t > 0.5, 1e15, 1.0) * (torch.cos(t) - y),
        vector(1),
        vector(0, 1),
    )
    assert 0 < failure.t < 0.5


def test_exception_of_the_field_arrives_unchanged():
    mine = KeyError("mine")
    calls = []

    def field(t, y):
        calls.append(t)
        if t > 0.5:
            raise mine
        return -y

    with pytest.raises(KeyError) as caught:
        run(field, vector(1, 2), vector(0, 1))
    assert caught.value is mine
    assert calls[-1] > 0.5
    assert all(t <= 0.5 for t in calls[:-1])
    ys, _ = run(decay, vector(1), vector(0, 1))
    assert ys[-1].item() == pytest.approx(math.exp(-1), rel=1e-6)


def test_warning_of_the_field_arrives():
    def field(t, y):
        warnings.warn("mine", stacklevel=1)
        return -y

    with pytest.warns(UserWarning, match="mine"):
        run(field, vector(1), vector(0, 1))


def test_cannot_be_nested():
    def field(t, y):
        return -run(decay, y, vector(0, 1))[0][-1]

    with pytest.raises(RuntimeError, match="VODE cannot be nested: use another method") as caught:
        run(field, vector(1), vector(0, 1))
    assert "\n" not in str(caught.value)
    run(decay, vector(1), vector(0, 1))
