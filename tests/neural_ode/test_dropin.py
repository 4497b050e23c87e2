"""Problems that torchdiffeq solves and that ask more of ``odeint`` than one float tensor does."""

# Settings are plain dicts, and a missing gradient fails a test all the same.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportCallIssue=false
# pyright: reportAttributeAccessIssue=false

import math

import numpy as np
import pytest
import torch
import torchdiffeq
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import neural_ode
from neural_ode import times as neural_ode_times

F32, F64, C128 = torch.float32, torch.float64, torch.complex128
BOTH = (neural_ode, torchdiffeq)
ENTRIES = pytest.mark.parametrize("entry", ["odeint", "odeint_adjoint"])


def times(*values, dtype=F64):
    return torch.tensor(values, dtype=dtype)


TS = times(0, 0.4, 1)


class Layer(nn.Module):
    """A linear layer behind a nonlinearity."""

    def __init__(self, size=3, dtype=F64):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(size, size, dtype=dtype)

    def forward(self, t, y):
        return self.layer(torch.tanh(y))


def gradients(package, entry, field, y0, ts=TS, params=None, **settings):
    """The end state, and the gradients of its square by the state and the parameters."""
    y0 = y0.clone().requires_grad_()
    params = tuple(field.parameters()) if params is None else params
    named = {"adjoint_params": params} if entry == "odeint_adjoint" else {}
    end = getattr(package, entry)(field, y0, ts, **named, **settings)[-1]
    grads = torch.autograd.grad(end.abs().square().sum(), (y0, *params))
    return [end.detach(), *grads]


def assert_all_close(ours, theirs, **bars):
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, **bars)


# --- fields that differentiate --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_field_that_differentiates(method):
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).to(F64)
    turn = times(0, 1, -1, 0).view(2, 2)

    def hamiltonian(t, x):
        return torch.autograd.grad(net(x).sum(), x, create_graph=True)[0] @ turn

    y0 = times(0.3, -1).expand(4, 2)
    settings = {"params": tuple(net.parameters())[:-1], "method": method}
    ours, theirs = (gradients(p, "odeint", hamiltonian, y0, **settings) for p in BOTH)
    assert_all_close(ours, theirs, rtol=1e-6, atol=1e-7)


# --- failures -------------------------------------------------------------------------------------


@ENTRIES
def test_scripts_catch_failures_as_assertion_errors(entry):
    field, counted = Layer(), 0
    for package in BOTH:
        try:
            getattr(package, entry)(field, times(1, 2, 3), TS, options={"max_num_steps": 1},
                                    method="dopri5", rtol=1e-12, atol=1e-12)  # fmt: skip
        except AssertionError:
            counted += 1
    assert counted == 2


def test_a_failure_on_the_way_back_is_an_assertion_error():
    y0 = times(1).requires_grad_()
    options = {"adjoint_options": {"max_num_steps": 1}, "adjoint_params": ()}
    ys = neural_ode.odeint_adjoint(lambda t, y: -y, y0, TS, **options)
    with pytest.raises(AssertionError) as caught:
        ys.sum().backward()
    assert isinstance(caught.value, neural_ode.StepLimit)


# --- precision ------------------------------------------------------------------------------------


@ENTRIES
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_field_under_autocast_is_added_up_in_float32(entry, method):
    field, y0 = Layer(16, F32), torch.randn(5, 16)
    settings = {"method": method, "rtol": 1e-2, "atol": 1e-2, "ts": TS.float()}
    exact = gradients(neural_ode, entry, field, y0, **settings)
    seen = []
    field.layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        ours = gradients(neural_ode, entry, field, y0, **settings)
        assert seen[0] == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
        theirs = gradients(torchdiffeq, entry, field, y0, **settings)
    assert ours[0].dtype == F32
    # bfloat16 has eight bits. Ours must not be farther off than theirs but for chance.
    for our, their, true in zip(ours, theirs, exact, strict=True):
        assert (our - true).norm() < 0.02 * true.norm()
        assert (our - true).norm() < 1.5 * (their - true).norm() + 1e-4


