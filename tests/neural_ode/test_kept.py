"""Fields that spoil, at any call, what they were called with or have returned.

The solution is that of the same field without it, or one ValueError says what is wrong.
"""

# Settings are plain dicts.
# pyright: reportArgumentType=false, reportCallIssue=false

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neural_ode import Adjoint, StepUnderflow, solve
from neural_ode.methods import NAMED
from tests.neural_ode.failing import decay
from tests.neural_ode.random_problems import F32, F64
from tests.neural_ode.test_overwriting import CHANGED, FILLED, Turning, problem
from tests.neural_ode.ways import EVERY, FOR_EVERY_METHOD, method_for

pytestmark = pytest.mark.usefixtures("unchecked")


class Spoiling(Turning):
    """Changes a state that it was called with, or a slope that it has returned, from one call on.

    Args:
        what: "argument" or "output".
        age: how many calls ago.
        way: through ``.data``, through NumPy, or by an operation that torch counts.
        call: the first call that does so.
    """

    def __init__(self, what, age, way, call, *arguments):
        super().__init__(*arguments)
        self.what, self.age, self.way, self.call = what, age, way, call
        self.arguments, self.outputs = [], []

    def forward(self, t, y):
        f = super().forward(t, y)
        self.arguments.append(y)
        self.outputs.append(f)
        if len(self.arguments) > max(self.call, self.age):
            kept = self.arguments if self.what == "argument" else self.outputs
            self.spoil(kept[-1 - self.age])
        return f

    def spoil(self, x):
        """Change the numbers of a tensor."""
        if self.way == "numpy":
            x.detach().numpy()[...] = 7
        elif self.way == "data":
            x.data.fill_(7)
        else:
            x.fill_(7)


class Ring(Turning):
    """Returns as many tensors in turn."""

    def __init__(self, count, *arguments):
        super().__init__(*arguments)
        self.count, self.outs = count, []

    def forward(self, t, y):
        f = super().forward(t, y)
        if len(self.outs) < self.count:
            self.outs.append(torch.empty_like(f, requires_grad=False))
        else:
            self.outs.append(self.outs.pop(0))
        return self.outs[-1].copy_(f)


@settings(max_examples=40)
@given(
    spoilt=st.one_of(
        st.tuples(st.just("argument"), st.integers(0, 9)),
        st.tuples(st.just("output"), st.integers(1, 9)),
    ),
    way=st.sampled_from(["data", "numpy", "counted"]),
    call=st.integers(3, 30),
    method=st.sampled_from(list(NAMED)),
    adaptive=st.booleans(),
    mode=st.sampled_from(["grad", "no_grad", "inference"]),
    direction=st.sampled_from([1, -1]),
)
def test_what_is_spoilt_at_any_call_is_not_what_the_solver_keeps(
    spoilt, way, call, method, adaptive, mode, direction
):
    chosen = problem(method, adaptive, F64, direction)
    start = chosen["y0"].clone()
    with torch.set_grad_enabled(mode == "grad"), torch.inference_mode(mode == "inference"):
        wanted = solve(Turning(), **chosen).ys
        try:
            ys = solve(Spoiling(*spoilt, way, call), **chosen).ys
        except ValueError as error:
            # What torch counts is an error where it is seen.
            if not (spoilt == ("argument", 0) and way == "counted" and CHANGED in str(error)):
                raise
            return
    assert torch.equal(ys, wanted)
    assert torch.equal(chosen["y0"], start)


@pytest.mark.parametrize("gradient", list(FOR_EVERY_METHOD))
@pytest.mark.parametrize("way", ["data", "numpy"])
def test_a_gradient_is_right_where_the_argument_of_the_call_before_is_spoilt(gradient, way):
    """The graph of the field does not need it."""

    class Driven(Spoiling):
        def forward(self, t, y):
            f = self.a[0] * torch.sin(3 * t) + 0 * y
            self.arguments.append(y)
            if len(self.arguments) > 5:
                self.spoil(self.arguments[-2])
            return f

    class Plain(Turning):
        def forward(self, t, y):
            return self.a[0] * torch.sin(3 * t) + 0 * y

    fields = Driven("argument", 1, way, 5, F64, True), Plain(F64, True)
    for field in fields:
        y0 = torch.ones(2, dtype=F64, requires_grad=True)
        ts = torch.tensor([0.0, 0.4, 1.5], dtype=F64, requires_grad=gradient == "adjoint")
        solve(field, y0, ts, gradient=FOR_EVERY_METHOD[gradient]).ys.sum().backward()
    torch.testing.assert_close(*(f.a.grad for f in fields), rtol=1e-12, atol=0)


@pytest.mark.parametrize("count", [1, 3, 4, 7])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_a_field_that_returns_any_number_of_tensors_in_turn_has_the_right_solution(count, mode):
    for method in ("dopri5", "bosh3", "dopri8", "reversible_heun", "adams"):
        chosen = problem(method, True, F64)
        if method in ("dopri5", "bosh3"):
            # Rejected again and again.
            chosen |= {"first_step": 1.0}
        with mode():
            assert torch.equal(solve(Ring(count), **chosen).ys, solve(Turning(), **chosen).ys)


@pytest.mark.parametrize("count", [1, 3, 4, 7])
@pytest.mark.parametrize("method", ["dopri5", "rk4", "reversible_heun"])
def test_a_gradient_through_any_number_of_tensors_in_turn_is_right_or_an_error(count, method):
    chosen = problem(method, True, F64)
    wanted, field = Turning(F64, True), Ring(count, F64, True)
    solve(wanted, **chosen).ys.sum().backward()
    try:
        solve(field, **chosen).ys.sum().backward()
    except ValueError as error:
        if FILLED not in str(error):
            raise
    else:
        torch.testing.assert_close(field.a.grad, wanted.a.grad)


