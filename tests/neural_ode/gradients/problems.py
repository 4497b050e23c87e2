"""Fields and settings that the tests of the gradients share."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

from dataclasses import replace

import torch
from torch import nn

from tests.neural_ode.ways import EVERY, FOR_EVERY_METHOD

F64 = torch.float64
TOL = 1e-8
# The adjoint is the gradient of the exact flow, so its steps must be small for a finite difference
# of the computed one to agree.
SETTINGS = {
    "adaptive": {"method": "dopri5", "rtol": TOL, "atol": TOL},
    "fixed": {"method": "rk4", "step_size": 0.05},
    "grid": {"method": "rk4_classic", "grid": torch.linspace(0, 1, 21, dtype=F64).tolist()},
}
TIMES = {"one": (0.0, 1.0), "several": (0.0, 0.32, 0.7, 1.0), "decreasing": (1.0, 0.55, 0.3, 0.0)}


def gradient_of(name):
    """The way to the gradient of this name, for these parameters where it takes any."""

    def of(params=None):
        way = EVERY[name]
        return replace(way, params=params) if hasattr(way, "params") else way

    return of


GRADIENTS = {name: gradient_of(name) for name in FOR_EVERY_METHOD}


def times(*values):
    return torch.tensor(values, dtype=F64)


def seasonal(w, b):
    """A nonlinear field of two dimensions that depends on the time and on two parameters."""
    return lambda t, y: torch.tanh(w @ y + b * torch.cos(2 * t))


Y0 = times(0.4, -0.7)
W = torch.tensor([[0.3, 1.1], [-0.9, 0.2]], dtype=F64)
B = times(0.5, -0.3)


def inputs():
    return [x.clone().requires_grad_() for x in (Y0, W, B)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(W.clone()), nn.Parameter(B.clone())

    def forward(self, t, y):
        return seasonal(self.w, self.b)(t, y)