def test_the_dense_output_under_autocast_is_not_in_half_precision():
    """A product of matrices would be."""
    t, y0 = torch.linspace(0, 1, 40), torch.ones(7)
    plain = neural_ode.odeint(lambda t, y: -y, y0, t)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(neural_ode.odeint(lambda t, y: -y, y0, t), plain)


def test_weights_cast_without_a_graph_are_not_found_again_with_autograd_on():
    field, y0 = Layer(4, F32), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        ys = neural_ode.odeint_adjoint(field, y0, TS.float(), method="rk4")
        ys[-1].sum().backward()
    assert field.layer.weight.grad.abs().sum() > 0


@ENTRIES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_state_of_16_bits(entry, dtype, method):
    settings = {"method": method, "rtol": 1e-3, "atol": 1e-3, "ts": TS.float()}
    exact = gradients(neural_ode, entry, Layer(4, F32), torch.ones(2, 4), **settings)
    seen = []

    def field(t, y):
        seen.append((t.dtype, y.dtype))
        return layer(t, y)

    layer = Layer(4, F32).to(dtype)
    params = tuple(layer.parameters())
    ours = gradients(neural_ode, entry, field, torch.ones(2, 4, dtype=dtype), params=params,
                     **settings)  # fmt: skip
    assert {x.dtype for x in ours} == {dtype}
    assert set(seen) == {(dtype, dtype)}
    for our, true in zip(ours, exact, strict=True):
        assert (our.float() - true).norm() < 0.03 * true.norm()


@ENTRIES
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_constant_in_float64_does_not_widen_the_state(entry, method):
    rates, y0 = times(1, 2), torch.ones(2)
    settings = {"method": method, "ts": TS.float(), "rtol": 1e-5, "atol": 1e-5, "params": ()}
    ours, theirs = (gradients(p, entry, lambda t, y: -rates * y, y0, **settings) for p in BOTH)
    assert {x.dtype for x in ours} == {F32}
    assert_all_close(ours, theirs, rtol=1e-4, atol=1e-5)


class Mixed(nn.Module):
    """A field in float32 with a rate in float64 and weights of Fourier modes."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(times(0.5).squeeze())
        self.modes = nn.Parameter(torch.tensor([0.1 + 0.3j, 0.2 - 0.5j, 0.7]))
        self.shift = nn.Parameter(torch.zeros(4, dtype=torch.bfloat16))

    def forward(self, t, y):
        mixed = torch.fft.irfft(torch.fft.rfft(y) * self.modes, n=4)
        return (mixed - self.rate * y + self.shift).to(y.dtype)


@pytest.mark.parametrize("norm", ["rms", "seminorm"])
def test_parameters_of_other_dtypes_than_the_state(norm):
    field, y0 = Mixed(), torch.tensor([1.0, 2, 3, 5])
    settings = {"ts": TS.float(), "rtol": 1e-6, "atol": 1e-6}
    truth = gradients(neural_ode, "odeint", field, y0, **settings)
    options = {"norm": norm} if norm == "seminorm" else {}
    ours = gradients(neural_ode, "odeint_adjoint", field, y0, adjoint_options=options, **settings)
    assert [x.dtype for x in ours] == [x.dtype for x in truth]
    assert_all_close(ours[:-1], truth[:-1], rtol=1e-3, atol=1e-3)
    # Backpropagation adds this one up in bfloat16.
    torch.testing.assert_close(ours[-1], truth[-1], rtol=0.03, atol=0)


class NoFloat64(TorchDispatchMode):
    """A device without float64: whatever makes such a tensor fails."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.lift_fresh.default:
            # An array of the host, before it is sent to the device in another dtype.
            return result
        for x in result if isinstance(result, tuple | list) else [result]:
            assert not (isinstance(x, torch.Tensor) and x.dtype == F64), function
        return result


