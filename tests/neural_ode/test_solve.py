"""``solve`` against closed forms, SciPy and the symmetries that an exact flow has."""

# Settings are plain dicts.
# pyright: reportArgumentType=false

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from neural_ode import METHODS, Adjoint, PIController, solve
from neural_ode.methods.runge_kutta_5 import DOPRI5

F64 = torch.float64
EVERY = pytest.mark.parametrize("method", METHODS)
ADAPTIVE = pytest.mark.parametrize("method", [m for m, t in METHODS.items() if t.adaptive])
# Those whose errors follow the tolerance; of fehlberg2 see ``random_problems``.
ESTIMATING = pytest.mark.parametrize(
    "method", [m for m, t in METHODS.items() if t.adaptive and m != "fehlberg2"]
)


def times(*values):
    return torch.tensor(values, dtype=F64)


def decay(t, y):
    return -y


# --- order of convergence ------------------------------------------------------------------------
# y' = y (1 - y) (1 + cos(t) / 2): the logistic equation in the time s = t + sin(t) / 2.

END = 6.0
COUNTS = {1: (64, 128, 256), 2: (32, 64, 128), 3: (64, 128, 256), 4: (32, 64, 128)}
COUNTS |= {5: (48, 64, 96), 8: (16, 20, 24, 32)}


def seasons(t, y):
    return y * (1 - y) * (1 + torch.cos(t) / 2)


def seasons_exact(t):
    return 1 / (1 + 9 * torch.exp(-t - torch.sin(t) / 2))


def seasons_errors(method, count):
    """The largest error inside the steps, at fixed fractions of each, and the error at the end."""
    h = END / count
    inside = (torch.arange(count, dtype=F64)[:, None] + times(0.17, 0.5, 0.83)) * h
    ts = torch.cat([times(0), inside.flatten(), times(END)])
    solution = solve(seasons, seasons_exact(ts[0]), ts, method=method, step_size=h)
    assert solution.stats.accepted == count
    errors = (solution.ys - seasons_exact(ts)).abs()
    return errors[1:-1].max().item(), errors[-1].item()


@EVERY
def test_measured_order_inside_and_at_the_end_of_the_steps(method):
    order = METHODS[method].order
    counts = COUNTS[order]
    errors = np.array([seasons_errors(method, count) for count in counts])
    inside, end = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert inside == pytest.approx(order, abs=0.25)
    assert end == pytest.approx(order, abs=0.25)


# --- SciPy's DOP853 as the truth -----------------------------------------------------------------


def lotka_volterra(t, y, lib=torch):
    return lib.stack([1.1 * y[0] - 0.4 * y[0] * y[1], 0.1 * y[0] * y[1] - 0.4 * y[1]])


def van_der_pol(t, y, lib=torch):
    return lib.stack([y[1], 5 * (1 - y[0] ** 2) * y[1] - y[0]])


def driven_pendulum(t, y, lib=torch):
    return lib.stack([y[1], lib.cos(3 * t) - 9 * lib.sin(y[0])])


PROBLEMS = {
    "nonlinear": (lotka_volterra, (10.0, 5.0), (0.0, 8.0)),
    "stiff-ish": (van_der_pol, (2.0, 0.0), (0.0, 6.0)),
    "oscillating": (driven_pendulum, (1.0, 0.5), (0.0, 4.0)),
    "nonlinear backward": (lotka_volterra, (10.0, 5.0), (8.0, 0.0)),
    "oscillating backward": (driven_pendulum, (1.0, 0.5), (2.0, -2.0)),
}


def reference(problem, count=41):
    field, y0, span = PROBLEMS[problem]
    ts = np.linspace(*span, count)
    truth = solve_ivp(lambda t, y: field(t, y, np), span, y0, "DOP853", ts, rtol=1e-13, atol=1e-14)
    return field, torch.tensor(y0, dtype=F64), torch.from_numpy(ts), torch.from_numpy(truth.y.T)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(
    ("method", "tolerance", "bar"),
    # A method of order three would need some 1e5 steps for ten digits, so bosh3 shows fewer.
    [
        ("dopri5", 1e-12, 1e-10),
        ("tsit5", 1e-12, 1e-10),
        ("dopri8", 1e-12, 1e-10),
        ("bosh3", 1e-7, 2e-5),
    ],
)
def test_agreement_with_dop853_at_many_outputs(problem, method, tolerance, bar):
    field, y0, ts, truth = reference(problem)
    ys = solve(field, y0, ts, method=method, rtol=tolerance, atol=tolerance).ys
    torch.testing.assert_close(ys, truth, rtol=bar, atol=bar)


