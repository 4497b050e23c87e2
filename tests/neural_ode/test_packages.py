"""``odeint`` as torchcde and flow_matching call it, beside torchdiffeq's."""

# Settings are plain dicts.
# pyright: reportArgumentType=false

import pytest
import torch
from torch import nn

from tests.neural_ode.test_dropin import BOTH, F64, Layer, assert_all_close, gradients, times


def test_as_torchcde_calls_it():
    """A controlled equation: the grid of the path among the options, the seminorm on the way."""
    knots, values = torch.linspace(0, 1, 6, dtype=F64), torch.randn(6, 2, dtype=F64)

    class Controlled(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.func = nn.Linear(3, 6).to(F64)

        def forward(self, t, z):
            index = (torch.bucketize(t.detach(), knots) - 1).clamp(0, 4)
            slope = (values[index + 1] - values[index]) / (knots[index + 1] - knots[index])
            return (torch.tanh(self.func(z)).view(3, 2) @ slope[:, None]).squeeze(-1)

    runs = {
        "rk4": {"method": "rk4", "options": {"step_size": 0.2},
                "adjoint_options": {"step_size": 0.2, "norm": "seminorm"}},
        "dopri5": {"method": "dopri5", "options": {"jump_t": knots},
                   "adjoint_options": {"jump_t": knots, "norm": "seminorm"}},
    }  # fmt: skip
    for run in runs.values():
        settings = {"atol": 1e-7, "rtol": 1e-7, **run}
        ours, theirs = (
            gradients(p, "odeint_adjoint", Controlled(), times(1, 2, 3), **settings) for p in BOTH
        )
        assert_all_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun2", "heun3", "dopri5"])
def test_as_flow_matching_calls_it(method):
    """The velocity of a model, sampled at the ends, and its divergence beside it for densities."""
    model, x0 = Layer(), torch.randn(4, 3, dtype=F64)
    options = {} if method == "dopri5" else {"step_size": 0.05}

    def dynamics(t, states):
        with torch.enable_grad():
            x = states[0].requires_grad_()
            velocity = model(t, x)
            traces = [torch.autograd.grad(velocity[:, i].sum(), x, retain_graph=True)[0][:, i]
                      for i in range(3)]  # fmt: skip
        return velocity.detach(), torch.stack(traces).sum(0).detach()

    outs = []
    for package in BOTH:
        with torch.no_grad():
            run = {"method": method, "options": options, "atol": 1e-5, "rtol": 1e-5}
            outs.append(package.odeint(dynamics, (x0, torch.zeros(4, dtype=F64)), times(1, 0),
                                       **run))  # fmt: skip
    assert_all_close(*outs, rtol=1e-9, atol=1e-10)
