"""States as torchdiffeq takes them, laid out as the solver takes them: one real tensor.

A tuple of tensors lies one part after another, in the dtype to which torch promotes theirs, as
``torch.cat`` does. A complex number becomes the pair of its parts, and
gradients are then those of torch's convention, dL/dRe + i dL/dIm. Numbers of 16 bits are added up
in float32, and the field gets them in their own dtype.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, promote_types

from neural_ode.arguments import check_dense
from neural_ode.field import without_autocast
from neural_ode.step.error import check_norm

State = Tensor | tuple[Tensor, ...]

_WORKING = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.complex32: torch.complex64,
}


class Layout:
    """The way from a state of one structure and dtype to a real tensor and back.

    Args:
        y0: a state.

    Raises:
        TypeError, ValueError: for a tuple that is not a state, in one sentence.
    """

    def __init__(self, y0: State) -> None:
        parts = y0 if isinstance(y0, tuple) else (y0,)
        _check(y0, parts)
        self.shapes = [y.shape for y in parts] if parts is y0 else None
        self.shape, self.dtype = parts[0].shape, reduce(promote_types, [y.dtype for y in parts])
        self.time_dtype = self.dtype.to_real()
        self.is_complex = self.dtype.is_complex
        self._working = _WORKING.get(self.dtype, self.dtype)
        # Whether the solver's tensor is the state itself, as it nearly always is.
        self.is_plain = self.shapes is None and self._working == self.dtype and not self.is_complex
        self.y0: Tensor = parts[0] if self.is_plain else self.pack(y0)

    def pack(self, state: Any) -> Tensor:
        """The solver's tensor; of any dtype that has a place in the state's."""
        joined = self._join(state)
        if joined.is_complex() and not self.is_complex:
            # The solver's own message names both dtypes.
            return joined
        joined = joined.to(self._working)
        return torch.view_as_real(joined.resolve_conj()) if self.is_complex else joined

    def unpack(self, y: Float[Tensor, "*packed"], dtype: torch.dtype | None = None) -> State:
        """The state, or states with further dimensions in front.

        It has the dtype of the state it was made for, unless another is asked for.
        """
        whole = torch.view_as_complex(y) if self.is_complex else y
        whole = whole.to(dtype or self.dtype)
        if self.shapes is None:
            return whole
        pieces = whole.split([shape.numel() for shape in self.shapes], dim=-1)
        lead = whole.shape[:-1]
        return tuple(x.reshape(lead + s) for x, s in zip(pieces, self.shapes, strict=True))

    def unpack_error(self, error: Float[Tensor, "*packed"]) -> State:
        """An error of the state in units of the tolerance, in the precision that it comes in."""
        return self.unpack(error, self._working)

    def sizes(self, y: Float[Tensor, "*packed"]) -> Float[Tensor, "*packed"]:
        """The absolute value of each entry; for a complex number at both of its parts."""
        if not self.is_complex:
            return y.abs()
        return torch.view_as_complex(y).abs()[..., None].repeat_interleave(2, dim=-1)

    def _join(self, state: Any) -> Any:
        if self.shapes is None:
            return state
        # Autocast does not join tensors of the other half precision.
        with without_autocast(state[0].device.type):
            return torch.cat([x.reshape(-1) for x in state])


class StateNorm:
    """The norm of an error of the packed state.

    Attributes:
        sizes: what errors are relative to; see ``ErrorTest``.
    """

    def __init__(self, layout: Layout, of_state: Callable[[Any], Any]) -> None:
        self._layout, self._of_state = layout, of_state
        self.sizes = layout.sizes

    def __call__(self, error: Float[Tensor, "*packed"]) -> Float[Tensor, ""]:
        """The norm that the user chose, of the state as the user knows it."""
        return check_norm(self._of_state(self._layout.unpack_error(error)))


def _check(y0: Any, parts: tuple) -> None:
    """Raise TypeError or ValueError, in one sentence, for what is not a state."""
    if not parts:
        raise ValueError("y0 is an empty tuple, expected at least one tensor")
    if not all(isinstance(y, Tensor) for y in parts):
        if parts is y0:
            raise TypeError("y0 is a tuple with something in it that is not a torch tensor")
        raise TypeError(f"y0 is {type(y0).__name__}, expected a torch tensor")
    for y in parts:
        check_dense("y0", y)
    devices = list(dict.fromkeys(str(y.device) for y in parts))
    if len(devices) > 1:
        raise TypeError(f"y0 is a tuple on {', '.join(devices)}, expected one device")
    if not any(y.is_floating_point() or y.is_complex() for y in parts):
        dtype = parts[0].dtype
        raise TypeError(f"y0 has dtype {dtype}, expected a floating-point or complex tensor")