@ESTIMATING
def test_error_follows_the_tolerance(method):
    field, y0, ts, truth = reference("nonlinear")
    errors = [
        (solve(field, y0, ts, method=method, rtol=tol, atol=tol).ys - truth).abs().max().item()
        for tol in (1e-3, 1e-5)
    ]
    assert errors[0] > 10 * errors[1]
    assert errors[1] < 5e-3


# --- outputs -------------------------------------------------------------------------------------


@ADAPTIVE
def test_outputs_do_not_change_the_steps(method):
    few = solve(decay, times(1), times(0, 2), method=method, rtol=1e-4)
    many = solve(decay, times(1), torch.linspace(0, 2, 50, dtype=F64), method=method, rtol=1e-4)
    assert few.stats.accepted == many.stats.accepted
    assert few.stats.rejected == many.stats.rejected
    assert torch.equal(few.ys[-1], many.ys[-1])


@EVERY
@pytest.mark.parametrize(("dtype", "end"), [(torch.float32, 1.0), (torch.float64, -1.0)])
@pytest.mark.parametrize("shape", [(), (0, 3), (4,), (2, 1, 3, 2)])
def test_state_of_any_shape_and_dtype_in_either_direction(method, dtype, shape, end):
    y0 = torch.linspace(1, 2, math.prod(shape), dtype=dtype).reshape(shape)
    ts = torch.linspace(0, end, 3, dtype=F64)
    solution = solve(decay, y0, ts, method=method, step_size=0.1)
    truth = y0 * torch.exp(-ts).reshape(-1, *[1] * len(shape)).to(dtype)
    assert solution.ts is ts
    assert solution.ys.shape == (3, *shape)
    assert solution.ys.dtype == dtype
    # The leading error of order p over a time of 1 is 0.1^p / (p + 1)!, doubled to be safe.
    order = METHODS[method].order
    bar = 2 * 0.1**order / math.factorial(order + 1) + 10 * torch.finfo(dtype).eps
    torch.testing.assert_close(solution.ys, truth, rtol=bar, atol=0)


def test_state_need_not_be_contiguous():
    y0 = torch.arange(6, dtype=F64).reshape(2, 3)
    ys = solve(decay, y0.T, times(0, 1)).ys
    torch.testing.assert_close(ys[-1], y0.T / math.e, rtol=1e-7, atol=0)


@pytest.mark.parametrize("gradient", [None, Adjoint(params=())])
def test_single_output_time_is_the_initial_state(gradient):
    solution = solve(decay, times(3), times(1), gradient=gradient)
    assert solution.ys.tolist() == [[3.0]]
    assert solution.stats.nfe_forward == 0


def test_times_may_have_another_dtype_than_the_state():
    ys = solve(decay, times(1), torch.tensor([0.0, 1.0])).ys
    assert ys.dtype == F64
    assert ys[-1].item() == pytest.approx(1 / math.e, rel=1e-7)


def test_outputs_closer_than_a_step_and_at_its_ends():
    ts = times(0, 0.1, 0.25, 0.25 + 1e-12, 0.5, 0.6)
    # Quadratic in t, so the midpoint rule and its dense output are exact.
    ys = solve(lambda t, y: 2 * t.expand(1), times(0), ts, method="midpoint", step_size=0.25).ys
    torch.testing.assert_close(ys[:, 0], ts**2, rtol=1e-14, atol=1e-15)


# --- jumps, and steps that are asked for ----------------------------------------------------------


def switch(t, y):
    """1 before t = 1/2 and 3 after it, so that y(1) = y(0) + 2."""
    return torch.where(t < 0.5, 1.0, 3.0).to(y).expand_as(y)


