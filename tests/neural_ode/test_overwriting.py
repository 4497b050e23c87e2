"""Fields that overwrite what they have returned, or the state they are called with.

The solution is that of the same field written without it, or one ValueError says what is wrong.
"""

# Settings are plain dicts.
# pyright: reportArgumentType=false, reportCallIssue=false

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neural_ode import Backprop, solve
from neural_ode.methods import NAMED
from neural_ode.methods.esdirk import ImplicitTableau
from tests.neural_ode.random_problems import F32, F64
from tests.neural_ode.ways import EVERY, FOR_EVERY_METHOD, method_for

pytestmark = pytest.mark.usefixtures("unchecked")
FILLED = "the field returns one tensor that it fills anew at each call"
CHANGED = "the field changes in place the state that it is called with"


class Turning(nn.Module):
    """A rotation with a drive; what it returns is a new tensor."""

    def __init__(self, dtype=F64, trained=False):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[-0.2, 3], [-3, 0.1]], dtype=dtype), trained)

    def forward(self, t, y):
        return y @ self.a.T + torch.sin(3 * t)


class Filling(Turning):
    """Returns the same memory each time, in one of several ways."""

    def __init__(self, way, *arguments):
        super().__init__(*arguments)
        self.way, self.outs = way, []

    def forward(self, t, y):
        f = super().forward(t, y)
        if not self.outs:
            self.outs = [torch.empty_like(f, requires_grad=False) for _ in range(2)]
        out = self.outs[0]
        if self.way == "numpy":
            np.copyto(out.numpy(), f.detach().numpy())
            return torch.from_numpy(out.numpy())
        if self.way == "in turn":
            self.outs.reverse()
        out.copy_(f)
        return out[...] if self.way == "view" else out


class Changing(Turning):
    """Changes its argument, in one of several ways."""

    def __init__(self, way, *arguments):
        super().__init__(*arguments)
        self.way = way

    def forward(self, t, y):
        f = super().forward(t, y)
        if self.way == "entry":
            y[..., 0] = 0
        elif self.way == "numpy":
            y.detach().numpy()[...] *= 2
        else:
            (y.data if self.way == "data" else y).mul_(2)
        return f


def problem(method, adaptive, dtype, direction=1):
    """Keyword arguments of ``solve`` for a few steps."""
    y0 = torch.tensor([[1.0, 0], [0.3, -1]], dtype=dtype)
    ts = direction * torch.tensor([0, 0.3, 1.1], dtype=dtype)
    chosen = {"y0": y0, "ts": ts, "method": method, "rtol": 1e-3, "atol": 1e-3}
    fixed = not (adaptive and NAMED[method].adaptive) and NAMED[method].integrate is None
    if fixed and NAMED[method].accepts("step_size"):
        chosen |= {"step_size": 0.07, "interpolation": "cubic"}
    return chosen


@settings(max_examples=30)
@given(
    way=st.sampled_from(["tensor", "view", "in turn", "numpy"]),
    method=st.sampled_from(list(NAMED)),
    adaptive=st.booleans(),
    dtype=st.sampled_from([F32, F64]),
    direction=st.sampled_from([1, -1]),
    grad=st.booleans(),
)
def test_a_field_that_fills_one_tensor_has_the_solution_of_one_that_does_not(
    way, method, adaptive, dtype, direction, grad
):
    chosen = problem(method, adaptive, dtype, direction)
    with torch.set_grad_enabled(grad):
        found, expected = (solve(f, **chosen).ys for f in (Filling(way, dtype), Turning(dtype)))
    # An iteration ends elsewhere where its matrix comes from differences.
    near = 1e-3 if isinstance(NAMED[method], ImplicitTableau) else 0
    torch.testing.assert_close(found, expected, rtol=near, atol=near)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_steps_that_fail_begin_again_with_the_slope_that_the_field_has_overwritten(mode):
    """A first step that is far too long is tried again and again."""
    chosen = problem("dopri5", True, F64) | {"first_step": 1.0, "rtol": 1e-8, "atol": 1e-8}
    with mode():
        solution = solve(Filling("tensor"), **chosen)
        assert solution.stats.forward.rejected >= 2
        assert torch.equal(solution.ys, solve(Turning(), **chosen).ys)


@pytest.mark.parametrize("way", ["tensor", "view", "in turn"])
@pytest.mark.parametrize("gradient", EVERY)
def test_a_gradient_through_such_a_field_is_an_error(way, gradient):
    chosen = problem(method_for(gradient), True, F64)
    with pytest.raises(ValueError, match=FILLED):
        solve(Filling(way, F64, True), gradient=EVERY[gradient], **chosen).ys.sum().backward()


def test_a_field_that_returns_one_tensor_and_leaves_it_as_it_is_has_a_gradient():
    rate = torch.ones(2, dtype=F64, requires_grad=True)
    y0, ts = torch.zeros(2, dtype=F64), torch.tensor([0, 0.5, 2], dtype=F64)
    solve(lambda t, y: rate, y0, ts).ys[-1].sum().backward()
    torch.testing.assert_close(rate.grad, torch.full_like(rate, 2))


@settings(max_examples=30)
@given(
    way=st.sampled_from(["whole", "entry", "data", "numpy"]),
    method=st.sampled_from(list(NAMED)),
    adaptive=st.booleans(),
    gradient=st.sampled_from(list(FOR_EVERY_METHOD.values())),
    inference=st.booleans(),
)
def test_a_field_that_changes_its_argument_is_an_error(way, method, adaptive, gradient, inference):
    chosen = problem(method, adaptive, F64)
    if not NAMED[method].one_step:
        gradient = Backprop()
    with torch.inference_mode(inference), pytest.raises(ValueError, match=CHANGED):
        solve(Changing(way), gradient=gradient, **chosen)


def test_a_field_that_changes_its_argument_later_on_is_an_error():
    def field(t, y):
        return y.mul_(2) if t > 0.5 else y

    with pytest.raises(ValueError, match=CHANGED):
        solve(field, torch.ones(1), torch.tensor([0.0, 1.0]))


def test_a_start_that_is_not_a_number_is_not_mistaken_for_a_change():
    solve(lambda t, y: torch.zeros_like(y), torch.full((2,), torch.nan), torch.zeros(1))
    with pytest.raises(RuntimeError, match="not finite"):
        solve(lambda t, y: -y, torch.full((2,), torch.nan), torch.tensor([0.0, 1.0]))


@pytest.mark.slow(reason="steps are compiled")
@pytest.mark.compiles
def test_compiled_steps_of_a_field_that_fills_one_tensor_are_right():
    """The compiler sees what is overwritten, and copies it where it must."""
    chosen = problem("euler", False, F64) | {"interpolation": "linear"}
    with torch.no_grad():
        ys = solve(Filling("tensor"), compile=True, **chosen).ys
        torch.testing.assert_close(ys, solve(Turning(), **chosen).ys)
