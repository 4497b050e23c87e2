"""Solves that end at an event, against closed forms, SciPy and torchdiffeq."""

# Settings are plain dicts, and wrong arguments are the subject of some tests.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false
# pyright: reportAttributeAccessIssue=false, reportIndexIssue=false

import math

import pytest
import torch
import torchdiffeq
from scipy.integrate import solve_ivp
from torch import nn

import neural_ode
from neural_ode import (
    Adjoint,
    Checkpointed,
    InterpolatedAdjoint,
    NonFinite,
    Reversible,
    StepLimit,
    odeint,
    odeint_event,
    solve,
)
from neural_ode.odeint_event import link_event
from tests.neural_ode.failing import says

F64, C128 = torch.float64, torch.complex128
BOTH = (neural_ode, torchdiffeq)
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def times(*values):
    return torch.tensor(values, dtype=F64)


class Fall(nn.Module):
    """A body in the air, [height, speed], pulled down by a parameter."""

    def __init__(self):
        super().__init__()
        self.pull = nn.Parameter(times(9.8).squeeze())

    def forward(self, t, y):
        return torch.stack([y[..., 1], -self.pull.expand(y[..., 1].shape)], dim=-1)


def ground(t, y):
    return y[..., 0]


def falls_at(y0, t0, pull):
    """When the ground is reached, and with which speed."""
    height, speed = y0
    lasts = (speed + (speed**2 + 2 * pull * height).sqrt()) / pull
    return t0 + lasts, speed - pull * lasts


LOOSE = {"rtol": 1e-4, "atol": 1e-4}
METHODS = {
    "dopri5": {},
    "dopri8": {},
    "bosh3": {},
    # The field is of degree 1, for which methods of second order are exact.
    "fehlberg2": LOOSE,
    "adaptive_heun": LOOSE,
    "reversible_heun": LOOSE,
    "rk4": {"options": {"step_size": 0.1, "interp": "cubic"}},
    "midpoint": {"options": {"step_size": 0.3, "interp": "dense"}},
}


@pytest.mark.parametrize("interface", ["odeint", "odeint_adjoint"])
@pytest.mark.parametrize("method", METHODS)
def test_the_time_and_the_state_and_their_gradients_are_the_closed_form(method, interface):
    field = Fall()
    y0, t0 = times(10, 1).requires_grad_(), times(0.2).requires_grad_()
    settings = TIGHT | {"method": method} | METHODS[method]
    run = getattr(neural_ode, interface)
    t, ys = odeint_event(field, y0, t0, event_fn=ground, odeint_interface=run, **settings)
    truth = falls_at(y0, t0[0], field.pull)
    bars = {"rtol": 1e-7, "atol": 1e-7}
    torch.testing.assert_close((t, ys[1, 1]), truth, **bars)
    torch.testing.assert_close(ys[0], y0)
    assert abs(ys[1, 0]) < 1e-9
    inputs = (y0, t0, field.pull)
    for ours, true in zip((t, ys[1, 1]), truth, strict=True):
        grads, closed = (
            torch.autograd.grad(x, inputs, retain_graph=True, materialize_grads=True)
            for x in (ours, true)
        )
        torch.testing.assert_close(grads, closed, **bars)


@pytest.mark.parametrize(
    "gradient", [None, Adjoint(), Checkpointed(), InterpolatedAdjoint(), Reversible()], ids=str
)
@pytest.mark.parametrize("grid", [False, True])
def test_every_way_to_the_gradient_ends_at_the_event(gradient, grid):
    field, y0 = Fall(), times(10, 1).requires_grad_()
    ts = times(0.2, 1).requires_grad_(not isinstance(gradient, Reversible))
    chosen = {"step_size": 0.2} if grid else LOOSE
    method = "rk4" if grid else "dopri5"
    method = "reversible_heun" if isinstance(gradient, Reversible) else method
    solution = solve(
        field, y0, ts, method=method, gradient=gradient, event_fn=ground, **chosen
    )  # fmt: skip
    t, end = link_event(field, ground, solution.ts[1], solution.ys[1])
    assert t.item() == solution.ts[1].item()
    inputs = (y0, field.pull, *([ts] if ts.requires_grad else []))
    truth = falls_at(y0, ts[0], field.pull)
    for ours, true in zip((t, end[1]), truth, strict=True):
        grads, closed = (
            torch.autograd.grad(x, inputs, retain_graph=True, materialize_grads=True)
            for x in (ours, true)
        )
        torch.testing.assert_close(grads, closed, rtol=1e-6, atol=1e-6)
    backward = solution.stats.nfe_backward
    assert backward is None or backward > 0


