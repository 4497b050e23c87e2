"""The right-hand side of the equation, as users write it and as the stepper calls it."""

from collections.abc import Callable, Hashable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.step.base import Evaluate, Slope

Field = Callable[[Float[Tensor, ""], Float[Tensor, "*state"]], Float[Tensor, "*state"]]


class Plain:
    """A field as the stepper calls it: without integrals, and with a check of its output.

    Raises:
        TypeError, ValueError: for an output that cannot be the derivative of the state.
    """

    def __init__(self, field: Field, y0: Float[Tensor, "*state"]) -> None:
        self.field = field
        self._shape, self._dtype, self._device = y0.shape, y0.dtype, y0.device

    @property
    def key(self) -> Hashable:
        """The key under which compiled steps of this field are kept."""
        return ("plain", self.field if isinstance(self.field, Hashable) else id(self.field))

    def __call__(self, t: Tensor, y: Tensor, integral: bool = False) -> Slope:
        """The derivative, with nothing beside it."""
        f = self.field(t, y)
        if not isinstance(f, Tensor):
            raise TypeError(f"the field returned {type(f).__name__}, expected a tensor")
        if f.shape != self._shape or f.dtype != self._dtype or f.device != self._device:
            raise ValueError(
                f"the field returned {_describe(f.shape, f.dtype, f.device)} for a state of"
                f" {_describe(self._shape, self._dtype, self._device)}; the derivative must have"
                " the state's shape, dtype and device"
            )
        return f, None


class InAutocast:
    """A field under the autocast of the caller, for a solver that runs without it.

    The solver's own sums must not be in half precision, whatever the field is.

    Args:
        evaluate: the field as the stepper calls it.
        device_type: the device whose autocast is on.
    """

    def __init__(self, evaluate: Evaluate, device_type: str) -> None:
        self.evaluate, self.device_type = evaluate, device_type
        self.dtype = torch.get_autocast_dtype(device_type)
        self.field = getattr(evaluate, "field", None)

    @property
    def key(self) -> Hashable:
        """The key under which compiled steps are kept."""
        return ("autocast", self.dtype, getattr(self.evaluate, "key", id(self.evaluate)))

    def __call__(self, t: Tensor, y: Tensor, integral: bool = False) -> Slope:
        """The derivative and the rates, by operations in half precision."""
        # A copy of a weight that is cached without a graph would be found again with autograd on.
        cached = torch.is_grad_enabled() and torch.is_autocast_cache_enabled()
        with torch.autocast(self.device_type, self.dtype, cache_enabled=cached):
            return self.evaluate(t, y, integral)


def has_autocast(device_type: str) -> bool:
    """Whether autocast is on for this device."""
    return _knows_autocast(device_type) and torch.is_autocast_enabled(device_type)


# Whether torch has autocast for this type of device at all.
_knows_autocast = cache(torch.amp.is_autocast_available)


def _describe(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> str:
    return f"shape {tuple(shape)}, {dtype} on {device}"
