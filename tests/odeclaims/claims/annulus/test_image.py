"""What maps in closed form make of disc, circle and ring."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural_ode.data import concentric_spheres
from odeclaims.claims.annulus.image import FrozenMap, circle_image, examine


def read_x(states: torch.Tensor) -> torch.Tensor:
    """A head: the first coordinate."""
    return states[:, :1]


def as_complex(x: torch.Tensor) -> torch.Tensor:
    return torch.complex(x[:, 0], x[:, 1])


def as_points(z: torch.Tensor) -> torch.Tensor:
    return torch.stack([z.real, z.imag], dim=1)


def test_the_identity_keeps_the_circle_around_the_disc():
    """The first coordinate is at most 0 on half of the circle, at most -1/2 on a third of it."""
    row = circle_image(FrozenMap(lambda x: x, read_x), least=-0.5)
    assert row["winding_number"] == 1
    assert row["bridge_share"] == pytest.approx(1 / 2, abs=1e-4)
    assert row["forced_share"] == pytest.approx(1 / 3, abs=1e-4)
    assert row["overhang"] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("features", "number"),
    [
        (lambda z: z * 1j + 7, 1),
        (lambda z: z.conj(), -1),
        (lambda z: z**2, 2),
        # The disc alone is taken away, which no homeomorphism can.
        (lambda z: torch.where(z.abs() < 0.75, z + 5, z), 0),
        # Centre and edge of the disc are torn apart: of 1 and 0 the latter is shown.
        (lambda z: torch.where(z.abs() < 0.25, z + 5, z), 0),
    ],
)
def test_winding_numbers(features, number):
    model = FrozenMap(lambda x: as_points(features(as_complex(x))), read_x)
    assert circle_image(model, least=0.0)["winding_number"] == number


@given(st.floats(-8, 0))
def test_a_thin_bridge_is_found_and_measure(exponent):
    """Angles go to 2 atan(k tan(angle / 2)): the circle is pushed to one side but for an arc.

    The first coordinate is at most 0 where tan(angle / 2) is at least 1 / k.
    """
    k = 10**exponent

    def features(x):
        half = torch.atan2(x[:, 1], x[:, 0]) / 2
        turned = 2 * torch.atan2(k * half.sin(), half.cos())
        return x.norm(dim=1)[:, None] * torch.stack([turned.cos(), turned.sin()], dim=1)

    row = circle_image(FrozenMap(features, read_x), least=-0.5)
    assert row["winding_number"] == 1
    assert row["bridge_share"] == pytest.approx(2 * math.atan(k) / math.pi, rel=1e-2)
    assert row["forced_share"] == pytest.approx(
        2 * math.atan(k / math.tan(math.pi / 3)) / math.pi, rel=1e-2
    )
    assert row["overhang"] == pytest.approx(0.5, abs=1e-3)


def test_a_torn_circle_has_no_winding_number():
    torn = FrozenMap(lambda x: x + 3.0 * (x[:, :1] > 0.1), read_x)
    assert circle_image(torn, least=-0.5)["winding_number"] is None


def test_in_three_dimensions_there_is_nothing_to_wind_about():
    lifted = FrozenMap(
        lambda x: torch.cat([x, x.norm(dim=1, keepdim=True)], dim=1), lambda y: y[:, 2:] - 0.75
    )
    row = circle_image(lifted, least=-0.25)
    assert row["winding_number"] is None
    assert row["bridge_share"] == row["forced_share"] == 0
    assert row["overhang"] == pytest.approx(-0.5)


@pytest.mark.parametrize(("dim", "share"), [(1, 1 / 2), (2, 5 / 6)])
def test_accuracies_are_weighted_by_volume(dim, share):
    """Ball and shell have volumes 1 and 1 on a line, pi / 4 and 5 pi / 4 in the plane."""
    data = concentric_spheres(10, 30, dim, generator=torch.Generator().manual_seed(0))
    always = examine(FrozenMap(lambda x: x, lambda y: torch.ones_like(y[:, :1])), data, 24)
    assert always["dense_accuracy"] == pytest.approx(share)
    assert always["training_accuracy"] == pytest.approx(3 / 4)
    assert (always["inner_accuracy"], always["outer_accuracy"]) == (0, 1)
    # The ball has a third of the weight, and is off by 2.
    assert always["mse"] == pytest.approx(4 / 3)
    radius = examine(FrozenMap(lambda x: x, lambda y: y.norm(dim=1, keepdim=True) - 0.75), data, 24)
    assert radius["dense_accuracy"] == radius["training_accuracy"] == 1
    assert radius["bridge_share"] == radius["forced_share"] == 0


@given(st.floats(0.01, 100), st.floats(-3, 3))
def test_a_monotone_map_stays_above_the_floor(slope, shift):
    """On a line every monotone map has an error of 2/3 or more, and one end beyond the ball."""
    data = concentric_spheres(10, 20, 1, generator=torch.Generator().manual_seed(0))
    row = examine(FrozenMap(lambda x: torch.tanh(slope * x + shift), lambda y: y), data, 24)
    assert float(str(row["mse"])) >= 2 / 3
    assert float(str(row["overhang"])) >= 0
    assert float(str(row["forced_share"])) >= 1 / 2
