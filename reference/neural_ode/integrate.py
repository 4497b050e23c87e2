"""The two loops over steps, and the output at the requested times.

Times are Python floats. Where the gradient with respect to the output times is wanted they are
tensors: an adaptive grid then moves rigidly with ``ts[0]``, a fixed grid with the times it is made
of, so backpropagation differentiates exactly the numbers that the loop computed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.failures import NonFinite, StepLimit, StepUnderflow
from neural_ode.step import (
    Controller,
    Evaluate,
    IntegralController,
    Norm,
    RungeKutta,
    Step,
    Time,
    error_ratio,
    initial_step,
    nudge,
    rms_norm,
)
from neural_ode.tableau import DOPRI5, ButcherTableau

Field = Callable[[Float[Tensor, ""], Float[Tensor, "*state"]], Float[Tensor, "*state"]]
Tolerance = float | Tensor

DEFAULT_CONTROLLER = IntegralController()
INTERPOLATIONS = ("dense", "linear", "cubic")


@dataclass
class Counts:
    """What one or several integrations cost: field evaluations, accepted and rejected steps."""

    nfe: int = 0
    accepted: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Settings:
    """Everything about an integration but the problem: see ``solve`` for the meaning of each.

    Raises:
        ValueError: in one sentence, for settings that make no sense or contradict each other.
    """

    tableau: ButcherTableau = DOPRI5
    rtol: Tolerance = 1e-7
    atol: Tolerance = 1e-9
    norm: Norm = rms_norm
    controller: Controller = DEFAULT_CONTROLLER
    step_size: float | None = None
    grid: Sequence[Time] | None = None
    first_step: float | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    max_num_steps: int = 2**31 - 1
    step_t: Sequence[float] = ()
    jump_t: Sequence[float] = ()
    perturb: bool = False
    interpolation: str = "dense"

    def __post_init__(self):
        for name in ("rtol", "atol"):
            _check_tolerance(name, getattr(self, name))
        if self.step_size is not None and self.grid is not None:
            raise ValueError("step_size and grid exclude each other, give one of them")
        for name in ("step_size", "first_step", "max_step"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}, expected a positive number")
        if not 0 <= self.min_step <= self.max_step:
            raise ValueError(
                f"min_step is {self.min_step!r}, expected a number from 0 to max_step,"
                f" {self.max_step!r}"
            )
        if self.max_num_steps < 1:
            raise ValueError(f"max_num_steps is {self.max_num_steps!r}, expected at least 1")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"unknown interpolation {self.interpolation!r};"
                f" expected one of {', '.join(INTERPOLATIONS)}"
            )

    @property
    def adaptive(self) -> bool:
        """Whether the error chooses the steps, and not a grid."""
        return self.tableau.adaptive and self.step_size is None and self.grid is None


def _check_tolerance(name: str, tolerance: Tolerance) -> None:
    if isinstance(tolerance, Tensor):
        good = bool((tolerance.isfinite() & (tolerance > 0)).all())
    else:
        good = isinstance(tolerance, Real) and 0 < tolerance < math.inf
    if not good:
        raise ValueError(f"{name} is {tolerance!r}, expected a positive number")


def integrate(
    field: Field,
    y0: Float[Tensor, "*state"],
    ts: Float[Tensor, " time"],
    settings: Settings,
    counts: Counts,
) -> Float[Tensor, "time *state"]:
    """The solution at ``ts``; autograd, where it is on, differentiates through every step.

    Raises:
        StepUnderflow, StepLimit, NonFinite: where the integration cannot go on.
        ValueError, TypeError: where the field's output does not fit the state.
    """
    if len(ts) == 1:
        return y0[None]
    evaluate = _counted(field, y0, counts)
    rk = RungeKutta(settings.tableau, y0, evaluate)
    if settings.adaptive:
        ys = _adaptive(rk, evaluate, y0, ts, settings, counts)
    else:
        ys = _fixed(rk, evaluate, y0, ts, settings, counts)
    return torch.stack(ys)


def _counted(field: Field, y0: Float[Tensor, "*state"], counts: Counts) -> Evaluate:
    """The field with a counter, and a check that its output can be a derivative of the state."""

    def evaluate(t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Float[Tensor, "*state"]:
        counts.nfe += 1
        f = field(t, y)
        if not isinstance(f, Tensor):
            raise TypeError(f"the field returned {type(f).__name__}, expected a tensor")
        if f.shape != y0.shape or f.dtype != y0.dtype or f.device != y0.device:
            raise ValueError(
                f"the field returned {_describe(f)} for a state of {_describe(y0)};"
                " the derivative must have the state's shape, dtype and device"
            )
        return f

    return evaluate


def _describe(x: Tensor) -> str:
    return f"shape {tuple(x.shape)}, {x.dtype} on {x.device}"


# --- times ---------------------------------------------------------------------------------------


def _as_time(t: Time, y: Float[Tensor, "*state"]) -> Float[Tensor, ""]:
    """A time as the field sees it: a 0-dimensional tensor of the state's dtype and device."""
    if isinstance(t, Tensor):
        return t.to(dtype=y.dtype, device=y.device)
    return torch.full((), t, dtype=y.dtype, device=y.device)