@ENTRIES
@pytest.mark.parametrize("method", ["dopri5", "dopri8", "rk4"])
def test_a_device_without_float64(entry, method, monkeypatch):
    from neural_ode.step import runge_kutta

    monkeypatch.setattr(neural_ode_times, "WITHOUT_FLOAT64", {"cpu"})
    runge_kutta._constants.cache_clear()
    ts, y0 = torch.linspace(0, 1, 7).requires_grad_(), torch.ones(3)
    settings = {"method": method, "rtol": 1e-4, "atol": 1e-4, "options": {"dtype": F32}}
    try:
        with NoFloat64():
            ys = getattr(neural_ode, entry)(Layer(dtype=F32), y0, ts, **settings)
            ys.sum().backward()
    finally:
        runge_kutta._constants.cache_clear()
    assert ts.grad.isfinite().all()


@ENTRIES
@pytest.mark.parametrize("method", ["dopri5", "dopri8", "rk4", "adams"])
def test_the_default_device_does_not_matter(entry, method):
    y0, ts = torch.ones(3), torch.linspace(0, 1, 5)
    run = {"method": method, "rtol": 1e-4, "atol": 1e-4}
    driven = type("Driven", (Layer,), {"forward": lambda self, t, y: self.layer(y) * t.cos()})
    field = driven(dtype=F32)
    torch.set_default_device("meta")
    try:
        with torch.set_grad_enabled(method != "adams" or entry == "odeint_adjoint"):
            ys = getattr(neural_ode, entry)(field, y0, ts, **run)
        if ys.requires_grad:
            ys.sum().backward()
    finally:
        torch.set_default_device(None)
    assert ys.device.type == "cpu"


# --- complex states -------------------------------------------------------------------------------


def spin(t, y):
    return torch.tanh((0.3 + 2j) * y) * torch.cos(t)


@ENTRIES
@pytest.mark.parametrize("t", [TS, TS.flip(0)])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_complex_state(entry, t, method):
    w = torch.tensor([[0.2 + 0.3j, 1j], [-0.5, 0.1 - 1j]], requires_grad=True, dtype=C128)
    y0 = torch.tensor([1 + 1j, 2 - 0.5j], dtype=C128)
    outs = []
    for package in BOTH:
        calls = []

        def field(t, y, calls=calls):
            assert t.dtype == F64
            calls.append(t)
            return torch.tanh(w @ y)

        settings = {"ts": t, "method": method, "params": (w,), "rtol": 1e-6, "atol": 1e-6}
        outs.append(gradients(package, entry, field, y0, **settings))
        if entry == "odeint":
            outs[-1].append(torch.tensor(len(calls)))
    assert_all_close(*outs, rtol=1e-4, atol=1e-5)


def test_norms_of_a_complex_state_see_complex_numbers():
    state = (torch.tensor([1 + 1j], dtype=C128), torch.tensor([[2j, 0.5]], dtype=C128))
    calls, shown = [], []

    def norm(parts):
        shown.append([(x.dtype, tuple(x.shape)) for x in parts])
        return max(x.abs().max() for x in parts)

    for package in BOTH:
        count = []

        def field(t, y, count=count):
            count.append(t)
            return spin(t, y[0]), spin(t, y[1])

        ys = package.odeint(field, state, TS, options={"norm": norm}, rtol=(1e-5, 1e-4))
        calls.append(len(count))
        assert [y.shape for y in ys] == [(3, 1), (3, 1, 2)]
    assert calls[0] == calls[1]
    assert {tuple(s) for s in shown} == {((C128, (1,)), (C128, (1, 2)))}


def test_a_complex_slope_of_a_real_state_is_an_error():
    with pytest.raises(ValueError, match=r"complex128 on cpu for a state of .* torch.float64"):
        neural_ode.odeint(lambda t, y: 1j * y, times(1), TS)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("slope", [None, times(1, 2, 3)])
