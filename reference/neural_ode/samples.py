"""The loop over adaptive steps in which each sample of a batch has step sizes of its own.

The field is evaluated for the whole batch at once, each sample at its own time. A sample whose step
fails tries again while the others go on. One that has reached the last output time stands still, at
its start, until all have. So a solve makes as many calls of the field as its hardest sample needs.
A joint one makes more where samples need short steps at different times (Lienen and Günnemann
2022), and fewer where the root mean square over the batch hides the error of a hard sample.
"""

import math
import sys
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from neural_ode.failures import (
    SolverFailure,
    not_finite,
    step_limit,
    step_underflow,
    too_tight,
)
from neural_ode.field import Field, Plain
from neural_ode.foresee import LOOK_AHEAD, warn_of_many
from neural_ode.methods.base import SampleMethod
from neural_ode.progress import BARREN, FAR_BELOW, SHORT, Progress, rounding_over_tolerance
from neural_ode.settings import Settings
from neural_ode.solution import Counts, SampleCounts
from neural_ode.step.base import Carried, Evaluate, Step
from neural_ode.step.controllers import IntegralController, PIController, check_factor
from neural_ode.step.error import check_measure
from neural_ode.step.samples import SampleTest, column
from neural_ode.times import Times, as_time
from neural_ode.transforms import transforming

# A number, or a truth value, of each sample, on the host.
Numbers = Float64[Tensor, " batch"]
Which = Bool[Tensor, " batch"]


def integrate_samples(
    method: SampleMethod,
    evaluate: Evaluate,
    y0: Float[Tensor, "batch *sample"],
    times: Times,
    settings: Settings,
    counts: Counts,
) -> Float[Tensor, "time batch *sample"]:
    """The solution at ``times``; see ``integrate`` for the arguments.

    ``counts`` gets the calls of the field, each for the whole batch, the steps of all samples
    together, and in ``samples`` those of each.

    Raises:
        StepUnderflow, StepLimit, NonFinite: where a sample cannot go on; the message has its
            number.
    """
    return torch.stack(_SampleRun(method, evaluate, y0, times, settings, counts).solve())


def check_samples(field: Field, y0: Float[Tensor, "*state"], times: Sequence[float]) -> None:
    """Check that the state is a batch, and the field one of samples that each have their own time.

    Each field is looked at once for each shape of the state, near the initial one. Samples get
    different times in turn, so that a field is seen that broadcasts them along another dimension.
    Then every other sample is moved, which must leave the derivatives of the rest.

    Raises:
        ValueError: in one sentence, where it is not or does not, and under a transform of
            ``torch.func`` or a compiler.
    """
    if transforming() or torch.compiler.is_compiling():
        raise ValueError(
            "batch='independent' chooses steps by the numbers of each sample, which are not known"
            " under torch.func or torch.compile"
        )
    if y0.ndim == 0:
        raise ValueError(
            "batch='independent' needs a state whose first dimension is the batch, y0 has none"
        )
    passed, key = _passed(field), (y0.shape, y0.dtype, y0.device, _is_training(field))
    if len(y0) > 1 and key not in passed:
        _Look(field, y0, times).check()
        passed.add(key)


# For what states a field has passed: their shape, dtype and device, and whether it was in training.
_PASSED: WeakKeyDictionary[Any, set[Hashable]] = WeakKeyDictionary()


def _passed(field: Field) -> set[Hashable]:
    """For what states the field has passed; of what no dictionary can keep, none."""
    try:
        return _PASSED.setdefault(field, set())
    except TypeError:
        return set()


def _is_training(field: Field) -> bool:
    """Whether the field is a module in training, in which batch norms mix samples."""
    return isinstance(field, nn.Module) and any(part.training for part in field.modules())


