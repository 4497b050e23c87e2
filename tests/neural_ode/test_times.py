"""The output times of a solve, and single times."""

# What may be None fails a test all the same.
# pyright: reportArgumentType=false, reportCallIssue=false

import math

import pytest
import torch

from neural_ode.times import Times, nudge


def test_nudge_passes_the_gradient():
    time = torch.tensor(2.0, requires_grad=True)
    nudge(time, math.inf).backward()
    assert nudge(time, math.inf) == torch.nextafter(time, torch.tensor(3.0))
    assert time.grad == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_times_are_floats_where_no_gradient_is_wanted(dtype):
    ts = torch.tensor([0.1, 0.7, 2.0], dtype=dtype)
    times = Times.read(ts)
    assert times.floats == times.points == ts.tolist()
    assert len(times) == 3
    with torch.no_grad():
        assert Times.read(ts.requires_grad_()).points == ts.tolist()


def test_times_are_tensors_where_their_gradient_is_wanted():
    ts = torch.tensor([0.1, 0.7], requires_grad=True)
    first, last = Times.read(ts).points
    assert isinstance(last, torch.Tensor)
    assert last.dtype == torch.float64
    (3 * last + first).backward()
    assert ts.grad is not None
    assert ts.grad.tolist() == [1, 3]


def test_direction_and_intervals():
    times = Times.read(torch.tensor([0.0, 1.0, 3.0]))
    assert times.direction == 1
    back = times.interval(2, 1)
    assert (back.floats, back.points, back.direction) == ([3.0, 1.0], [3.0, 1.0], -1)
    assert Times.read(torch.tensor([1.0, -1.0])).direction == -1
