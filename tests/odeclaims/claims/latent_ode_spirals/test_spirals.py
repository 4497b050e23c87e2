"""The curves, their windows and the lookup."""

import math

import pytest
import torch

from odeclaims.claims.latent_ode_spirals.settings import (
    BEYOND,
    FIRST,
    GRID,
    LAST,
    LAST_SEEN,
    WINDOW,
)
from odeclaims.claims.latent_ode_spirals.spirals import (
    STEP,
    curves,
    draw_windows,
    look_up,
    stack,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_curves_have_their_radii_and_directions():
    clockwise, counter = curves()
    t = torch.linspace(0, 6 * math.pi, GRID, dtype=torch.float64)
    centre = torch.tensor([5.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close((counter - centre).norm(dim=1), 0.3 * t)
    torch.testing.assert_close((clockwise + centre).norm(dim=1), 15 / (6 * math.pi + 1 - t))
    assert float(t[1]) == pytest.approx(STEP)
    for curve, shift, sign in ((clockwise, centre, -1), (counter, -centre, 1)):
        x, y = (curve + shift).T[:, 50:]
        turned = x[:-1] * y[1:] - y[:-1] * x[1:]
        assert bool((sign * turned > 0).all())


def test_a_point_of_each_curve_by_hand():
    clockwise, counter = curves()
    assert counter[0].tolist() == [5.0, 0.0]
    # At t = 6 pi both angles are known: 1 and 6 pi.
    assert clockwise[-1].tolist() == pytest.approx([15 * math.cos(1) - 5, 15 * math.sin(1)])
    assert counter[-1].tolist() == pytest.approx([5 + 1.8 * math.pi, 0.0])


def test_no_window_leaves_its_curve():
    assert LAST + WINDOW + BEYOND - 1 < GRID
    assert LAST_SEEN == LAST + 99
    drawn = draw_windows(3000, 30, 0.0, generator())
    assert (int(drawn.starts.min()), int(drawn.starts.max())) == (FIRST, LAST)
    assert int(drawn.counter.sum()) == 1500
    i = int(drawn.starts.argmax())
    expected = curves()[int(drawn.counter[i]), LAST : LAST + 200].float()
    torch.testing.assert_close(drawn.truth[i], expected)


def test_observed_points_are_different_ones_in_order_with_the_noise_that_was_asked_for():
    drawn = draw_windows(400, 30, 0.2, generator())
    assert bool((drawn.places.diff(dim=1) > 0).all())
    assert (int(drawn.places.min()), int(drawn.places.max())) == (0, WINDOW - 1)
    noise = drawn.noisy - drawn.truth
    assert float(noise.std()) == pytest.approx(0.2, rel=0.01)
    torch.testing.assert_close(drawn.observed[7, 3], drawn.noisy[7, drawn.places[7, 3]])
    whole = draw_windows(5, WINDOW, 0.2, generator())
    torch.testing.assert_close(whole.observed, whole.noisy[:, :WINDOW])


def test_windows_repeat_and_stack():
    one, again, other = (draw_windows(6, 10, 0.1, generator(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(one.noisy, again.noisy)
    both = stack([one, other])
    assert both.noisy.shape == (2, 6, 200, 2)
    torch.testing.assert_close(both.observed[1], other.observed)
    assert both.double().truth.dtype == torch.float64


def test_the_lookup_finds_curve_and_start():
    windows = stack([draw_windows(40, 30, 0.0, generator())])
    torch.testing.assert_close(look_up(windows), windows.truth)
    noisy = stack([draw_windows(40, 30, 0.1, generator())])
    error = (look_up(noisy) - noisy.truth).square().mean().sqrt()
    assert 0 < float(error) < 0.2
