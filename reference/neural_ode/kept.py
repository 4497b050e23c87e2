"""What the solver keeps over a call of the field is its own memory.

A field may change the state that it is called with, or one that it was called with before, or what
it has returned, without anybody counting it: through ``.data``, a NumPy view, or in inference mode.
So a state that the solver needs after the call is lent as a copy. A slope that a step begins with
is copied by an operation that autograd follows, since it is needed again where the step is tried
again. Of the other slopes the values are copied at once; of those that autograd follows the count
of changes tells whether the graph still leads to what they were.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# The calls of a field after which its argument is compared with a copy from before: the first, and
# then one in so many, so that the comparisons cost next to nothing beside even a small field.
FIRST, EVERY = 3, 32


class Looks:
    """Says at which calls of a field to look whether it has changed its argument."""

    def __init__(self) -> None:
        self._calls = 0

    def is_due(self) -> bool:
        """Count a call, and say whether it is one to look at."""
        self._calls += 1
        return self._calls <= FIRST or self._calls % EVERY == 0


def lend(y: Float[Tensor, "*state"]) -> Float[Tensor, "*state"]:
    """What the field is called with in place of a state that is needed afterwards."""
    # The compiler finds by itself what is overwritten.
    return y if torch.compiler.is_compiling() else y.clone()


def own(slope: tuple[Any, ...]) -> tuple[Any, ...]:
    """A slope in memory of the solver's own; the compiler sees to that by itself."""
    if torch.compiler.is_compiling():
        return slope
    k, *others = slope
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
