"""``solve`` and its gradients on random problems: what holds for every one of them."""

# A missing gradient or count fails a test all the same; settings are plain dicts, and wrong
# arguments are a subject.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false

import math
from typing import cast

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.linalg import expm
from torch import nn

from neural_ode import (
    METHODS,
    Backprop,
    Checkpointed,
    Reversible,
    odeint,
    solve,
)
from neural_ode.methods import NAMED
from neural_ode.methods.base import ends_at_outputs
from tests.neural_ode.random_problems import (
    CHOOSING,
    F32,
    F64,
    MANY,
    STEPPING,
    choosing,
    digits,
    dtypes,
    every,
    seeds,
    shapes,
    stepping,
    tolerance,
)
from tests.neural_ode.ways import FOR_EVERY_METHOD, TWICE

batches = st.sampled_from([(), (1,), (4,), (2, 2), (0,)])


@st.composite
def grids(draw, most=5, length=2.0):
    """From two to ``most`` output times, increasing or decreasing, over at most this length."""
    gaps = draw(st.lists(st.floats(1e-3, length / (most - 1)), min_size=1, max_size=most - 1))
    start, direction = draw(st.floats(-2, 2)), draw(st.sampled_from([1, -1]))
    return start + direction * torch.tensor([0.0, *gaps], dtype=F64).cumsum(0)


def uniform(seed, *shape, low=-1.0, high=1.0, dtype=F64):
    """Random numbers, the same for the same seed and shape."""
    generator = torch.Generator().manual_seed(seed)
    return (low + (high - low) * torch.rand(shape, generator=generator, dtype=F64)).to(dtype)


def bound(solution, tol, rate):
    """What the error of a solution may be, where the flow enlarges errors by e^rate at most.

    Each accepted step adds an error with a root mean square of ``tol (1 + |y|)`` at most by its own
    estimate, and a few roundings; the largest entry is larger than that by sqrt(entries) at most.
    """
    ys, steps = solution.ys, solution.stats.accepted + 1
    if ys.numel() == 0:
        return 0.0
    size, entries = 1 + ys.abs().max().item(), ys[0].numel()
    each = tol * math.sqrt(entries) + 8 * torch.finfo(ys.dtype).eps
    return steps * size * each * math.exp(rate)


def close(solution, truth, most):
    """Every entry is as near to the truth as that, and of the dtype of the initial state."""
    torch.testing.assert_close(solution.ys.to(F64), truth, rtol=0, atol=most)


# --- known solutions -----------------------------------------------------------------------------


def affine_flow(a, b, y0, elapsed):
    """The solution of y' = A y + b by SciPy, for states [..., n]."""
    n = len(b)
    system = torch.zeros(n + 1, n + 1, dtype=F64)
    system[:n, :n], system[:n, n] = a, b
    flows = [torch.from_numpy(expm((t * system).numpy())) for t in elapsed.tolist()]
    return torch.stack([y0 @ m[:n, :n].T + m[:n, n] for m in flows])


@MANY
@given(method=choosing, ts=grids(), batch=batches, dtype=dtypes, digits=digits, seed=seeds)
def test_affine_field_against_the_matrix_exponential(method, ts, batch, dtype, digits, seed):
    a, b, y0 = uniform(seed, 3, 3), uniform(seed + 1, 3), uniform(seed + 2, *batch, 3, dtype=dtype)
    tol = tolerance(method, dtype, digits)
    field, settings = lambda t, y: y @ a.T.to(y) + b.to(y), {"rtol": tol, "atol": tol}
    solution = solve(field, y0, ts, method=method, **settings)
    assert solution.ys.dtype == dtype
    assert torch.equal(solution.ys[0], y0)
    rate = torch.linalg.matrix_norm(a, 2).item() * abs(ts[-1] - ts[0]).item()
    truth = affine_flow(a, b, y0.to(F64), ts - ts[0])
    # Times reach the field in the dtype of the state, but this one does not look at them.
    close(solution, truth, bound(solution, tol, rate))


