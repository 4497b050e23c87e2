"""The right-hand side of the equation, as users write it and as the stepper calls it."""

from collections.abc import Callable, Hashable

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.step.base import Slope

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


def _describe(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> str:
    return f"shape {tuple(shape)}, {dtype} on {device}"
