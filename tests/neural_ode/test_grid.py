"""Steps of given sizes: which there are, and what lies inside them."""

# Settings are plain dicts.
# pyright: reportArgumentType=false

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neural_ode import METHODS, solve
from tests.neural_ode.failing import times

F64 = torch.float64


def decay(t, y):
    return -y


@pytest.mark.parametrize(
    ("setting", "steps"),
    [
        ({}, 3),
        ({"step_size": 0.25}, 4),
        ({"step_size": 0.3}, 4),
        ({"step_size": 7.0}, 1),
        ({"step_size": 0.1}, 10),
        ({"grid": [0.0, 0.3, 0.31, 0.9, 1.0]}, 4),
        ({"grid": torch.linspace(0, 1, 6, dtype=F64)}, 5),
    ],
)
@pytest.mark.parametrize("method", ["midpoint", "dopri5"])
def test_steps_of_a_grid(method, setting, steps):
    adaptive_by_default = not setting and METHODS[method].adaptive
    if adaptive_by_default:
        setting = {"grid": [0.0, 0.2, 0.7, 1.0]}
    stats = solve(decay, times(1), times(0, 0.2, 0.7, 1), method=method, **setting).stats
    assert (stats.accepted, stats.rejected) == (steps, 0)
    assert stats.nfe_forward == {"midpoint": 2 * steps, "dopri5": 1 + 6 * steps}[method]


def test_grid_is_followed_to_the_letter():
    ys = solve(decay, times(1), times(0, 1), method="euler", grid=[0.0, 0.1, 0.4, 1.0]).ys
    assert ys[-1].item() == pytest.approx(0.9 * 0.7 * 0.4, rel=1e-15)


class Reads(TorchDispatchMode):
    """Counts how often a number is read out of a tensor, for which the host waits for a GPU."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("differentiable", [False, True])
@pytest.mark.parametrize("outputs", [2, 40])
def test_a_grid_reads_its_points_once_and_only_where_they_are_tensors(outputs, differentiable):
    ts = torch.linspace(0, 1, outputs, dtype=F64).requires_grad_(differentiable)
    with Reads() as reads:
        solve(decay, times(1), ts, method="rk4", step_size=0.1)
    assert reads.count == (11 if differentiable else 0)


@pytest.mark.parametrize(
    ("interpolation", "middle"),
    # One Euler step of y' = -y from 1 ends at 0; the slopes of the cubic there are -1 and 0.
    [("dense", 0.5), ("linear", 0.5), ("cubic", 0.5 - 1 / 8)],
)
def test_interpolation_inside_the_steps_of_a_grid(interpolation, middle):
    settings = {"method": "euler", "step_size": 1.0, "interpolation": interpolation}
    ys = solve(decay, times(1), times(0, 0.5, 1), **settings).ys
    torch.testing.assert_close(ys[:, 0], times(1, middle, 0), rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("begin", [0.0, 0.7, -3.0])
def test_the_rounding_of_the_times_adds_no_step(dtype, begin):
    for steps in range(1, 60):
        for h in (0.3, 0.1, 0.01):
            ts = torch.tensor([begin, begin + steps * h], dtype=dtype)
            stats = solve(decay, times(1), ts, method="euler", step_size=h).stats
            assert stats.accepted == steps


def test_small_steps_far_from_zero_are_all_taken():
    """Where the rounding of the times is some steps long."""
    ts = torch.tensor([1e6, 1e6 + 10], dtype=torch.float32)
    assert solve(decay, times(1), ts, method="euler", step_size=0.01).stats.accepted == 1000