def logistic(s, t, y):
    grown = torch.exp(t - s)
    return y * grown / (1 + y * (grown - 1))


# Field, exact flow from time s to time t, the range of initial values, and how fast errors may
# grow there over the times that are drawn.
PROBLEMS = {
    "logistic": (lambda t, y: y * (1 - y), logistic, (0.1, 0.9), 1.0),
    "quadrature": (lambda t, y: (t**3 - t).expand_as(y),
                   lambda s, t, y: y + (t**4 - s**4) / 4 - (t**2 - s**2) / 2, (-1.0, 1.0), 0.0),
    # The angle stays below 1.29, and so y below 3.5.
    "riccati": (lambda t, y: (1 + y**2) / 4, lambda s, t, y: torch.tan(torch.atan(y) + (t - s) / 4),
                (-1.0, 1.0), 2.0),
    "separable": (lambda t, y: torch.cos(t) * y,
                  lambda s, t, y: y * torch.exp(torch.sin(t) - torch.sin(s)), (-2.0, 2.0), 1.0),
    "rational": (lambda t, y: -2 * t * y / (1 + t**2), lambda s, t, y: y * (1 + s**2) / (1 + t**2),
                 (-2.0, 2.0), 1.0),
    "relaxation": (lambda t, y: 3 * (torch.sin(t) - y),
                   lambda s, t, y: relaxed(t) + (y - relaxed(s)) * torch.exp(-3 * (t - s)),
                   (-2.0, 2.0), 3.0),
}  # fmt: skip


def relaxed(t):
    """The periodic solution of y' = 3 (sin t - y)."""
    return (9 * torch.sin(t) - 3 * torch.cos(t)) / 10


@MANY
@given(
    problem=st.sampled_from(list(PROBLEMS)), method=choosing, ts=grids(), shape=shapes,
    dtype=dtypes, digits=digits, seed=seeds,
)  # fmt: skip
def test_closed_forms_for_states_of_every_shape(problem, method, ts, shape, dtype, digits, seed):
    field, flow, (low, high), rate = PROBLEMS[problem]
    y0, tol = (
        uniform(seed, *shape, low=low, high=high, dtype=dtype),
        tolerance(method, dtype, digits),
    )
    solution = solve(field, y0, ts, method=method, rtol=tol, atol=tol)
    assert solution.ys.shape == (len(ts), *shape)
    assert solution.ys.dtype == dtype
    assert torch.equal(solution.ys[0], y0)
    truth = flow(ts[0], ts.reshape(-1, *[1] * len(shape)), y0.to(F64))
    # Backward in time errors grow where forward they decay.
    most = bound(solution, tol, rate * abs(ts[-1] - ts[0]).item())
    # A float32 state also sees rounded times.
    close(solution, truth, most + (1e-5 if dtype == F32 else 0))


@MANY
@given(
    method=stepping, ts=grids(), shape=shapes,
    pieces=st.integers(1, 5), seed=seeds,
)  # fmt: skip
def test_fixed_steps_integrate_a_polynomial_of_time_exactly(method, ts, shape, pieces, seed):
    """At the grid's points for a degree below the order, inside a step where the dense output
    has that degree; midpoint and Heun are the rules of the same names for integrals."""
    tableau = METHODS.get(method, METHODS["heun"])
    degree = min(tableau.order, tableau.dense.shape[1]) - 1
    coefficients = uniform(seed, degree + 1, *shape)
    y0 = uniform(seed + 1, *shape)

    def field(t, y):
        return sum(c * t**p for p, c in enumerate(coefficients))

    def primitive(t):
        return sum(c * t ** (p + 1) / (p + 1) for p, c in enumerate(coefficients))

    grid = torch.linspace(ts[0], ts[-1], pieces + 1, dtype=F64)
    grid[-1] = ts[-1]
    ys = solve(field, y0, ts, method=method, grid=grid.tolist()).ys
    truth = torch.stack([y0 + primitive(t) - primitive(ts[0]) for t in ts])
    # The terms are 4^8 at most, and those of the coefficients' denominators 10^12.
    torch.testing.assert_close(ys, truth, rtol=0, atol=1e-12 * 4.0**degree)