@EVERY
@pytest.mark.parametrize("ts", [times(0, 1), times(1, 0)])
def test_perturb_keeps_each_step_on_its_side_of_a_jump(method, ts):
    """For a FSAL method too, whose last stage must not serve as the first beyond the jump."""
    ys = solve(switch, times(0), ts, method=method, step_size=0.25, perturb=True).ys
    assert ys[-1].item() == pytest.approx(2 * (ts[1] - ts[0]).item(), rel=1e-14)


@ADAPTIVE
@pytest.mark.parametrize("ts", [times(0, 1), times(1, 0)])
def test_jump_times_are_stepped_to_and_the_field_seen_from_either_side(method, ts):
    with_jump = solve(switch, times(0), ts, method=method, jump_t=[0.5, 7.0])
    without = solve(switch, times(0), ts, method=method, rtol=1e-5)
    assert with_jump.ys[-1].item() == pytest.approx(2 * (ts[1] - ts[0]).item(), rel=1e-14)
    assert with_jump.stats.rejected == 0
    assert without.stats.rejected > 5


@ADAPTIVE
@pytest.mark.parametrize("ts", [times(0.5, 1), times(0.5, 0)])
@pytest.mark.parametrize("from_above", [True, False])
@pytest.mark.parametrize("first_step", [None, 0.1])
def test_a_jump_at_the_first_time_lies_behind_the_solve(method, ts, from_above, first_step):
    """Whichever value the field has at the jump itself: its slope there spoiled the first step."""

    def field(t, y):
        below = t < 0.5 if from_above else t <= 0.5
        return torch.where(below, 1.0, 3.0).to(y).expand_as(y)

    solved = solve(field, times(0), ts, method=method, jump_t=[0.5], first_step=first_step)
    slope = 3 if ts[1] > 0.5 else 1
    expected = slope * (ts[1] - ts[0]).item()
    assert solved.ys[-1].item() == pytest.approx(expected, rel=1e-14)
    assert solved.stats.rejected == 0


def test_a_jump_at_a_first_time_that_is_rounded():
    """In float32 0.7 is a little less, so that the jump would lie behind a step of nothing."""
    field = lambda t, y: torch.where(t < 0.7, 1.0, 3.0).expand_as(y)  # noqa: E731
    y0 = torch.zeros(1)
    for end, slope in ((1.0, 3.0), (-0.3, 1.0)):
        ts = torch.tensor([0.7, end])
        solved = solve(field, y0, ts, jump_t=[0.7], rtol=1e-5, atol=1e-5)
        assert solved.ys[-1].item() == pytest.approx(slope * (ts[1] - ts[0]).item(), rel=1e-5)
        assert solved.stats.rejected == 0


def accepted_times(**settings):
    """The times at which steps of dopri5 begin or end: where its first and last stage lie."""
    seen = []
    solve(lambda t, y: seen.append(t.item()) or -y, times(1), times(0, 3), **settings)
    return seen


@pytest.mark.parametrize("name", ["step_t", "jump_t"])
def test_steps_end_at_the_times_asked_for(name):
    seen = accepted_times(**{name: (1.25, 0.5)})
    nearby = [t for t in seen for stop in (0.5, 1.25) if abs(t - stop) < 1e-12]
    assert len(nearby) >= 4


def test_first_step_saves_the_evaluation_that_chooses_it():
    chosen = accepted_times()
    given_ = accepted_times(first_step=1e-3)
    assert given_[1] == pytest.approx(1e-3 / 5)
    assert chosen[2] > 1e-3 / 5


def test_max_step_and_min_step_bound_the_steps():
    ts = times(0, 3)
    assert solve(decay, times(1), ts, max_step=0.05).stats.accepted >= 60
    coarse = solve(decay, times(1), ts, min_step=0.5).stats
    assert coarse.accepted <= 6
    assert coarse.rejected == 0


def test_custom_norm_chooses_the_steps():
    def field(t, y):
        return torch.stack([-y[0], torch.cos(40 * t)])

    y0, ts = times(1, 0), times(0, 1)
    first_only = solve(field, y0, ts, norm=lambda e: e[0].abs()).stats
    assert first_only.accepted < solve(field, y0, ts).stats.accepted / 3


def test_tolerance_may_differ_from_entry_to_entry():
    y0, ts = times(1, 1), times(0, 3)
    tight, loose = (solve(decay, y0, ts, rtol=r, atol=1e-12).stats.accepted for r in (1e-9, 1e-3))
    mixed = solve(decay, y0, ts, rtol=times(1e-9, 1e-3), atol=1e-12).stats.accepted
    assert loose < mixed <= tight


