"""In which units the error of a step is measured, and the norm of it."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from neural_ode.arguments import describe
from neural_ode.times import exact_dtype

Norm = Callable[[Float[Tensor, "*state"]], Float[Tensor, ""]]
# The norm of an error of the state and of the integrals together.
JointNorm = Callable[[Float[Tensor, "*state"], Float[Tensor, " integrals"]], Float[Tensor, ""]]
Tolerance = float | Tensor


def rms_norm(x: Inexact[Tensor, "*state"]) -> Float[Tensor, ""]:
    """Root mean square over all entries of ``x``; zero where there are none."""
    return torch.linalg.vector_norm(x) / math.sqrt(max(x.numel(), 1))


def check_norm(norm: Any) -> Any:
    """Raise TypeError for what a norm of the user's must not return; else what it returned."""
    if isinstance(norm, Tensor):
        if norm.numel() != 1:
            raise TypeError(f"the norm returned shape {tuple(norm.shape)}, expected one number")
    elif not isinstance(norm, Real):
        raise TypeError(f"the norm returned {describe(norm)}, expected one number")
    return norm


@dataclass(frozen=True)
class ErrorTest:
    """In which units an error is measured: a step passes where the result is at most 1.

    Attributes:
        rtol, atol: the error is divided by ``atol + rtol max(|y0|, |y1|)``, entry by entry.
        norm: makes one number of the divided error of a state. It may have an attribute ``sizes``,
            which takes the place of the absolute values of a state.
        joint_norm: the same for the state and the integrals together; where it is ``None`` the
            errors of the integrals do not count.
        wide: whether the first step is chosen in float64, where the squares of the state's dtype
            overflow.
    """

    rtol: Tolerance
    atol: Tolerance
    norm: Norm = rms_norm
    joint_norm: JointNorm | None = None
    wide: bool = False

    @property
    def key(self) -> Hashable:
        """The key under which code compiled for this test is kept."""
        tolerances = [getattr(x, "shape", None) for x in (self.rtol, self.atol)]
        return (*tolerances, self.norm, self.joint_norm)

    def with_tensors(self, device: torch.device) -> "ErrorTest":
        """The same with tolerances in tensors, whose values a compiler does not fix."""
        rtol, atol = (
            x.to(device, exact_dtype(device)) if isinstance(x, Tensor) else _number(x, device)
            for x in (self.rtol, self.atol)
        )
        return ErrorTest(rtol, atol, self.norm, self.joint_norm)

    def sizes(self, y: Float[Tensor, "*state"]) -> Float[Tensor, "*state"]:
        """How large each entry of a state is, in new memory."""
        return getattr(self.norm, "sizes", torch.abs)(y)

    def scale(self, size: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What an error of entries of this size is divided by; ``size`` may be overwritten."""
        return size.mul_(self.rtol).add_(self.atol)

    def measure(
        self, y: Float[Tensor, "*state"], q: Float[Tensor, " integrals"] | None
    ) -> Float[Tensor, ""]:
        """The norm of an error that is already in units of the tolerance."""
        if self.joint_norm is None or q is None:
            return self.norm(y)
        return self.joint_norm(y, q)


@lru_cache(maxsize=64)
def _number(x: float, device: torch.device) -> Float[Tensor, ""]:
    """A number as a tensor, kept because making one takes longer than finding it."""
    # Found again by later solves, which may want gradients even if this one is in inference mode.
    with torch.inference_mode(False):
        return torch.tensor(x, dtype=exact_dtype(device), device=device)
