"""What the solver keeps over a call of the field is its own memory.

A field may change the state that it is called with, or one that it was called with before, or what
it has returned, without anybody counting it: through ``.data``, a NumPy view, or in inference mode.
So a state that the solver needs after the call is lent as a copy, and a slope is copied. Where
autograd goes through the steps, a copy of a slope would not help, since the graph would lead to
whatever the tensor has become; there the count of changes tells.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def lend(y: Float[Tensor, "*state"]) -> Float[Tensor, "*state"]:
    """What the field is called with in place of a state that is needed afterwards."""
    # The compiler finds by itself what is overwritten.
    return y if torch.compiler.is_compiling() else y.clone()


def own(slope: tuple[Any, ...]) -> tuple[Any, ...]:
    """A slope in memory of the solver's own; where autograd follows it, the slope itself."""
    k, *others = slope
    if (k.requires_grad and torch.is_grad_enabled()) or torch.compiler.is_compiling():
        return slope
    return k.clone(), *others


def version(x: Tensor) -> int:
    """How often the tensor was changed in place; always 0 where that is not counted."""
    return 0 if x.is_inference() else x._version


def check_kept(slopes: Sequence[Tensor], versions: Sequence[int]) -> None:
    """Raise ValueError where a slope was overwritten although autograd still needed it.

    Args:
        slopes: what the field has returned.
        versions: the ``version`` that each had then; empty where autograd is off.
    """
    for slope, before in zip(slopes, versions, strict=False):
        if version(slope) != before and slope.requires_grad:
            raise refilled()


def refilled() -> ValueError:
    """What is wrong with a field that returns the same memory each time, where autograd is on."""
    return ValueError(
        "the field returns one tensor that it fills anew at each call, through which autograd"
        " cannot go back: return a new one, such as its clone()"
    )