def test_own_tableau_is_a_method():
    named = solve(decay, times(1), times(0, 1), method="dopri5")
    own = solve(decay, times(1), times(0, 1), method=DOPRI5)
    assert torch.equal(named.ys, own.ys)


# --- counts --------------------------------------------------------------------------------------


@ADAPTIVE
def test_every_evaluation_is_counted(method):
    calls = []
    solution = solve(
        lambda t, y: calls.append(t) or torch.cos(9 * t) * y,
        times(1),
        torch.linspace(0, 3, 7, dtype=F64),
        method=method,
        rtol=1e-3,
        atol=1e-3,
    )
    assert solution.stats.nfe_forward == len(calls)


@pytest.mark.parametrize(("method", "cost"), [("bosh3", 3), ("dopri5", 6), ("tsit5", 6)])
def test_nfe_of_a_fsal_method_is_two_and_its_cost_a_step(method, cost):
    stats = solve(van_der_pol, times(2, 0), times(0, 3), method=method, rtol=1e-4).stats
    assert stats.rejected > 0
    assert stats.nfe_forward == 2 + cost * (stats.accepted + stats.rejected)


def test_nfe_of_adaptive_heun_adds_the_derivative_at_each_new_point_but_the_last():
    stats = solve(van_der_pol, times(2, 0), times(0, 3), method="adaptive_heun", rtol=1e-3).stats
    assert stats.nfe_forward == 2 + stats.accepted + stats.rejected + stats.accepted - 1


def test_dopri8_pays_four_evaluations_for_each_step_with_an_output_inside():
    few = solve(van_der_pol, times(2, 0), times(0, 3), method="dopri8", step_t=[3.0])
    inside = times(0, 0.2, 0.2001, 2.2, 3)
    many = solve(van_der_pol, times(2, 0), inside, method="dopri8", step_t=[3.0])
    assert few.stats.nfe_forward == 2 + 13 * (few.stats.accepted + few.stats.rejected)
    assert many.stats.nfe_forward == few.stats.nfe_forward + 2 * 4


# --- PI controller -------------------------------------------------------------------------------


def test_pi_controller_meets_the_tolerance_by_other_steps():
    field, y0, ts, truth = reference("stiff-ish")
    integral = solve(field, y0, ts, rtol=1e-8, atol=1e-8)
    pi = solve(field, y0, ts, rtol=1e-8, atol=1e-8, controller=PIController())
    assert pi.stats.accepted != integral.stats.accepted
    assert pi.stats.rejected < integral.stats.rejected
    torch.testing.assert_close(pi.ys, truth, rtol=0, atol=1e-5)


# --- symmetries of the exact flow ----------------------------------------------------------------


@ESTIMATING
def test_forward_then_backward_returns_to_the_start(method):
    tol = {"adaptive_heun": 1e-4, "bosh3": 1e-6}.get(method, 1e-10)
    settings = {"method": method, "rtol": tol, "atol": tol}
    y0 = times(1.0, 0.5)
    end = solve(driven_pendulum, y0, times(0.0, 3), **settings).ys[-1]
    back = solve(driven_pendulum, end, times(3, 0.0), **settings).ys[-1]
    torch.testing.assert_close(back, y0, rtol=0, atol=100 * tol)


@EVERY
def test_fixed_steps_are_linear_in_the_state_for_a_linear_field(method):
    a = torch.tensor([[0.1, 2.0], [-2.0, -0.3]], dtype=F64)
    u, v, ts = times(1, 2), times(-3, 0.5), times(0, 0.4, 1.1, 2)

    def flow(y):
        settings = {"method": method, "step_size": 0.3}
        return solve(lambda t, y: torch.cos(t) * (a @ y), y, ts, **settings).ys

    torch.testing.assert_close(flow(2 * u - 3 * v), 2 * flow(u) - 3 * flow(v), rtol=0, atol=1e-13)


