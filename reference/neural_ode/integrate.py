"""The two loops over steps, and the output at the requested times.

Times are Python floats. Where the gradient with respect to the output times is wanted they are
tensors: an adaptive grid then moves rigidly with ``ts[0]``, a fixed grid with the times it is made
of, so backpropagation differentiates exactly the numbers that the loop computed.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from numbers import Real
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.compiled import CompiledSteps, compiled_steps
from neural_ode.failures import NonFinite, SolverFailure, StepLimit, StepUnderflow
from neural_ode.loop import LIMIT, REACHED, UNDERFLOW, StepLoop
from neural_ode.methods import Adams, Method
from neural_ode.multistep import integrate_adams
from neural_ode.reversible import ReversibleHeun
from neural_ode.solution import Counts
from neural_ode.step import (
    Controller,
    ErrorTest,
    Evaluate,
    IntegralController,
    JointNorm,
    Norm,
    RungeKutta,
    Slope,
    Step,
    Time,
    Tolerance,
    as_time,
    as_vector,
    nudge,
    rms_norm,
)
from neural_ode.tableau import DOPRI5

Field = Callable[[Float[Tensor, ""], Float[Tensor, "*state"]], Float[Tensor, "*state"]]

DEFAULT_CONTROLLER = IntegralController()
# A compiled loop copies the states that it carries. For large ones that costs more than the Python
# between the steps, which it saves: with the conv field of the benchmarks, 294,912 entries, a solve
# took 1.4 times as long.
LOOPED_ENTRIES = 2**16
INTERPOLATIONS = ("dense", "linear", "cubic")


@dataclass(frozen=True)
class Settings:
    """Everything about an integration but the problem: see ``solve`` for the meaning of each.

    ``joint_norm`` is the norm of a state with integrals, which have no say where it is ``None``.

    Raises:
        ValueError: in one sentence, for settings that make no sense or contradict each other.
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
    max_num_steps: int = 2**31 - 1
    step_t: Sequence[float] = ()
    jump_t: Sequence[float] = ()
    perturb: bool = False
    interpolation: str = "dense"
    compile: bool = False
    joint_norm: JointNorm | None = None

    def __post_init__(self):
        for name in ("rtol", "atol"):
            _check_tolerance(name, getattr(self, name))
        if self.step_size is not None and self.grid is not None:
            raise ValueError("step_size and grid exclude each other, give one of them")
        for name in ("step_size", "first_step", "max_step"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}, expected a positive number")
            if value == math.inf and name != "max_step":
                raise ValueError(f"{name} is {value!r}, expected a finite number")
        for name in ("step_t", "jump_t"):
            if not all(map(math.isfinite, getattr(self, name))):
                raise ValueError(f"{name} holds a time that is not finite")
        if not 0 <= self.min_step <= self.max_step:
            raise ValueError(
                f"min_step is {self.min_step!r}, expected a number from 0 to max_step,"
                f" {self.max_step!r}"
            )
        if not self.max_num_steps >= 1:
            raise ValueError(f"max_num_steps is {self.max_num_steps!r}, expected at least 1")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"unknown interpolation {self.interpolation!r};"
                f" expected one of {', '.join(INTERPOLATIONS)}"
            )
        if isinstance(self.method, Adams):
            self._check_adams()

    def _check_adams(self) -> None:
        """Everything about the steps is SciPy's own business."""
        own = ("method", "rtol", "atol", "max_num_steps", "norm", "joint_norm")
        defaults = type(self).__dataclass_fields__
        set_ = [n for n, f in defaults.items() if n not in own and getattr(self, n) != f.default]
        if set_:
            raise ValueError(f"method 'adams' chooses its own steps and knows no {', '.join(set_)}")

    @property
    def adaptive(self) -> bool:
        """Whether the error chooses the steps, and not a grid."""
        return self.method.adaptive and self.step_size is None and self.grid is None

    @property
    def test(self) -> ErrorTest:
        """How the error of a step is measured, where the step sizes hang on it."""
        return ErrorTest(self.rtol, self.atol, self.norm, self.joint_norm)


