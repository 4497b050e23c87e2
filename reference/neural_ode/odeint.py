"""``odeint`` and ``odeint_adjoint`` with the signature of torchdiffeq 0.2.5: change one import.

What differs, on purpose: outputs inside a step come from the dense output of the method's own order
(torchdiffeq's is of fourth order for dopri5 and lower for bosh3, adaptive_heun and dopri8);
``adaptive_heun`` re-evaluates the field at each new point instead of carrying over the last stage;
and a solve that fails raises a ``SolverFailure`` that says where, not an ``AssertionError``.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.gradients import Adjoint, Gradient
from neural_ode.methods import find_method
from neural_ode.settings import Settings
from neural_ode.solve import solve
from neural_ode.step.controllers import IntegralController
from neural_ode.step.error import Tolerance, rms_norm

# What the backward solve does where ``adjoint_options`` are silent; nothing of the forward solve.
_ADJOINT_DEFAULTS = {
    f.name: f.default
    for f in fields(Settings)
    if f.name not in ("method", "rtol", "atol", "norm", "joint_norm")
}

State = Tensor | tuple[Tensor, ...]
TupleNorm = Callable[[tuple[Tensor, ...]], Any]

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


def odeint(
    func: Callable[[Tensor, Any], Any],
    y0: State,
    t: Float[Tensor, " time"],
    *,
    rtol: Tolerance | Sequence[Tolerance] = 1e-7,
    atol: Tolerance | Sequence[Tolerance] = 1e-9,
    method: str | None = None,
    options: dict | None = None,
    event_fn: None = None,
) -> State:
    """The solution of ``dy/dt = func(t, y)`` at ``t``; gradients go through the solver.

    Args:
        func: maps a 0-dimensional time and a state (a tensor, or a tuple of tensors) to its
            derivative, of the same structure.
        y0: the state at ``t[0]``, a tensor [*state] or a tuple of tensors of one dtype and device.
        t: output times, shape [time], strictly increasing or decreasing.
        rtol, atol: tolerances; for a tuple state also one for each of its parts.
        method: a name in ``METHODS``, dopri5 where ``None``.
        options: step_size, grid_constructor, interp, perturb (fixed grids); first_step, min_step,
            max_step, max_num_steps, step_t, jump_t, safety, ifactor, dfactor (adaptive); norm (of a
            state, or of the tuple). Others are named in a warning and left out.
        event_fn: not supported, must be ``None``.

    Returns:
        The states, shape [time, *state], or a tuple of such.

    Raises:
        ValueError, TypeError: for bad arguments, in one sentence.
        SolverFailure: where the integration cannot go on.
    """
    flat = _Flat(func, y0)
    return flat.solve(t, rtol, atol, method, options, event_fn, gradient=None)


def odeint_adjoint(
    func: Callable[[Tensor, Any], Any],
    y0: State,
    t: Float[Tensor, " time"],
    *,
    rtol: Tolerance | Sequence[Tolerance] = 1e-7,
    atol: Tolerance | Sequence[Tolerance] = 1e-9,
    method: str | None = None,
    options: dict | None = None,
    event_fn: None = None,
    adjoint_rtol: Tolerance | None = None,
    adjoint_atol: Tolerance | None = None,
    adjoint_method: str | None = None,
    adjoint_options: dict | None = None,
    adjoint_params: Iterable[Tensor] | None = None,
) -> State:
    """As ``odeint``, with the gradient from the adjoint solved backward in time.

    Args:
        adjoint_rtol, adjoint_atol: tolerances of the backward solve, by default those of the
            forward.
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
    flat = _Flat(func, y0)
    own = _settings(adjoint_options, adjoint_method or method)
    params = cast(nn.Module, func).parameters() if adjoint_params is None else adjoint_params
    constructor = adjoint_options.get("grid_constructor")
    if constructor is not None:
        own["grid"] = flat.backward_grid(constructor, t)
    gradient = Adjoint(
        rtol=adjoint_rtol,
        atol=adjoint_atol,
        norm=flat.adjoint_norm(adjoint_options.get("norm", "rms")),
        method=adjoint_method,
        params=tuple(params),
        settings=_ADJOINT_DEFAULTS | own,
    )
    return flat.solve(t, rtol, atol, method, options, event_fn, gradient)


def _settings(options: dict, method: str | None) -> dict[str, Any]:
    """The keyword arguments of ``solve`` that these options stand for."""
    known = {*_SOLVE_OPTIONS, *_CONTROLLER_OPTIONS, "norm", "interp", "grid_constructor"}
    unknown = sorted(set(options) - known)
    if unknown:
        warnings.warn(f"options not known and left out: {', '.join(unknown)}", stacklevel=4)
    settings = {name: options[name] for name in _SOLVE_OPTIONS if options.get(name) is not None}
    for name in ("step_t", "jump_t"):
        if name in settings:
            settings[name] = tuple(float(t) for t in settings[name])
    control = {name: float(options[name]) for name in _CONTROLLER_OPTIONS if name in options}
    if control:
        settings["controller"] = IntegralController(**control)
    if not find_method(method or "dopri5").adaptive:
        settings["interpolation"] = options.get("interp", "linear")
    return settings


