"""The norm of an error, and the ratio by which a step is judged."""

# What may be None fails a test all the same.
# pyright: reportArgumentType=false, reportCallIssue=false

import math

import pytest
import torch

from neural_ode import rms_norm
from neural_ode.step.error import ErrorTest


def test_rms_norm():
    assert rms_norm(torch.tensor([[3.0, 4.0]])) == pytest.approx(math.sqrt(12.5))
    assert rms_norm(torch.empty(0, 3)) == 0


def test_error_ratio_is_one_at_the_tolerance():
    y0, y1 = torch.tensor([1.0, -2.0]), torch.tensor([-3.0, 1.0])
    at_tolerance = 1e-3 + 1e-2 * torch.tensor([3.0, 2.0])
    test = ErrorTest(rtol=1e-2, atol=1e-3)
    ratio = test.measure(at_tolerance / test.scale(torch.maximum(y0.abs(), y1.abs())), None)
    assert float(ratio) == pytest.approx(1, rel=1e-6)