def _check_tolerance(name: str, tolerance: Tolerance) -> None:
    if isinstance(tolerance, Tensor):
        good = bool((tolerance.isfinite() & (tolerance > 0)).all())
    else:
        good = isinstance(tolerance, Real) and 0 < tolerance < math.inf
    if not good:
        raise ValueError(f"{name} is {tolerance!r}, expected a positive number")


class Visit(NamedTuple):
    """An accepted step as whoever watches an integration sees it.

    Attributes:
        stepper: what took it; its scratch buffer holds the stages until the next step.
        step: the step.
        number: its number, from 0.
        outputs: the indices of the output times inside it, and where in the step they lie.
    """

    stepper: RungeKutta
    step: Step
    number: int
    outputs: Sequence[tuple[int, Time]]


OnStep = Callable[[Visit], None]


class Plain:
    """A field as the stepper calls it: without integrals, and with a check of its output.

    Raises:
        TypeError, ValueError: for an output that cannot be the derivative of the state.
    """

    def __init__(self, field: Field, y0: Float[Tensor, "*state"]) -> None:
        self.field = field
        self._shape, self._dtype, self._device = y0.shape, y0.dtype, y0.device

    @property
    def key(self) -> Hashable:
        """What a compiled step of this field may be found by."""
        return ("plain", self.field if isinstance(self.field, Hashable) else id(self.field))

    def __call__(self, t: Tensor, y: Tensor, integral: bool = False) -> Slope:
        """The derivative, with nothing beside it."""
        f = self.field(t, y)
        if not isinstance(f, Tensor):
            raise TypeError(f"the field returned {type(f).__name__}, expected a tensor")
        if f.shape != self._shape or f.dtype != self._dtype or f.device != self._device:
            raise ValueError(
                f"the field returned {_describe(f.shape, f.dtype, f.device)} for a state of"
                f" {_describe(self._shape, self._dtype, self._device)}; the derivative must have"
                " the state's shape, dtype and device"
            )
        return f, None