@pytest.mark.parametrize("gradient", [None, *FOR_EVERY_METHOD])
def test_the_solution_at_the_start_alone_is_a_copy(gradient):
    y0, ts = torch.ones(2, requires_grad=True), torch.zeros(1)
    ys = solve(
        nn.Linear(2, 2), y0, ts, gradient=FOR_EVERY_METHOD[gradient] if gradient else None
    ).ys
    assert ys.untyped_storage().data_ptr() != y0.untyped_storage().data_ptr()
    ys.sum().backward()
    assert torch.equal(y0.grad, torch.ones(2))


def test_a_field_that_changes_the_time_does_not_change_the_output_times():
    ts = torch.tensor([0.0, 0.5, 1.0], dtype=F64, requires_grad=True)
    before = ts.detach().clone()

    def field(t, y):
        slope = t * y
        t.data.fill_(9)
        return slope

    for method in ("rk4", "dopri5"):
        solve(field, torch.ones(2, dtype=F64), ts, method=method, gradient=None)
        solve(field, torch.ones(2, dtype=F64), ts, method=method, gradient=Adjoint(params=()))
        assert torch.equal(ts, before)


@pytest.mark.parametrize(
    ("dtype", "compile", "sign"),
    [
        (F32, False, 1),
        (F32, False, -1),
        (F64, False, 1),
        pytest.param(F32, True, 1, marks=pytest.mark.compiles),
    ],
)
def test_a_norm_that_overflows_is_not_a_state_that_does(stand_in, dtype, compile, sign):
    """A slope that is large in units of the absolute tolerance: its square overflows."""
    size = torch.finfo(dtype).max ** (0.8 if dtype == F32 else 0.6)
    turn = torch.tensor([[0.0, -1], [1, 0]], dtype=dtype)
    chosen = {"ts": torch.tensor([0, sign], dtype=F64), "rtol": 1e-5, "compile": compile}
    with torch.no_grad():
        unit, large = (
            solve(
                lambda t, y: y @ turn.T, torch.tensor([s, 0], dtype=dtype), atol=1e-20, **chosen
            ).ys
            for s in (1.0, size)
        )
    torch.testing.assert_close(large / size, unit, rtol=1e-4, atol=1e-4)


def test_a_norm_that_overflows_in_one_sample_of_a_batch():
    y0 = torch.tensor([[1e30, 0], [1, 0]])
    end = torch.func.vmap(
        lambda y: solve(lambda t, x: torch.stack([-x[1], x[0]]), y, torch.tensor([0.0, 1])).ys[-1]
    )(y0)
    torch.testing.assert_close(end[0] / 1e30, end[1])


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.compiles)])
def test_a_norm_that_never_passes_ends_the_solve(stand_in, compile):
    """From the time 0 on, where a step can shrink to the smallest number there is."""
    with torch.no_grad(), pytest.raises(StepUnderflow, match="too small to move"):
        solve(
            decay,
            torch.ones(1),
            torch.tensor([0.0, 1e-300], dtype=F64),
            norm=lambda x: x.sum() * 0 + 3,
            compile=compile,
            # The compiled loop chooses it by itself.
            first_step=None if compile else 1e-315,
        )


class Trained(nn.Module):
    """A small net with weights of its own, which zeroes its last output or what it is called with.

    Args:
        what: "output", "argument" or ``None``.
        call: the first call that does so.
    """

    def __init__(self, what=None, call=0):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).to(F64)
        self.what, self.call, self.calls, self.last = what, call, 0, None

    def forward(self, t, y):
        self.calls += 1
        f = 3 * self.layers(y)
        if self.calls > self.call:
            if self.what == "output" and self.last is not None:
                self.last.data.zero_()
            if self.what == "argument":
                y.detach().numpy()[...] = 0
        self.last = f
        return f


def trained(field, way, method, **chosen):
    """The solution and the gradients of a loss of it."""
    y0 = torch.ones(2, dtype=F64, requires_grad=True)
    ts = torch.tensor([0, 0.3, 1], dtype=F64, requires_grad=way != "reversible")
    chosen = {"rtol": 1e-4, "atol": 1e-4} | chosen
    ys = solve(field, y0, ts, method=method, gradient=EVERY[way], **chosen).ys
    ys.square().sum().backward()
    return ys.detach(), y0.grad, *(p.grad for p in field.parameters())


@pytest.mark.parametrize("first_step", [None, 1.0])
@pytest.mark.parametrize("way", list(EVERY))
@pytest.mark.parametrize("method", ["dopri5", "bosh3", "dopri8", "reversible_heun"])
def test_a_trained_field_may_zero_what_it_returned_at_its_last_call(way, method, first_step):
    """Also where a first step that is too long is tried again."""
    if way not in ("backprop", "reversible") and method == "reversible_heun":
        return
    if way == "reversible" and method != "reversible_heun":
        return
    got, wanted = (
        trained(Trained(what), way, method, first_step=first_step) for what in ("output", None)
    )
    for a, b in zip(got, wanted, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("way", list(EVERY))
@pytest.mark.parametrize("call", [3, 20])
def test_a_trained_field_that_goes_on_to_zero_its_argument_is_found_out(way, call):
    """Autograd would differentiate at what NumPy has made of it, without a word."""
    with pytest.raises(ValueError, match=CHANGED):
        trained(Trained("argument", call), way, method_for(way), max_step=0.05)
