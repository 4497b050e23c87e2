"""Two circles and two moons as distributions: fresh samples, the exact density, its entropy.

The entropy is the least mean negative log-likelihood that any model of the data can have, so it is
the floor against which one is measured.

Source: the curves are those of scikit-learn's ``make_circles`` and ``make_moons``, both blurred by
a normal noise; here every point's curve and place on it are drawn, where scikit-learn spaces
the points evenly.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import (
    check_count,
    check_generator,
    check_number,
    check_points,
    check_positive,
)
from neural_ode.generators import device_of

# The work of a density's quadrature, and of an entropy's grid, grows without end as the noise
# falls: these widths take seconds.
LEAST_NOISE_OF_QUADRATURE = 0.005
LEAST_NOISE_OF_ENTROPY = 0.002
# Of the quadrature along a half circle; a wide noise alone would ask for few.
_LEAST_NODES = 40


@dataclass(frozen=True)
class Circles:
    """Two circles about the origin, of radius 1 and ``factor``, each with half of the points.

    Attributes:
        noise: standard deviation of the normal noise on either coordinate.
        factor: radius of the inner circle.

    Raises:
        ValueError: for a noise that is not positive, or a factor outside of [0, 1].
    """

    noise: float = 0.06
    factor: float = 0.5

    def __post_init__(self) -> None:
        check_positive("noise", self.noise)
        check_number("factor", self.factor, 0, 1)
        # Torch knows no fractions.
        object.__setattr__(self, "noise", float(self.noise))
        object.__setattr__(self, "factor", float(self.factor))

    def sample(
        self, count: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "count 2"]:
        """New points, in torch's default dtype and on the generator's device.

        Without a generator they come from torch's global one.
        """
        angle, inner = _places(count, 2 * math.pi, generator)
        radius = torch.where(inner, self.factor, 1.0)
        points = radius * torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
        return points + self.noise * torch.randn(
            points.shape, generator=generator, device=points.device
        )

    def log_prob(self, x: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """The log-density, nats.

        The noise around a circle averages to a Bessel function:
        ``exp(-(|x|^2 + r^2) / (2 s^2)) I0(|x| r / s^2) / (2 pi s^2)`` for the radius r.
        """
        check_points("x", x, 2)
        variance = self.noise**2
        distance = x.norm(dim=-1)
        parts = []
        for radius in (1.0, self.factor):
            # i0e(k) is exp(-k) I0(k), which does not overflow.
            bessel = torch.special.i0e(distance * radius / variance).log()
            parts.append(bessel - 0.5 * (distance - radius).square() / variance)
        return torch.logaddexp(*parts) - math.log(2) - math.log(2 * math.pi * variance)

    @cached_property
    def entropy(self) -> float:
        """The differential entropy, nats, to 1e-8."""
        return _entropy(self, (-1, 1), (-1, 1))


@dataclass(frozen=True)
class Moons:
    """Two half circles of radius 1 that reach into each other, each with half of the points.

    The upper one is centred at the origin, the lower one, turned about, at (1, 1/2).

    Attributes:
        noise: standard deviation of the normal noise on either coordinate.

    Raises:
        ValueError: for a noise that is not positive.
    """

    noise: float = 0.05

    def __post_init__(self) -> None:
        check_positive("noise", self.noise)
        object.__setattr__(self, "noise", float(self.noise))

    def sample(
        self, count: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "count 2"]:
        """New points, in torch's default dtype and on the generator's device.

        Without a generator they come from torch's global one.
        """
        angle, lower = _places(count, math.pi, generator)
        points = _moon(angle, lower)
        return points + self.noise * torch.randn(
            points.shape, generator=generator, device=points.device
        )

    def log_prob(self, x: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """The log-density, nats: the noise is averaged over each half circle by quadrature.

        Nodes are some 0.4 widths of the noise apart, at most 0.6 at the middle, and 40 or more.
        For noises from 0.05 to 8 the error is below 3e-9 within five widths of the data, and below
        1e-6 within ten.
        """
        check_points("x", x, 2)
        if x.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"x has the dtype {x.dtype}, expected torch.float32 or torch.float64")
        _check_fine(self.noise, LEAST_NOISE_OF_QUADRATURE)
        nodes, weights = np.polynomial.legendre.leggauss(
            max(_LEAST_NODES, math.ceil(8 / self.noise))
        )
        angle = torch.from_numpy(math.pi / 2 * (nodes + 1))[:, None]
        sides = [_moon(angle, torch.full_like(angle, side, dtype=torch.bool)) for side in (0, 1)]
        centres = torch.cat(sides).to(x)
        # Both the weights and the shares of the two moons are halved, so that they add up to one.
        log_weight = torch.from_numpy(np.log(weights / 4)).to(x).repeat(2)
        distance = torch.cdist(
            x.reshape(-1, 2), centres, compute_mode="donot_use_mm_for_euclid_dist"
        )
        kernel = -0.5 * distance.square() / self.noise**2
        log_prob = (kernel + log_weight).logsumexp(dim=-1) - math.log(2 * math.pi * self.noise**2)
        return log_prob.reshape(x.shape[:-1])

    @cached_property
    def entropy(self) -> float:
        """The differential entropy, nats, to 1e-8."""
        return _entropy(self, (-1, 2), (-0.5, 1))


def _check_fine(noise: float, least: float) -> None:
    if noise < least:
        raise ValueError(f"noise is {noise}, expected at least {least}: finer ones take too long")


def _places(
    count: int, period: float, generator: torch.Generator | None
) -> tuple[Float[Tensor, "count 1"], Tensor]:
    """For each point an angle below ``period``, and whether it is on the second curve."""
    check_count("count", count)
    check_generator("generator", generator)
    device = device_of(generator)
    angle = period * torch.rand(count, 1, generator=generator, device=device)
    return angle, torch.rand(count, 1, generator=generator, device=device) < 0.5


def _moon(angle: Float[Tensor, "count 1"], lower: Tensor) -> Float[Tensor, "count 2"]:
    """The points of the upper or the lower half circle at these angles from 0 to pi."""
    upper = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
    return torch.where(lower, upper.new_tensor([1.0, 0.5]) - upper, upper)


def _entropy(
    density: Circles | Moons, first: tuple[float, float], second: tuple[float, float]
) -> float:
    """The entropy, from a grid over the curves' extent and nine widths of the noise around it.

    On a smooth function that vanishes at the edges the trapezoidal rule converges faster than any
    power of the spacing.
    """
    _check_fine(density.noise, LEAST_NOISE_OF_ENTROPY)
    margin, spacing = 9 * density.noise, density.noise / 3
    axes = [
        torch.arange(low - margin, high + margin, spacing, dtype=torch.float64, device="cpu")
        for low, high in (first, second)
    ]
    total = 0.0
    # By column, for memory.
    for x in axes[0]:
        log_prob = density.log_prob(torch.stack([x.expand(len(axes[1])), axes[1]], dim=-1))
        total -= float((log_prob.exp() * log_prob).sum())
    return total * spacing**2
