"""What a solve is asked for beside the problem itself."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neural_ode.arguments import (
    check_callable,
    check_flag,
    check_readable,
    describe,
    has_values,
)
from neural_ode.dense import Trajectory
from neural_ode.events import Event
from neural_ode.methods.base import Method, SampleMethod
from neural_ode.methods.runge_kutta_5 import DOPRI5
from neural_ode.step.controllers import Controller, IntegralController
from neural_ode.step.error import ErrorTest, JointNorm, Norm, Tolerance, rms_norm
from neural_ode.times import Time

DEFAULT_CONTROLLER = IntegralController()
INTERPOLATIONS = ("dense", "linear", "cubic")
BATCHES = ("joint", "independent")
# What steps of each sample alone do not heed.
_OF_WHOLE_STEPS = ("compile", "callbacks", "dense", "event_fn", "step_t", "jump_t", "perturb")
# The default of ``max_num_steps``, which stands for no limit.
NO_LIMIT = 2**31 - 1


# Called with a time, the state there and the size of a step, all of them tensors.
Callback = Callable[[Tensor, Any, Tensor], Any]


@dataclass(frozen=True)
class Callbacks:
    """Functions that watch the steps of a solve; each is called as ``callback(t, y, h)``.

    Attributes:
        step: before each step that is tried.
        accept, reject: after one whose error was estimated.
        with_integrals: whether ``y`` is a pair, of the state and of the integrals so far, which are
            ``None`` where there are none. An adjoint's integrals are the parameters' gradients.

    ``t`` and ``y`` are where the step begins, and ``h`` is its size, positive also back in time.
    ``y`` is a copy.

    Raises:
        TypeError: for what cannot be called.
    """

    step: Callback | None = None
    accept: Callback | None = None
    reject: Callback | None = None
    with_integrals: bool = False

    def __post_init__(self):
        for name in ("step", "accept", "reject"):
            value = getattr(self, name)
            if not (value is None or callable(value)):
                raise TypeError(f"{name} is {describe(value)}, expected a function or None")
        check_flag("with_integrals", self.with_integrals)


NO_CALLBACKS = Callbacks()


@dataclass(frozen=True)
class Settings:
    """Everything about an integration but the problem: see ``solve`` for the meaning of each.

    ``joint_norm`` is the norm of a state with integrals; where it is ``None`` the errors of the
    integrals do not count. ``event_fn`` and ``dense`` are the event at which the solve ends and the
    trajectory that it fills; the first integration alone heeds them, and those of a backward pass
    do not.

    Raises:
        ValueError, TypeError: in one sentence, for settings that make no sense or contradict each
            other.
    """

    method: Method = DOPRI5
    rtol: Tolerance = 1e-7
    atol: Tolerance = 1e-9
    norm: Norm = rms_norm
    controller: Controller = DEFAULT_CONTROLLER
    step_size: float | None = None
    grid: Sequence[Time] | None = None
    first_step: float | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    max_num_steps: int = NO_LIMIT
    step_t: Sequence[float] = ()
    jump_t: Sequence[float] = ()
    perturb: bool = False
    interpolation: str = "dense"
    compile: bool = False
    batch: str = "joint"
    joint_norm: JointNorm | None = None
    callbacks: Callbacks = NO_CALLBACKS
    event_fn: Event | None = None
    dense: Trajectory | None = None

    def __post_init__(self):
        for name in _NUMBERS:
            given = getattr(self, name)
            if not isinstance(given, float | int):
                object.__setattr__(self, name, _as_number(given))
        for name in ("rtol", "atol"):
            _check_tolerance(name, getattr(self, name))
        if self.step_size is not None and self.grid is not None:
            raise ValueError("step_size and grid exclude each other, give one of them")
        for name in ("step_size", "first_step", "max_step"):
            value = getattr(self, name)
            if value is None and name != "max_step":
                continue
            if value is None or not (_is_number(value) and value > 0):
                raise ValueError(f"{name} is {describe(value)}, expected a positive number")
            if value == math.inf and name != "max_step":
                raise ValueError(f"{name} is {describe(value)}, expected a finite number")
        for name in ("grid", "step_t", "jump_t"):
            times = getattr(self, name)
            if isinstance(times, list | tuple):
                _check_times(name, times)
            elif times is not _DEFAULTS[name]:
                object.__setattr__(self, name, as_list(name, times))
        for name in ("step_t", "jump_t"):
            if not all(map(math.isfinite, getattr(self, name))):
                raise ValueError(f"{name} holds a time that is not finite")
        if not (_is_number(self.min_step) and 0 <= self.min_step <= self.max_step):
            raise ValueError(
                f"min_step is {describe(self.min_step)}, expected a number from 0 to max_step,"
                f" {self.max_step}"
            )
        limit = self.max_num_steps
        if not (_is_number(limit) and limit >= 1):
            raise ValueError(f"max_num_steps is {describe(limit)}, expected at least 1")
        if limit != math.inf and limit != int(limit):
            raise ValueError(f"max_num_steps is {describe(limit)}, expected a whole number")
        if not (isinstance(self.interpolation, str) and self.interpolation in INTERPOLATIONS):
            raise ValueError(
                f"unknown interpolation {describe(self.interpolation)};"
                f" expected one of {', '.join(INTERPOLATIONS)}"
            )
        if not (isinstance(self.batch, str) and self.batch in BATCHES):
            raise ValueError(
                f"batch is {describe(self.batch)}, expected one of {', '.join(BATCHES)}"
            )
        for name in ("perturb", "compile"):
            check_flag(name, getattr(self, name))
        self._check_objects()
        self._check_method()

    def _check_objects(self) -> None:
        """What is called must be of a kind that can be."""
        if self.norm is not rms_norm:
            check_callable("norm", self.norm)
        controller = self.controller
        whole = all(hasattr(controller, name) for name in ("factor", "dfactor"))
        if isinstance(controller, type) or not whole:
            raise TypeError(
                f"controller is {describe(controller)}, expected an object such as PIController(),"
                " with a function factor and a number dfactor"
            )
        if not isinstance(self.callbacks, Callbacks):
            raise TypeError(f"callbacks is {describe(self.callbacks)}, expected Callbacks(...)")

    def _check_method(self) -> None:
        """What is set must mean something to the method."""
        accepts = self.method.accepts
        # Most settings are their defaults themselves, which need no comparison.
        changed = [n for n, value in vars(self).items() if value is not _DEFAULTS[n]]
        unknown = [n for n in changed if not accepts(n)]
        given = [n for n in unknown if getattr(self, n) != _DEFAULTS[n]]
        if given:
            raise ValueError(f"method {self.method.name!r} does not take {', '.join(given)}")
        if self.batch == "joint":
            return
        if not isinstance(self.method, SampleMethod):
            raise ValueError(
                f"method {self.method.name!r} takes the same steps for the whole batch, so it does"
                " not take batch='independent'"
            )
        given = [n for n in _OF_WHOLE_STEPS if getattr(self, n) != _DEFAULTS[n]]
        if given:
            raise ValueError(f"batch='independent' does not go with {', '.join(given)}")

    @property
    def adaptive(self) -> bool:
        """Whether the error chooses the steps; otherwise a grid does."""
        return self.method.adaptive and self.step_size is None and self.grid is None

    @property
    def sample_method(self) -> SampleMethod | None:
        """The method where each sample of a batch chooses its own steps; ``None`` elsewhere."""
        own = self.batch == "independent" and self.adaptive
        return self.method if own and isinstance(self.method, SampleMethod) else None

    @property
    def test(self) -> ErrorTest:
        """How the error of a step is measured, where it chooses the step sizes."""
        return ErrorTest(self.rtol, self.atol, self.norm, self.joint_norm)


# What is a single number; a tolerance may also be a tensor.
_NUMBERS = ("rtol", "atol", "step_size", "first_step", "min_step", "max_step", "max_num_steps")
_DEFAULTS = {f.name: f.default for f in fields(Settings)}


def as_list(name: str, times: Any) -> list[Time]:
    """Times one by one, from a sequence, a tensor or an array of one dimension.

    Raises:
        TypeError, ValueError: in one sentence, for anything else.
    """
    if isinstance(times, str | bytes | Mapping) or not isinstance(times, Iterable):
        raise TypeError(f"{name} is {describe(times)}, expected a sequence of times")
    check_readable(name, times)
    if isinstance(times, Tensor | np.ndarray) and times.ndim != 1:
        raise ValueError(f"{name} has shape {tuple(times.shape)}, expected one dimension")
    entries: list[Time] = [*times]
    _check_times(name, entries)
    return entries


def as_floats(name: str, times: Any) -> tuple[float, ...]:
    """The same as numbers of the host."""
    return tuple(float(t) for t in as_list(name, times))


def _check_times(name: str, times: Sequence[Any]) -> None:
    for t in times:
        check_readable(f"an entry of {name}", t)
        if not _is_number(t):
            raise TypeError(f"{name} holds {describe(t)}, expected numbers")


def _is_number(value: object) -> bool:
    """Whether it is a real number, which a truth value, of whatever kind, is not meant to be."""
    if isinstance(value, Tensor):
        real = value.dtype != torch.bool and not value.is_complex()
        return real and has_values(value) and value.ndim == 0
    # An abstract class takes longer to ask than those of most numbers.
    if isinstance(value, float):
        return True
    if not isinstance(value, int | Real) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _as_number(value: Any) -> Any:
    """A number of another kind, or in a tensor, as one of the host; anything else as it is."""
    if not _is_number(value):
        return value
    return value.item() if isinstance(value, Tensor) else float(value)


def _check_tolerance(name: str, tolerance: Tolerance) -> None:
    check_readable(name, tolerance)
    if isinstance(tolerance, Tensor):
        real = tolerance.dtype != torch.bool and not tolerance.is_complex()
        good = real and bool((tolerance.isfinite() & (tolerance > 0)).all())
    else:
        good = _is_number(tolerance) and 0 < tolerance < math.inf
    if not good:
        raise ValueError(f"{name} is {describe(tolerance)}, expected a positive number")
