"""Tolerances as torchdiffeq takes them: numbers, tensors, arrays, or an entry a part of a tuple."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neural_ode.states import Layout
from neural_ode.step.error import Tolerance

# A number, a tensor or an array, or one of these for each part of a tuple state.
Tolerances = Tolerance | np.ndarray | Sequence[Tolerance]


def for_state(layout: Layout, rtol: Any, atol: Any) -> dict[str, Any]:
    """The two tolerances for the solver's tensor, by their names.

    Raises:
        ValueError: for another number of entries than the state has parts, or two zeros.
    """
    return _without_zeros(layout, _spread(layout, "rtol", rtol), _spread(layout, "atol", atol))


def for_adjoint(layout: Layout, rtol: Any, atol: Any) -> dict[str, Any]:
    """One number each, the least: the backward state has the state twice and the gradients.

    Raises:
        ValueError: for two zeros.
    """
    return _without_zeros(layout, _least(rtol), _least(atol))


def _spread(layout: Layout, name: str, value: Any) -> Any:
    if not _has_entries(value):
        return value
    like = {"dtype": layout.y0.dtype, "device": layout.y0.device}
    if layout.shapes is None:
        each = torch.as_tensor(value, **like)
    elif len(value) != len(layout.shapes):
        raise ValueError(
            f"{name} has {len(value)} entries for a state of {len(layout.shapes)} parts"
        )
    else:
        parts = zip(value, layout.shapes, strict=True)
        each = torch.cat([torch.as_tensor(v, **like).expand(s.numel()) for v, s in parts])
    return each[..., None] if layout.is_complex else each


def _least(value: Any) -> Any:
    if not _has_entries(value):
        return value
    return min(float(torch.as_tensor(v).min()) for v in value)


def _has_entries(value: Any) -> bool:
    """Whether it is more than one number; what is no tolerance at all is left to the settings."""
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


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
