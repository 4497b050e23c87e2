"""A tolerance that the dtype of the state cannot meet ends the solve with one sentence."""

# Settings are plain dicts.
# pyright: reportArgumentType=false

import pytest
import torch
from torch import nn

from neural_ode import Adjoint, InterpolatedAdjoint, StepUnderflow, odeint, odeint_adjoint, solve
from tests.neural_ode.failing import says, times
from tests.neural_ode.random_problems import F32, F64

pytestmark = pytest.mark.usefixtures("unchecked")
OUT_OF_REACH = "the tolerance is far below the rounding of the state in"


class Net(nn.Module):
    """A small field that ends a solve of too many evaluations."""

    def __init__(self, dtype, most=3000):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype)
        self.left = most

    def forward(self, t, y):
        self.left -= 1
        assert self.left > 0, "the solve seems to have no end"
        return self.layers(y) * (1 + t)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3", "tsit5", "adaptive_heun"])
@pytest.mark.parametrize(
    ("dtype", "tolerances"),
    [
        (F32, {"rtol": 0, "atol": 1e-30}),
        (F32, {"rtol": 1e-16, "atol": 1e-16}),
        (F64, {"rtol": 0, "atol": 1e-30}),
        (F64, {"rtol": 1e-60, "atol": 0}),
    ],
)
def test_a_tolerance_out_of_reach_ends_the_solve_soon(method, dtype, tolerances):
    with torch.no_grad(), pytest.raises(StepUnderflow) as caught:
        odeint(Net(dtype), torch.ones(2, dtype=dtype), times(0, 1), method=method, **tolerances)
    # A step may be so small before that, that it leaves the state or the time as it is.
    moves = ("too small to move the state", "too small to move the time")
    assert any(words in str(caught.value) for words in (OUT_OF_REACH, *moves))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("back", "dtype"), [(1e-30, F64), (1e-18, F32)])
def test_the_way_back_of_an_adjoint_ends_so_too(back, dtype):
    y0 = torch.ones(2, dtype=dtype, requires_grad=True)
    loose = {"rtol": 1e-4, "atol": 1e-4}
    ys = odeint_adjoint(Net(dtype), y0, times(0, 1), **loose, adjoint_rtol=back, adjoint_atol=back)
    assert isinstance(ys, torch.Tensor)
    with pytest.raises(StepUnderflow, match=f"on the adjoint's way back {OUT_OF_REACH}") as caught:
        ys.sum().backward()
    assert "cannot be reversed" not in str(caught.value)


def test_a_norm_of_the_parameters_gradients_alone_does_not_hide_it():
    y0 = torch.ones(2, dtype=F64, requires_grad=True)
    gradient = Adjoint(
        rtol=1e-30, atol=1e-30, norm=lambda z, a, g: torch.stack([x.abs().max() for x in g]).max()
    )
    ys = solve(Net(F64), y0, times(0, 1), rtol=1e-4, atol=1e-4, gradient=gradient).ys
    with pytest.raises(StepUnderflow, match=OUT_OF_REACH):
        ys.sum().backward()


@pytest.mark.parametrize("tolerance", [1e-8, 1e-10])
def test_a_tolerance_a_little_below_the_rounding_is_taken(tolerance):
    """Many ask for 1e-9 in float32, and get what float32 has."""
    ends = [
        solve(Net(d), torch.ones(2, dtype=d), times(0, 1), rtol=tol, atol=tol).ys[-1]
        for d, tol in ((F32, tolerance), (F64, 1e-10))
    ]
    torch.testing.assert_close(ends[0].double(), ends[1], rtol=1e-5, atol=1e-6)


def test_a_large_entry_that_stays_the_same_does_not_count():
    """An absolute tolerance is far below its rounding, which no step has to meet."""

    def field(t, y):
        return torch.stack([torch.cos(2e6 * t), 0 * t])

    y0 = torch.tensor([0, 1e20], dtype=F64)
    chosen = {"rtol": 1e-300, "atol": 1e-7, "max_num_steps": 300}
    with pytest.raises(RuntimeError, match="300 steps taken"):
        solve(field, y0, times(0, 10), **chosen)


@pytest.mark.parametrize("name", ["rtol", "atol"])
@pytest.mark.parametrize("gradient", [None, Adjoint, InterpolatedAdjoint])
def test_a_tolerance_that_the_dtype_does_not_have_is_named(name, gradient):
    chosen = {"rtol": 1e-3, "atol": 1e-3}
    if gradient is None:
        chosen[name] = 1e-300
    else:
        chosen["gradient"] = gradient(**{name: 1e-300})
    says(
        ValueError,
        f"{name} is 1e-300, below the smallest number of torch.float32, 1.18e-38",
        lambda: solve(Net(F32), torch.ones(2), times(0, 1), **chosen),
    )


@pytest.mark.compiles
def test_a_compiled_solve_ends_so_too(stand_in):
    def field(t, y):
        return torch.stack([y[1], -torch.sin(y[0])])

    chosen = {"rtol": 1e-30, "atol": 1e-30, "compile": True}
    with torch.no_grad(), pytest.raises(StepUnderflow, match=OUT_OF_REACH):
        solve(field, torch.ones(2, dtype=F64), times(0, 1), **chosen)