def test_a_slope_that_does_not_fit_a_complex_state(slope):
    y0 = torch.ones(2, dtype=C128)
    with pytest.raises((TypeError, ValueError), match="the field returned"):
        neural_ode.odeint(lambda t, y: slope, y0, TS)


# --- tensors computed before the solve ------------------------------------------------------------


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_the_output_of_a_network_outside(method):
    results = []
    for package in BOTH:
        torch.manual_seed(0)
        net = nn.Linear(1, 4).to(F64)
        w = net(times(1)).view(2, 2)
        params = tuple(net.parameters())
        results.append(gradients(package, "odeint_adjoint", lambda t, y, w=w: torch.tanh(w @ y),
                                 times(1, 2), params=params, method=method))  # fmt: skip
    assert_all_close(*results, rtol=1e-8, atol=1e-9)


GRADIENTS = [neural_ode.Adjoint(), neural_ode.Checkpointed(), neural_ode.InterpolatedAdjoint(),
             neural_ode.Reversible()]  # fmt: skip


@pytest.mark.parametrize("gradient", GRADIENTS, ids=lambda g: type(g).__name__)
def test_a_tensor_cached_in_the_constructor(gradient):
    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_rate = nn.Parameter(times(0.3).squeeze())
            self.rate = self.log_rate.exp()

        def forward(self, t, y):
            return -self.rate * y

    field, rate = Cached(), math.exp(0.3)
    method = "reversible_heun" if isinstance(gradient, neural_ode.Reversible) else "dopri5"
    tolerances = {"rtol": 1e-5, "atol": 1e-5}
    ys = neural_ode.solve(field, times(1), TS, method=method, gradient=gradient, **tolerances).ys
    ys[-1].sum().backward()
    assert field.log_rate.grad.item() == pytest.approx(-rate * math.exp(-rate), rel=1e-3)


def test_the_graph_of_an_evaluation_is_freed_where_nothing_outside_needs_it(monkeypatch):
    kept, grad = [], torch.autograd.grad

    def watch(*arguments, **options):
        kept.append(options.get("retain_graph"))
        return grad(*arguments, **options)

    ys = neural_ode.odeint_adjoint(Layer(), times(1, 2, 3), TS)
    monkeypatch.setattr(torch.autograd, "grad", watch)
    ys[-1].sum().backward()
    assert kept[0] is True
    assert set(kept[1:]) == {False}


# --- tolerances -----------------------------------------------------------------------------------

PARTS = (times(1, 2), times(3))


def decay(t, y):
    return tuple(-x for x in y)


@pytest.mark.parametrize("zero", ["rtol", "atol"])
def test_one_tolerance_may_be_zero(zero):
    tolerances = {"rtol": 1e-6, "atol": 1e-6} | {zero: 0}
    ours, theirs = (p.odeint(lambda t, y: -y, times(1), TS, **tolerances) for p in BOTH)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)


def test_two_zeros_are_an_error():
    with pytest.raises(ValueError, match="rtol and atol are both 0"):
        neural_ode.odeint(decay, PARTS, TS, rtol=(0.0, 1e-3), atol=0)


@pytest.mark.usefixtures("unchecked")
@ENTRIES
@pytest.mark.parametrize("tolerance", [0, None, "tight", times(1e-3, 1e-4)])
def test_a_method_without_an_error_estimate_heeds_no_tolerance(entry, tolerance):
    expected = neural_ode.odeint(Layer(), times(1, 2, 3), TS, method="rk4")
    run = {"method": "rk4", "rtol": tolerance, "atol": tolerance}
    ys = getattr(neural_ode, entry)(Layer(), times(1, 2, 3), TS, **run)
    assert torch.equal(ys, expected)


@pytest.mark.parametrize("kind", [tuple, list, times, np.array])
def test_one_tolerance_a_part(kind):
    each = kind(*[(1e-5, 1e-2)]) if kind is not times else times(1e-5, 1e-2)
    ours, theirs = (p.odeint(decay, PARTS, TS, rtol=each, atol=each) for p in BOTH)
    assert_all_close(ours, theirs, rtol=1e-9, atol=0)


