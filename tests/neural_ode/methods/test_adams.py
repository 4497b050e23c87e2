"""The method ``adams`` of ``solve``: what it refuses."""

# Wrong arguments are the subject here.
# pyright: reportArgumentType=false

import pytest
import torch

from neural_ode import Adjoint, odeint, solve
from tests.neural_ode.failing import Y0, Decay, says, times

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"step_size": 0.1}, "method 'adams' does not take step_size"),
        ({"compile": True}, "method 'adams' does not take compile"),
        ({"norm": torch.max}, "method 'adams' has a norm of its own, so norm must not be given"),
        (
            {"gradient": Adjoint(norm=lambda z, a, g: z.max())},
            "method 'adams' takes the adjoint norms 'rms' and 'seminorm' alone",
        ),
    ],
)
def test_settings_that_adams_does_not_know(settings, sentence):
    says(ValueError, sentence, lambda: solve(Decay(), Y0, times(0, 1), method="adams", **settings))


def test_adams_does_not_lose_a_gradient_in_silence():
    sentence = "method 'adams' runs in SciPy, where autograd cannot follow"

    def wanted():
        y0 = Y0.clone().requires_grad_()
        return solve(Decay(), y0, times(0, 1), method="adams").ys

    says(ValueError, sentence, wanted)
    with torch.no_grad():
        assert wanted().shape == (2, *Y0.shape)


class Growth(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(times(0.5))

    def forward(self, t, y):
        # At the first evaluation the parameter is not used.
        return self.rate * y if t > 0.1 else 0 * y


@pytest.mark.parametrize("method", ["adams", "scipy_solver"])
@pytest.mark.parametrize("call", [solve, odeint])
def test_nor_that_of_what_the_field_closes_over(method, call):
    """A function shows no parameters, nor does the field that odeint makes of a module."""
    rate = times(0.5).requires_grad_()
    module = torch.nn.Linear(1, 1).double()
    for field in (lambda t, y: -rate * y, lambda t, y: module(y)):
        with pytest.raises(ValueError, match="where autograd cannot follow"):
            call(field, times(1), times(0, 1), method=method)
        with torch.no_grad():
            assert call(field, times(1), times(0, 1), method=method) is not None
    with pytest.raises(ValueError, match="where autograd cannot follow"):
        call(Growth(), times(1), times(0, 1), method=method)
