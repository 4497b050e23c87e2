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

from neural_ode.arguments import check_readable, check_tensor, describe
from neural_ode.times import exact_dtype
from neural_ode.transforms import unwrap

Norm = Callable[[Float[Tensor, "*state"]], Float[Tensor, ""]]
# The norm of an error of the state and of the integrals together.
JointNorm = Callable[[Float[Tensor, "*state"], Float[Tensor, " integrals"]], Float[Tensor, ""]]
Tolerance = float | Tensor


def rms_norm(x: Inexact[Tensor, "*state"]) -> Float[Tensor, ""]:
    """Root mean square over all entries of ``x``; zero where there are none.

    Raises:
        TypeError: for anything but a dense tensor of real or complex numbers.
    """
    try:
        return torch.linalg.vector_norm(x) / math.sqrt(max(x.numel(), 1))
    except (TypeError, AttributeError, RuntimeError):
        check_tensor("x", x.real if isinstance(x, Tensor) and x.is_complex() else x)
        raise


def check_norm(norm: Any) -> Float[Tensor, ""]:
    """What a norm of the user's returned, as a tensor without dimensions.

    Raises:
        TypeError, ValueError: for anything but one real number. Its sign is seen later, as is all
            of it where a compiler reads this.
    """
    if torch.compiler.is_compiling():
        return torch.as_tensor(norm)
    if isinstance(norm, Tensor):
        check_readable("what the norm returned", norm)
        if norm.numel() != 1:
            raise TypeError(f"the norm returned shape {tuple(norm.shape)}, expected one number")
        if norm.dtype == torch.bool or norm.is_complex():
            raise TypeError(f"the norm returned {norm.dtype}, expected one real number")
        return norm.reshape(()) if norm.ndim else norm
    if not isinstance(norm, Real) or isinstance(norm, bool):
        raise TypeError(f"the norm returned {describe(norm)}, expected one number")
    try:
        return torch.tensor(float(norm), dtype=torch.float64, device="cpu")
    except OverflowError:
        raise ValueError("the norm returned a number too large for the computer") from None


def check_measure(norm: float, test: "ErrorTest", y: Tensor, q: Tensor | None = None) -> None:
    """Raise ValueError for a norm that is negative, or not finite for an error of ones."""
    if not norm < 0:
        ones = None if q is None else torch.ones_like(q)
        norm = float(unwrap(test.measure(torch.ones_like(y), ones)).max())
    if not 0 <= norm < math.inf:
        raise ValueError(f"the norm returned {norm:g}, expected a number of at least 0")


def check_representable(name: str, tolerance: Tolerance, dtype: torch.dtype) -> None:
    """Raise ValueError for a tolerance that would be zero among numbers of this dtype."""
    least = torch.finfo(dtype).tiny
    small = tolerance < least
    if bool(small.any() if isinstance(small, Tensor) else small):
        raise ValueError(
            f"{name} is {describe(tolerance)}, below the smallest number of {dtype}, {least:.3g}"
        )


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
    ) -> Float[Tensor, "*each"]:
        """The norm of an error that is already in units of the tolerance."""
        joint = self.joint_norm
        norm = self.norm(y) if joint is None or q is None else joint(y, q)
        return norm if self.norm is rms_norm else check_norm(norm)


@lru_cache(maxsize=64)
def _number(x: float, device: torch.device) -> Float[Tensor, ""]:
    """A number as a tensor, kept because making one takes longer than finding it."""
    # Found again by later solves, which may want gradients even if this one is in inference mode.
    with torch.inference_mode(False):
        return torch.tensor(x, dtype=exact_dtype(device), device=device)
