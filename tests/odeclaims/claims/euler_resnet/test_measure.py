"""What is measured, against many draws and calculation by hand."""

import math

import numpy as np
import pytest
import torch

from odeclaims.claims.euler_resnet.measure import _chain_gradient, expected_log, residual_network
from tests.odeclaims.claims.euler_resnet.example_rows import measure


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0])
def test_expected_log_is_the_mean_of_many_draws(shift, scale):
    w = scale * np.random.default_rng(0).standard_normal(1_000_000)
    sample = np.log(np.abs(shift + w))
    standard_error = sample.std() / math.sqrt(len(sample))
    distance = abs(expected_log(scale, shift) - sample.mean())
    assert distance < 4 * standard_error


def test_gradient_of_three_layers_is_the_tutorials():
    w = torch.tensor([[0.3], [-0.7], [1.9]], dtype=torch.float64)
    x0, (w2, w3) = torch.tensor([2.0], dtype=torch.float64), w[1:]
    plain = _chain_gradient(w, x0, skip=0.0)
    torch.testing.assert_close(plain, w3 * w2 * x0)
    residual = _chain_gradient(w, x0, skip=1.0)
    torch.testing.assert_close(residual, w3 * w2 * x0 + w3 * x0 + w2 * x0 + x0)


def test_residual_network_is_a_sum_of_its_layers():
    layers = [lambda x: x**2, torch.sin]
    x = torch.tensor([0.5], dtype=torch.float64)
    first = x + x**2
    network = residual_network(layers.__getitem__, 2, 1.0, x)
    torch.testing.assert_close(network, first + torch.sin(first))


def test_tied_layers_approach_the_ode_at_the_rate_of_euler():
    errors = [measure(part="limit", arm="tied", depth=n)["error"].item() for n in (32, 64)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_evaluations_of_the_ode_network_lie_on_its_trajectory():
    df = measure(part="portrait")
    ode = df[(df["part"] == "trajectory") & (df["arm"] == "ODE network") & (df["chain"] == 0)]
    evaluated, smooth = ode[ode["evaluated"] == True], ode[ode["evaluated"] == False]  # noqa: E712
    at = np.interp(evaluated["t"], smooth["t"], smooth["value"])
    np.testing.assert_allclose(evaluated["value"], at, atol=0.02)
