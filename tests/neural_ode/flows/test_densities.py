"""Circles and moons: samples, exact densities, entropies."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from neural_ode.flows.densities import Circles, Moons

DENSITIES = [Circles(), Circles(0.2, 0.3), Moons(), Moons(0.15)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def curves(density, count=4000) -> np.ndarray:
    """Points spaced evenly over both curves, by scikit-learn's formulas."""
    if isinstance(density, Circles):
        t = np.linspace(0, 2 * np.pi, count, endpoint=False)
        outer = np.stack([np.cos(t), np.sin(t)], axis=1)
        return np.concatenate([outer, density.factor * outer])
    t = (np.arange(count) + 0.5) * np.pi / count
    outer = np.stack([np.cos(t), np.sin(t)], axis=1)
    return np.concatenate([outer, np.stack([1 - np.cos(t), 1 - np.sin(t) - 0.5], axis=1)])


@pytest.mark.parametrize("density", DENSITIES)
def test_the_density_is_a_mixture_along_the_curves(density):
    x = density.sample(30, generator()).double()
    squares = ((x.numpy()[:, None] - curves(density)) ** 2).sum(-1)
    kernel = np.exp(-0.5 * squares / density.noise**2) / (2 * math.pi * density.noise**2)
    expected = torch.from_numpy(np.log(kernel.mean(axis=1)))
    torch.testing.assert_close(density.log_prob(x), expected, atol=1e-5, rtol=0)
    # And in float32, in which data come.
    torch.testing.assert_close(density.log_prob(x.float()).double(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("noise", [0.5, 2.0, 8.0])
def test_moons_of_a_wide_noise_are_a_mixture_too(noise):
    test_the_density_is_a_mixture_along_the_curves(Moons(noise=noise))


@pytest.mark.slow(reason="a density is integrated over a fine grid")
@pytest.mark.parametrize("density", DENSITIES)
def test_the_density_integrates_to_one(density):
    # At this width the sum over a Gaussian differs from its integral by less than 1e-30.
    width = density.noise / 2
    axis = torch.arange(-3, 4, width, dtype=torch.float64)
    total = density.log_prob(torch.cartesian_prod(axis, axis)).exp().sum()
    assert total * width**2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("density", DENSITIES)
def test_the_entropy_is_the_mean_of_samples(density):
    losses = -density.log_prob(density.sample(20_000, generator(1)).double())
    error = float(losses.std()) / math.sqrt(len(losses))
    assert float(losses.mean()) == pytest.approx(density.entropy, abs=4 * error)


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        (Circles(0.06, 0.5), 0.788),
        (Circles(0.08, 0.5), 3.268 - 2 * math.log(3)),
        (Moons(0.05), 0.292),
        (Moons(0.07), 0.639),
        (Moons(0.1), 1.010),
        (Moons(0.1), 2.396 - 2 * math.log(2)),
    ],
)
def test_the_floors_are_those_of_the_fact_sheet(density, expected):
    """Its figures for moons lie 0.003 higher, which sample means tell to be its own error."""
    assert density.entropy == pytest.approx(expected, abs=0.0035)


def test_the_entropy_of_circles_by_a_radial_integral():
    density = Circles(0.1, 0.5)

    def integrand(radius: float) -> float:
        x = torch.tensor([radius, 0.0], dtype=torch.float64)
        log_prob = float(density.log_prob(x))
        return -2 * math.pi * radius * math.exp(log_prob) * log_prob

    value, _ = integrate.quad(integrand, 0, 2, epsabs=1e-10, limit=200)
    assert density.entropy == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("density", DENSITIES)
def test_samples_lie_around_the_curves(density):
    x = density.sample(2000, generator())
    assert x.shape == (2000, 2)
    assert torch.equal(x, density.sample(2000, generator()))
    squares = ((x.numpy()[:, None] - curves(density, 500)) ** 2).sum(-1)
    nearest = squares.argmin(axis=1)
    # Half of them on either curve, as near to it as the noise lets them be.
    assert (nearest < 500).mean() == pytest.approx(0.5, abs=0.05)
    assert np.sqrt(squares.min(axis=1)).mean() < density.noise


def test_a_bad_shape_of_the_data_is_refused():
    with pytest.raises(ValueError, match="noise is 0, expected a positive finite number"):
        Moons(0)
    with pytest.raises(ValueError, match=r"factor is 1\.5, expected a number from 0 to 1"):
        Circles(factor=1.5)