class Twice(torch.autograd.Function):
    """A way to the gradient that knows nothing of events: it solves again and backpropagates."""

    @staticmethod
    def forward(ctx, field, settings, y0, ts, *params):
        ys, _ = neural_ode.Backprop().solve(field, y0, ts, settings)
        ctx.field, ctx.settings = field, settings
        ctx.save_for_backward(y0, ts, *params)
        return ys

    @staticmethod
    def backward(ctx, *grads):
        y0, ts, *params = ctx.saved_tensors
        with torch.enable_grad():
            inputs = [y0.detach().requires_grad_(), *params]
            ys, _ = neural_ode.Backprop().solve(ctx.field, inputs[0], ts, ctx.settings)
        by_y0, *by_params = torch.autograd.grad(ys, inputs, *grads)
        return None, None, by_y0, None, *by_params


def test_a_gradient_that_knows_nothing_of_events_gets_the_time_of_the_event():
    class Foreign:
        def solve(self, field, y0, ts, settings):
            ys = Twice.apply(field, settings, y0, ts, *field.parameters())
            assert not settings.event_fn.pending
            return ys, neural_ode.Stats()

    field, y0 = Fall(), times(10, 1).requires_grad_()
    solution = solve(field, y0, times(0, 1), gradient=Foreign(), event_fn=ground, dense=True)
    grads = torch.autograd.grad(solution.ys[1, 1], (y0, field.pull))
    end = solution.ts[1].item()
    torch.testing.assert_close(grads, (times(0, 1), times(-end)[0]))
    torch.testing.assert_close(solution.at(end), solution.ys[1])


def pendulum(t, y):
    return torch.stack([y[1], -torch.sin(y[0]) - 0.1 * y[1]])


def several(t, y):
    return torch.stack(
        [y[0] - 5, y[1] + 0.3, 9 - torch.as_tensor(t, dtype=F64), 1e9 * (y[0] + 0.4)]
    )


