"""On a GPU: the answers of the CPU, one wait a step, and compiled steps that are captured."""

# A missing count or event fails a test all the same.
# pyright: reportOptionalIterable=false, reportOperatorIssue=false

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from neural_ode import (
    METHODS,
    solve,
)
from neural_ode.networks import MLPField
from tests.neural_ode.ways import EVERY as GRADIENTS
from tests.neural_ode.ways import method_for

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.usefixtures("unchecked"),
]
# Of a whole solve: its times are read twice, the size of its first step once, and outputs that took
# evaluations of their own are checked once.
ONCE = 4
OUTPUTS = (2, 50)
TOLERANCES: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
EVERY_GRADIENT = pytest.mark.parametrize("name", GRADIENTS)
COMPILED = pytest.mark.parametrize(
    "compile",
    [
        pytest.param(False, id="plain"),
        pytest.param(True, id="compiled", marks=pytest.mark.compiles),
    ],
)


def problem(outputs=2, dtype=torch.float32, device="cuda"):
    generator = torch.Generator().manual_seed(0)
    field = MLPField(2, 32, generator=generator).to(device, dtype)
    y0 = torch.randn(64, 2, generator=generator).to(device, dtype)
    return field, y0, torch.linspace(0, 10, outputs, device=device, dtype=dtype)


def settings_of(name) -> dict[str, Any]:
    return {"gradient": GRADIENTS[name], "method": method_for(name), **TOLERANCES}


def gradients(field, y0, ts, **settings):
    y0 = y0.clone().requires_grad_()
    solution = solve(field, y0, ts, **settings)
    loss = solution.ys.square().sum()
    return torch.autograd.grad(loss, [y0, *field.parameters()]), solution


@contextmanager
def waits() -> Iterator[list]:
    """Every moment at which torch has the host wait for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        torch.cuda.set_sync_debug_mode("default")
    caught[:] = [w for w in caught if "synchronizing CUDA operation" in str(w.message)]


def launches(work) -> int:
    """How many captured graphs the work launches."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    return sum("cudaGraphLaunch" in event.name for event in profiler.events())


def steps(counts) -> int:
    return counts.accepted + counts.rejected


def test_the_meter_sees_a_wait():
    x = torch.ones(1, device="cuda")
    with waits() as found:
        x.item()
    assert len(found) == 1


# --- the CPU's answers


@EVERY_GRADIENT
def test_gradients_are_those_of_the_cpu(name):
    settings = settings_of(name)
    found, on_gpu = gradients(*problem(5, torch.float64), **settings)
    expected, on_cpu = gradients(*problem(5, torch.float64, "cpu"), **settings)
    assert on_gpu.stats == on_cpu.stats
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-8, atol=1e-10)


# --- how often the host waits


@COMPILED
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_a_solve_waits_once_a_step(outputs, compile):
    field, y0, ts = problem(outputs)
    settings = {"compile": compile, **TOLERANCES}
    with torch.no_grad():
        for _ in range(3):  # What is compiled is captured at the second call.
            solve(field, y0, ts, **settings)
        with waits() as found:
            solution = solve(field, y0, ts, **settings)
    assert len(found) <= steps(solution.stats.forward) + ONCE


@pytest.mark.parametrize("method", METHODS)
def test_a_grid_of_steps_makes_no_step_wait(method):
    field, y0, ts = problem()
    counts = []
    for size in (5.0, 1.0, 0.1):
        with torch.no_grad(), waits() as found:
            solve(field, y0, ts, method=method, step_size=size)
        counts.append(len(found))
    # The first solve sends the method's coefficients, which later ones find there.
    assert counts[1] == counts[2] <= ONCE


@EVERY_GRADIENT
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_a_gradient_waits_once_a_step(name, outputs):
    field, y0, ts = problem(outputs)
    settings = settings_of(name)
    gradients(field, y0, ts, **settings)
    with waits() as found:
        _, solution = gradients(field, y0, ts, **settings)
    stats = solution.stats
    backward = 0 if stats.backward is None else steps(stats.backward)
    # The continuous adjoints begin a solve of their own at every output time.
    solves = outputs if name in ("adjoint", "seminorm", "interpolated") else 1
    assert len(found) <= steps(stats.forward) + backward + ONCE * solves


# --- the captured step


@pytest.mark.compiles
@pytest.mark.filterwarnings("error:not compiled")
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_a_compiled_step_is_one_captured_graph(outputs):
    field, y0, ts = problem(outputs)
    with torch.no_grad():
        for shift in range(3):
            ours = solve(field, y0 + shift, ts, compile=True, **TOLERANCES)
            plain = solve(field, y0 + shift, ts, **TOLERANCES)
            torch.testing.assert_close(ours.ys, plain.ys, rtol=1e-4, atol=1e-4)
        count = launches(lambda: solve(field, y0, ts, compile=True, **TOLERANCES))
        forward = solve(field, y0, ts, compile=True, **TOLERANCES).stats.forward
    assert forward.compile_s == 0
    # One for the choice of the first step.
    assert count == steps(forward) + 1


@pytest.mark.compiles
@pytest.mark.filterwarnings("error:not compiled")
@pytest.mark.parametrize("name", ["adjoint", "seminorm"])
def test_the_compiled_adjoint_is_captured_too(name):
    field, y0, ts = problem(3)
    settings = settings_of(name)
    for _ in range(3):
        gradients(field, y0, ts, compile=True, **settings)
    found, solution = gradients(field, y0, ts, compile=True, **settings)
    expected, plain = gradients(field, y0, ts, **settings)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    count = launches(lambda: gradients(field, y0, ts, compile=True, **settings))
    stats = solution.stats
    assert stats.compile_s == 0
    assert count == steps(stats.forward) + 1 + steps(stats.backward) + 2
    assert abs(stats.nfe_backward - plain.stats.nfe_backward) <= 12


class Driven(nn.Module):
    """A field that is pushed by a tensor which its owner replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, device="cuda")
        self.push = torch.zeros(2, device="cuda")

    def forward(self, t, y):
        rate = torch.tanh(self.linear(y)) + self.push
        return rate if self.training else -rate


@pytest.mark.compiles
@pytest.mark.filterwarnings("error:not compiled")
def test_a_captured_step_sees_what_has_changed():
    field, (_, y0, ts) = Driven(), problem()

    def same() -> None:
        ours = solve(field, y0, ts, compile=True, **TOLERANCES)
        plain = solve(field, y0, ts, **TOLERANCES)
        torch.testing.assert_close(ours.ys, plain.ys, rtol=1e-4, atol=1e-4)

    with torch.no_grad():
        for number in range(4):
            same()
            field.push = torch.full((2,), 0.1 * number, device="cuda")
            same()
            field.linear.weight.mul_(0.5)
            same()
            field.train(not field.training)
            same()
            field.linear.weight = nn.Parameter(torch.randn(2, 2, device="cuda"))


@pytest.mark.compiles
@pytest.mark.filterwarnings("error:not compiled")
def test_steps_through_which_autograd_goes_are_compiled_and_not_captured():
    field, y0, ts = problem(3)
    settings = settings_of("backprop")
    expected, _ = gradients(field, y0, ts, **settings)
    for _ in range(3):
        found, _ = gradients(field, y0, ts, compile=True, **settings)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert launches(lambda: gradients(field, y0, ts, compile=True, **settings)) == 0
