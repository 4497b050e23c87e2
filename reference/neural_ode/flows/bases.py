"""The base distributions of flows: the standard normal, and those of torch for vectors."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from neural_ode.arguments import (
    check_count,
    check_device,
    check_generator,
    check_points,
    check_positive,
    describe,
)
from neural_ode.flows.fields import Generators, each_run
from neural_ode.generators import device_of


class StandardNormal:
    """Independent normal coordinates of mean zero, sampled from a generator that the caller gives.

    Args:
        dim: how many coordinates.
        scale: their standard deviation, positive.

    Raises:
        ValueError: for a dimension below 1 or a scale that is not positive.
        TypeError: for one that is not a number.
    """

    def __init__(self, dim: int, scale: float = 1.0) -> None:
        check_count("dim", dim)
        check_positive("scale", scale)
        self.dim, self.scale = dim, float(scale)

    @property
    def event_shape(self) -> torch.Size:
        """That of one point, as for ``torch.distributions``."""
        return torch.Size([self.dim])

    def log_prob(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        """The log-density in nats.

        Raises:
            ValueError: for points of another dimension.
            TypeError: for points that are not a floating-point tensor.
        """
        check_points("x", x, self.dim)
        squares = (x / self.scale).square().sum(dim=-1)
        return -0.5 * squares - self.dim * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))

    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        *,
        device: torch.device | None = None,
    ) -> Float[Tensor, "count dim"]:
        """``count`` points in torch's default dtype.

        They are drawn on the generator's device; without a generator by torch's global one, on
        ``device`` or torch's default device.
        """
        check_count("count", count)
        check_generator("generator", generator)
        if generator is not None or device is None:
            device = device_of(generator)
        check_device("device", device)
        return self.scale * torch.randn(count, self.dim, generator=generator, device=device)


Base = StandardNormal | Distribution


def check_base(base: Any, dim: int | None) -> None:
    """Check that a base is one distribution of vectors, of this dimension if it is known."""
    if isinstance(base, StandardNormal):
        shape = tuple(base.event_shape)
    elif isinstance(base, Distribution):
        shape = tuple(base.event_shape)
        kind = type(base).__name__
        if len(shape) != 1:
            raise ValueError(
                f"base is {kind} with the event shape {shape}, expected a distribution of vectors,"
                f" whose event shape is (dim,): StandardNormal(dim), or Independent({kind}(...), 1)"
                " with parameters of the shape [dim]"
            )
        if base.batch_shape:
            raise ValueError(
                f"base is {kind} with the batch shape {tuple(base.batch_shape)}, expected a single"
                " distribution, whose batch shape is ()"
            )
    else:
        raise TypeError(
            f"base is {describe(base)}, expected a StandardNormal or a torch distribution"
        )
    if dim is not None and shape != (dim,):
        raise ValueError(f"base has the dimension {shape[0]}, expected {dim}, that of the flow")


def draw_points(
    base: Base, count: int, runs: int | None, generator: Generators, like: Tensor | None
) -> Float[Tensor, "*runs count dim"]:
    """Points of the base for each run, in the dtype and on the device of ``like`` if given."""
    check_count("count", count)
    device = None if like is None else like.device
    drawn = [_draw(base, count, own, device) for own in each_run(runs, generator)]
    points = drawn[0] if runs is None else torch.stack(drawn)
    return points if like is None else points.to(like)


def _draw(
    base: Base, count: int, generator: torch.Generator | None, device: torch.device | None
) -> Float[Tensor, "count dim"]:
    if isinstance(base, StandardNormal):
        return base.sample(count, generator, device=device)
    if generator is None:
        return base.sample(torch.Size([count]))
    # torch.distributions draw from the global generator alone, which is put back afterwards.
    with torch.random.fork_rng():
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        torch.manual_seed(int(seed))
        return base.sample(torch.Size([count]))
