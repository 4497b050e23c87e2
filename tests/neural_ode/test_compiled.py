"""The compiled step gives what the plain one gives, is kept, and is done without where it must."""

import math
import re

import pytest
import torch
from torch._inductor import config

from neural_ode import (
    METHODS,
    Adjoint,
    Backprop,
    PIController,
    SolverFailure,
    StepLimit,
    compiled,
    run,
    solve,
)
from neural_ode.field import Plain
from neural_ode.methods.coupled import Coupled
from neural_ode.networks import MLPField
from neural_ode.run import Run
from neural_ode.settings import Settings
from neural_ode.solution import Counts

pytestmark = [pytest.mark.usefixtures("unchecked"), pytest.mark.compiles]
SETTINGS = {"method": "adaptive_heun", "rtol": 1e-3, "atol": 1e-3}


def problem(seed=0):
    generator = torch.Generator().manual_seed(seed)
    field = MLPField(2, 4, depth=1, generator=generator)
    return field, torch.randn(3, 2, generator=generator), torch.tensor([0.0, 0.4, 1.0])


def gradients(field, y0, ts, gradient, **settings):
    field.zero_grad()
    y0 = y0.clone().requires_grad_()
    solution = solve(field, y0, ts, gradient=gradient, **settings)
    solution.ys.square().sum().backward()
    return [y0.grad, *(p.grad for p in field.parameters())], solution.stats


def test_compiled_steps_keep_the_method_whose_address_is_their_name():
    """Else another method could come to lie there, and be solved by the steps of this one."""
    field, y0, _ = problem()
    method = Coupled(METHODS["rk4"], 0.3)
    run = Run(Plain(field, y0), y0, None, Settings(method, step_size=0.25, compile=True), Counts())
    assert run.compiled is not None
    assert run.compiled.method is method


# What could not be compiled would give the right numbers too, and a warning.
@pytest.mark.filterwarnings("error:not compiled")
@pytest.mark.slow  # Compiling takes seconds.
def test_compiled_forward_solve_is_the_plain_one_and_is_compiled_once():
    field, y0, ts = problem()
    with torch.no_grad():
        plain = solve(field, y0, ts, **SETTINGS)
        first = solve(field, y0, ts, compile=True, **SETTINGS)
        again = solve(field, y0 + 1, ts, compile=True, **SETTINGS)
    torch.testing.assert_close(first.ys, plain.ys, rtol=1e-5, atol=1e-6)
    counts = [s.stats.forward for s in (plain, first)]
    assert len({(c.nfe, c.accepted, c.rejected) for c in counts}) == 1
    assert plain.stats.compile_s == 0
    assert first.stats.compile_s > 0
    assert again.stats.compile_s == 0


# What could not be compiled would give the right numbers too, and a warning.
@pytest.mark.filterwarnings("error:not compiled")
@pytest.mark.slow  # Compiling takes seconds.
def test_the_compiled_loop_over_steps_takes_the_plain_steps():
    field, y0, ts = problem(3)
    ts, settings = ts[1:], {"method": "bosh3", "rtol": 1e-4, "atol": 1e-6}
    with torch.no_grad():
        plain = solve(field, y0, ts, **settings)
        ours = solve(field, y0, ts, compile=True, **settings)
        again = solve(field, y0 + 1, ts, compile=True, **settings)
    torch.testing.assert_close(ours.ys, plain.ys, rtol=1e-5, atol=1e-6)
    assert counts(ours) == counts(plain)
    assert ours.stats.forward.compile_s > 0
    assert again.stats.forward.compile_s == 0
    # Without the loop the steps would be taken one by one, and nobody would notice.
    steps = next(reversed(compiled._kept.values()))
    assert steps.loop is not None
    assert steps.loop.ready not in (None, compiled._nothing)


