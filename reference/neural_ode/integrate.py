"""The two loops over steps, and the output at the requested times.

Where the gradient with respect to the output times is wanted, an adaptive grid moves rigidly with
the first of them up to the first of ``step_t`` and ``jump_t``, which stays where it is, and a fixed
grid with the times it is made of. So backpropagation differentiates exactly the numbers that the
loop computed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.events import Event
from neural_ode.failures import (
    NonFinite,
    SolverFailure,
    not_finite,
    step_limit,
    step_underflow,
)
from neural_ode.field import InAutocast, has_autocast
from neural_ode.foresee import LOOK_AHEAD, check_largest, warn_of_many
from neural_ode.grid import MOST, fraction, grid_of
from neural_ode.loop import DOUBTFUL, LIMIT, OVERFLOW, REACHED
from neural_ode.methods.base import ends_at_outputs, iterates
from neural_ode.older_torch import is_exporting
from neural_ode.progress import Progress
from neural_ode.run import OnStep, Run, as_numbers
from neural_ode.samples import integrate_samples
from neural_ode.settings import NO_CALLBACKS, Settings
from neural_ode.solution import Counts
from neural_ode.step.base import Carried, Evaluate, Step
from neural_ode.step.controllers import check_factor
from neural_ode.times import Time, Times, as_time, nudge
from neural_ode.transforms import all_finite, unwrap

# Sums that are kept one by one before they are put into one tensor. Each is a small allocation
# between large ones, whose memory the allocator could then not give back.
BLOCK = 64


def integrate(
    evaluate: Evaluate,
    y0: Float[Tensor, "*state"],
    times: Times,
    settings: Settings,
    counts: Counts,
    *,
    q0: Float[Tensor, " integrals"] | None = None,
    on_step: OnStep | None = None,
) -> tuple[Float[Tensor, "time *state"], Float[Tensor, " integrals"] | None]:
    """The solution at ``times`` and the integrals at the last of them.

    Autograd, where it is on, differentiates through every step.

    Args:
        evaluate: the field, and the rates of the integrals where there are any.
        y0: the initial state.
        times: the output times.
        settings: how.
        counts: are added to.
        q0: the integrals at the first time.
        on_step: is called after each accepted step; not by a method that has no dense output.

    Raises:
        StepUnderflow, StepLimit, NonFinite: where the integration cannot go on.
        ValueError, TypeError: where the field's output does not fit the state.
    """
    if len(times) == 1:
        return y0[None].clone(), q0
    device = y0.device.type
    if has_autocast(device):
        evaluate = InAutocast(evaluate, device)
        with torch.autocast(device, enabled=False):
            return integrate(evaluate, y0, times, settings, counts, q0=q0, on_step=on_step)
    if settings.method.integrate is not None:
        ys, q = settings.method.integrate(evaluate, y0, q0, times, settings, counts)
        _check_outputs(ys, times.floats)
        return ys, q
    if is_exporting():
        _check_exportable(settings)
    if (method := settings.sample_method) is not None:
        if on_step is not None or q0 is not None:
            raise ValueError(
                "batch='independent' goes with Backprop() and Adjoint(): other ways to the gradient"
                " need steps of the whole batch"
            )
        check_largest(times, settings)
        ys = integrate_samples(method, evaluate, y0, times, settings, counts)
        _check_outputs(ys, times.floats)
        return ys, None
    run = Run(evaluate, y0, q0, settings, counts, on_step)
    if settings.dense is not None:
        settings.dense.watch(run)
    event = settings.event_fn
    event = event if event is not None and event.pending else None
    if not run.by_error:
        steps = _fixed(run, times) if event is None else _fixed_until(run, times, event)
        ys = torch.stack(steps)
        if event is not None:
            _check_outputs(ys, event.ts.tolist())
        elif settings.interpolation == "cubic" or run.stepper.dense_nfe:
            _check_outputs(ys, times.floats)
        return ys, run.q
    stops = _stops(times, settings)
    if event is None:
        check_largest(times, settings)
    ys = _whole(run, times, stops) if event is None else None
    if ys is None:
        ys = torch.stack(_adaptive(run, times, stops, event))
        _check_outputs(ys, times.floats if event is None else event.ts.tolist())
    return ys, run.q


def _check_exportable(settings: Settings) -> None:
    """Raise ValueError for a solve whose steps depend on what the numbers turn out to be."""
    if settings.adaptive or iterates(settings.method) or settings.event_fn is not None:
        raise ValueError(
            "torch.export needs steps that do not depend on the numbers: give a step_size or a"
            " method such as 'rk4', one without iterations and without event_fn"
        )


# --- steps chosen by the error -------------------------------------------------------------------


def _adaptive(run: Run, times: Times, stops: Sequence[float], event: Event | None) -> list[Tensor]:
    """The solution at every output time, by steps whose error meets the tolerance.

    Where an event is waited for, it is the second output time as soon as it is found.
    """
    floats, points, direction = times.floats, times.points, times.direction
    # A zero that carries the gradient with respect to the first time into every later one.
    shift = points[0] - floats[0] if isinstance(points[0], Tensor) else 0.0
    progress = Progress(abs(floats[-1] - floats[0]))
    jumped = times.meets(floats[0], run.settings.jump_t)
    f, size = run.start(floats[0], shift, direction, nudged=jumped)
    here = _Position(floats[0], run.y0, f, size, progress, shift, jumped=jumped)
    ys = [here.y]
    if event is not None:
        floats = [floats[0], direction * math.inf]
    while len(ys) < len(floats):
        step = _attempt(run, here, floats[len(ys)], direction, stops)
        if step is None:
            continue
        if event is not None and event.is_in(run, step, here.t, here.end):
            floats, points = _times_of(event, points)
        first = last = len(ys)
        while last < len(floats) and direction * (here.end - floats[last]) >= 0:
            last += 1
        begin = here.t + here.shift
        places = [(i, _place(points[i], begin, step.h, here.end)) for i in range(first, last)]
        ys += run.accept(step, places, final=last == len(floats))
        here.t, here.y, here.jumped = here.end, step.y1, here.stop in run.settings.jump_t
        here.attempts = 0 if places else here.attempts
        if step.fixed[1]:
            here.shift, here.fixed = 0.0, True
        if len(ys) < len(floats):
            here.f = _next_start(run, step, here.t + here.shift, direction, here.jumped)
        # The old step's states would stay alive through the next one.
        del step
    return ys


def _attempt(
    run: Run,
    here: "_Position",
    goal: float,
    direction: float,
    stops: Sequence[float],
) -> Step | None:
    """One step: the step where it is accepted, ``None`` where it is to be tried again."""
    settings, t = run.settings, here.t
    tried = _aim(run, here, goal, direction, stops)
    h = here.end - t
    run.tell(settings.callbacks.step, t, here.y, h)
    step = _take(run, here, h)
    here.attempts += 1
    ratio = step.ratio if step.ratio is not None else math.nan
    if not math.isfinite(ratio):
        _shrink(run, here, tried, direction)
        return None
    factor = settings.controller.factor(ratio, here.previous, run.stepper.order)
    if not (isinstance(factor, float) and 0 < factor < math.inf):
        factor = check_factor(factor)
    here.size = tried * factor
    if ratio > 1 and tried > settings.min_step:
        _reject(run, here, tried, factor, ratio)
        return None
    _check_progress(run, here, step, tried)
    here.previous = ratio
    run.tell(settings.callbacks.accept, t, here.y, h)
    return step


def _aim(
    run: Run, here: "_Position", goal: float, direction: float, stops: Sequence[float]
) -> float:
    """Set where the next step ends; its size, which shrinks if the step fails."""
    settings, t = run.settings, here.t
    if here.attempts >= settings.max_num_steps:
        raise step_limit(here.attempts, goal, t)
    size = min(max(here.size, settings.min_step), settings.max_step)
    if here.attempts == LOOK_AHEAD:
        warn_of_many(abs(goal - t) / size, here.attempts, goal, t)
    here.stop = next((s for s in stops if 0 < direction * (s - t) <= size), None)
    here.end = t + direction * size if here.stop is None else here.stop
    if here.end == t:
        raise step_underflow(direction * size, t)
    # Far from zero the end is rounded, and the step must be the one that reaches it. The size
    # that was wanted is what shrinks: of a rounded one a part may be rounded to it again.
    return size if here.stop is None else abs(here.end - t)


def _take(run: Run, here: "_Position", h: float) -> Step:
    """The step from here that ends where it was set to end."""
    settings = run.settings
    at_stop = here.stop in settings.jump_t or here.stop in settings.step_t
    # A stop stays where it is, so a step up to it is longer where it begins earlier.
    length = h - here.shift if at_stop and isinstance(here.shift, Tensor) else h
    nudged = (here.jumped, here.stop in settings.jump_t)
    step = run.take(here.t + here.shift, length, here.y, here.f, nudged)
    step.fixed = (here.fixed, at_stop)
    return step


def _shrink(run: Run, here: "_Position", tried: float, direction: float) -> None:
    """Shorten the next step after one that is not finite, or raise NonFinite."""
    settings, t = run.settings, here.t
    # A trial step may overshoot into an overflow, so a smaller one gets its chance.
    run.counts.rejected += 1
    run.tell(settings.callbacks.reject, t, here.y, here.end - t)
    here.progress.fail(nonfinite=True)
    here.size = tried * settings.controller.dfactor
    if here.size == tried or t + direction * here.size == t or tried <= settings.min_step:
        raise not_finite(t)


def _reject(run: Run, here: "_Position", tried: float, factor: float, ratio: float) -> None:
    """Count a step whose error is too large; raise where the next one is not smaller."""
    h = here.end - here.t
    run.counts.rejected += 1
    run.tell(run.settings.callbacks.reject, here.t, here.y, h)
    here.progress.fail(nonfinite=False)
    if factor >= 1 and ratio > 1.001:
        raise ValueError(
            f"the controller's factor is {factor:g} for a step whose error is {ratio:.3g} times"
            " the tolerance, expected less than 1"
        )
    if here.size == tried:
        # Near the time 0 the size can fall to the smallest number there is, and stay there.
        raise step_underflow(h, here.t)


def _check_progress(run: Run, here: "_Position", step: Step, tried: float) -> None:
    """Raise where accepted steps do not bring the solve nearer to its end."""
    if here.progress.failed:
        failure = here.progress.check(here.t, tried, step.y0, step.y1)
        if failure is not None:
            raise failure
    if here.progress.is_short(tried, here.size):
        failure = here.progress.check_tolerance(run.test, step, here.t, tried)
        if failure is not None:
            raise failure


def _whole(run: Run, times: Times, stops: Sequence[float]) -> Tensor | None:
    """The states at two times by the compiled loop; ``None`` where it cannot be."""
    settings, counts, floats = run.settings, run.counts, times.floats
    loop = None if run.compiled is None else run.compiled.loop
    wanted = loop is not None and len(floats) == 2 and not torch.is_grad_enabled()
    if loop is None or not wanted or stops or run.on_step or settings.first_step is not None:
        return None
    if settings.callbacks != NO_CALLBACKS or times.meets(floats[0], settings.jump_t):
        return None
    limits = (settings.min_step, settings.max_step, float(settings.max_num_steps))
    result, seconds = loop(as_numbers(run.y0.device, *floats, *limits), run.y0, run.test)
    counts.compile_s += seconds
    if result is None:
        return None
    numbers, ys = result
    ended, t, _, _, accepted, rejected, h, *_ = numbers.tolist()
    tried = int(accepted + rejected)
    counts.nfe += 2 + tried * run.stepper.nfe_per_step
    if ended == DOUBTFUL:
        return None
    counts.accepted += int(accepted)
    counts.rejected += int(rejected)
    if ended == OVERFLOW:
        _check_outputs(ys, floats)
    if ended != REACHED:
        raise _failure(ended, t, h, tried, floats[-1])
    return ys


def _next_start(run: Run, step: Step, t: Time, direction: float, jumped: bool) -> Carried:
    """What the step after an accepted one begins with; past a jump the slope on its far side."""
    if jumped:
        return run.first_slope(nudge(as_time(t, step.y1), direction * math.inf), step.y1)
    if run.stepper.carries:
        return step.f1
    return run.first_slope(as_time(t, step.y1), step.y1)


# --- steps chosen by a grid ----------------------------------------------------------------------


def _fixed(run: Run, times: Times) -> list[Tensor]:
    """The solution at every output time, by one step between any two points of the grid."""
    floats, direction, perturb = times.floats, times.direction, run.settings.perturb
    grid, points, _ = grid_of(times, run.settings)
    ys, y, f = [run.y0], run.y0, None
    sums, blocks = [], []
    for i in range(len(grid) - 1):
        t, h = points[i], points[i + 1] - points[i]
        if f is None:
            start = as_time(t, y)
            f = run.first_slope(nudge(start, direction * math.inf) if perturb else start, y)
        run.tell(run.settings.callbacks.step, t, y, h)
        step = run.take(t, h, y, f, (perturb, perturb))
        first = last = len(ys)
        while last < len(floats) and direction * (grid[i + 1] - floats[last]) >= 0:
            last += 1
        inside = [(j, fraction(times.points[j], points, i)) for j in range(first, last)]
        ys += run.accept(step, inside, final=last == len(floats))
        # Just before a grid point is not just after it, where the field may jump there.
        reuse = run.stepper.carries and not perturb
        y, f = step.y1, step.f1 if reuse else None
        # The old step's states would stay alive through the next one.
        del step
        total = y.detach().sum()
        sums.append(unwrap(total).sum() if run.transformed else total)
        if len(sums) == BLOCK or i == len(grid) - 2:
            blocks.append(torch.stack(sums))
            sums.clear()
    _check_finite(blocks, grid, y)
    return ys


def _fixed_until(run: Run, times: Times, event: Event) -> list[Tensor]:
    """The solution at the first time and at the event, by steps of one size until it comes."""
    settings, begin, points = run.settings, times.floats[0], times.points
    if settings.step_size is None:
        raise ValueError(
            "event_fn needs a step_size where a grid chooses the steps, since the end of the grid,"
            " the event, is not known"
        )
    h, perturb = times.direction * settings.step_size, settings.perturb
    shift = points[0] - begin if isinstance(points[0], Tensor) else 0.0
    y, f = run.y0, None
    limit = min(settings.max_num_steps, MOST)
    for i in range(int(limit)):
        t, end = begin + i * h, begin + (i + 1) * h
        if i == LOOK_AHEAD:
            warn_of_many(math.inf, i, math.inf, t)
        if end == t:
            raise step_underflow(h, t)
        if f is None:
            start = as_time(t + shift, y)
            f = run.first_slope(nudge(start, times.direction * math.inf) if perturb else start, y)
        run.tell(settings.callbacks.step, t, y, h)
        step = run.take(t + shift, h, y, f, (perturb, perturb))
        if event.is_in(run, step, t, end):
            _, (_, there) = _times_of(event, points)
            place = _place(there, t + shift, h, end)
            return [run.y0, *run.accept(step, [(1, place)], final=True)]
        run.accept(step, [], final=False)
        y, f = step.y1, step.f1 if run.stepper.carries and not perturb else None
        del step
    raise step_limit(limit, math.inf, begin + limit * h)


def _times_of(event: Event, points: Sequence[Time]) -> tuple[list[float], list[Time]]:
    """The output times of an event that was found, as numbers and as ``Times`` has its points."""
    floats, first = event.ts.tolist(), points[0]
    # A tensor, so that the state at its end knows how the step moves with the first time.
    last = first.new_tensor(floats[1]) if isinstance(first, Tensor) else floats[1]
    return floats, [first, last]


@dataclass(slots=True)
class _Position:
    """Where an adaptive integration stands: time, state, slope, and what the next step begins with.

    Attributes:
        t, y: time and state.
        f: what the next step begins with.
        size: the size of the next step.
        progress: whether the time gets on.
        shift: a zero with the gradient by the first output time, as far as the steps move with it.
        fixed: whether ``t`` is a stop, or lies behind one.
        previous: the last accepted error ratio.
        attempts: steps tried since the last output.
        jumped: whether the field jumps at ``t``.
        end, stop: where the step just tried ends, and the time that it was cut at, if any.
    """

    t: float
    y: Float[Tensor, "*state"]
    f: Carried
    size: float
    progress: Progress
    shift: Time
    fixed: bool = False
    previous: float | None = None
    attempts: int = 0
    jumped: bool = False
    end: float = math.nan
    stop: float | None = None


def _failure(ended: float, t: float, h: float, tried: int, goal: float) -> SolverFailure:
    """Why a compiled loop ended before it was at its goal, with the numbers of ``Trials``."""
    if ended == LIMIT:
        return step_limit(tried, goal, t)
    return step_underflow(h, t)


def _place(output: Time, t: Time, h: Time, end: float) -> Time:
    """Where in the step the output lies; exactly 1 at its end, where no interpolation is needed."""
    return 1.0 if output == end and not isinstance(output, Tensor) else (output - t) / h


def _stops(times: Times, settings: Settings) -> list[float]:
    """The times still ahead that a step must end at, in the order in which they come."""
    t0, direction = times.floats[0], times.direction
    stops = [*settings.step_t, *settings.jump_t]
    if len(set(stops)) < len(stops):
        raise ValueError("step_t and jump_t must not repeat a time, neither alone nor together")
    if ends_at_outputs(settings.method) and settings.event_fn is None:
        stops = [*{*stops, *times.floats}]
    ahead = (s for s in stops if direction * (s - t0) > 0 and not times.meets(t0, [s]))
    return sorted(ahead, key=lambda s: direction * s)


def _check_outputs(ys: Float[Tensor, "time *state"], floats: Sequence[float]) -> None:
    """For what no error shows: a bounded slope beyond the largest number, and the evaluations that
    outputs inside a step alone need.
    """
    if torch.compiler.is_compiling():
        return
    # One operation tells where all is well: a sum is finite only where every entry is.
    if math.isfinite(unwrap(ys).detach().sum().item()):
        return
    if not all_finite(ys):
        ends = zip(floats, ys, strict=True)
        t = next(t for t, y in ends if not all_finite(y))
        raise NonFinite(f"the field or the state is not finite near the output at t={t:.9g}", t)


def _check_finite(
    sums: list[Float[Tensor, " _"]], grid: Sequence[float], y: Float[Tensor, "*state"]
) -> None:
    """One look at the end instead of one a step, which would make the host wait at each.

    An entry that is once not finite stays so until the last state ``y``; where all of that is, a
    sum has merely overflowed.
    """
    if torch.compiler.is_compiling():
        return
    bad = torch.cat(sums).isfinite().logical_not().nonzero()
    if len(bad) and not all_finite(y):
        i = int(bad[0])
        message = (
            f"the state is not finite after the step from t={grid[i]:.9g} to {grid[i + 1]:.9g}"
        )
        raise NonFinite(message, grid[i])
