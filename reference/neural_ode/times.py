"""Times: the output times of a solve, and single times as the loops and the field take them.

A time is a Python float. Where the gradient with respect to the output times is wanted it is a
0-dimensional float64 tensor, through which autograd goes.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from neural_ode.older_torch import floats_of, is_exporting
from neural_ode.transforms import is_followed

# Devices that have no float64.
WITHOUT_FLOAT64 = {"mps"}

# A float, or a 0-dimensional tensor where the gradient with respect to the time is wanted.
Time = float | Tensor


@dataclass(frozen=True)
class Times:
    """The output times of one integration, read from their tensor once.

    Attributes:
        floats: the times as numbers of the host.
        points: the times as tensors where their gradient is wanted, else the same floats.
        direction: 1 where the times increase, -1 where they decrease.
        eps: the rounding of the dtype that they came in, relative to a time.
    """

    floats: Sequence[float]
    points: Sequence[Time]
    direction: float
    eps: float

    @classmethod
    def read(cls, ts: Float[Tensor, " time"]) -> "Times":
        """The times in ``ts``; a GPU is waited for once."""
        floats, eps = numbers_of(ts), torch.finfo(ts.dtype).eps
        if is_followed(ts):
            return cls._of(floats, ts.to(exact_dtype(ts.device)).unbind(), eps)
        return cls._of(floats, floats, eps)

    @classmethod
    def _of(cls, floats: Sequence[float], points: Sequence[Time], eps: float) -> "Times":
        return cls(floats, points, math.copysign(1.0, floats[-1] - floats[0]), eps)

    def interval(self, start: int, end: int) -> "Times":
        """Two of the times, by their numbers, as floats."""
        floats = [self.floats[start], self.floats[end]]
        return self._of(floats, floats, self.eps)

    def __len__(self) -> int:
        return len(self.floats)

    def meets(self, t: float, others: Sequence[float]) -> bool:
        """Whether one of other times is this one, but for the rounding of the dtype of these."""
        return any(abs(t - other) <= 2 * self.eps * abs(t) for other in others)


def numbers_of(ts: Float[Tensor, " time"]) -> list[float]:
    """The times as numbers of the host.

    Raises:
        ValueError: where a solve is exported with times that are known only when it is run.
    """
    if not is_exporting():
        return floats_of(ts)
    with beside_export():
        floats = ts.tolist()
    if not all(isinstance(t, float) for t in floats):
        raise ValueError(
            "the times are not known when the solve is exported: let them be a plain tensor of the"
            " module or of a closure, which is neither a buffer nor made in forward"
        )
    return floats


def beside_export() -> AbstractContextManager[Any]:
    """A context whose tensors are real while a solve is exported.

    An export records what it sees, makes each number a symbol, and each new tensor a fake one.
    """
    # torch has no public name for it.
    return _disable_current_modes() if is_exporting() else nullcontext()


def exact_dtype(device: torch.device) -> torch.dtype:
    """The dtype of times and coefficients on this device: float64 where there is one."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def as_time(t: Time, y: Float[Tensor, "*state"]) -> Float[Tensor, "*each"]:
    """A time as the field takes it: a tensor of the state's dtype and device.

    It has no dimensions, unless there is a time for each sample of a batch.
    """
    if isinstance(t, Tensor):
        # Not the user's own tensor, which the field might change.
        return t.to(dtype=y.dtype, device=y.device, copy=True)
    return torch.full((), t, dtype=y.dtype, device=y.device)


def as_vector(numbers: Sequence[float], device: torch.device) -> Float[Tensor, " numbers"]:
    """Numbers of the host as one vector in float64, sent without waiting for the device."""
    if device.type != "cuda":
        return torch.tensor(numbers, dtype=exact_dtype(device), device=device)
    # Only a copy from pinned memory runs beside the host.
    pinned = torch.tensor(numbers, dtype=torch.float64, device="cpu", pin_memory=True)
    return pinned.to(device, non_blocking=True)


def nudge(time: Float[Tensor, ""], towards: Time) -> Float[Tensor, ""]:
    """The next representable time towards plus or minus infinity; the gradient passes unchanged."""
    now = time.detach()
    target = (
        towards.detach().to(now) if isinstance(towards, Tensor) else torch.full_like(now, towards)
    )
    return time + (torch.nextafter(now, target) - now)


def pick(condition: bool | Tensor, first: Time, second: Time) -> Time:
    """The first where the condition holds, else the second; for tensors without waiting for it."""
    if isinstance(condition, Tensor):
        return torch.where(condition, first, second)
    return first if condition else second
