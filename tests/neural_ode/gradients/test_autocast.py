"""A solve under autocast: the way back calls the same field as the way there."""

# A missing gradient fails a test all the same; settings are plain dicts; odeint gives a tensor or a
# tuple.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from neural_ode import odeint, solve
from tests.neural_ode.ways import EVERY, ONCE, method_for

HALF = torch.bfloat16
PAIRS = {(name, method_for(name, method)) for name in EVERY for method in ("dopri5", "rk4")}
PAIRS = sorted(PAIRS | {("adjoint", "adams"), ("backprop", "kvaerno3")})


class Layer(nn.Module):
    """A layer whose product of matrices autocast takes in half precision."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for each in self.parameters():
                each.copy_(torch.randn(each.shape, generator=generator) / 3)

    def forward(self, t, y):
        return torch.tanh(self.layer(y)).to(y.dtype)


class UnderAutocast(Layer):
    """The same layer, which turns autocast on for itself."""

    def forward(self, t, y):
        with torch.autocast("cpu", HALF):
            return super().forward(t, y)


def gradients(field, way, method, *, inside=False, on=False):
    """The gradients by the state and the parameters; under autocast where it is ``on``."""
    y0 = torch.linspace(-1, 1, 8).reshape(2, 4).requires_grad_()
    chosen = {"step_size": 0.25} if method == "rk4" else {"rtol": 1e-2, "atol": 1e-2}
    with torch.autocast("cpu", HALF, enabled=on):
        ys = solve(field, y0, torch.tensor([0.0, 0.4, 1]), method=method, gradient=way, **chosen).ys
        loss = ys.square().sum()
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    return [y0.grad, *(p.grad for p in field.parameters())]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_the_way_back_calls_the_field_as_the_way_there_did(name, method, inside):
    way = EVERY[name]
    expected, seen = gradients(UnderAutocast(), way, method), []
    field = Layer()
    field.layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    found = gradients(field, way, method, inside=inside, on=True)
    assert set(seen) == {HALF}
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ONCE)
def test_a_solve_without_autocast_goes_back_without_it(name):
    """Whoever calls ``backward`` under autocast gets the gradient of what was solved."""

    def gradient(on):
        field, y0 = Layer(), torch.linspace(-1, 1, 4).requires_grad_()
        chosen = {"method": method_for(name), "gradient": ONCE[name]}
        ys = solve(field, y0, torch.tensor([0.0, 1]), **chosen).ys
        with torch.autocast("cpu", HALF, enabled=on):
            ys.sum().backward()
        return y0.grad

    assert torch.equal(gradient(True), gradient(False))


@pytest.mark.parametrize("name", EVERY)
def test_a_field_that_cannot_be_called_is_explained_under_autocast_too(name, unchecked):
    wrong, params = (lambda y: -y), {"params": ()} if hasattr(EVERY[name], "params") else {}
    messages = []
    for on in (False, True):
        with torch.autocast("cpu", HALF, enabled=on), pytest.raises(TypeError) as caught:
            solve(wrong, torch.ones(2), torch.tensor([0.0, 1]), method=method_for(name),
                  gradient=replace(EVERY[name], **params))  # fmt: skip
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("dtype", [torch.float16, HALF])
@pytest.mark.parametrize("cast_to", [torch.float16, HALF])
def test_a_tuple_in_half_precision_is_solved_under_either_autocast(dtype, cast_to):
    y0, ts = (torch.ones(2, 2, dtype=dtype), torch.ones(3, dtype=dtype)), torch.tensor([0.0, 1])

    def field(t, y):
        return y[0] @ -torch.eye(2, dtype=dtype), -y[1]

    with torch.autocast("cpu", cast_to):
        parts = odeint(field, y0, ts, rtol=1e-3, atol=1e-3)
    for part, start in zip(parts, y0, strict=True):
        assert part.dtype == dtype
        torch.testing.assert_close(part[-1], math.exp(-1) * start, atol=1e-2, rtol=0)
