"""The choice of the first step."""

# What may be None fails a test all the same.
# pyright: reportArgumentType=false, reportCallIssue=false

import math

import numpy as np
import pytest
import torch
from scipy.integrate import RK23, RK45

from neural_ode.step.error import ErrorTest
from neural_ode.step.first import initial_step


@pytest.mark.parametrize(("order", "scipy"), [(3, RK23), (5, RK45)])
@pytest.mark.parametrize("t1", [10.0, -10.0])
@pytest.mark.parametrize("y0", [[0.4, -1.1], [0.0, 0.0]])
def test_first_step_is_scipys(order, scipy, t1, y0):
    def swing(t, y):
        return np.array([y[1], np.cos(t) - np.sin(y[0])])

    def evaluate(t, y, integral=False):
        return torch.from_numpy(swing(t.item(), y.numpy())), None

    y, rtol, atol = torch.tensor(y0, dtype=torch.float64), 1e-4, 1e-6
    f = evaluate(torch.tensor(0.0), y)
    direction = math.copysign(1, t1)
    ours = float(initial_step(evaluate, 0.0, direction, y, None, f, order, ErrorTest(rtol, atol)))
    theirs = scipy(swing, 0.0, np.array(y0), t1, rtol=rtol, atol=atol).h_abs
    assert ours == pytest.approx(theirs, rel=1e-12)
