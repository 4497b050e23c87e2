"""Steps of an explicit Runge-Kutta method in which each sample of a batch has its own size.

Times, sizes and norms have the shape [batch, 1, ..., 1], which broadcasts against the state, so
that what is written for one size serves for many.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.step.base import Step
from neural_ode.step.error import ErrorTest, check_norm, rms_norm
from neural_ode.step.runge_kutta import RungeKutta, Weights
from neural_ode.times import Time


@dataclass(frozen=True)
class SampleTest(ErrorTest):
    """The test of the errors of a batch: its norms are those of each sample, [batch, 1, ..., 1]."""

    @classmethod
    def of(cls, test: ErrorTest) -> "SampleTest":
        """The test of a whole state, for each sample."""
        return cls(test.rtol, test.atol, test.norm)

    def measure(
        self, y: Float[Tensor, "batch *sample"], q: Tensor | None = None
    ) -> Float[Tensor, "batch *ones"]:
        """The norm of each sample's error, which is already in units of the tolerance."""
        shape = column(y)
        if not len(y):
            return y.new_zeros(shape)
        if self.norm is rms_norm:
            entries = math.prod(y.shape[1:])
            norms = torch.linalg.vector_norm(y.reshape(len(y), entries), dim=1)
            return (norms / math.sqrt(max(entries, 1))).view(shape)
        return torch.stack([check_norm(self.norm(sample)) for sample in y]).view(shape)

    def of_sample(self, i: int, y: Float[Tensor, "batch *sample"]) -> ErrorTest:
        """The test of one sample alone."""
        rtol, atol = (
            x.expand_as(y)[i] if isinstance(x, Tensor) else x for x in (self.rtol, self.atol)
        )
        return ErrorTest(rtol, atol, self.norm)


def column(y: Float[Tensor, "batch *sample"]) -> tuple[int, ...]:
    """The shape of one number for each sample, which broadcasts against the state."""
    return (len(y), *[1] * (y.ndim - 1))


class SampleRungeKutta(RungeKutta):
    """The stepper of an explicit Runge-Kutta method whose times and sizes are [batch, 1, ..., 1].

    The field is called with a time of that shape.
    """

    def _times(
        self,
        c: Weights,
        t: Time,
        h: Time,
        dtype: torch.dtype,
    ) -> Sequence[Float[Tensor, "batch *ones"]]:
        h = torch.as_tensor(h)
        nodes = c.tensor.view(-1, *[1] * h.ndim)
        return (nodes * h + t).to(dtype).unbind()

    def _combine(
        self,
        flat: Float[Tensor, " entries"],
        weights: Weights,
        h: Time,
        ks: list[Tensor],
    ) -> Float[Tensor, "batch *sample"]:
        h = torch.as_tensor(h)
        rise = super()._combine(torch.zeros_like(flat), weights, 1.0, ks)
        return torch.addcmul(flat.view(self._shape), h.to(flat), rise)

    def _error(self, weights: Weights, h: Time, ks: list[Tensor]) -> Float[Tensor, "batch *sample"]:
        error = super()._error(weights, 1.0, ks)
        return error.mul_(torch.as_tensor(h).to(error))

    def interpolate(self, step: Step, x: Time) -> Float[Tensor, "batch *sample"]:
        """The dense output of each sample at its own fraction of its step."""
        size = len(step.y0), math.prod(step.y0.shape[1:])
        powers = torch.as_tensor(x).reshape(-1, 1) ** self._constants.powers
        weights = (powers @ self._constants.dense.T).to(step.y0.dtype)
        if step.ks:
            ks = torch.stack([k.reshape(size) for k in self._linked(step)], dim=1)
        else:
            ks = self._scratch.view(len(self._scratch), *size).transpose(0, 1)
        rise = (weights[:, None] @ ks).view(self._shape)
        return step.y0 + torch.as_tensor(step.h).to(rise) * rise