def test_a_tolerance_for_each_entry_of_a_tensor():
    each = [1e-5, 1e-2]
    ours, theirs = (p.odeint(lambda t, y: -y, PARTS[0], TS, rtol=each) for p in BOTH)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)


def test_the_adjoint_takes_the_least_of_several_tolerances():
    grads = []
    for rtol in ((1e-6, 1e-2), 1e-6):
        y0 = times(1, 2).requires_grad_()
        ys = neural_ode.odeint_adjoint(decay, (y0, PARTS[1]), TS, adjoint_params=(), rtol=rtol)
        grads += torch.autograd.grad(ys[0][-1].sum(), y0)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-6, atol=0)


# --- methods --------------------------------------------------------------------------------------

A = times(0.1, 0.9, -0.7, 0.2).view(2, 2)


@pytest.mark.parametrize("method", ["heun2", "heun3"])
@pytest.mark.parametrize("options", [{}, {"step_size": 0.15}, {"step_size": 0.15, "perturb": True}])
def test_heun_by_torchdiffeqs_names(method, options):
    def field(t, y):
        return torch.tanh(A @ y) * torch.cos(3 * t)

    run = {"method": method, "options": options}
    ours, theirs = (p.odeint(field, times(1, 2), TS, **run) for p in BOTH)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-14)


def test_fehlberg2_takes_nearly_the_steps_of_torchdiffeqs():
    """torchdiffeq begins a step with the last stage of the one before, an Euler step off."""
    counts, errors = [], []
    truth = neural_ode.odeint(spin, times(1 + 1j, dtype=C128), TS)
    for package in BOTH:
        calls = []
        ys = package.odeint(lambda t, y, calls=calls: calls.append(t) or spin(t, y),
                            times(1 + 1j, dtype=C128), TS, method="fehlberg2",
                            rtol=1e-8, atol=1e-8)  # fmt: skip
        counts.append(len(calls))
        errors.append((ys - truth).abs().max())
    assert errors[0] < 2 * errors[1]
    assert counts[0] < 1.6 * counts[1]


# --- tuples of several dtypes ---------------------------------------------------------------------


@ENTRIES
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize(
    "dtypes",
    [(F32, F64), (F64, C128), (F32, C128), (torch.float16, torch.bfloat16), (torch.int64, F64)],
    ids=str,
)
def test_a_tuple_of_several_dtypes_is_solved_in_the_one_to_which_torch_promotes_them(
    dtypes, method, entry
):
    outs, seen = [], []
    for package in BOTH:
        parts = tuple(torch.ones(2).to(dtype) for dtype in dtypes)
        wanted = [x.requires_grad_() for x in parts if x.dtype != torch.int64]

        def field(t, y):
            seen.append((t.dtype, *(x.dtype for x in y)))
            return -y[0] + 0 * y[1], 0.5 * y[1] - y[0]

        named = {"adjoint_params": ()} if entry == "odeint_adjoint" else {}
        chosen = {"method": method, "rtol": 1e-3, "atol": 1e-3, **named}
        ys = getattr(package, entry)(field, parts, TS, **chosen)
        end = sum(y[-1].abs().square().sum() for y in ys)
        outs.append([*ys, *torch.autograd.grad(end, wanted)])
    assert set(seen) == {seen[0]}
    bars = {"rtol": 1e-3, "atol": 1e-3}
    if torch.float16 in dtypes:
        bars = {"rtol": 0.05, "atol": 0.05}
    for our, their in zip(*outs, strict=True):
        assert our.dtype == their.dtype
        torch.testing.assert_close(our, their, **bars)


def test_a_tuple_on_several_devices_is_one_sentence():
    state = (torch.ones(1), torch.ones(1, device="meta"))
    with pytest.raises(TypeError, match=r"^y0 is a tuple on cpu, meta, expected one device$"):
        neural_ode.odeint(lambda t, y: y, state, TS)
