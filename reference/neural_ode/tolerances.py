"""Tolerances as torchdiffeq takes them: numbers, tensors, arrays, or an entry a part of a tuple."""

from collections.abc import Sequence
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neural_ode.arguments import check_readable, describe
from neural_ode.states import Layout
from neural_ode.step.error import Tolerance

# A number, a tensor or an array, or one of these for each part of a tuple state.
Tolerances = Tolerance | np.ndarray | Sequence[Tolerance]


def for_state(layout: Layout, rtol: Any, atol: Any) -> dict[str, Any]:
    """The two tolerances for the solver's tensor, by their names.

    Raises:
        ValueError, TypeError: for another number of entries than the state has parts, an entry that
            is not a number or does not fit its part, or two zeros.
    """
    check_readable("rtol", rtol)
    check_readable("atol", atol)
    return _without_zeros(layout, _spread(layout, "rtol", rtol), _spread(layout, "atol", atol))


def for_adjoint(layout: Layout, rtol: Any, atol: Any) -> dict[str, Any]:
    """One number each, the least: the backward state has the state twice and the gradients.

    Where one part has the relative tolerance zero and another the absolute one, zeros do not count.

    Raises:
        ValueError, TypeError: for an entry that is not a number, or two zeros.
    """
    check_readable("rtol", rtol)
    check_readable("atol", atol)
    least = _least("rtol", rtol), _least("atol", atol)
    if least == (0, 0) and (_has_entries(rtol) or _has_entries(atol)):
        least = _least("rtol", rtol, above=0), _least("atol", atol, above=0)
    return _without_zeros(layout, *least)


def _spread(layout: Layout, name: str, value: Any) -> Any:
    if not _has_entries(value):
        return _one(name, value)
    if layout.shapes is None:
        for v in value if isinstance(value, list | tuple) else ():
            _as_tensor(name, v)
        each = _entry(layout, name, value)
    elif len(value) != len(layout.shapes):
        raise ValueError(
            f"{name} has {len(value)} entries for a state of {len(layout.shapes)} parts"
        )
    else:
        parts = zip(value, layout.shapes, strict=True)
        each = torch.cat([_expand(_entry(layout, name, v), name, shape) for v, shape in parts])
    return each[..., None] if layout.is_complex else each


def _one(name: str, value: Any) -> Any:
    """A tolerance without entries; of an array of no dimension its number."""
    if isinstance(value, Tensor | np.ndarray):
        tensor = _as_tensor(name, value)
        return value if isinstance(value, Tensor) else tensor.item()
    return float(value) if isinstance(value, Fraction) else value


def _entry(layout: Layout, name: str, value: Any) -> Tensor:
    """A tolerance in a tensor like the state, whatever it came in."""
    tensor = _as_tensor(name, value)
    return tensor.to(dtype=layout.y0.dtype, device=layout.y0.device)


def _as_tensor(name: str, value: Any) -> Tensor:
    """Numbers in a tensor of their own dtype.

    Raises:
        TypeError: for what is not a real number or several of them.
    """
    check_readable(f"an entry of {name}", value)
    try:
        plain = float(value) if isinstance(value, Fraction) else value
        tensor = plain if isinstance(plain, Tensor) else torch.as_tensor(plain, device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError):
        tensor = None
    if tensor is None or tensor.is_complex() or _has_boolean(value):
        raise TypeError(f"{name} holds {describe(value)}, expected positive numbers")
    return tensor


def _has_boolean(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.dtype == torch.bool
    if isinstance(value, list | tuple):
        return any(map(_has_boolean, value))
    return np.asarray(value).dtype == bool


def _expand(entry: Tensor, name: str, shape: torch.Size) -> Tensor:
    """One tolerance for each number of a part, in one row."""
    if entry.ndim == 0 or entry.shape == (1,):
        return entry.expand(shape.numel())
    if entry.numel() != shape.numel():
        raise ValueError(
            f"{name} has an entry of shape {tuple(entry.shape)} for a part of shape {tuple(shape)}"
        )
    return entry.reshape(-1)


def _least(name: str, value: Any, above: float | None = None) -> Any:
    if not _has_entries(value):
        return _one(name, value)
    each = torch.cat([_as_tensor(name, v).double().reshape(-1) for v in value])
    if above is not None:
        each = each[~(each <= above)]
    return float(each.min()) if len(each) else 0.0


def _has_entries(value: Any) -> bool:
    """Whether it is more than one number; the settings refuse what is not a tolerance."""
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) > 0


def _without_zeros(layout: Layout, rtol: Any, atol: Any) -> dict[str, Any]:
    """The smallest number takes the place of zero, by which the solver would have to divide."""
    numbers = isinstance(rtol, Real) and isinstance(atol, Real)
    if (numbers and rtol and atol) or not all(isinstance(x, Real | Tensor) for x in (rtol, atol)):
        return {"rtol": rtol, "atol": atol}
    if (torch.as_tensor(rtol == 0) & torch.as_tensor(atol == 0)).any():
        raise ValueError("rtol and atol are both 0, expected at least one positive number")
    tiny = torch.finfo(layout.y0.dtype).tiny
    return {"rtol": _replace_zeros(rtol, tiny), "atol": _replace_zeros(atol, tiny)}


def _replace_zeros(value: Any, tiny: float) -> Any:
    if isinstance(value, Tensor):
        return torch.where(value == 0, tiny, value)
    return tiny if value == 0 else value