def _check_parts(parts: tuple) -> None:
    """Raise TypeError or ValueError, in one sentence, for a tuple that is not a state."""
    if not parts:
        raise ValueError("y0 is an empty tuple, expected at least one tensor")
    if not all(isinstance(y, Tensor) for y in parts):
        raise TypeError("y0 is a tuple with something in it that is not a torch tensor")
    kinds = list(dict.fromkeys(f"{y.dtype} on {y.device}" for y in parts))
    if len(kinds) > 1:
        raise TypeError(f"y0 is a tuple of {', '.join(kinds)}, expected one dtype and one device")


class _Flat:
    """A problem whose state may be a tuple, seen as one with a single tensor, and back."""

    def __init__(self, func: Callable[[Tensor, Any], Any], y0: State) -> None:
        self.func = func
        self.parts = y0 if isinstance(y0, tuple) else None
        if self.parts is not None:
            _check_parts(self.parts)
        self.y0 = self.join(y0)

    def join(self, state: Any) -> Tensor:
        if self.parts is None:
            return state
        return torch.cat([x.reshape(-1) for x in state])

    def split(self, flat: Float[Tensor, "*lead flat"]) -> tuple[Tensor, ...]:
        parts = self.parts or ()
        pieces = flat.split([p.numel() for p in parts], dim=-1)
        return tuple(
            x.reshape(flat.shape[:-1] + p.shape) for x, p in zip(pieces, parts, strict=True)
        )

    def field(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Float[Tensor, "*state"]:
        if self.parts is None:
            return self.func(t, y)
        f = self.func(t, self.split(y))
        if not isinstance(f, tuple | list):
            raise TypeError(f"the field returned {type(f).__name__}, expected a tuple of tensors")
        if not all(isinstance(x, Tensor) for x in f):
            raise TypeError("the field returned a tuple with something in it that is not a tensor")
        shapes, expected = ([tuple(x.shape) for x in parts] for parts in (f, self.parts))
        if shapes != expected:
            raise ValueError(f"the field returned shapes {shapes} for a state of shapes {expected}")
        return self.join(f)

    def tolerance(self, name: str, value: Tolerance | Sequence[Tolerance]) -> Tolerance:
        """One tolerance for the flat state; a tuple of them is spread over its parts."""
        if not isinstance(value, Sequence):
            return value
        parts = self.parts or ()
        if len(value) != len(parts):
            raise ValueError(f"{name} has {len(value)} entries for a state of {len(parts)} parts")
        return torch.cat(
            [
                torch.as_tensor(v, dtype=p.dtype, device=p.device).expand(p.numel())
                for v, p in zip(value, parts, strict=True)
            ]
        )

    def norm(self, chosen: Callable | None) -> Callable[[Tensor], Tensor]:
        """The norm of the flat state; over a tuple by default the largest of the parts' norms."""
        if self.parts is None:
            return chosen or rms_norm
        of_parts = chosen or (lambda parts: torch.stack([rms_norm(p) for p in parts]).amax())
        return lambda error: torch.as_tensor(of_parts(self.split(error)))

    def adjoint_norm(self, chosen: Any) -> Any:
        """The norm of the backward solve in the form that ``Adjoint`` takes."""
        if not callable(chosen):
            return chosen

        def norm(z: Tensor, a: Tensor, gradients: Sequence[Tensor]) -> Tensor:
            states = (z, a) if self.parts is None else (*self.split(z), *self.split(a))
            return torch.as_tensor(chosen((z.new_zeros(()), *states, *gradients)))

        return norm

    @torch.no_grad()
    def backward_grid(self, constructor: Callable, t: Float[Tensor, " time"]) -> list[float]:
        """The grids that the constructor gives between one output time and the one before it."""
        intervals = zip(t[1:], t[:-1], strict=True)
        grids = [constructor(self.field, self.y0, torch.stack(ends)) for ends in intervals]
        return [float(point) for grid in grids for point in grid]

    def solve(
        self,
        t: Float[Tensor, " time"],
        rtol: Tolerance | Sequence[Tolerance],
        atol: Tolerance | Sequence[Tolerance],
        method: str | None,
        options: dict | None,
        event_fn: None,
        gradient: Gradient | None,
    ) -> State:
        if event_fn is not None:
            raise ValueError("event_fn is not supported; solve to fixed times instead")
        options = options or {}
        settings = _settings(options, method)
        grid_constructor = options.get("grid_constructor")
        if grid_constructor is not None:
            settings["grid"] = grid_constructor(self.field, self.y0, t)
        ys = solve(
            self.field,
            self.y0,
            t,
            method=method or "dopri5",
            rtol=self.tolerance("rtol", rtol),
            atol=self.tolerance("atol", atol),
            norm=self.norm(options.get("norm")),
            gradient=gradient,
            **settings,
        ).ys
        return ys if self.parts is None else self.split(ys)