class _Look:
    """The calls of a field that tell whether its samples have their own times, and only those.

    Args:
        field: the field.
        y0: the initial state.
        times: the output times.
    """

    # Parts of the interval at which the field is called; no period fits them.
    PARTS = (0.0, 0.381966, 0.732051)

    def __init__(
        self, field: Field, y0: Float[Tensor, "batch *sample"], times: Sequence[float]
    ) -> None:
        self.plain, self.field, self.y0 = Plain(field, y0), field, y0
        first, last = times[0], times[-1]
        self.times = [as_time(first + part * (last - first), y0) for part in self.PARTS]
        self.numbers = torch.arange(len(y0), device=y0.device).view(column(y0))
        size = float(y0.detach().abs().amax()) if y0.numel() else 0.0
        entries = torch.arange(y0.numel(), device=y0.device).view(y0.shape)
        # A state at zero would hide what it is multiplied with.
        self.y = y0.detach() + 1e-3 * (size or 1.0) * torch.cos(entries).to(y0)

    def check(self) -> None:
        """Raise ValueError, in one sentence, for what does not fit."""
        values = [self._value(time) for time in self.times]
        largest = max(float(value.abs().amax()) if value.numel() else 0.0 for value in values)
        rounding = 1000 * torch.finfo(self.y.dtype).eps * largest
        moved = max(_distance(value, values[0]) for value in values)
        turns = self.numbers % len(values)
        wanted, each = values[0], self.times[0].expand(column(self.y))
        for turn, (time, value) in enumerate(zip(self.times, values, strict=True)):
            wanted, each = (
                torch.where(turns == turn, new, old) for new, old in ((value, wanted), (time, each))
            )
        found, problem = self._by_sample(each, wanted)
        if not problem and _distance(found, wanted) > 0.1 * moved + rounding:
            problem = "it then returned other values than for one time"
        if problem:
            raise ValueError(
                "batch='independent' calls the field with a time for each sample, of shape"
                f" {tuple(each.shape)}, which has to broadcast against the state: {problem}"
            )
        self._check_apart(values[0], rounding)

    def _check_apart(self, value: Tensor, rounding: float) -> None:
        """Whether the derivative of a sample depends on that sample alone."""
        even = self.numbers % 2 == 0
        others = torch.where(even, self.y, self.y * 1.01 + self.y.abs().mean() / 100)
        changed = torch.where(even, self._value(self.times[0], others), value)
        if _distance(changed, value) > rounding:
            raise ValueError(
                "batch='independent' needs a field in which the derivative of a sample depends on"
                " that sample alone, and here it changes with the others, as with a mean over the"
                " batch"
            )

    def _value(self, time: Float[Tensor, ""], y: Tensor | None = None) -> Tensor:
        """The field at one time."""
        return self.plain(time, self._lent(y))[0].detach().clone()

    def _by_sample(self, each: Tensor, wanted: Tensor) -> tuple[Tensor, str]:
        """The field at a time for each sample, and what is wrong with it, if anything is."""
        try:
            found = self.field(each.clone(), self._lent())
        # A field may fail in any way with times that it does not expect.
        except Exception as error:
            return wanted, str(error).partition("\n")[0] or type(error).__name__
        if not isinstance(found, Tensor) or found.shape != wanted.shape:
            shape = tuple(getattr(found, "shape", ()))
            return wanted, f"it then returned shape {shape}"
        return found.detach(), ""

    def _lent(self, y: Tensor | None = None) -> Tensor:
        # A field may differentiate by itself where autograd is on.
        y = (self.y if y is None else y).clone()
        return y.requires_grad_() if torch.is_grad_enabled() and self.y0.requires_grad else y


def _distance(a: Tensor, b: Tensor) -> float:
    """The largest difference of two values of a field, where both are numbers."""
    difference = (a - b).abs().nan_to_num(0.0)
    return float(difference.amax()) if difference.numel() else 0.0