def _movable(ts: Float[Tensor, " time"]) -> list[Time]:
    """The times as tensors where their gradient is wanted, as floats where it is not."""
    if torch.is_grad_enabled() and ts.requires_grad:
        return list(ts.double().unbind())
    return ts.tolist()


def _direction(times: list[float]) -> float:
    return math.copysign(1.0, times[-1] - times[0])


# --- steps chosen by the error -------------------------------------------------------------------


def _adaptive(
    rk: RungeKutta,
    evaluate: Evaluate,
    y0: Float[Tensor, "*state"],
    ts: Float[Tensor, " time"],
    settings: Settings,
    counts: Counts,
) -> list[Float[Tensor, "*state"]]:
    """The solution at every output time, by steps whose error meets the tolerance."""
    times, outputs = ts.tolist(), _movable(ts)
    direction, controller = _direction(times), settings.controller
    stops = _stops(times[0], direction, settings)
    # A zero that carries the gradient with respect to the first time into every later one.
    shift = outputs[0] - times[0] if isinstance(outputs[0], Tensor) else 0.0
    t, y = times[0], y0
    f = evaluate(_as_time(t + shift, y), y)
    size = _first_step(evaluate, t, y, f, direction, settings)
    ys, attempts, previous = [y0], 0, None
    while len(ys) < len(times):
        if attempts >= settings.max_num_steps:
            raise StepLimit(f"{attempts} steps taken without reaching t={times[len(ys)]:.9g}", t)
        size = min(max(size, settings.min_step), settings.max_step)
        stop = next((s for s in stops if 0 < direction * (s - t) <= size), None)
        end = t + direction * size if stop is None else stop
        h = end - t if stop is not None else direction * size
        if end == t:
            raise StepUnderflow(f"the step {h:.3g} at t={t:.9g} is too small to move the time", t)
        step = rk.step(t + shift, h, y, f, nudge_end=stop in settings.jump_t)
        ratio = error_ratio(rk.error(step), y, step.y1, settings.rtol, settings.atol, settings.norm)
        attempts += 1
        if not math.isfinite(ratio):
            # A trial step may overshoot into an overflow, so a smaller one gets its chance.
            counts.rejected += 1
            size = abs(h) * controller.dfactor
            if t + direction * size == t or abs(h) <= settings.min_step:
                raise NonFinite(f"the field or the state is not finite just after t={t:.9g}", t)
            continue
        size = abs(h) * controller.factor(ratio, previous, settings.tableau.order)
        if ratio > 1 and abs(h) > settings.min_step:
            counts.rejected += 1
            continue
        counts.accepted += 1
        previous = ratio
        while len(ys) < len(times) and direction * (end - times[len(ys)]) >= 0:
            ys.append(rk.interpolate(step, _fraction(outputs[len(ys)], t + shift, h, end)))
            attempts = 0
        t, y = end, step.y1
        if len(ys) < len(times):
            f = _next_derivative(evaluate, step, t + shift, direction, stop, settings)
        # The old step's states would stay alive through the next one.
        del step
    return ys


def _first_step(
    evaluate: Evaluate,
    t: float,
    y: Float[Tensor, "*state"],
    f: Float[Tensor, "*state"],
    direction: float,
    settings: Settings,
) -> float:
    """The size of the first step: the user's, or Hairer's choice."""
    if settings.first_step is not None:
        return settings.first_step
    order, norm = settings.tableau.order, settings.norm
    size = initial_step(
        evaluate, t, y.detach(), f, direction, order, settings.rtol, settings.atol, norm
    )
    if not math.isfinite(size):
        raise NonFinite(f"the field or the state is not finite at t={t:.9g}", t)
    return size


def _next_derivative(
    evaluate: Evaluate,
    step: Step,
    t: Time,
    direction: float,
    stop: float | None,
    settings: Settings,
) -> Float[Tensor, "*state"]:
    """The field at the end of an accepted step; past a jump it is the value on the far side."""
    if stop in settings.jump_t:
        return evaluate(nudge(_as_time(t, step.y1), direction * math.inf), step.y1)
    if settings.tableau.fsal:
        return step.f_last
    return evaluate(_as_time(t, step.y1), step.y1)