@pytest.mark.parametrize("method", ["dopri5", "dopri8"])
def test_of_several_events_the_first_ends_the_solve_as_scipy_has_it(method):
    events = [lambda t, y, i=i: several(t, torch.as_tensor(y))[i].item() for i in range(4)]
    for event in events:
        event.__dict__["terminal"] = True
    bounds = {"rtol": 1e-11, "atol": 1e-11}
    for y0 in ([1.0, 0.0], [0.2, 1.0], [-0.2, -0.1]):
        run = solve_ivp(
            lambda t, y: pendulum(t, torch.as_tensor(y)).numpy(), (0, 50), y0, events=events,
            method="DOP853", **bounds,
        )  # fmt: skip
        t, ys = odeint_event(
            pendulum, times(*y0), times(0), event_fn=several, method=method, **TIGHT
        )
        torch.testing.assert_close(t, times(run.t[-1])[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(ys[1].numpy(), run.y[:, -1], rtol=0, atol=1e-6)


def test_the_gradient_is_that_of_the_event_that_came():
    """Of two that came close to each other, at scales far apart."""
    y0 = times(1, 1).requires_grad_()
    events = [lambda t, y: y[0] - 2, lambda t, y: 1e-12 * (y[1] - 2.1)]
    t, _ = odeint_event(
        lambda t, y: torch.ones_like(y),
        y0,
        times(0),
        event_fn=lambda t, y: torch.stack([e(t, y) for e in events]),
    )
    torch.testing.assert_close(t.detach(), times(1)[0])
    (grad,) = torch.autograd.grad(t, y0)
    torch.testing.assert_close(grad, times(-1, 0))


CUBIC = ("rk4", {"step_size": 0.25, "interp": "cubic"})


@pytest.mark.parametrize("power", [1, 3, 5, 9])
@pytest.mark.parametrize(("method", "options"), [("dopri5", {}), CUBIC])
def test_a_multiple_zero_is_found(method, options, power):
    """Brent's method gives up on it; torchdiffeq bisects."""
    settings = {"method": method, "options": options, "event_fn": lambda t, y: y[0] ** power}
    start = times(10.0, 0.0), times(0.0, 1.0)
    found, expected = (each.odeint(Fall(), *start, **settings)[0] for each in BOTH)
    assert float(found) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize(("method", "options"), [("dopri5", {}), CUBIC])
def test_an_event_that_stays_at_zero_ends_the_solve_where_it_comes_there(method, options):
    def clamped(t, y):
        return y[0].clamp(min=0)

    settings = {"method": method, "options": options, "event_fn": clamped}
    end, ys = odeint(Fall(), times(10.0, 0.0), times(0.0, 1.0), **settings)
    assert float(end) == pytest.approx(math.sqrt(2 * 10 / 9.8), abs=1e-5)
    assert ys[-1][0].item() == pytest.approx(0, abs=1e-4)


def test_an_event_that_stays_at_zero_has_no_gradient_and_not_that_of_another():
    def either(t, y):
        return torch.stack([torch.relu(y[0] - 5), y[0] - 1])

    start = times(10.0, 0.0).requires_grad_()
    end, _ = odeint_event(Fall(), start, times(0.0), event_fn=either)
    assert end.item() == pytest.approx(math.sqrt(2 * 5 / 9.8), abs=1e-5)
    with pytest.raises(RuntimeError, match="event_fn does not change along the solution"):
        end.backward()


def test_the_first_of_two_events_in_one_step():
    """Bisecting the least of them would find the second, after which both have changed."""
    field, count = (lambda t, y: torch.ones_like(y)), []

    def event(t, y):
        count.append(t)
        return torch.stack([0.7 - y[0], 0.3 - y[0], y[0] - 0.31])

    chosen = {"method": "euler", "options": {"step_size": 1.0}}
    t, ys = odeint(field, times(0), times(0, 1), event_fn=event, **chosen)
    torch.testing.assert_close((t, ys[1]), (times(0.3)[0], times(0.3)))
    # A few steps of Brent's method, where bisection would take thirty.
    assert len(count) < 20


@pytest.mark.parametrize("entry", ["odeint", "odeint_adjoint"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_events_are_those_of_torchdiffeq_at_its_cost(entry, reverse, method):
    outs = []
    for package in BOTH:
        field, calls = Fall(), []
        field.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        y0, t0 = times(2, -3 if reverse else 3).requires_grad_(), times(0.5).requires_grad_()
        chosen = {"method": method, "rtol": 1e-7, "atol": 1e-11}
        chosen |= {"options": {"step_size": 0.05}} if method == "rk4" else {}
        with torch.no_grad():
            ends = times(0.5, -1 if reverse else 1)
            t, ys = getattr(package, entry)(field, y0, ends, event_fn=ground, **chosen)
        counted = len(calls)
        t, ys = package.odeint_event(
            field, y0, t0, event_fn=ground, reverse_time=reverse,
            odeint_interface=getattr(package, entry), **chosen,
        )  # fmt: skip
        grads = torch.autograd.grad(t + ys.sum(), (y0, t0, field.pull))
        outs.append((counted, t.detach(), ys.detach(), *grads))
    (ours, *our), (theirs, *their) = outs
    assert ours == theirs
    torch.testing.assert_close(our, their, rtol=1e-6, atol=1e-8)


def test_the_interface_may_be_torchdiffeq_or_any_function_like_it():
    field, y0 = Fall(), times(10, 1)
    for package in BOTH:
        for interface in BOTH:
            called = []

            def run(*args, interface=interface, called=called, **chosen):
                called.append(chosen.pop("mine"))
                return interface.odeint_adjoint(*args, **chosen)

            t, _ = package.odeint_event(
                field, y0, times(0), event_fn=ground, odeint_interface=run, mine=3, **TIGHT
            )
            torch.testing.assert_close(t, falls_at(y0, times(0)[0], field.pull)[0])
            assert called == [3]


@pytest.mark.parametrize("interface", ["odeint", "odeint_adjoint"])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_an_event_at_the_start_ends_the_solve_there(method, interface):
    field, calls = Fall(), []
    y0, t0 = times(0, 3).requires_grad_(), times(0.5).requires_grad_()
    run = getattr(neural_ode, interface)
    with torch.no_grad():
        field.register_forward_hook(lambda *_: calls.append(1))
        t, ys = run(field, y0, times(0.5, 1), event_fn=ground, method=method)
        assert not calls
        assert (t, ys[0].tolist(), ys[1].tolist()) == (0.5, [0, 3], [0, 3])
    chosen = {"method": method} | ({"options": {"step_size": 0.1}} if method == "rk4" else {})
    t, ys = odeint_event(field, y0, t0, event_fn=ground, odeint_interface=run, **chosen)
    # The body is at the ground where it was dy / speed earlier.
    (grad,) = torch.autograd.grad(t, y0, retain_graph=True)
    torch.testing.assert_close(grad, times(-1 / 3, 0))
    (grad,) = torch.autograd.grad(ys[1, 1], y0)
    torch.testing.assert_close(grad, times(9.8 / 3, 1))


def test_the_gradient_reaches_what_the_event_function_uses():
    height, y0 = times(4).requires_grad_(), times(10, 1)
    field = Fall()
    t, ys = odeint_event(field, y0, times(0), event_fn=lambda t, y: y[0] - height, **TIGHT)
    grads = [torch.autograd.grad(x, height, retain_graph=True)[0] for x in (t, ys[1, 0])]
    speed = ys[1, 1].item()
    torch.testing.assert_close(grads, [times(1 / speed), times(1)], rtol=1e-7, atol=1e-7)


def test_an_event_of_the_time_alone_is_a_solve_to_that_time():
    end = times(0.7).requires_grad_()
    t, ys = odeint_event(lambda t, y: y, times(2), times(0), event_fn=lambda t, y: end - t, **TIGHT)
    torch.testing.assert_close((t, ys[1]), (end[0], 2 * end.exp()))
    torch.testing.assert_close(torch.autograd.grad(ys[1, 0], end)[0], 2 * end.exp())


@pytest.mark.parametrize("interface", ["odeint", "odeint_adjoint"])
def test_complex_states_and_tuples(interface):
    """exp((i - r) t) turns by a right angle in the time pi / 2, whatever the rate r of decay."""
    rate = times(0.3).requires_grad_()

    def turning(t, y):
        return (1j - rate) * y

    def pair(t, y):
        return turning(t, y[0]), 0.5 * y[1]

    z0, w0 = torch.ones(1, dtype=C128).requires_grad_(), times(1, 2)
    run = getattr(neural_ode, interface)
    chosen = TIGHT | {"odeint_interface": run}
    chosen |= {"adjoint_params": (rate,)} if interface == "odeint_adjoint" else {}
    t, zs = odeint_event(turning, z0, times(0), event_fn=lambda t, z: z.real, **chosen)
    truth = torch.exp((1j - rate) * math.pi / 2)
    torch.testing.assert_close((t, zs[1]), (times(math.pi / 2)[0], truth), rtol=1e-7, atol=1e-7)
    grad_z, grad_rate = torch.autograd.grad(t, (z0, rate), retain_graph=True)
    # z = 1 + i e begins to turn further ahead by the angle e.
    torch.testing.assert_close(grad_z, torch.tensor([-1j], dtype=C128), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(grad_rate, times(0), rtol=1e-6, atol=1e-6)
    (grad,) = torch.autograd.grad(zs[1].imag.sum(), rate)
    torch.testing.assert_close(grad, -math.pi / 2 * truth.imag, rtol=1e-6, atol=1e-6)
    state = (z0, w0.to(C128))
    t, (zs, ws) = odeint_event(pair, state, times(0), event_fn=lambda t, y: y[0].real, **chosen)
    torch.testing.assert_close(t, times(math.pi / 2)[0], rtol=1e-7, atol=1e-7)
    assert (zs.shape, ws.shape) == ((2, 1), (2, 2))
    torch.testing.assert_close(ws[1].real, w0 * math.exp(math.pi / 4), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_times_have_the_dtype_of_the_time_and_states_that_of_the_state(dtype):
    field, t0 = Fall().to(dtype), torch.zeros(1)
    y0 = torch.tensor([10.0, 1], dtype=dtype, requires_grad=True)
    seen = []

    def event(t, y):
        seen.append((t.dtype, y.dtype))
        return y[0]

    t, ys = odeint_event(field, y0, t0, event_fn=event, rtol=1e-4, atol=1e-4)
    assert (t.dtype, ys.dtype) == (torch.float32, dtype)
    assert set(seen) == {(dtype, dtype)}
    (t + ys[1, 1]).backward()
    truth = falls_at(y0.detach().double(), 0.0, times(9.8)[0])
    bars = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    torch.testing.assert_close(t.double(), truth[0], **bars)
    assert y0.grad.isfinite().all()


def test_a_search_ends_where_a_further_event_says_so():
    def event(t, y):
        return torch.stack([y[0] - 2, 3 - t])

    t, ys = odeint(lambda t, y: -y, times(1), times(0, 1), event_fn=event, **TIGHT)
    torch.testing.assert_close((t, ys[1]), (times(3)[0], times(math.exp(-3))))


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_callbacks_watch_the_steps_up_to_the_event(method):
    kinds = []

    class Watched(Fall):
        def callback_step(self, t, y, h):
            kinds[-1].append([float(t), *y.tolist(), float(h)])

    for package in BOTH:
        kinds.append([])
        options = {"step_size": 0.25} if method == "rk4" else {}
        with torch.no_grad():
            package.odeint(
                Watched(), times(10, 1), times(0, 1), event_fn=ground, method=method,
                options=options, **TIGHT,
            )  # fmt: skip
    if method == "rk4":
        # torchdiffeq does not call it here.
        assert [round(step[0], 9) for step in kinds[0]] == [0.25 * i for i in range(7)]
        assert kinds[1] == []
    else:
        for ours, theirs in zip(*kinds, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-6)


def test_a_field_that_jumps_before_the_event_is_solved_on_either_side():
    def push(t, y):
        return torch.where(t < 0.5, 1.0, 3.0).expand(y.shape)

    t, _ = odeint(
        push, times(0), times(0, 1), event_fn=lambda t, y: y - 2, options={"jump_t": times(0.5)}
    )
    torch.testing.assert_close(t, times(1)[0])


# --- what cannot be ------------------------------------------------------------------------------


def decay(t, y):
    return -y


Y0, TS = times(1, 2), times(0, 1)
NEVER = {"event_fn": lambda t, y: y[0] + 1}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (TypeError, "event_fn is 3, expected a function",
         lambda: odeint(decay, Y0, TS, event_fn=3)),
        (TypeError, "event_fn is 3, expected a function",
         lambda: solve(decay, Y0, TS, event_fn=3)),
        (TypeError, "event_fn returned 0.5, expected a tensor of real numbers",
         lambda: odeint(decay, Y0, TS, event_fn=lambda t, y: 0.5)),
        (TypeError, "event_fn returned torch.complex64, expected a tensor of real numbers",
         lambda: odeint(decay, Y0, TS, event_fn=lambda t, y: torch.ones(1) * 1j)),
        (ValueError, "event_fn returned no number, expected at least one",
         lambda: odeint(decay, Y0, TS, event_fn=lambda t, y: y[:0])),
        (ValueError, "event_fn returned 1 numbers at t=0.25, and 2 before",
         lambda: odeint(decay, Y0, TS, event_fn=lambda t, y: y[: 2 if t == 0 else 1],
                        method="rk4", options={"step_size": 0.25})),
        (ValueError, "ts has 3 times, expected two where there is an event_fn: the first, and"
                     " another that tells the direction",
         lambda: odeint(decay, Y0, times(0, 1, 2), **NEVER)),
        (ValueError, "event_fn needs a step_size where a grid chooses the steps, since the end of"
                     " the grid, the event, is not known",
         lambda: odeint(decay, Y0, TS, method="rk4", **NEVER)),
        (ValueError, "method 'adams' does not take event_fn",
         lambda: odeint(decay, Y0, TS, method="adams", **NEVER)),
        (ValueError, "event_fn cannot be used inside torch.func or forward-mode differentiation,"
                     " since the time of an event is looked for by its value",
         lambda: torch.func.vmap(lambda y: odeint(decay, y, TS, **NEVER))(Y0[:, None])),
        (NonFinite, "event_fn is not finite at t=0",
         lambda: odeint(decay, Y0, TS, event_fn=lambda t, y: y / 0)),
        (StepLimit, "7 steps taken without reaching an event",
         lambda: odeint(decay, Y0, TS, method="dopri5", options={"max_num_steps": 7}, **NEVER)),
        (StepLimit, "7 steps taken without reaching an event",
         lambda: odeint(decay, Y0, TS, method="rk4", **NEVER,
                        options={"max_num_steps": 7, "step_size": 0.1})),
        (ValueError, "t0 has shape (2,), expected one time",
         lambda: odeint_event(decay, Y0, TS, **NEVER)),
        (TypeError, "reverse_time is 1, expected True or False",
         lambda: odeint_event(decay, Y0, TS[0], reverse_time=1, **NEVER)),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(error, sentence, call):
    says(error, sentence, call)


@pytest.mark.parametrize(
    "chosen", [{"method": "rk4", "step_size": 0.05}, {"method": "euler", "step_size": 0.01}]
)
def test_a_state_that_is_not_finite_at_an_event_is_one_sentence(chosen):
    """The event asks for the time alone, so that it comes."""
    with pytest.raises(NonFinite, match=r"the field or the state is not finite .* t=0\.7$"):
        solve(lambda t, y: y**3, times(2), times(0, 9), event_fn=lambda t, y: t - 0.7, **chosen)


def test_a_second_derivative_is_one_sentence():
    y0 = times(10, 1).requires_grad_()
    t, _ = odeint_event(Fall(), y0, times(0), event_fn=ground)
    (grad,) = torch.autograd.grad(t, y0, create_graph=True)
    with pytest.raises(RuntimeError, match=r"odeint_event gives first derivatives alone: .* solve"):
        grad.sum().backward()
