"""Windows of two spirals, of which some points are observed with noise.

Source: the released example of torchdiffeq, ``latent_ode.py``: r = 0.3 * 50 / (6 pi + 1 - t) around
(-5, 0), clockwise, and r = 0.3 t around (5, 0), counter-clockwise, for t in [0, 6 pi].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from odeclaims.claims.latent_ode_spirals.settings import BEYOND, FIRST, GRID, LAST, WINDOW

STOP = 6 * math.pi
# The time between two points of a curve.
STEP = STOP / (GRID - 1)


def curves() -> Float64[Tensor, "2 grid 2"]:
    """The clockwise and the counter-clockwise spiral on the grid of times."""
    t = torch.linspace(0, STOP, GRID, dtype=torch.float64)
    inwards = STOP + 1 - t
    return torch.stack([_around(-5, 15 / inwards, inwards), _around(5, 0.3 * t, t)])


def _around(centre: float, radius: Tensor, angle: Tensor) -> Float64[Tensor, "grid 2"]:
    return torch.stack([radius * angle.cos() + centre, radius * angle.sin()], dim=-1)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of the curves, with the points beyond them; the first dimension may be of seeds.

    Attributes:
        counter: whether the curve is the counter-clockwise one.
        starts: the place of the first point on the curve.
        truth: the points of the window and those beyond, without noise.
        noisy: the same with noise.
        places: which points of the window are observed, in order.
    """

    counter: Bool[Tensor, "*seeds series"]
    starts: Int64[Tensor, "*seeds series"]
    truth: Float[Tensor, "*seeds series points 2"]
    noisy: Float[Tensor, "*seeds series points 2"]
    places: Int64[Tensor, "*seeds series count"]

    @property
    def observed(self) -> Float[Tensor, "*seeds series count 2"]:
        """The observed points."""
        return at_places(self.noisy, self.places)

    def double(self) -> "Windows":
        """The same in float64."""
        truth, noisy = self.truth.double(), self.noisy.double()
        return Windows(self.counter, self.starts, truth, noisy, self.places)


def at_places(
    points: Float[Tensor, "*seeds series points dim"], places: Int64[Tensor, "*seeds series count"]
) -> Float[Tensor, "*seeds series count dim"]:
    """Of each series, its points at these places."""
    return points.gather(-2, places[..., None].expand(*places.shape, points.shape[-1]))


def draw_windows(count: int, observed: int, noise: float, generator: torch.Generator) -> Windows:
    """Windows with uniform starts, half of either curve, all in float32.

    A window starts early enough for as many points beyond it to lie on the curve.

    Args:
        count: of windows.
        observed: points of each, drawn without replacement.
        noise: standard deviation of each coordinate.
        generator: the source of all that is random.
    """
    counter = torch.arange(count) % 2 == 1
    starts = torch.randint(FIRST, LAST + 1, (count,), generator=generator)
    points = starts[:, None] + torch.arange(WINDOW + BEYOND)
    truth = curves()[counter.long()[:, None], points].float()
    noisy = truth + noise * torch.randn(truth.shape, generator=generator)
    order = torch.rand(count, WINDOW, generator=generator).argsort(dim=1)
    return Windows(counter, starts, truth, noisy, order[:, :observed].sort(dim=1).values)


def stack(windows: Sequence[Windows]) -> Windows:
    """The windows of several seeds as one, with a first dimension of seeds."""
    names = ("counter", "starts", "truth", "noisy", "places")
    return Windows(*(torch.stack([getattr(each, name) for each in windows]) for name in names))


def look_up(windows: Windows) -> Float[Tensor, "*seeds series points 2"]:
    """For each series, the part of a curve that is nearest to its observed points.

    All starts on both curves are tried, by the sum of squared distances. The curves are known.
    """
    starts = torch.arange(FIRST, LAST + 1)
    candidates = curves()[:, starts[:, None] + torch.arange(WINDOW + BEYOND)].flatten(0, 1)
    candidates = candidates.to(windows.noisy)
    places, observed = windows.places.flatten(0, -2), windows.observed.flatten(0, -3)
    nearest = [_nearest(candidates, *each) for each in zip(places, observed, strict=True)]
    return candidates[torch.stack(nearest)].view_as(windows.truth)


def _nearest(
    candidates: Float[Tensor, "candidates points 2"],
    places: Int64[Tensor, " count"],
    observed: Float[Tensor, "count 2"],
) -> Int64[Tensor, ""]:
    return (candidates[:, places] - observed).square().sum(dim=(1, 2)).argmin()
