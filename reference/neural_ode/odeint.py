"""``odeint`` and ``odeint_adjoint`` with the signature of torchdiffeq 0.2.5: change one import.

What differs, on purpose: outputs inside a step come from the dense output of the method's own order
(torchdiffeq's is of fourth order for dopri5 and lower for bosh3, adaptive_heun and dopri8);
``adaptive_heun`` re-evaluates the field at each new point instead of carrying over the last stage;
and a solve that fails raises a ``SolverFailure`` that says where; it is an ``AssertionError`` too.
docs/torchdiffeq.md has the whole list.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import (
    check_callable,
    check_positive,
    check_readable,
    describe,
    shorten,
)
from neural_ode.events import EventFunction
from neural_ode.gradients import Adjoint, Gradient
from neural_ode.gradients.parameters import as_tensors, kinds, parameters_of, split
from neural_ode.methods import find_method
from neural_ode.methods.base import Method, iterates
from neural_ode.settings import NO_CALLBACKS, Callback, Callbacks, Settings, as_floats
from neural_ode.solution import Solution
from neural_ode.solve import solve
from neural_ode.states import Layout, State, StateNorm
from neural_ode.step.controllers import IntegralController
from neural_ode.step.error import check_norm, rms_norm
from neural_ode.tolerances import Tolerances, for_adjoint, for_state

# What the backward solve does where ``adjoint_options`` are silent; nothing of the forward solve.
_ADJOINT_DEFAULTS = {
    f.name: f.default
    for f in fields(Settings)
    if f.name not in ("method", "rtol", "atol", "norm", "joint_norm")
}

# What a method without an error estimate, which heeds no tolerance, is given.
_WITHOUT_MEANING = {"rtol": 1e-7, "atol": 1e-9}

_CONTROLLER_OPTIONS = ("safety", "ifactor", "dfactor")
_SOLVE_OPTIONS = (
    "step_size",
    "first_step",
    "min_step",
    "max_step",
    "max_num_steps",
    "step_t",
    "jump_t",
    "perturb",
)
# What has a meaning only where a grid chooses the steps, or only where the error does.
_OF_GRIDS = ("step_size", "grid_constructor", "interp", "perturb")
_OF_ERRORS = ("first_step", "min_step", "max_step", "step_t", "jump_t", *_CONTROLLER_OPTIONS)
CALLBACKS = {
    "step": "callback_step",
    "accept": "callback_accept_step",
    "reject": "callback_reject_step",
}
# The times are numbers of the host here, so the dtype of torchdiffeq's has no meaning.
_NOT_NEEDED = ("dtype",)


def odeint(
    func: Callable[[Tensor, Any], Any],
    y0: State,
    t: Float[Tensor, " time"],
    *,
    rtol: Tolerances = 1e-7,
    atol: Tolerances = 1e-9,
    method: str | None = None,
    options: dict | None = None,
    event_fn: Callable[[Tensor, Any], Tensor] | None = None,
) -> State | tuple[Tensor, State]:
    """The solution of ``dy/dt = func(t, y)`` at ``t``; gradients go through the solver.

    Args:
        func: maps a 0-dimensional time and a state (a tensor, or a tuple of tensors) to its
            derivative, of the same structure.
        y0: the state at ``t[0]``, a tensor [*state] or a tuple of tensors on one device. Real
            or complex; a tuple of several dtypes is solved, and given to ``func``, in the one to
            which torch promotes them, and a state of 16 bits is added up in float32.
        t: output times, shape [time], strictly increasing or decreasing.
        rtol, atol: tolerances; for a tuple state also one for each of its parts. One of them may
            be zero. A method without an error estimate heeds neither.
        method: a name in ``METHODS``, ``"adams"`` or ``"reversible_heun"``; dopri5 where ``None``.
        options: step_size, grid_constructor, interp, perturb (fixed grids); first_step, min_step,
            max_step, max_num_steps, step_t, jump_t, safety, ifactor, dfactor (adaptive); norm (of a
            state, or of the tuple); dtype, which changes nothing. Others are named in a warning and
            left out.
        event_fn: a function of the time and the state; the solve ends where one of its values is
            first zero. ``t`` has then two times, of which the second tells the direction alone. A
            method with steps of given sizes needs the option ``step_size``. Gradients are those at
            a fixed time; ``odeint_event`` adds what the time of the event brings.

    Returns:
        The states, shape [time, *state], or a tuple of such; with ``event_fn`` the time of the
        event, a 0-dimensional tensor, and the states at the beginning and there.

    Raises:
        ValueError, TypeError: for bad arguments, in one sentence.
        SolverFailure: where the integration cannot go on.
    """
    flat = Flat(func, y0)
    return flat.solve(t, rtol, atol, method, options, event_fn, gradient=None)


def odeint_adjoint(
    func: Callable[[Tensor, Any], Any],
    y0: State,
    t: Float[Tensor, " time"],
    *,
    rtol: Tolerances = 1e-7,
    atol: Tolerances = 1e-9,
    method: str | None = None,
    options: dict | None = None,
    event_fn: Callable[[Tensor, Any], Tensor] | None = None,
    adjoint_rtol: Tolerances | None = None,
    adjoint_atol: Tolerances | None = None,
    adjoint_method: str | None = None,
    adjoint_options: dict | None = None,
    adjoint_params: Iterable[Tensor] | None = None,
) -> State | tuple[Tensor, State]:
    """As ``odeint``, with the gradient from the adjoint solved backward in time.

    Args:
        adjoint_rtol, adjoint_atol: tolerances of the backward solve, by default those of the
            forward; of several the least.
        adjoint_method: its method, by default that of the forward solve.
        adjoint_options: its options, by default the forward ones without ``norm``; ``norm`` may be
            ``"seminorm"`` or a function of the tuple (t, y, adj_y, *adj_params), in which the entry
            for t is a zero, since the time is not part of the backward state here.
        adjoint_params: the tensors that get a gradient, by default the parameters of ``func``.

    The other arguments, the result and the errors are those of ``odeint``.

    Raises:
        ValueError: also for a ``func`` that is no ``nn.Module`` without ``adjoint_params``, and for
            ``adjoint_method`` that differs while ``options`` are given without ``adjoint_options``.
    """
    _check_options("options", options)
    if adjoint_params is None and not isinstance(func, nn.Module):
        raise ValueError(
            "func is not an nn.Module, so its parameters are unknown: name them in adjoint_params,"
            " () if there are none"
        )
    another = adjoint_method is not None and adjoint_method != method
    if another and options is not None and adjoint_options is None:
        raise ValueError("adjoint_method differs from method, so options need adjoint_options too")
    if adjoint_options is None:
        adjoint_options = {k: v for k, v in (options or {}).items() if k != "norm"}
    _check_options("adjoint_options", adjoint_options)
    flat = Flat(func, y0)
    backward = method if adjoint_method is None else adjoint_method
    own = _settings(adjoint_options, backward)
    params = (
        parameters_of(cast(nn.Module, func))
        if adjoint_params is None
        else as_tensors("adjoint_params", adjoint_params)
    )
    own["callbacks"] = flat.adjoint_callbacks(backward, [p for p in params if p.requires_grad])
    tolerances: dict[str, Any] = {}
    chosen = find(backward)
    constructor = adjoint_options.get("grid_constructor")
    if constructor is not None and not chosen.adaptive:
        own["grid"] = flat.backward_grid(constructor, t)
    if chosen.adaptive or iterates(chosen):
        tolerances = for_adjoint(
            flat.layout,
            rtol if adjoint_rtol is None else adjoint_rtol,
            atol if adjoint_atol is None else adjoint_atol,
        )
    gradient = Adjoint(
        **(_WITHOUT_MEANING | tolerances),
        norm=flat.adjoint_norm(adjoint_options.get("norm", "rms")),
        method=configure(chosen, adjoint_options),
        params=params,
        settings=_ADJOINT_DEFAULTS | own,
    )
    return flat.solve(t, rtol, atol, method, options, event_fn, gradient)


def _check_options(name: str, options: Any) -> None:
    """Raise TypeError for options that are not a dict with names."""
    if options is None:
        return
    if not isinstance(options, Mapping):
        raise TypeError(f"{name} is {describe(options)}, expected a dict of options by name")
    for key in options:
        if not isinstance(key, str):
            raise TypeError(f"{name} has the key {describe(key)}, expected names of options")


def find(method: str | Method | None) -> Method:
    """The method of that name, dopri5 where ``None``."""
    return find_method("dopri5" if method is None else method)


def options_of(method: Method) -> set[str]:
    """The names of the options that mean something to a method."""
    idle = _OF_GRIDS if method.adaptive else _OF_ERRORS
    settings = {name: name for name in (*_SOLVE_OPTIONS, "norm")}
    settings |= {"grid_constructor": "grid", "interp": "interpolation"}
    settings |= dict.fromkeys(_CONTROLLER_OPTIONS, "controller")
    meant = {name for name, setting in settings.items() if method.accepts(setting)} - set(idle)
    return meant | {*_NOT_NEEDED, *_own_options(method)}


def _own_options(method: Method) -> Sequence[str]:
    return getattr(method, "options", ())


def configure(method: Method, options: dict) -> Method:
    """The method with its own options, where some are given."""
    own = {name: options[name] for name in _own_options(method) if name in options}
    return replace(cast(Any, method), **own) if own else method


def _settings(options: dict, method: str | None) -> dict[str, Any]:
    """The keyword arguments of ``solve`` that these options stand for."""
    known = {*_SOLVE_OPTIONS, *_CONTROLLER_OPTIONS, *_NOT_NEEDED}
    known |= {"norm", "interp", "grid_constructor", *_own_options(find(method))}
    unknown = sorted(set(options) - known)
    if unknown:
        warnings.warn(
            f"options not known and left out: {', '.join(map(shorten, unknown))}", stacklevel=4
        )
    adaptive = find(method).adaptive
    idle = sorted(set(options) & set(_OF_GRIDS if adaptive else _OF_ERRORS))
    if idle:
        how = "chooses its steps by their error" if adaptive else "takes steps of given sizes"
        warnings.warn(
            f"options without a meaning for method {method or 'dopri5'!r}, which {how}, are left"
            f" out: {', '.join(idle)}",
            stacklevel=4,
        )
        options = {name: value for name, value in options.items() if name not in idle}
    settings = {name: options[name] for name in _SOLVE_OPTIONS if options.get(name) is not None}
    for name in ("step_t", "jump_t"):
        if name in settings:
            settings[name] = as_floats(name, settings[name])
    control = {name: options[name] for name in _CONTROLLER_OPTIONS if name in options}
    for name, value in control.items():
        check_readable(name, value)
        number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        check_positive(name, number)
        control[name] = float(number)
    if control:
        settings["controller"] = IntegralController(**control)
    if not adaptive:
        settings["interpolation"] = options.get("interp", "linear")
    return settings


class Flat:
    """A problem whose state may be a tuple, complex or of 16 bits, as one with a real tensor."""

    def __init__(self, func: Callable[[Tensor, Any], Any], y0: State) -> None:
        check_callable("func", func)
        self.func, self.layout = func, Layout(y0)
        self.y0 = self.layout.y0

    def field(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Any:
        """The derivative of the solver's state."""
        layout = self.layout
        if layout.is_plain:
            f = self.func(t, y)
            if not isinstance(f, Tensor) or f.dtype == layout.dtype:
                return f
            return layout.pack(f)
        time = t if t.dtype == layout.time_dtype else t.to(layout.time_dtype)
        f = self.func(time, layout.unpack(y))
        self._check_slope(f)
        return layout.pack(f)

    def _check_slope(self, f: Any) -> None:
        """Raise TypeError or ValueError, in one sentence, for what cannot be a derivative."""
        shapes = self.layout.shapes
        if shapes is None:
            if not isinstance(f, Tensor):
                raise TypeError(f"the field returned {type(f).__name__}, expected a tensor")
            expected = self.layout.shape
            if f.shape != expected:
                raise ValueError(
                    f"the field returned shape {tuple(f.shape)} for a state of shape"
                    f" {tuple(expected)}"
                )
            return
        if not isinstance(f, tuple | list):
            raise TypeError(f"the field returned {type(f).__name__}, expected a tuple of tensors")
        if not all(isinstance(x, Tensor) for x in f):
            raise TypeError("the field returned a tuple with something in it that is not a tensor")
        if [x.shape for x in f] != shapes:
            returned, expected = [tuple(x.shape) for x in f], [tuple(s) for s in shapes]
            raise ValueError(
                f"the field returned shapes {returned} for a state of shapes {expected}"
            )

    def norm(self, chosen: Callable | None) -> Callable[[Tensor], Tensor]:
        """The norm of the flat state; over a tuple by default the largest of the parts' norms."""
        layout = self.layout
        if chosen is not None:
            check_callable("norm", chosen)
        of_state: Callable[[Any], Any] = chosen or (
            rms_norm if layout.shapes is None else _largest_rms
        )
        if layout.shapes is None and not layout.is_complex:
            return of_state
        return StateNorm(layout, of_state)

    def adjoint_norm(self, chosen: Any) -> Any:
        """The norm of the backward solve in the form that ``Adjoint`` takes."""
        if not callable(chosen) or isinstance(chosen, type):
            return chosen

        def norm(z: Tensor, a: Tensor, gradients: Sequence[Tensor]) -> Tensor:
            parts = (self.layout.unpack_error(x) for x in (z, a))
            states = [x for p in parts for x in (p if isinstance(p, tuple) else (p,))]
            return torch.as_tensor(check_norm(chosen((z.new_zeros(()), *states, *gradients))))

        return norm

    def callbacks(self, method: str | None) -> Callbacks:
        """The callbacks that ``func`` has as attributes, for the state as the user knows it."""
        return Callbacks(**self._callbacks(method, "", self.layout.unpack))

    def adjoint_callbacks(self, method: str | None, params: Sequence[Tensor]) -> Callbacks:
        """Those of the backward solve, for the tuple (t, y, adj_y, *adj_params).

        As in torchdiffeq the parts of a tuple state lie one after another in ``y`` and in
        ``adj_y``. The entry for t is a zero, since the time is not part of the backward state here.
        """
        of_params = kinds(params)

        def show(state: tuple[Tensor, Tensor | None]) -> tuple[Tensor, ...]:
            both, integrals = state
            states = [_flat(self.layout.unpack(x)) for x in both]
            gradients = [] if integrals is None else split(integrals, of_params)
            return (both.new_zeros(()), *states, *gradients)

        given = self._callbacks(method, "_adjoint", show)
        return Callbacks(**given, with_integrals=True) if given else NO_CALLBACKS

    def _callbacks(
        self, method: str | None, suffix: str, show: Callable[[Any], Any]
    ) -> dict[str, Any]:
        """The callbacks of these names, by what they watch; ``show`` makes the state theirs."""
        given = {
            name: getattr(self.func, attribute + suffix)
            for name, attribute in CALLBACKS.items()
            if getattr(self.func, attribute + suffix, None) is not None
        }
        for name, callback in given.items():
            check_callable(CALLBACKS[name] + suffix, callback)
        chosen = find(method)
        called = () if chosen.integrate else CALLBACKS if chosen.adaptive else ("step",)
        idle = [CALLBACKS[name] + suffix for name in given if name not in called]
        if idle:
            warnings.warn(
                f"method {chosen.name!r} does not call {', '.join(idle)}",
                stacklevel=5,
            )

        def wrap(callback: Callable) -> Callback:
            return lambda t, y, h: callback(t, show(y), h)

        return {name: wrap(f) for name, f in given.items() if name in called}

    @torch.no_grad()
    def backward_grid(self, constructor: Callable, t: Float[Tensor, " time"]) -> list[float]:
        """The grids that the constructor gives between one output time and the one before it."""
        check_callable("grid_constructor", constructor)
        intervals = zip(t[1:], t[:-1], strict=True)
        grids = [constructor(self.field, self.y0.clone(), torch.stack(ends)) for ends in intervals]
        return [point for grid in grids for point in as_floats("grid", grid)]

    def solve(
        self,
        t: Float[Tensor, " time"],
        rtol: Tolerances,
        atol: Tolerances,
        method: str | None,
        options: dict | None,
        event_fn: Callable[[Tensor, Any], Tensor] | None,
        gradient: Gradient | None,
    ) -> Any:
        """The states, and before them the time of the event where there is one."""
        given: dict[str, Any] = {}
        if event_fn is not None:
            given["event_fn"] = self.event_fn(event_fn)
        solution = self.run(t, rtol, atol, method, options, gradient=gradient, **given)
        ys = solution.ys if self.layout.is_plain else self.layout.unpack(solution.ys)
        return ys if event_fn is None else (solution.ts[-1], ys)

    def run(
        self,
        t: Float[Tensor, " time"],
        rtol: Tolerances,
        atol: Tolerances,
        method: str | None,
        options: dict | None,
        **given: Any,
    ) -> Solution:
        """The solution of the solver, which is given some further arguments as they are."""
        _check_options("options", options)
        options, chosen = options or {}, find(method)
        settings = _settings(options, method)
        grid_constructor = options.get("grid_constructor")
        if grid_constructor is not None and not chosen.adaptive:
            check_callable("grid_constructor", grid_constructor)
            settings["grid"] = grid_constructor(self.field, self.y0.clone(), t)
        if chosen.adaptive or iterates(chosen):
            settings |= for_state(self.layout, rtol, atol)
        if not chosen.fixed_norm or "norm" in options:
            settings["norm"] = self.norm(options.get("norm"))
        settings["method"] = configure(chosen, options)
        settings["callbacks"] = self.callbacks(method)
        return solve(self.field, self.y0, t, **settings, **given)

    def event_fn(self, function: Callable[[Tensor, Any], Tensor]) -> EventFunction:
        """An event function of the state as the user knows it, for the solver's."""
        check_callable("event_fn", function)
        layout = self.layout
        return lambda t, y: function(t.to(layout.time_dtype), layout.unpack(y))


def _flat(state: State) -> Tensor:
    """The parts of a tuple one after another; a tensor as it is."""
    return state if isinstance(state, Tensor) else torch.cat([x.reshape(-1) for x in state])


def _largest_rms(parts: tuple[Tensor, ...]) -> Float[Tensor, ""]:
    return torch.stack([rms_norm(p) for p in parts]).amax()
