"""Checks of arguments: each raises TypeError or ValueError, one sentence that names the argument.

Values are checked once, in constructors. What a field or a model is called with is checked only
after torch has failed on it, so that a call which works costs nothing; each error is raised
``from None``, because torch's own error would only hide the sentence.
"""

import difflib
import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

# No tensor that fits into memory is longer; and no module has more layers, each made by itself.
MOST, MOST_LAYERS = 2**31 - 1, 10_000
# The characters of a value that a message quotes.
_QUOTED = 60


def check_count(name: str, value: Any, least: int = 1, most: int = MOST) -> None:
    """Check that an argument is a whole number in this range; a boolean is not a number."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} is {describe(value)}, expected a whole number") from None
    number = int(value)
    if number < least:
        raise ValueError(f"{name} is {describe(value)}, expected at least {least}") from None
    if number > most:
        raise ValueError(f"{name} is {describe(value)}, expected at most {most:,}") from None


def check_counts(name: str, values: Any, length: int | None = None) -> None:
    """Check that an argument is a sequence of whole numbers from 1, of this length if given."""
    wanted = "whole numbers" if length is None else f"{length} whole numbers"
    if not isinstance(values, list | tuple):
        raise TypeError(f"{name} is {describe(values)}, expected a sequence of {wanted}")
    if not values or (length is not None and len(values) != length):
        wanted = "at least one" if length is None else str(length)
        raise ValueError(f"{name} has {len(values)} entries, expected {wanted}")
    for value in values:
        check_count(f"an entry of {name}", value)


def check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """Check that an argument is a finite number from ``low`` to ``high``."""
    _check_real(name, value)
    if not (math.isfinite(value) and low <= value <= high):
        wanted = "a finite number"
        if math.isfinite(low):
            wanted = (
                f"a number from {low} to {high}" if math.isfinite(high) else f"{wanted} from {low}"
            )
        raise ValueError(f"{name} is {describe(value)}, expected {wanted}")


def check_numbers(name: str, values: Any) -> None:
    """Check that an argument is a sequence of at least one finite number."""
    if not isinstance(values, list | tuple):
        raise TypeError(f"{name} is {describe(values)}, expected a sequence of numbers")
    if not values:
        raise ValueError(f"{name} is empty, expected at least one number")
    for value in values:
        check_number(f"an entry of {name}", value)


def check_positive(name: str, value: Any) -> None:
    """Check that an argument is a finite number above zero."""
    _check_real(name, value)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} is {describe(value)}, expected a positive finite number")


def _check_real(name: str, value: Any) -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} is {describe(value)}, expected a number") from None
    try:
        float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large for a number of the computer") from None


def check_flag(name: str, value: Any) -> None:
    """Check that an argument is True or False, and not a text such as "no", which is true."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {describe(value)}, expected True or False")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Check that an argument is one of a few texts."""
    if not isinstance(value, str) or value not in choices:
        wanted = " or ".join(map(repr, choices))
        raise ValueError(f"{name} is {describe(value)}, expected {wanted}")


def check_generator(name: str, value: Any) -> None:
    """Check that an argument is a generator of random numbers, or None for torch's global one."""
    if value is not None and not isinstance(value, torch.Generator):
        raise TypeError(f"{name} is {describe(value)}, expected a torch.Generator or None")


def check_device(name: str, value: Any) -> None:
    """Check that an argument is a device of torch, or the name of one."""
    try:
        torch.device(value)
    except (RuntimeError, TypeError):
        raise ValueError(f"{name} is {describe(value)}, expected a device of torch") from None


def check_module(name: str, value: Any) -> None:
    """Check that an argument is a module: an object, and not its class."""
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name} is {describe(value)}, expected a torch.nn.Module")


def check_callable(name: str, value: Any) -> None:
    """Check that an argument can be called; a class gives an object, and no value."""
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"{name} is {describe(value)}, expected a function")


def check_keywords(given: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Check that keyword arguments, which are handed on later, are some that ``function`` knows."""
    known = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise TypeError(f"unknown argument {describe(name)}; {hint}")


def check_tensor(name: str, x: Any) -> None:
    """Check that an argument is a dense tensor of floating-point numbers."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is {describe(x)}, expected a torch tensor") from None
    check_dense(name, x)
    if not x.is_floating_point():
        raise TypeError(f"{name} has the dtype {x.dtype}, expected a floating-point one") from None


def has_values(x: Tensor) -> bool:
    """Whether a tensor is dense and its numbers are there: not nested, sparse or on meta."""
    return not x.is_nested and x.layout is torch.strided and not x.is_meta


def check_readable(name: str, x: Any) -> None:
    """Check of an argument that, if it is a tensor, it has values."""
    if isinstance(x, Tensor) and not has_values(x):
        kind = "a nested" if x.is_nested else "a meta" if x.is_meta else "a sparse"
        raise TypeError(f"{name} is {kind} tensor, expected numbers") from None


def check_dense(name: str, x: Tensor) -> None:
    """Check that a tensor is neither nested nor sparse."""
    if x.is_nested or x.layout is not torch.strided:
        kind = "nested" if x.is_nested else "sparse"
        raise TypeError(f"{name} is a {kind} tensor, expected a dense one") from None