# --- output times --------------------------------------------------------------------------------


@MANY
@given(
    method=choosing.filter(lambda m: not ends_at_outputs(NAMED[m])),
    ts=grids(most=7), others=st.lists(st.floats(0, 1), max_size=4), digits=digits, seed=seeds,
)  # fmt: skip
def test_any_two_grids_agree_where_they_meet(method, ts, others, digits, seed):
    """The steps do not know of the outputs, so they agree to the rounding of the dense output."""
    a, y0, tol = uniform(seed, 3, 3), uniform(seed + 1, 2, 3), tolerance(method, F64, digits)
    inside = [ts[0] + x * (ts[-1] - ts[0]) for x in others]
    more = torch.stack(
        sorted({float(t): t for t in (*ts, *inside)}.values(), reverse=ts[0] > ts[-1])
    )
    field, settings = (
        lambda t, y: torch.tanh(y @ a + t),
        {"method": method, "rtol": tol, "atol": tol},
    )
    few, many = solve(field, y0, ts, **settings), solve(field, y0, more, **settings)
    ends = solve(field, y0, ts[[0, -1]], **settings)
    assert few.stats.accepted == many.stats.accepted == ends.stats.accepted
    assert few.stats.rejected == many.stats.rejected == ends.stats.rejected
    shared = [i for i, t in enumerate(more) if t in ts]
    torch.testing.assert_close(many.ys[shared], few.ys, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(ends.ys, few.ys[[0, -1]], rtol=1e-13, atol=1e-13)


@given(method=every, shape=shapes, dtype=dtypes, t=st.floats(-1e6, 1e6))
def test_a_single_time_gives_the_start_and_costs_nothing(method, shape, dtype, t):
    y0 = uniform(0, *shape, dtype=dtype)
    solution = solve(lambda t, y: -y, y0, torch.tensor([t]), method=method)
    assert torch.equal(solution.ys, y0[None])
    assert solution.ys.dtype == dtype
    assert solution.stats.nfe_forward == solution.stats.accepted == 0


@MANY
@given(
    problem=st.sampled_from(list(PROBLEMS)), method=choosing, ts=grids(), digits=digits, seed=seeds
)
def test_solving_back_returns_to_the_start(problem, method, ts, digits, seed):
    field, _, (low, high), rate = PROBLEMS[problem]
    tol = tolerance(method, F64, digits)
    y0 = uniform(seed, 4, low=low, high=high)
    settings = {"method": method, "rtol": tol, "atol": tol}
    there = solve(field, y0, ts, **settings)
    back = solve(field, there.ys[-1], ts.flip(0), **settings)
    rate = rate * abs(ts[-1] - ts[0]).item()
    most = math.exp(rate) * bound(there, tol, rate) + bound(back, tol, rate)
    torch.testing.assert_close(back.ys.flip(0), there.ys, rtol=0, atol=most)


# --- symmetries ----------------------------------------------------------------------------------


def driven(seed):
    """A nonlinear field of three dimensions that depends on the time."""
    a, b = uniform(seed, 3, 3), uniform(seed + 1, 3)
    return lambda t, y: torch.tanh(y @ a.to(y) + b.to(y) * torch.cos(2 * t))


@MANY
@given(
    method=every, ts=grids(), dtype=dtypes, batch=batches, seed=seeds, sized=st.booleans(),
)  # fmt: skip
def test_time_mirrored_gives_the_same_bits(method, ts, dtype, batch, seed, sized):
    """dy/ds = -f(-s, y) from -ts: to change a sign rounds nothing."""
    field, y0 = driven(seed), uniform(seed + 2, *batch, 3, dtype=dtype)
    settings = {"method": method, "rtol": 1e-3, "atol": 1e-3}
    if sized and method in STEPPING:
        settings["step_size"] = 0.3
    there = solve(field, y0, ts, **settings)
    mirrored = solve(lambda s, y: -field(-s, y), y0, -ts, **settings)
    assert torch.equal(there.ys, mirrored.ys)
    assert there.stats == mirrored.stats


@MANY
@given(method=stepping, ts=grids(), power=st.integers(-20, 20), seed=seeds)
def test_fixed_steps_in_other_units_of_time_give_the_same_bits(method, ts, power, seed):
    field, y0, unit = driven(seed), uniform(seed + 2, 2, 3), 2.0**power
    now = solve(field, y0, ts, method=method, step_size=0.25)
    other = solve(
        lambda s, y: field(s / unit, y) / unit, y0, ts * unit, method=method, step_size=0.25 * unit
    )
    assert torch.equal(now.ys, other.ys)


@MANY
@given(
    method=st.sampled_from([m for m in CHOOSING if m in STEPPING]),
    ts=grids(),
    power=st.integers(-40, 40),
    seed=seeds,
)
def test_a_linear_field_in_other_units_of_the_state_takes_the_same_steps(method, ts, power, seed):
    a, y0, unit = uniform(seed, 3, 3), uniform(seed + 1, 2, 3), 2.0**power
    now, other = (
        solve(lambda t, y: y @ a, y0 * u, ts, method=method, rtol=1e-4, atol=1e-4 * u)
        for u in (1.0, unit)
    )
    assert torch.equal(now.ys * unit, other.ys)
    assert now.stats == other.stats


@MANY
@given(
    method=choosing.filter(lambda m: m in STEPPING),
    ticks=st.lists(st.integers(1, 500), min_size=1, max_size=4),
    direction=st.sampled_from([1, -1]), power=st.integers(0, 40), digits=digits, seed=seeds,
)  # fmt: skip
def test_an_autonomous_field_is_solved_as_well_late_as_early(
    method, ticks, direction, power, digits, seed
):
    """The times are exact, so how late it is must not be seen, though the steps are rounded.

    How SciPy rounds its own is SciPy's business.
    """
    a, b, y0 = uniform(seed, 3, 3), uniform(seed + 1, 3), uniform(seed + 2, 3)
    elapsed = direction * torch.tensor([0, *ticks], dtype=F64).cumsum(0) / 1024
    tol = tolerance(method, F64, digits)
    settings = {"method": method, "rtol": tol, "atol": tol}
    solution = solve(lambda t, y: y @ a.T + b, y0, 2.0**power + elapsed, **settings)
    rate = torch.linalg.matrix_norm(a, 2).item() * abs(elapsed[-1]).item()
    close(solution, affine_flow(a, b, y0, elapsed), bound(solution, tol, rate))


@MANY
@given(
    method=stepping, ts=grids(), factors=st.tuples(st.floats(-9, 9), st.floats(-9, 9)), seed=seeds
)
def test_fixed_steps_are_linear_in_the_state_for_a_linear_field(method, ts, factors, seed):
    a, u, v = uniform(seed, 3, 3), uniform(seed + 1, 2, 3), uniform(seed + 2, 2, 3)
    p, q = factors

    # The corrector of implicit_adams stops by the tolerances, where it is not linear any more.
    settings = {"method": method, "step_size": 0.3, "rtol": 1e-13, "atol": 1e-13}

    def flow(y):
        return solve(lambda t, y: torch.cos(t) * (y @ a), y, ts, **settings).ys

    torch.testing.assert_close(flow(p * u + q * v), p * flow(u) + q * flow(v), rtol=0, atol=1e-12)


@MANY
@given(method=stepping, ts=grids(), count=st.integers(0, 5), seed=seeds, dtype=dtypes)
def test_fixed_steps_of_a_batch_are_those_of_its_rows(method, ts, count, seed, dtype):
    field, y0 = driven(seed), uniform(seed + 2, count, 3, dtype=dtype)
    settings = {"method": method, "step_size": 0.3}
    batch = solve(field, y0, ts, **settings)
    for i, row in enumerate(y0):
        alone = solve(field, row, ts, **settings)
        few = 100 * torch.finfo(dtype).eps
        torch.testing.assert_close(batch.ys[:, i], alone.ys, rtol=few, atol=few)
        assert alone.stats == batch.stats


@MANY
@given(method=choosing, ts=grids(), order=st.permutations(range(5)), digits=digits, seed=seeds)
def test_the_order_of_a_batch_does_not_matter(method, ts, order, digits, seed):
    field, y0, tol = driven(seed), uniform(seed + 2, 5, 3), tolerance(method, F64, digits)
    settings = {"method": method, "rtol": tol, "atol": tol}
    now, other = solve(field, y0, ts, **settings), solve(field, y0[order], ts, **settings)
    # The norm adds the same squares in another order, which moves the steps by a rounding.
    torch.testing.assert_close(now.ys[:, order], other.ys, rtol=1e-10, atol=1e-10)
    assert now.stats == other.stats


@MANY
@given(
    method=stepping, parts=st.lists(shapes, min_size=1, max_size=3), ts=grids(), dtype=dtypes,
    seed=seeds,
)  # fmt: skip
def test_a_tuple_is_solved_as_its_entries_in_a_row(method, parts, ts, dtype, seed):
    y0 = tuple(uniform(seed + i, *shape, dtype=dtype) for i, shape in enumerate(parts))
    sizes = [y.numel() for y in y0]

    def field(t, ys):
        mean = torch.stack([y.sum() for y in ys]).sum() / (1 + sum(sizes))
        return tuple(torch.cos(t) * mean - (1 + i) * y for i, y in enumerate(ys))

    def flat(t, y):
        return torch.cat([f.reshape(-1) for f in field(t, y.split(sizes))])

    def norm(error):
        return max(
            (e.square().mean().sqrt() for e in error.split(sizes) if len(e)), default=error.sum()
        )

    row = torch.cat([y.reshape(-1) for y in y0])
    settings = {"method": method, "rtol": 1e-4, "atol": 1e-4}
    found = cast(
        tuple[torch.Tensor, ...],
        odeint(field, y0, ts, options={"interp": "linear"}, **settings),
    )
    if METHODS.get(method) and not METHODS[method].adaptive:
        settings["interpolation"] = "linear"
    expected = solve(flat, row, ts, norm=norm, **settings).ys
    assert [x.shape for x in found] == [(len(ts), *shape) for shape in parts]
    # The norms differ by a rounding, and with them the steps.
    few = math.sqrt(torch.finfo(dtype).eps)
    for x, piece in zip(found, expected.split(sizes, dim=1), strict=True):
        torch.testing.assert_close(x.reshape(piece.shape), piece, rtol=few, atol=few)


# --- what it costs -------------------------------------------------------------------------------


@MANY
@given(
    method=every, ts=grids(), sized=st.booleans(), shape=shapes,
    digits=digits, seed=seeds,
)  # fmt: skip
def test_evaluations_follow_from_the_steps(method, ts, sized, shape, digits, seed):
    calls, tol = [], tolerance(method, F64, digits)
    settings = {"rtol": tol, "atol": tol}
    sized = sized and method in STEPPING
    if sized:
        settings["step_size"] = 0.2

    def field(t, y):
        calls.append(1)
        return torch.cos(9 * t) * y

    stats = solve(field, uniform(seed, *shape), ts, method=method, **settings).stats
    assert stats.nfe_forward == len(calls)
    assert stats.nfe_backward is None
    # How many a step of a library, or of an iteration, takes is not fixed.
    if method not in STEPPING or method.endswith("_adams"):
        return
    tableau = METHODS.get(method)
    # Reversible Heun evaluates once a step and carries the value over.
    stages, carries = (2, True) if tableau is None else (tableau.stages, tableau.fsal)
    adaptive = NAMED[method].adaptive and not sized
    taken = stats.accepted + stats.rejected
    # Two evaluations choose the first step; without a slope to carry over each step makes its own.
    first = (2 if adaptive else 1) + (0 if carries else stats.accepted - 1)
    extra = stats.nfe_forward - first - (stages - 1) * taken
    inside = min(len(ts) - 1, stats.accepted)
    assert extra in (range(0, 4 * inside + 1, 4) if method == "dopri8" else [0])
    assert stats.accepted >= 1
    assert adaptive or stats.rejected == 0


# --- gradients -----------------------------------------------------------------------------------


class Linear(nn.Module):
    """y' = y A, with its calls counted."""

    def __init__(self, a):
        super().__init__()
        self.a, self.calls = nn.Parameter(a.clone()), 0

    def forward(self, t, y):
        self.calls += 1
        return y @ self.a


@MANY
@given(
    gradient=st.sampled_from(list(FOR_EVERY_METHOD)),
    method=st.sampled_from(["dopri5", "tsit5", "dopri8", "adams"]),
    ts=grids(most=4, length=1.5), batch=batches, seed=seeds,
)  # fmt: skip
def test_gradients_of_a_linear_field_are_those_of_the_matrix_exponential(
    gradient, method, ts, batch, seed
):
    """By the initial state, the matrix and the times, of a random weighted sum of the outputs."""
    assume(method != "adams" or gradient in ("adjoint", "seminorm"))
    net, y0 = Linear(uniform(seed, 3, 3)), uniform(seed + 1, *batch, 3).requires_grad_()
    weights = uniform(seed + 2, len(ts), *batch, 3)
    ts = ts.requires_grad_()
    inputs = [y0, net.a, ts]
    settings = {"method": method, "rtol": 1e-8, "atol": 1e-8}
    solution = solve(net, y0, ts, gradient=FOR_EVERY_METHOD[gradient], **settings)
    calls = net.calls
    assert (solution.stats.nfe_forward, solution.stats.nfe_backward) == (calls, None)
    found = torch.autograd.grad((solution.ys * weights).sum(), inputs)
    if net.calls == calls and gradient in TWICE:
        assert solution.stats.nfe_backward is None  # as of Backprop()
    else:
        assert solution.stats.nfe_backward == net.calls - calls
    exact = torch.stack([y0 @ torch.matrix_exp((t - ts[0]) * net.a) for t in ts])
    expected = torch.autograd.grad((exact * weights).sum(), inputs)
    for ours, truth in zip(found, expected, strict=True):
        # The slope of a dense output is one order less accurate than its values.
        torch.testing.assert_close(ours, truth, rtol=1e-4, atol=1e-5)


@MANY
@given(
    method=st.sampled_from([m for m in STEPPING if NAMED[m].one_step or NAMED[m].undo]),
    ts=grids(), batch=batches, seed=seeds, adaptive=st.booleans(), step_size=st.floats(0.1, 1),
)  # fmt: skip
def test_steps_taken_again_or_back_give_the_gradient_of_backprop(
    method, ts, batch, seed, adaptive, step_size
):
    """To rounding, however large the steps are: it is the gradient of the computed numbers."""
    weights = uniform(seed, len(ts), *batch, 3)
    settings = {"method": method, "rtol": 1e-3, "atol": 1e-3}
    if not adaptive:
        settings["step_size"] = step_size

    def gradients(gradient):
        y0 = uniform(seed + 1, *batch, 3).requires_grad_()
        a = uniform(seed + 2, 3, 3).requires_grad_()
        field = lambda t, y: torch.tanh(y @ a + torch.cos(3 * t))  # noqa: E731
        ys = solve(field, y0, ts, gradient=gradient(a), **settings).ys
        return torch.autograd.grad((ys * weights).sum(), [y0, a])

    again = Reversible if method == "reversible_heun" else Checkpointed
    ours = gradients(lambda a: again(params=(a,)))
    for value, truth in zip(ours, gradients(lambda a: Backprop()), strict=True):
        torch.testing.assert_close(value, truth, rtol=1e-11, atol=1e-11)