@pytest.mark.filterwarnings("error:not compiled")
@pytest.mark.slow  # Compiling takes seconds.
def test_a_jump_at_the_first_time_is_not_for_the_compiled_loop():
    def field(t, y):
        return torch.where(t < 0.5, -1.0, 3.0) + 0 * y

    y0, ts = torch.zeros(3), torch.tensor([0.5, 0.0])
    with torch.no_grad():
        solved = solve(field, y0, ts, compile=True, jump_t=[0.5], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(solved.ys[-1], torch.full((3,), 0.5))
    assert solved.stats.rejected == 0


def counts(solution) -> tuple[int, int, int]:
    forward = solution.stats.forward
    return forward.nfe, forward.accepted, forward.rejected


def chirp(t, y):
    """Ever faster waves, so that steps grow too long again and again."""
    return 20 * torch.cos(20 * t * t) - y


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "tsit5", "controller": PIController()},
        {"method": "bosh3", "min_step": 0.05},
        {"max_step": 0.07},
        {"first_step": 0.5},
    ],
)
@pytest.mark.parametrize("ts", [[0.0, 1.0], [0.0, 0.3, 0.31, 2.0], [1.0, 0.5, -1.0]])
def test_the_loop_takes_the_steps_that_are_taken_one_by_one(stand_in, settings, ts):
    y0, ts = torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor(ts, dtype=torch.float64)
    with torch.no_grad():
        plain = solve(chirp, y0, ts, rtol=1e-4, atol=1e-6, **settings)
        ours = solve(chirp, y0, ts, rtol=1e-4, atol=1e-6, compile=True, **settings)
    torch.testing.assert_close(ours.ys, plain.ys, rtol=1e-8, atol=1e-8)
    assert counts(ours) == counts(plain)
    assert "max_step" in settings or "min_step" in settings or plain.stats.rejected > 0


def test_large_states_are_compiled_step_by_step(stand_in, monkeypatch):
    monkeypatch.setattr(run, "LOOPED_ENTRIES", 1)
    before = set(compiled._kept)
    y0, ts = torch.ones(2, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    with torch.no_grad():
        solve(lambda t, y: -y, y0, ts, compile=True)
    (made,) = (steps for key, steps in compiled._kept.items() if key not in before)
    assert made.loop is None
    assert made.advance.ready is not None


def blow_up(t, y):
    return y**2


def not_a_number(t, y):
    return torch.where(t > 0.5, torch.nan, 1.0) * torch.ones_like(y)


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        (chirp, {"max_num_steps": 5}),
        (blow_up, {}),
        (not_a_number, {}),
        (not_a_number, {"min_step": 0.1}),
        (lambda t, y: math.nan * y, {}),
    ],
)
def test_the_loop_fails_where_single_steps_do_and_says_the_same(stand_in, field, settings):
    y0, ts = torch.ones(1, dtype=torch.float64), torch.tensor([0.0, 2.0], dtype=torch.float64)
    found = []
    for compiling in (False, True):
        with torch.no_grad(), pytest.raises(SolverFailure) as failure:
            solve(field, y0, ts, **{"rtol": 1e-5, "atol": 1e-9, **settings}, compile=compiling)
        # Before a pole the last steps are a few roundings long, and what rounds is their size.
        sentence = re.sub(r"the step \S+ at", "the step at", str(failure.value))
        found.append((type(failure.value), sentence))
    assert found[0] == found[1]


def test_the_loop_tells_of_an_overflow_that_no_error_shows(stand_in):
    """Constant slopes have no error, however large the state becomes."""
    y0, ts, slope = torch.zeros(1), torch.tensor([0.0, 2e7]), torch.finfo(torch.float32).max / 3e6
    found = []
    for compiling in (False, True):
        with torch.no_grad(), pytest.raises(SolverFailure) as failure:
            solve(
                lambda t, y: torch.full_like(y, slope),
                y0,
                ts,
                rtol=1e-3,
                atol=1e-3,
                compile=compiling,
            )
        found.append(str(failure.value))
    assert found[0] == found[1]
    assert "not finite near the output at t=20000000" in found[1]