def _describe(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> str:
    return f"shape {tuple(shape)}, {dtype} on {device}"


def integrate(
    evaluate: Evaluate,
    y0: Float[Tensor, "*state"],
    ts: Float[Tensor, " time"],
    settings: Settings,
    counts: Counts,
    *,
    q0: Float[Tensor, " integrals"] | None = None,
    on_step: OnStep | None = None,
) -> tuple[Float[Tensor, "time *state"], Float[Tensor, " integrals"] | None]:
    """The solution at ``ts`` and the integrals at the last of them.

    Autograd, where it is on, differentiates through every step.

    Args:
        evaluate: the field, and the rates of the integrals where there are any.
        y0: the initial state.
        ts: the output times.
        settings: how.
        counts: are added to.
        q0: the integrals at the first time.
        on_step: is called after each accepted step.

    Raises:
        StepUnderflow, StepLimit, NonFinite: where the integration cannot go on.
        ValueError, TypeError: where the field's output does not fit the state.
    """
    if len(ts) == 1:
        return y0[None], q0
    if not ts.requires_grad:
        # Read more than once, and the host waits for a GPU each time.
        ts = ts.cpu()
    if isinstance(settings.method, Adams):
        return _by_adams(evaluate, y0, ts, settings, counts, q0)
    run = Run(evaluate, y0, q0, settings, counts, on_step)
    ys = torch.stack(run.adaptive(ts) if settings.adaptive else run.fixed(ts))
    if run.stepper.tableau.dense_c is not None or settings.interpolation == "cubic":
        _check_outputs(ys, ts)
    return ys, run.q


def _by_adams(
    evaluate: Evaluate,
    y0: Float[Tensor, "*state"],
    ts: Float[Tensor, " time"],
    settings: Settings,
    counts: Counts,
    q0: Float[Tensor, " integrals"] | None,
) -> tuple[Float[Tensor, "time *state"], Float[Tensor, " integrals"] | None]:
    """The same by SciPy, which sees the state and the integrals as one vector."""
    if torch.is_grad_enabled() and _wants_gradients(evaluate, y0, ts):
        raise ValueError(
            "method 'adams' runs in SciPy, where autograd cannot follow: use gradient=Adjoint(), or"
            " torch.no_grad() where no gradient is wanted"
        )
    tolerances = {"rtol": settings.rtol, "atol": settings.atol}
    counted = {"counts": counts, "max_num_steps": settings.max_num_steps}
    if q0 is None:
        ys = integrate_adams(lambda t, y: evaluate(t, y, False)[0], y0, ts, **tolerances, **counted)
        return ys, None
    sizes = [y0.numel(), q0.numel()]

    def joined(t: Tensor, state: Tensor) -> Tensor:
        k, rate = evaluate(t, state[: sizes[0]].view(y0.shape), True)
        return torch.cat([k.reshape(-1), rate if rate is not None else torch.zeros_like(q0)])

    flat = integrate_adams(
        joined,
        torch.cat([y0.reshape(-1), q0]),
        ts,
        exempt=0 if settings.joint_norm else sizes[1],
        **tolerances,
        **counted,
    )
    ys, q = flat.split(sizes, dim=1)
    return ys.reshape(len(ts), *y0.shape), q[-1]


def _wants_gradients(evaluate: Evaluate, *tensors: Tensor) -> bool:
    """Whether one of the tensors, or of the field's parameters, requires a gradient."""
    field = getattr(evaluate, "field", None)
    parameters = field.parameters() if isinstance(field, nn.Module) else ()
    return any(x.requires_grad for x in (*tensors, *parameters))


# --- times ---------------------------------------------------------------------------------------


def movable(ts: Float[Tensor, " time"]) -> list[Time]:
    """The times as tensors where their gradient is wanted, as floats where it is not."""
    if torch.is_grad_enabled() and ts.requires_grad:
        return list(ts.double().unbind())
    return ts.tolist()


def _direction(times: Sequence[float]) -> float:
    return math.copysign(1.0, times[-1] - times[0])


# --- the loops -----------------------------------------------------------------------------------


def stepper_of(
    settings: Settings, y0: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
) -> RungeKutta:
    """The stepper of the settings' method for states like ``y0``.

    Raises:
        ValueError: for a method that takes no steps of its own.
    """
    if isinstance(settings.method, Adams):
        raise ValueError("method 'adams' takes its steps inside SciPy")
    kind = ReversibleHeun if settings.method.name == "reversible_heun" else RungeKutta
    return kind(settings.method, y0, evaluate, traced=traced)


class Run:
    """One integration under way: the stepper, the integrals so far, and what is counted.

    See ``integrate`` for the arguments.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        settings: Settings,
        counts: Counts,
        on_step: OnStep | None = None,
    ) -> None:
        if not torch.is_grad_enabled():
            # What is compiled would be compiled again for a state that requires no gradient.
            y0 = y0.detach()
        self.stepper, self.test = stepper_of(settings, y0, evaluate), settings.test
        self.y0, self.q, self.settings, self.counts = y0, q0, settings, counts
        self.on_step, self.number = on_step, 0
        self.compiled = None
        if settings.compile:
            self.test = self.test.untraced(y0.device)
            self.compiled = self._compiled()

    def _compiled(self) -> CompiledSteps:
        """The compiled functions for this field, shape and error test."""
        settings, y0, evaluate = self.settings, self.y0, self.stepper.evaluate
        key = (
            getattr(evaluate, "key", id(evaluate)),
            settings.method.name,
            id(settings.method),
            (y0.shape, y0.dtype, y0.device, torch.is_grad_enabled()),
            (self.test.key, settings.controller) if settings.adaptive else None,
        )

        def make() -> CompiledSteps:
            stepper = stepper_of(settings, y0.detach(), evaluate, traced=True)
            whole = settings.adaptive and type(stepper) is RungeKutta and stepper.carries
            # Autograd, by which an adjoint's field is made, does not reach into a loop.
            plain = isinstance(evaluate, Plain) and stepper.tableau.dense_c is None
            # On a GPU the host reads at every turn of a loop whether there is another one, so it
            # may as well launch each step, and those are captured.
            small = y0.device.type == "cpu" and y0.numel() <= LOOPED_ENTRIES
            loop = whole and plain and small and StepLoop(stepper, settings.controller)
            start, advance = partial(_unpacked, stepper.start), partial(_unpacked, stepper.advance)
            # A graph of the device's has no room for what autograd keeps of each step.
            captured = y0.device.type == "cuda" and not torch.is_grad_enabled()
            return CompiledSteps(start, advance, captured=captured, loop=loop or None)

        return compiled_steps(key, make)

    # --- one step

    def first_slope(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Slope:
        """The slope that a step begins with."""
        self.counts.nfe += 1
        return self.stepper.slope(t, y)

    def start(self, t: float, shift: Time, direction: float) -> tuple[Slope, float]:
        """The first slope, and the size of the first step: the user's, or Hairer's choice."""
        if self.settings.first_step is not None:
            return self.first_slope(as_time(t + shift, self.y0), self.y0), self.settings.first_step
        self.counts.nfe += 2
        if self.compiled is None:
            f, size = self.stepper.start(t + shift, direction, self.y0, self.q, self.test)
        else:
            numbers = _numbers(self.y0.device, t + shift, direction)
            (f, size), seconds = self.compiled.start(numbers, self.y0, self.q, self.test)
            f = self.compiled.kept(f)
            self.counts.compile_s += seconds
        size = float(size)
        if not math.isfinite(size):
            raise _not_finite(t, "at")
        return f, size

    def take(
        self, t: Time, h: Time, y: Float[Tensor, "*state"], f: Slope, nudged: tuple[bool, bool]
    ) -> Step:
        """One step, accepted or not; its ratio is where the host waits for the device."""
        self.counts.nfe += self.stepper.nfe_per_step
        test = self.test if self.settings.adaptive else None
        if self.compiled is None:
            advanced = self.stepper.advance(t, h, y, f, self.q, nudged[1], test)
            stages = self.stepper.tableau.stages
        else:
            numbers = _numbers(y.device, t, h)
            advanced, seconds = self.compiled.advance(numbers, y, f, self.q, nudged[1], test)
            self.counts.compile_s += seconds
            # What the next step begins with; the rest of this one has no use after it.
            advanced = (*self.compiled.kept(advanced[:3]), *advanced[3:])
            # They are not in the scratch buffer yet.
            stages = 0
        y1, q1, f1, ratio, ks, rates = advanced
        ratio = None if ratio is None else float(ratio)
        return Step(t, h, y, y1, q1, f, f1, ratio, ks, stages, rates, nudged)

    def accept(
        self,
        step: Step,
        outputs: Sequence[tuple[int, Time]],
        *,
        final: bool,
    ) -> list[Tensor]:
        """Go on from an accepted step; the states at the output times inside it come back."""
        self.counts.accepted += 1
        ys = self.outputs(step, [x for _, x in outputs])
        if self.q is not None:
            # At the last output the integrals end, before that they go on from the end of the step.
            x = outputs[-1][1] if final else 1.0
            self.q = step.q1 if x == 1 else self.stepper.integrals(step, self.q, float(x))
        if self.on_step is not None:
            self.on_step(Visit(self.stepper, step, self.number, outputs))
        self.number += 1
        return ys

    def outputs(self, step: Step, xs: Sequence[Time]) -> list[Tensor]:
        """The states at these fractions of a step; adaptive steps always use the dense output."""
        inside = [x for x in xs if isinstance(x, Tensor) or x != 1]
        if not self.settings.adaptive and self.settings.interpolation != "dense":
            found = iter([self._simple(step, x) for x in inside])
        elif any(isinstance(x, Tensor) for x in inside):
            self.counts.nfe += self.stepper.extend(step)
            found = iter([self.stepper.interpolate(step, x) for x in inside])
        elif inside:
            self.counts.nfe += self.stepper.extend(step)
            found = iter(self.stepper.interpolate_many(step, [float(x) for x in inside]))
        else:
            found = iter(())
        return [next(found) if isinstance(x, Tensor) or x != 1 else step.y1 for x in xs]

    def _simple(self, step: Step, x: Time) -> Float[Tensor, "*state"]:
        """The linear or the cubic interpolation at the fraction ``x`` of a step."""
        rise = step.y1 - step.y0
        if self.settings.interpolation == "linear":
            return step.y0 + x * rise
        f0, _ = step.f0
        f1, _ = self.first_slope(as_time(step.t + step.h, step.y1), step.y1)
        slopes = step.h * ((1 - x) * f0 - x * f1)
        return step.y0 + x * (rise + (1 - x) * (slopes + (2 * x - 1) * rise))

    # --- steps chosen by the error

    def adaptive(self, ts: Float[Tensor, " time"]) -> list[Tensor]:
        """The solution at every output time, by steps whose error meets the tolerance."""
        times, outputs = ts.tolist(), movable(ts)
        direction = _direction(times)
        stops = _stops(times[0], direction, self.settings)
        # A zero that carries the gradient with respect to the first time into every later one.
        shift = outputs[0] - times[0] if isinstance(outputs[0], Tensor) else 0.0
        whole = self._whole(times, stops)
        if whole is not None:
            return [self.y0, whole]
        here = _Position(times[0], self.y0, *self.start(times[0], shift, direction))
        ys = [here.y]
        while len(ys) < len(times):
            step = self._attempt(here, times[len(ys)], direction, stops, shift)
            if step is None:
                continue
            first = last = len(ys)
            while last < len(times) and direction * (here.end - times[last]) >= 0:
                last += 1
            places = [
                (i, _place(outputs[i], here.t + shift, step.h, here.end))
                for i in range(first, last)
            ]
            ys += self.accept(step, places, final=last == len(times))
            here.t, here.y, here.jumped = here.end, step.y1, here.stop in self.settings.jump_t
            here.attempts = 0 if places else here.attempts
            if len(ys) < len(times):
                here.f = self._next_slope(step, here.t + shift, direction, here.jumped)
            # The old step's states would stay alive through the next one.
            del step
        return ys

    def _attempt(
        self,
        here: "_Position",
        goal: float,
        direction: float,
        stops: Sequence[float],
        shift: Time,
    ) -> Step | None:
        """One step: the step where it is accepted, ``None`` where it is to be tried again."""
        settings, controller, t = self.settings, self.settings.controller, here.t
        if here.attempts >= settings.max_num_steps:
            raise _limit(here.attempts, goal, t)
        size = min(max(here.size, settings.min_step), settings.max_step)
        here.stop = next((s for s in stops if 0 < direction * (s - t) <= size), None)
        here.end = t + direction * size if here.stop is None else here.stop
        if here.end == t:
            raise _underflow(direction * size, t)
        # Far from zero the end is rounded, and the step must be the one that reaches it. The size
        # that was wanted is what shrinks: of a rounded one a part may be rounded to it again.
        h = here.end - t
        tried = size if here.stop is None else abs(h)
        step = self.take(t + shift, h, here.y, here.f, (here.jumped, here.stop in settings.jump_t))
        ratio = step.ratio if step.ratio is not None else math.nan
        here.attempts += 1
        if not math.isfinite(ratio):
            # A trial step may overshoot into an overflow, so a smaller one gets its chance.
            self.counts.rejected += 1
            here.size = tried * controller.dfactor
            if t + direction * here.size == t or tried <= settings.min_step:
                raise _not_finite(t)
            return None
        here.size = tried * float(
            controller.factor(ratio, here.previous, self.stepper.tableau.order)
        )
        if ratio > 1 and tried > settings.min_step:
            self.counts.rejected += 1
            return None
        here.previous = ratio
        return step

    def _whole(self, times: Sequence[float], stops: Sequence[float]) -> Tensor | None:
        """The state at the last of two times by the compiled loop; ``None`` where it cannot be."""
        settings, counts = self.settings, self.counts
        loop = None if self.compiled is None else self.compiled.loop
        wanted = loop is not None and len(times) == 2 and not torch.is_grad_enabled()
        if loop is None or not wanted or stops or self.on_step or settings.first_step is not None:
            return None
        limits = (settings.min_step, settings.max_step, float(settings.max_num_steps))
        found, seconds = loop(_numbers(self.y0.device, *times, *limits), self.y0, self.test)
        counts.compile_s += seconds
        if found is None:
            return None
        numbers, y1 = found
        ended, t, _, _, accepted, rejected, h = numbers.tolist()
        tried = int(accepted + rejected)
        counts.nfe += 2 + tried * self.stepper.nfe_per_step
        counts.accepted += int(accepted)
        counts.rejected += int(rejected)
        if ended != REACHED:
            raise _failure(ended, t, h, tried, times[-1])
        return y1

    def _next_slope(self, step: Step, t: Time, direction: float, jumped: bool) -> Slope:
        """The slope at the end of an accepted step; past a jump it is the one on the far side."""
        if jumped:
            return self.first_slope(nudge(as_time(t, step.y1), direction * math.inf), step.y1)
        if self.stepper.carries:
            return step.f1
        return self.first_slope(as_time(t, step.y1), step.y1)

    # --- steps chosen by a grid

    def fixed(self, ts: Float[Tensor, " time"]) -> list[Tensor]:
        """The solution at every output time, by one step between any two points of the grid."""
        settings, perturb = self.settings, self.settings.perturb
        times, outputs = ts.tolist(), movable(ts)
        grid, points = grid_of(times, outputs, settings)
        direction = _direction(times)
        ys, y, f, sums = [self.y0], self.y0, None, []
        for i in range(len(grid) - 1):
            t, h = points[i], points[i + 1] - points[i]
            if f is None:
                start = as_time(t, y)
                f = self.first_slope(nudge(start, direction * math.inf) if perturb else start, y)
            step = self.take(t, h, y, f, (perturb, perturb))
            first = last = len(ys)
            while last < len(times) and direction * (grid[i + 1] - times[last]) >= 0:
                last += 1
            inside = [(j, fraction(outputs[j], points, i)) for j in range(first, last)]
            ys += self.accept(step, inside, final=last == len(times))
            # Just before a grid point is not just after it, where the field may jump there.
            reuse = self.stepper.carries and not perturb
            y, f = step.y1, step.f1 if reuse else None
            # The old step's states would stay alive through the next one.
            del step
            sums.append(y.detach().sum())
        _check_finite(sums, grid, y)
        return ys


@dataclass(slots=True)
class _Position:
    """Where an adaptive integration stands: time, state, slope, and what the next step begins with.

    Attributes:
        t, y, f: as in a step.
        size: the size of the next step.
        previous: the last accepted error ratio.
        attempts: steps tried since the last output.
        jumped: whether the field jumps at ``t``.
        end, stop: where the step just tried ends, and the time that it was cut at, if any.
    """

    t: float
    y: Float[Tensor, "*state"]
    f: Slope
    size: float
    previous: float | None = None
    attempts: int = 0
    jumped: bool = False
    end: float = math.nan
    stop: float | None = None


def _numbers(device: torch.device, *times: Time) -> Float[Tensor, " numbers"]:
    """Numbers for compiled code, as one vector.

    At every call each tensor is checked, and each 0-dimensional one even read.
    """
    if not any(isinstance(x, Tensor) for x in times):
        return as_vector(times, device)  # type: ignore[reportArgumentType]
    as_number = partial(torch.as_tensor, dtype=torch.float64, device=device)
    return torch.stack([as_number(x) for x in times])


def _unpacked(function: Callable, numbers: Float[Tensor, " numbers"], *others: Any) -> Any:
    """What the function gives for numbers that come as one vector."""
    return function(*numbers.unbind(), *others)


def _limit(attempts: int, goal: float, t: float) -> StepLimit:
    return StepLimit(f"{attempts} steps taken without reaching t={goal:.9g}", t)


def _underflow(h: float, t: float) -> StepUnderflow:
    return StepUnderflow(f"the step {h:.3g} at t={t:.9g} is too small to move the time", t)


def _not_finite(t: float, where: str = "just after") -> NonFinite:
    return NonFinite(f"the field or the state is not finite {where} t={t:.9g}", t)


def _failure(ended: float, t: float, h: float, tried: int, goal: float) -> SolverFailure:
    """Why a compiled loop ended before it was at its goal, with the numbers of ``Trials``."""
    if ended == LIMIT:
        return _limit(tried, goal, t)
    if ended == UNDERFLOW:
        return _underflow(h, t)
    # Without a step it is the choice of the first size that failed.
    return _not_finite(t, "just after" if tried else "at")


def _place(output: Time, t: Time, h: Time, end: float) -> Time:
    """Where in the step the output lies; exactly 1 at its end, where no interpolation is needed."""
    return 1.0 if output == end and not isinstance(output, Tensor) else (output - t) / h


def fraction(output: Time, points: Sequence[Time], i: int) -> Time:
    """Where in the step of number ``i`` of a grid the output lies; exactly 1 at its end."""
    begin, end = points[i], points[i + 1]
    if isinstance(end, Tensor):
        at_end = output is end
    else:
        # Not float(), which warns where a tensor requires a gradient.
        at_end = (output.item() if isinstance(output, Tensor) else output) == end
    if at_end:
        return 1.0
    return (output - begin) / (end - begin)


def _stops(t0: float, direction: float, settings: Settings) -> list[float]:
    """The times still ahead that a step must end at, in the order in which they come."""
    stops = [*settings.step_t, *settings.jump_t]
    if len(set(stops)) < len(stops):
        raise ValueError("step_t and jump_t must not repeat a time, neither alone nor together")
    return sorted((s for s in stops if direction * (s - t0) > 0), key=lambda s: direction * s)


def grid_of(
    times: list[float], outputs: list[Time], settings: Settings
) -> tuple[list[float], list[Time]]:
    """The points between which the steps lie: as floats, and as what the gradient flows through."""
    if settings.step_size is not None:
        length = abs(times[-1] - times[0]) / settings.step_size
        # A length that is whole but for rounding must not add a step of nothing.
        count = max(1, math.ceil(length * (1 - 1e-12)))
        step = _direction(times) * settings.step_size
        if times[-1] - step == times[-1] or times[0] + step == times[0]:
            raise _underflow(step, times[0])
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
    wanted = torch.is_grad_enabled()
    differentiable = wanted and any(isinstance(p, Tensor) and p.requires_grad for p in points)
    return grid, points if differentiable else list(grid)


def _check_outputs(ys: Float[Tensor, "time *state"], ts: Float[Tensor, " time"]) -> None:
    """For evaluations that outputs inside a step alone need: no state and no error shows them."""
    if not ys.isfinite().all():
        t = next(float(t) for t, y in zip(ts, ys, strict=True) if not y.isfinite().all())
        raise NonFinite(f"the field is not finite near the output at t={t:.9g}", t)


def _check_finite(
    sums: list[Float[Tensor, ""]], grid: list[float], y: Float[Tensor, "*state"]
) -> None:
    """One look at the end instead of one a step, which would make the host wait at each.

    An entry that is once not finite stays so until the last state ``y``; where all of that is, a
    sum has merely overflowed.
    """
    bad = torch.stack(sums).isfinite().logical_not().nonzero()
    if len(bad) and not y.isfinite().all():
        i = int(bad[0])
        message = (
            f"the state is not finite after the step from t={grid[i]:.9g} to {grid[i + 1]:.9g}"
        )
        raise NonFinite(message, grid[i])
