"""The right-hand side of the equation, as users write it and as the stepper calls it."""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from types import MethodType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from neural_ode.arguments import explain_call
from neural_ode.kept import EVERY, FIRST, version
from neural_ode.step.base import Evaluate, Slope
from neural_ode.transforms import transforming

# A time has no dimensions, unless each sample of a batch has its own.
Field = Callable[[Float[Tensor, "*each"], Float[Tensor, "*state"]], Float[Tensor, "*state"]]


class Plain:
    """A field as the stepper calls it: without integrals, and with a check of its output.

    The first calls, and one in some of the later ones, also look at the values that the field is
    called with, since memory that is shared with NumPy, or changed through ``.data``, changes
    without being counted. The solution is right in any case, since whatever the solver keeps over a
    call is lent to the field as a copy (``neural_ode.kept``); a gradient would not be.

    Raises:
        TypeError, ValueError: for an output that cannot be the derivative of the state, and for a
            field that changes the state it is called with.
    """

    def __init__(self, field: Field, y0: Float[Tensor, "*state"]) -> None:
        self.field = field
        self._shape, self._dtype, self._device = y0.shape, y0.dtype, y0.device
        self._looks, self._wait = FIRST, 0
        # In inference mode nobody counts how often a tensor was changed.
        self._counted = not torch.is_inference_mode_enabled()

    @property
    def key(self) -> Hashable:
        """The key under which compiled steps of this field are kept."""
        return ("plain", identity(self.field))

    def __call__(self, t: Tensor, y: Tensor, integral: bool = False) -> Slope:
        """The derivative, with nothing beside it."""
        if torch.compiler.is_compiling():
            # The compiler leaves these copies out where nothing is overwritten.
            f = self.field(t, y.clone())
            self._check(f)
            return f.clone(), None
        if not self._wait:
            return self._look(t, y), None
        self._wait -= 1
        before = y._version if self._counted else 0
        f = self.field(t, y)
        if self._counted and y._version != before:
            raise changed()
        self._check(f)
        return f, None

    def _look(self, t: Tensor, y: Tensor) -> Tensor:
        """One of the calls with the checks that each call need not have."""
        self._looks = max(self._looks - 1, 0)
        self._wait = 0 if self._looks else EVERY - 1
        seen = y.detach().clone() if y.device.type == "cpu" and not transforming() else None
        before = version(y)
        try:
            f = self.field(t, y)
        except (TypeError, RuntimeError) as error:
            # The field of odeint stands for the user's.
            given = self.field.field if isinstance(self.field, KeptAutocast) else self.field
            user = getattr(getattr(given, "__self__", None), "func", given)
            explained = explain_call(user, t, y, error)
            if explained is None:
                raise
            raise explained from None
        if version(y) != before or not (seen is None or same_values(seen, y)):
            raise changed()
        self._check(f)
        if f.layout is not torch.strided:
            raise TypeError("the field returned a sparse tensor, expected a dense one")
        return f

    def _check(self, f: Tensor) -> None:
        """Whether the output can be the derivative of the state."""
        if not isinstance(f, Tensor):
            raise TypeError(f"the field returned {type(f).__name__}, expected a tensor")
        if f.shape != self._shape or f.dtype != self._dtype or f.device != self._device:
            raise ValueError(
                f"the field returned {_describe(f.shape, f.dtype, f.device)} for a state of"
                f" {_describe(self._shape, self._dtype, self._device)}; the derivative must have"
                " the state's shape, dtype and device"
            )


def changed() -> ValueError:
    """What is wrong with a field that writes to the state that it is called with."""
    return ValueError(
        "the field changes in place the state that it is called with, which the solver still"
        " needs: let it work on a copy, such as y.clone()"
    )


def same_values(a: Float[Tensor, "*state"], b: Float[Tensor, "*state"]) -> bool:
    """Whether the values are the same, those that are not a number included."""
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())


class ReadsTime(TorchFunctionMode):
    """Watches whether a call of the field computes with the time or reads its value.

    Attributes:
        time: what the field is to be called with.
        reads: whether it was used.
    """

    def __init__(self, time: Float[Tensor, ""]) -> None:
        super().__init__()
        self.time, self.reads = time, False

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Any use but that of an attribute, such as its dtype."""
        if getattr(func, "__name__", "") != "__get__":
            self.reads |= any(x is self.time for x in tree_leaves((args, kwargs)))
        return func(*args, **(kwargs or {}))


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


@dataclass(frozen=True)
class KeptAutocast:
    """A field under the autocast of an earlier time, for a way back that runs without it.

    Otherwise the way back would follow another field than the way there.

    Attributes:
        field: as the user gave it.
        device_type, dtype: the device whose autocast was on, and what it casts to.
    """

    field: Field
    device_type: str
    dtype: torch.dtype

    def __call__(
        self, t: Float[Tensor, "*each"], y: Float[Tensor, "*state"]
    ) -> Float[Tensor, "*state"]:
        """The derivative, by operations in half precision."""
        # The way back frees the graph of each call, with which a copy of a weight is of no use.
        with torch.autocast(self.device_type, self.dtype, cache_enabled=False):
            return self.field(t, y)


def keep_autocast(field: Field, device_type: str) -> Field:
    """The field as it is called now, whatever autocast will be on later."""
    if not has_autocast(device_type):
        return field
    return KeptAutocast(field, device_type, torch.get_autocast_dtype(device_type))


def identity(field: Field) -> Hashable:
    """What a field is known by while it is alive.

    Fields that are equal may still be different functions, but a bound method is a new object each
    time that it is asked for.
    """
    if isinstance(field, KeptAutocast):
        return (identity(field.field), field.device_type, field.dtype)
    return field if isinstance(field, MethodType) else id(field)


def has_autocast(device_type: str) -> bool:
    """Whether autocast is on for this device."""
    return _knows_autocast(device_type) and torch.is_autocast_enabled(device_type)


def without_autocast(device_type: str) -> AbstractContextManager:
    """A context in which sums are not in half precision."""
    if not has_autocast(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


# Whether torch has autocast for this type of device at all.
_knows_autocast = cache(torch.amp.is_autocast_available)


def _describe(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> str:
    return f"shape {tuple(shape)}, {dtype} on {device}"
