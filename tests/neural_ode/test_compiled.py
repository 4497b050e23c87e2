"""The compiled step gives what the plain one gives, is kept, and is done without where it must."""

import pytest
import torch
from torch._inductor import config

from neural_ode import Adjoint, Backprop, solve
from neural_ode.networks import MLPField

pytestmark = pytest.mark.usefixtures("unchecked")
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