@EVERY
def test_autonomous_field_does_not_know_the_time(method):
    ts, settings = times(0, 0.3, 1.7, 2), {"method": method, "rtol": 1e-3, "atol": 1e-3}
    now = solve(van_der_pol, times(2, 0), ts, **settings)
    later = solve(van_der_pol, times(2, 0), ts + 16, **settings)
    torch.testing.assert_close(now.ys, later.ys, rtol=1e-11, atol=1e-11)
    assert now.stats == later.stats


@EVERY
def test_batch_of_equal_rows_is_solved_as_one(method):
    ts, settings = times(0, 0.3, 1.7, 2), {"method": method, "rtol": 1e-3, "atol": 1e-3}

    def field(t, y):
        return torch.stack([y[..., 1], torch.cos(3 * t) - 9 * torch.sin(y[..., 0])], dim=-1)

    single = solve(field, times(1, 0.5), ts, **settings)
    batch = solve(field, times(1, 0.5).expand(5, 2), ts, **settings)
    torch.testing.assert_close(
        batch.ys, single.ys[:, None].expand(-1, 5, -1), rtol=1e-12, atol=1e-12
    )
    assert batch.stats == single.stats


@given(
    starts=st.lists(st.floats(-3, 3), min_size=2, max_size=6, unique=True),
    speed=st.floats(-2, 2),
)
def test_trajectories_on_a_line_do_not_cross(starts, speed):
    y0 = torch.tensor(sorted(starts), dtype=F64)
    ys = solve(lambda t, y: torch.sin(speed * y + t), y0, times(0, 0.7, 2)).ys
    # Two starts closer than the tolerance may change places by about as much as the tolerance.
    assert (ys.diff(dim=-1) > -1e-5).all()


GAPS = st.lists(st.floats(1e-6, 0.7), min_size=1, max_size=5)
ENTRIES = st.lists(st.floats(-1, 1), min_size=12, max_size=12)


@given(
    entries=ENTRIES,
    gaps=GAPS,
    start=st.floats(-5, 5),
    direction=st.sampled_from([1, -1]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    method=st.sampled_from([m for m, t in METHODS.items() if t.adaptive and t.order > 2]),
    batch=st.sampled_from([(), (2,), (2, 1, 2)]),
)
def test_linear_field_against_the_matrix_exponential(
    entries, gaps, start, direction, dtype, method, batch
):
    a, y0 = np.array(entries[:9]).reshape(3, 3), np.array(entries[9:])
    ts = start + direction * np.cumsum([0, *gaps])
    truth = np.stack([expm((t - start) * a) @ y0 for t in ts])
    tol = {torch.float32: 1e-5, torch.float64: 1e-8}[dtype]
    state = torch.from_numpy(y0).to(dtype).expand(*batch, 3)
    matrix = torch.from_numpy(a).to(dtype)
    settings = {"method": method, "rtol": tol, "atol": tol}
    ys = solve(lambda t, y: y @ matrix.T, state, torch.from_numpy(ts), **settings).ys
    assert ys.dtype == dtype
    expected = torch.from_numpy(truth).to(dtype).reshape(len(ts), *[1] * len(batch), 3)
    # The local errors of all the steps add up, and the flow may enlarge each by e^(3.5 |a|).
    torch.testing.assert_close(ys, expected.expand_as(ys), rtol=0, atol=300 * tol)


@given(rate=st.floats(-2, 2), gaps=GAPS, y0=st.floats(-10, 10))
def test_scalar_state_against_the_exponential(rate, gaps, y0):
    ts = torch.tensor([0, *gaps], dtype=F64).cumsum(0)
    ys = solve(lambda t, y: rate * y, torch.tensor(y0, dtype=F64), ts).ys
    torch.testing.assert_close(ys, y0 * torch.exp(rate * ts), rtol=1e-5, atol=1e-7)


# --- CUDA ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EVERY
def test_cuda_takes_the_steps_of_the_cpu(method):
    settings = {"method": method, "step_size": None if METHODS[method].adaptive else 0.01}
    on_cpu = solve(driven_pendulum, times(1.0, 0.5), times(0, 1, 2), **settings)
    on_gpu = solve(driven_pendulum, times(1.0, 0.5).cuda(), times(0, 1, 2), **settings)
    assert on_gpu.ys.is_cuda
    assert on_gpu.stats == on_cpu.stats
    torch.testing.assert_close(on_gpu.ys.cpu(), on_cpu.ys, rtol=1e-10, atol=1e-10)