def wall(t, y):
    return torch.where(y > 0.887, 1e30, 1.0).to(y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("field", [lambda t, y: 60 * y, wall])
def test_the_loop_ends_where_steps_bring_nothing(stand_in, dtype, field):
    """It hands such a solve over to the loop outside, whose sentence comes out."""
    y0, ts = torch.full((2,), 0.5, dtype=dtype), torch.tensor([0.0, 13.0])
    found, chosen = [], {"rtol": 1e-4, "atol": 1e-6, "max_num_steps": 5000}
    for compiling in (False, True):
        with torch.no_grad(), pytest.raises(SolverFailure) as failure:
            solve(field, y0, ts, compile=compiling, **chosen)
        assert not isinstance(failure.value, StepLimit)
        found.append((type(failure.value), failure.value.t))
    assert found[0][0] is found[1][0]
    # The norm of an error near the largest number overflows sooner in a compiled step.
    assert found[0][1] == pytest.approx(found[1][1], rel=5e-2)


# What could not be compiled would give the right numbers too, and a warning.
@pytest.mark.filterwarnings("error:not compiled")
@pytest.mark.slow  # Compiling takes seconds.
@pytest.mark.parametrize("gradient", [Adjoint(), Backprop()])
def test_compiled_gradients_are_the_plain_ones(gradient):
    plain, _ = gradients(*problem(), gradient, **SETTINGS)
    ours, stats = gradients(*problem(), gradient, compile=True, **SETTINGS)
    for value, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    assert stats.compile_s > 0


def test_changed_weights_are_seen(monkeypatch):
    """Weights are inputs of what is compiled, here by a stand-in that leaves it as it is."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    field, y0, ts = problem(1)
    with torch.no_grad():
        before = solve(field, y0, ts, compile=True, **SETTINGS).ys
        next(field.parameters()).mul_(2)
        after = solve(field, y0, ts, compile=True, **SETTINGS).ys
        plain = solve(field, y0, ts, **SETTINGS).ys
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.slow(reason="compiling is tried")
def test_without_a_compiler_a_warning_says_so_and_the_solve_goes_on():
    field, y0, ts = problem(2)
    with (
        torch.no_grad(),
        config.patch({"cpp.cxx": ("no-such-compiler",), "fx_graph_cache": False}),
        pytest.warns(UserWarning, match="not compiled, so run as it is: "),
    ):
        ours = solve(field, y0, ts, compile=True, **SETTINGS)
    with torch.no_grad():
        plain = solve(field, y0, ts, **SETTINGS)
    torch.testing.assert_close(ours.ys, plain.ys, rtol=1e-5, atol=1e-6)
    assert ours.stats.nfe_forward == plain.stats.nfe_forward


def test_the_fields_own_error_comes_out_as_it_is():
    def field(t, y):
        raise RuntimeError("no slope here")

    with pytest.raises(RuntimeError, match=r"^no slope here$"):
        solve(field, torch.zeros(2), torch.tensor([0.0, 1.0]), compile=True)


class Counting(torch.nn.Module):
    """A field that does not look the same at any two evaluations, as one that counts them may."""

    count = 0

    def forward(self, t, y):
        self.count += 1
        return -y if self.count % 2 else -1.0 * y


def test_a_field_that_every_call_changes_is_run_as_it_is_after_a_while(monkeypatch):
    compile_ = torch.compile
    # Without code at the end of it, a graph is made in a tenth of a second.
    monkeypatch.setattr(
        torch, "compile", lambda f, *, options, **other: compile_(f, backend="eager", **other)
    )
    field, y0, ts = Counting(), torch.ones(2), torch.tensor([0.0, 0.4, 1.0])
    with torch.no_grad():
        plain = solve(field, y0, ts, **SETTINGS)
        field.count = 0
        with pytest.warns(UserWarning, match="such as a counter, changes at every call"):
            ours = solve(field, y0, ts, compile=True, **SETTINGS)
        assert field.count == plain.stats.nfe_forward
        # The start of a solve is compiled apart, and called once a solve.
        with pytest.warns(UserWarning, match="such as a counter, changes at every call"):
            later = [
                solve(field, y0, ts, compile=True, **SETTINGS) for _ in range(compiled.PATIENCE + 1)
            ]
    for one in (ours, *later):
        torch.testing.assert_close(one.ys, plain.ys)
        assert one.stats.nfe_forward == plain.stats.nfe_forward
    assert later[-1].stats.compile_s == 0