class _SampleRun:
    """One integration under way; every number of a sample lies on the host, in float64."""

    def __init__(
        self,
        method: SampleMethod,
        evaluate: Evaluate,
        y0: Float[Tensor, "batch *sample"],
        times: Times,
        settings: Settings,
        counts: Counts,
    ) -> None:
        self.stepper = method.sample_stepper(y0, evaluate)
        self.settings, self.counts, self.times = settings, counts, times
        self.test, self.shape = SampleTest.of(settings.test), column(y0)
        first, last = times.floats[0], times.floats[-1]
        # A zero that carries the gradient with respect to the first time into every later one.
        point = times.points[0]
        self.shift = point - first if isinstance(point, Tensor) else 0.0
        self.length = abs(last - first)
        self.y, self.start, self.ys = y0, y0.detach(), [y0] * len(times)
        self.ends = torch.tensor(times.floats, dtype=torch.float64)
        self.t = torch.full((len(y0),), first, dtype=torch.float64)
        self.previous = torch.full_like(self.t, math.nan)
        # The number of the next output, and the steps tried since the last one.
        self.following = torch.ones(len(y0), dtype=torch.int64)
        self.attempts = torch.zeros(len(y0), dtype=torch.int64)
        self.samples = counts.samples = SampleCounts.zero(len(y0))
        # Whether a trial was rejected since the last accepted step, and one that was not finite.
        self.failed = torch.zeros(len(y0), dtype=torch.bool)
        self.nonfinite = torch.zeros_like(self.failed)
        self.progress: dict[int, Progress] = {}
        # Accepted steps in turn that a tolerance out of reach made short.
        self.tight = torch.zeros_like(self.attempts)

    def solve(self) -> list[Float[Tensor, "batch *sample"]]:
        """The states at the output times."""
        self.f, self.size = self._start()
        while bool((active := self.following < len(self.ys)).any()):
            step, good, end = self._attempt(active)
            if bool(good.any()):
                self._accept(step, good, end)
        self.counts.accepted += int(self.samples.accepted.sum())
        self.counts.rejected += int(self.samples.rejected.sum())
        return self.ys

    # --- the first step

    def _start(self) -> tuple[Carried, Numbers]:
        """What the first step begins with, and its size for each sample."""
        t, first = self.times.floats[0], self.settings.first_step
        start = self._sent(self.t) + self.shift
        self._count(2 if first is None else 1, torch.ones_like(self.t, dtype=torch.bool))
        if first is not None:
            return self.stepper.slope(as_time(start, self.y), self.y), torch.full_like(
                self.t, first
            )
        direction = self.times.direction
        f, size = self.stepper.start(start, direction, self.y, None, self.test)
        size = torch.as_tensor(size).detach().double().cpu().reshape(len(self.t)).clone()
        if not bool(size.isfinite().all()):
            size[~size.isfinite()] = self._start_again(t, f)
        return f, size

    def _start_again(self, t: float, f: Carried) -> float:
        """The size for samples whose norms are not finite, from those of the whole batch."""
        for i, (y, slope) in enumerate(zip(self.y, f[0], strict=True)):
            if not bool(y.isfinite().all() and slope.isfinite().all()):
                raise _of_sample(i, not_finite(t, "at"))
        self._count(2, torch.ones_like(self.t, dtype=torch.bool))
        wide = replace(self.settings.test, wide=True)
        _, size = self.stepper.start(t + self.shift, self.times.direction, self.y, None, wide)
        if not math.isfinite(float(size)):
            check_measure(float(size), wide, self.y)
            raise not_finite(t, "at")
        return float(size)

    # --- one step of each sample

    def _attempt(self, active: Which) -> tuple[Step, Which, Numbers]:
        """One step of each active sample: which of them are accepted, and where they end."""
        settings, direction = self.settings, self.times.direction
        size = self.size.clamp(settings.min_step, settings.max_step)
        wanted = direction * size
        end = self.t + wanted
        self._check_limits(active, size)
        for i in _where(active & (end == self.t)):
            raise _of_sample(i, step_underflow(float(wanted[i]), float(self.t[i])))
        # Far from zero the end is rounded, and the step must be the one that reaches it.
        h = torch.where(active, end - self.t, 0.0)
        step, ratio = self._take(h)
        self._count(self.stepper.nfe_per_step, active)
        self.attempts += active
        finite = ratio.isfinite()
        good = active & finite & ((ratio <= 1) | (size <= settings.min_step))
        failed = active & ~good
        if bool(failed.any() and good.any()):
            step = self._without(step, failed, h)
        factor = self._factor(torch.where(finite, ratio, 1.0), active & finite)
        self.size = torch.where(active, size * torch.where(finite, factor, self._dfactor), size)
        self.samples.accepted += good
        self.samples.rejected += failed
        if bool(failed.any()):
            self._fail(failed, ratio, size, h, factor)
        self._check_progress(step, good, size)
        self.previous = torch.where(good, ratio, self.previous)
        return step, good, end

    @property
    def _dfactor(self) -> float:
        return self.settings.controller.dfactor

    def _take(self, h: Numbers) -> tuple[Step, Numbers]:
        """A step of these sizes, and each sample's error in units of the tolerance.

        The error is infinite or NaN where the step is not finite, and a number elsewhere.
        """
        t, sizes = self._sent(self.t) + self.shift, self._sent(h)
        advanced = self.stepper.advance(t, sizes, self.y, self.f, None, False, self.test)
        y1, _, f1, ratios, ks, _ = advanced
        step = Step(t, sizes, self.y, y1, None, self.f, f1, None, ks, self.stepper.stages)
        if ratios is None:
            raise ValueError("the stepper gave no error")
        ratio = ratios.detach().double().cpu().reshape(len(h))
        for i in _where(~((ratio >= 0) & (ratio < math.inf))):
            check_measure(float(ratio[i]), self.test.of_sample(i, self.y), self.y[i])
            whole = bool(y1[i].isfinite().all() and f1[0][i].isfinite().all())
            if ratio[i] == math.inf and whole:
                # It is only too large for the dtype that it was measured in.
                ratio[i] = sys.float_info.max
        return step, ratio

    def _without(self, step: Step, bad: Which, h: Numbers) -> Step:
        """The step taken again without these samples where autograd follows it.

        They have no part in the solution, but a derivative there may be NaN, and zero times NaN
        would reach the gradients.
        """
        if not any(k.requires_grad for k in step.ks):
            return step
        self.counts.nfe += self.stepper.nfe_per_step
        return self._take(torch.where(bad, 0.0, h))[0]

    def _factor(self, ratio: Numbers, wanted: Which) -> Numbers:
        """By how much the controller makes the next step of each sample larger."""
        controller, order = self.settings.controller, self.stepper.order
        if type(controller) in (IntegralController, PIController):
            return torch.as_tensor(controller.factor(ratio, self.previous, order))
        factors = torch.ones_like(ratio)
        for i in _where(wanted):
            before = None if self.previous[i].isnan() else float(self.previous[i])
            factors[i] = check_factor(controller.factor(float(ratio[i]), before, order))
        return factors

    # --- samples that cannot go on

    def _check_limits(self, active: Which, size: Numbers) -> None:
        """Raise StepLimit where a sample may try no more, and warn where many steps lie ahead."""
        for i in _where(active & (self.attempts >= self.settings.max_num_steps)):
            attempts, t = int(self.attempts[i]), float(self.t[i])
            raise _of_sample(i, step_limit(attempts, self._goal(i), t))
        for i in _where(active & (self.attempts == LOOK_AHEAD)):
            goal, t = self._goal(i), float(self.t[i])
            warn_of_many(abs(goal - t) / float(size[i]), LOOK_AHEAD, goal, t)

    def _goal(self, i: int) -> float:
        return self.times.floats[int(self.following[i])]

    def _fail(
        self, failed: Which, ratio: Numbers, size: Numbers, h: Numbers, factor: Numbers
    ) -> None:
        """Take note of the steps that were rejected.

        Raises:
            NonFinite, StepUnderflow: where a shorter one cannot be tried.
            ValueError: where the controller does not make it shorter.
        """
        nonfinite, same = failed & ~ratio.isfinite(), self.size == size
        self.failed |= failed
        self.nonfinite |= nonfinite
        still = same | (self.t + self.times.direction * self.size == self.t)
        for i in _where(nonfinite & (still | (size <= self.settings.min_step))):
            raise _of_sample(i, not_finite(float(self.t[i])))
        for i in _where(failed & ~nonfinite & (factor >= 1) & (ratio > 1.001)):
            raise ValueError(
                f"the controller's factor is {float(factor[i]):g} for a step whose error is"
                f" {float(ratio[i]):.3g} times the tolerance, expected less than 1"
            )
        for i in _where(failed & ~nonfinite & same):
            raise _of_sample(i, step_underflow(float(h[i]), float(self.t[i])))

    def _check_progress(self, step: Step, good: Which, size: Numbers) -> None:
        """Raise the failure of a sample whose accepted steps bring nothing."""
        again = good & self.failed
        if bool(again.any()):
            same = step.y0 == step.y1
            still = same.reshape(len(good), same[:1].numel()).all(dim=1).cpu()
            for i in _where(again & (self.nonfinite | still)):
                progress = self._progress_of(i)
                progress.fail(nonfinite=bool(self.nonfinite[i]))
                ends = step.y0[i], step.y1[i]
                failure = progress.check(float(self.t[i]), float(size[i]), *ends)
                if failure is not None:
                    raise _of_sample(i, failure)
            self.failed &= ~good
            self.nonfinite &= ~good
        short = good & (size < SHORT * self.length) & (self.size <= 2 * size)
        if bool(short.any()):
            self._check_tolerance(step, short, size)

    def _check_tolerance(self, step: Step, short: Which, size: Numbers) -> None:
        """Raise the failure of a sample whose tolerance is out of reach; see ``Progress``."""
        with torch.no_grad():
            far = rounding_over_tolerance(self.test, step).reshape(-1).cpu() >= FAR_BELOW
        self.tight = torch.where(short, torch.where(far, self.tight + 1, 0), self.tight)
        for i in _where(self.tight >= BARREN):
            raise _of_sample(i, too_tight(float(self.t[i]), float(size[i]), step.y1.dtype))

    def _progress_of(self, i: int) -> Progress:
        return self.progress.setdefault(i, Progress(self.length))

    # --- on from an accepted step

    def _accept(self, step: Step, good: Which, end: Numbers) -> None:
        """Go on from the steps that were accepted, and read the outputs inside them."""
        self._read(step, good, end)
        active = self.following < len(self.ys)
        self.t = torch.where(good, end, self.t)
        self.y, _ = self._choose(good, step.y1, step.y0)
        if not bool(active.all()):
            # There its derivative is needed in any case, while at its end it may be NaN.
            self.t = torch.where(active, self.t, self.times.floats[0])
            self.y, _ = self._choose(active, self.y, self.start)
        if self.stepper.carries:
            self.f = self._choose(good, step.f1[0], step.f0[0])
        elif bool(active.any()):
            start = as_time(self._sent(self.t) + self.shift, self.y)
            slope, _ = self.stepper.slope(start, self.y)
            self._count(1, active & good)
            self.f = self._choose(good, slope, step.f0[0])

    def _read(self, step: Step, good: Which, end: Numbers) -> None:
        """The states of the accepted samples at the output times inside their steps."""
        direction, last = self.times.direction, len(self.ys) - 1
        extended = False
        while True:
            goals = self.ends[self.following.clamp(max=last)]
            inside = good & (self.following <= last) & (direction * (end - goals) >= 0)
            if not bool(inside.any()):
                return
            at_end = inside & (end == goals)
            interpolated = inside if self._follows_times else inside & ~at_end
            if bool(interpolated.any()) and not extended:
                self.counts.nfe += (more := self.stepper.extend(step))
                self.samples.nfe += more * interpolated
                extended = True
            for number in self.following[inside].unique().tolist():
                here = inside & (self.following == number)
                value = step.y1
                if bool((here & interpolated).any()):
                    value = self._inside(step, number, here & interpolated)
                self.ys[number], _ = self._choose(here, value, self.ys[number])
            self.attempts[inside] = 0
            self.following += inside

    @property
    def _follows_times(self) -> bool:
        return isinstance(self.times.points[0], Tensor)

    def _inside(self, step: Step, number: int, which: Which) -> Float[Tensor, "batch *sample"]:
        """The states of these samples at an output inside their steps, of the others at the end."""
        sent = self._sent(which)
        # The others may have a step of no size.
        h = torch.where(sent, step.h, 1.0)
        x = torch.where(sent, (self.times.points[number] - step.t) / h, 1.0)
        return torch.where(sent, self.stepper.interpolate(step, x), step.y1)

    def _choose(self, which: Which, new: Tensor, old: Tensor) -> tuple[Tensor, None]:
        """The new entries of these samples and the old ones of the others; there are no rates."""
        return new if bool(which.all()) else torch.where(self._sent(which), new, old), None

    def _sent(self, numbers: Tensor) -> Tensor:
        """What each sample has, on the device, so that it broadcasts against the state."""
        return numbers.view(self.shape).to(self.y.device)

    def _count(self, nfe: int, which: Which) -> None:
        """Count a call of the field for each of these samples."""
        self.counts.nfe += nfe
        self.samples.nfe += nfe * which


def _where(which: Which) -> Sequence[int]:
    """The numbers of these samples."""
    return which.nonzero().flatten().tolist() if bool(which.any()) else ()


def _of_sample(i: int, failure: SolverFailure) -> SolverFailure:
    """The failure with the number of the sample."""
    return type(failure)(f"sample {i} of the batch: {failure}", failure.t)