def explain_call(
    field: Callable[..., Any], t: Tensor, y: Tensor, error: Exception
) -> TypeError | None:
    """What is wrong with a field whose first call has failed; ``None`` where that is not plain."""
    try:
        inspect.signature(field.forward if isinstance(field, nn.Module) else field).bind(t, y)
    except ValueError:
        # Something built in, which tells nothing of its arguments.
        pass
    except TypeError as misfit:
        return TypeError(f"the field is called as field(t, y), which does not fit: {misfit}")
    if isinstance(field, nn.Module):
        what, dtypes = f"the parameters of {type(field).__name__}", _dtypes(field)
    elif _SPEAKS_OF_DTYPES.search(str(error)):
        tensors = {name: _dtypes(x) for name, x in _values_used(field).items()}
        names = [name for name, of_value in tensors.items() if of_value - {y.dtype}]
        what = f"what the field uses ({', '.join(names)})"
        dtypes = {dtype for name in names for dtype in tensors[name]}
    else:
        return None
    if len(dtypes) == 1 and y.dtype not in dtypes:
        (dtype,) = dtypes
        have = "have" if isinstance(field, nn.Module) else "has"
        return TypeError(
            f"y0 has dtype {y.dtype}, {what} {have} {dtype}:"
            f" convert one of them, as y0.to({dtype}) does"
        )
    return None


# Words in torch's own messages about numbers of two kinds.
_SPEAKS_OF_DTYPES = re.compile(r"dtype|scalar type|Float|Double|Half|float|double")


def _dtypes(value: Any) -> set[torch.dtype]:
    """The floating-point dtypes of a tensor, or of a module's parameters."""
    tensors = value.parameters() if isinstance(value, nn.Module) else [value]
    return {x.dtype for x in tensors if isinstance(x, Tensor) and x.is_floating_point()}


def _values_used(function: Any) -> dict[str, Any]:
    """What a function closes over, finds among the globals, or has in its object, by name.

    What a ``functools.partial`` binds counts too.
    """
    values: dict[str, Any] = {}
    if isinstance(function, partial):
        values |= {str(i): x for i, x in enumerate(function.args)} | function.keywords
        function = function.func
    owner = getattr(function, "__self__", None)
    if owner is None and not inspect.isroutine(function):
        owner = function
    values |= getattr(owner, "__dict__", {})
    if isinstance(owner, nn.Module):
        values[type(owner).__name__] = owner
    try:
        closed = inspect.getclosurevars(function)
    except TypeError:
        return values
    return values | dict(closed.globals) | dict(closed.nonlocals)


def check_shape(name: str, x: Any, *shape: int | str) -> None:
    """Check that an argument is a floating-point tensor of this shape.

    Args:
        name: the argument.
        x: its value.
        shape: the size of each axis; a text is the name of an axis of any size, and ``"..."`` in
            the first place stands for any number of axes.
    """
    check_tensor(name, x)
    sizes = shape[1:] if shape[0] == "..." else shape
    right = x.ndim >= len(sizes) if shape[0] == "..." else x.ndim == len(sizes)
    last = x.shape[x.ndim - len(sizes) :]
    if not right or any(isinstance(a, int) and a != b for a, b in zip(sizes, last, strict=True)):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} has the shape {tuple(x.shape)}, expected [{wanted}]") from None


def check_points(name: str, x: Any, dim: int) -> None:
    """Check that an argument is a floating-point tensor [..., dim]; fast, for each call."""
    if not (
        isinstance(x, Tensor)
        and x.layout is torch.strided
        and x.ndim
        and x.size(-1) == dim
        and x.is_floating_point()
    ):
        check_shape(name, x, "...", dim)


def check_input(module: nn.Module, name: str, x: Any, *shape: int | str) -> None:
    """Check what a module was called with: as ``check_shape``, and that it fits the parameters."""
    check_shape(name, x, *shape)
    _check_fits(module, name, x)


def check_call(field: nn.Module, t: Any, name: str, state: Any, *shape: int | str) -> None:
    """Check what a field was called with: a single time, and states of this shape."""
    check_tensor("t", t)
    check_input(field, name, state, *shape)
    if t.ndim:
        raise ValueError(f"t has the shape {tuple(t.shape)}, expected a single time, ()") from None
    _check_fits(field, "t", t)


def _check_fits(module: nn.Module, name: str, x: Tensor) -> None:
    like = next(module.parameters(), x)
    kind = type(module).__name__
    if x.device != like.device:
        raise ValueError(
            f"{name} is on {x.device}, the parameters of {kind} are on {like.device}"
        ) from None
    # Autocast converts by itself.
    if x.dtype != like.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(
            f"{name} has the dtype {x.dtype}, the parameters of {kind} have {like.dtype}: convert"
            f" one of them, as {name}.to({like.dtype}) does"
        ) from None


def describe(value: Any) -> str:
    """A value in few words: a short text or a number as it is, anything else by its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, str | bytes):
        return shorten(repr(value[:_QUOTED]))
    if value is not None and not isinstance(value, Real):
        return type(value).__name__
    try:
        return shorten(str(value))
    except ValueError:
        # Python writes no number of thousands of digits.
        return "a number of thousands of digits"


def shorten(text: str) -> str:
    """A text of bounded length, as a message may quote it."""
    return text if len(text) < _QUOTED else f"{text[:_QUOTED]}..."