def _fraction(output: Time, t: Time, h: float, end: float) -> Time:
    """Where in the step the output lies; exactly 1 at its end, where no interpolation is needed."""
    return 1.0 if output == end and not isinstance(output, Tensor) else (output - t) / h


def _stops(t0: float, direction: float, settings: Settings) -> list[float]:
    """The times still ahead that a step must end at, in the order in which they come."""
    stops = [*settings.step_t, *settings.jump_t]
    if len(set(stops)) < len(stops):
        raise ValueError("step_t and jump_t must not repeat a time, neither alone nor together")
    return sorted((s for s in stops if direction * (s - t0) > 0), key=lambda s: direction * s)


# --- steps chosen by a grid ----------------------------------------------------------------------


def _fixed(
    rk: RungeKutta,
    evaluate: Evaluate,
    y0: Float[Tensor, "*state"],
    ts: Float[Tensor, " time"],
    settings: Settings,
    counts: Counts,
) -> list[Float[Tensor, "*state"]]:
    """The solution at every output time, by one step from each point of the grid to the next."""
    times, outputs = ts.tolist(), _movable(ts)
    grid, points = _grid(times, outputs, settings)
    direction = _direction(times)
    ys, y, f, sums = [y0], y0, None, []
    for i in range(len(grid) - 1):
        t, h = points[i], points[i + 1] - points[i]
        if f is None:
            start = _as_time(t, y)
            f = evaluate(nudge(start, direction * math.inf) if settings.perturb else start, y)
        step = rk.step(t, h, y, f, nudge_end=settings.perturb)
        counts.accepted += 1
        while len(ys) < len(times) and direction * (grid[i + 1] - times[len(ys)]) >= 0:
            output = outputs[len(ys)]
            at_end = output is points[i + 1] or (output == points[i + 1] and points is grid)
            x = 1.0 if at_end else (output - t) / h
            ys.append(_fixed_output(rk, evaluate, step, x, settings.interpolation))
        # Just before a grid point is not just after it, where the field may jump there.
        reuse = settings.tableau.fsal and not settings.perturb
        y, f = step.y1, step.f_last if reuse else None
        # The old step's states would stay alive through the next one.
        del step
        sums.append(y.detach().sum())
    _check_finite(sums, grid)
    return ys


def _grid(
    times: list[float], outputs: list[Time], settings: Settings
) -> tuple[list[float], list[Time]]:
    """The points between which the steps lie: as floats, and as what the gradient flows through."""
    if settings.step_size is not None:
        length = abs(times[-1] - times[0]) / settings.step_size
        # A length that is whole but for rounding must not add a step of nothing.
        count = max(1, math.ceil(length * (1 - 1e-12)))
        step = _direction(times) * settings.step_size
        points: list[Time] = [outputs[0] + i * step for i in range(count)] + [outputs[-1]]
    elif settings.grid is not None:
        points = list(settings.grid)
    else:
        points = outputs
    grid = [p.item() if isinstance(p, Tensor) else p for p in points]
    forward = all(_direction(times) * (b - a) > 0 for a, b in pairwise(grid))
    if len(grid) < 2 or not forward:
        raise ValueError("grid must run strictly from the first output time to the last")
    if grid[0] != times[0] or grid[-1] != times[-1]:
        raise ValueError(
            f"grid runs from {grid[0]:.9g} to {grid[-1]:.9g}, but the output times from"
            f" {times[0]:.9g} to {times[-1]:.9g}"
        )
    return grid, points if any(isinstance(p, Tensor) for p in points) else grid


def _fixed_output(
    rk: RungeKutta, evaluate: Evaluate, step: Step, x: Time, interpolation: str
) -> Float[Tensor, "*state"]:
    """The state at the fraction ``x`` of a step, by the interpolation of that name."""
    if interpolation == "dense" or (isinstance(x, float) and x == 1):
        return rk.interpolate(step, x)
    if interpolation == "linear":
        return step.y0 + x * (step.y1 - step.y0)
    f0, f1 = step.f0, evaluate(_as_time(step.t + step.h, step.y1), step.y1)
    slopes = step.h * ((1 - x) * f0 - x * f1)
    rise = step.y1 - step.y0
    return step.y0 + x * (rise + (1 - x) * (slopes + (2 * x - 1) * rise))


def _check_finite(sums: list[Float[Tensor, ""]], grid: list[float]) -> None:
    """One look at the end instead of one a step, which would make the host wait at each."""
    bad = torch.stack(sums).isfinite().logical_not().nonzero()
    if len(bad):
        i = int(bad[0])
        message = (
            f"the state is not finite after the step from t={grid[i]:.9g} to {grid[i + 1]:.9g}"
        )
        raise NonFinite(message, grid[i])
