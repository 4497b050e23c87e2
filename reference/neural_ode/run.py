"""One integration under way: what takes its steps, eager or compiled, and counts them."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.compiled import CompiledSteps, find_steps
from neural_ode.failures import not_finite
from neural_ode.field import Plain
from neural_ode.loop import StepLoop
from neural_ode.methods.base import iterates
from neural_ode.older_torch import check_compiles
from neural_ode.settings import Callback, Settings
from neural_ode.solution import Counts
from neural_ode.step.base import Carried, Evaluate, Step, Stepper
from neural_ode.step.error import check_measure
from neural_ode.times import Time, as_time, as_vector, exact_dtype, nudge
from neural_ode.transforms import all_finite, transforming, unwrap

# A compiled loop copies the states that it carries. For large ones that costs more than the Python
# between the steps, which it saves: with the conv field of the benchmarks, 294,912 entries, a solve
# took 1.4 times as long.
LOOPED_ENTRIES = 2**16


class Visit(NamedTuple):
    """An accepted step, as it is shown to a function that watches the integration.

    Attributes:
        stepper: what took it; it knows the stages of this step until the next one.
        step: the step.
        number: its number, from 0.
        outputs: the indices of the output times inside it, and where in the step they lie.
    """

    stepper: Stepper
    step: Step
    number: int
    outputs: Sequence[tuple[int, Time]]


OnStep = Callable[[Visit], None]


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
        self.transformed = transforming() or torch.compiler.is_compiling()
        self.stepper = settings.method.stepper(y0, evaluate, traced=self.transformed)
        self.test, self.by_error = settings.test, settings.adaptive
        self.tests = self.by_error or iterates(settings.method)
        self.y0, self.q, self.settings, self.counts = y0, q0, settings, counts
        self.on_step, self.number = on_step, 0
        self.compiled = None
        if settings.compile and not self.transformed:
            check_compiles()
            self.test = self.test.with_tensors(y0.device)
            self.compiled = self._find_compiled()

    def _find_compiled(self) -> CompiledSteps:
        """The compiled functions for this field, shape and error test."""
        settings, y0, evaluate = self.settings, self.y0, self.stepper.evaluate
        key = (
            getattr(evaluate, "key", id(evaluate)),
            settings.method.name,
            id(settings.method),
            (y0.shape, y0.dtype, y0.device, torch.is_grad_enabled()),
            (self.test.key, settings.controller) if self.by_error else None,
        )

        def make() -> CompiledSteps:
            stepper = settings.method.stepper(y0.detach(), evaluate, traced=True)
            whole = stepper.for_loop if self.by_error else None
            # Autograd, by which an adjoint's field is made, does not reach into a loop.
            plain = isinstance(evaluate, Plain)
            # On a GPU the host reads at every turn of the loop whether it goes on, so it may as
            # well launch single steps, which are captured.
            small = y0.device.type == "cpu" and y0.numel() <= LOOPED_ENTRIES
            loop = None
            if whole is not None and plain and small:
                loop = StepLoop(whole, settings.controller)
            start, advance = (
                partial(_call_with_numbers, stepper.start),
                partial(_call_with_numbers, stepper.advance),
            )
            # A captured graph has no room for what autograd keeps of each step.
            captured = y0.device.type == "cuda" and not torch.is_grad_enabled()
            # Another method must not come to lie at the address by which the key knows this one.
            return CompiledSteps(
                start, advance, captured=captured, loop=loop, method=settings.method
            )

        return find_steps(key, make)

    # --- one step

    def first_slope(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Carried:
        """What a step begins with where no step leads up to it."""
        self.counts.nfe += 1
        return self.stepper.slope(t, y)

    def start(
        self, t: float, shift: Time, direction: float, *, nudged: bool
    ) -> tuple[Carried, float]:
        """What the first step begins with, and its size: the user's, or Hairer's choice.

        Where the field jumps at ``t``, it is evaluated just behind it (``nudged``).
        """
        begin = t + shift
        if nudged:
            begin = nudge(as_time(begin, self.y0), direction * math.inf)
            begin = begin if isinstance(shift, Tensor) else float(begin)
        if self.settings.first_step is not None:
            return self.first_slope(as_time(begin, self.y0), self.y0), self.settings.first_step
        self.counts.nfe += 2
        if self.compiled is None:
            f, size = self.stepper.start(begin, direction, self.y0, self.q, self.test)
        else:
            numbers = as_numbers(self.y0.device, begin, direction)
            (f, size), seconds = self.compiled.start(numbers, self.y0, self.q, self.test)
            f = self.compiled.keep(f)
            self.counts.compile_s += seconds
        size = _least(size)
        if not math.isfinite(size):
            size = self._start_again(t, shift, direction, f[0])
        return f, size

    def _start_again(self, t: float, shift: Time, direction: float, slope: Tensor) -> float:
        """The size of the first step where the norms that it is chosen by are not finite.

        Raises:
            NonFinite: where that is because the state or the slope is not.
        """
        if not (all_finite(self.y0) and all_finite(slope)):
            raise not_finite(t, "at")
        self.counts.nfe += 2
        wide = replace(self.test, wide=True)
        _, size = self.stepper.start(t + shift, direction, self.y0, self.q, wide)
        size = _least(size)
        if not math.isfinite(size):
            check_measure(size, self.test, self.y0, self.q)
            raise not_finite(t, "at")
        return size

    def take(
        self, t: Time, h: Time, y: Float[Tensor, "*state"], f: Carried, nudged: tuple[bool, bool]
    ) -> Step:
        """One step, accepted or not; reading its ratio makes the host wait for the device."""
        test = self.test if self.tests else None
        if self.compiled is None:
            advanced = self.stepper.advance(t, h, y, f, self.q, nudged[1], test)
            stages = self.stepper.stages
        else:
            numbers = as_numbers(y.device, t, h)
            advanced, seconds = self.compiled.advance(numbers, y, f, self.q, nudged[1], test)
            self.counts.compile_s += seconds
            # What the next step begins with; the rest of this one is not used after it.
            advanced = (*self.compiled.keep(advanced[:3]), *advanced[3:])
            # They are not in the scratch buffer yet.
            stages = 0
        y1, q1, f1, ratio, ks, rates = advanced
        # Of a method that iterates only now known.
        self.counts.nfe += self.stepper.nfe_per_step
        if ratio is not None:
            ratio = float(unwrap(ratio).max() if self.transformed else ratio)
            if not 0 <= ratio < math.inf:
                ratio = self._doubtful(ratio, y1, f1[0], q1)
        return Step(t, h, y, y1, q1, f, f1, ratio, ks, stages, rates, nudged)

    def _doubtful(self, ratio: float, *ends: Tensor | None) -> float:
        """The ratio of a step where the norm is not a number from 0.

        Raises:
            ValueError: where that is the norm's doing.
        """
        check_measure(ratio, self.test, self.y0, self.q)
        if ratio == math.inf and all(all_finite(x) for x in ends if x is not None):
            # It is only too large for the dtype that it was measured in.
            return sys.float_info.max
        return ratio

    def tell(self, callback: Callback | None, t: Time, y: Float[Tensor, "*state"], h: Time) -> None:
        """Call the callback, if there is one, with the beginning and the size of a step.

        It gets a copy of the state, which it may change.
        """
        if callback is None:
            return
        state = y.clone()
        if self.settings.callbacks.with_integrals:
            state = (state, None if self.q is None else self.q.clone())
        callback(as_time(t, y), state, as_time(abs(h), y))

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
        if not self.by_error and self.settings.interpolation != "dense":
            values = iter([self._simple(step, x) for x in inside])
        elif any(isinstance(x, Tensor) for x in inside):
            self.counts.nfe += self.stepper.extend(step)
            values = iter([self.stepper.interpolate(step, x) for x in inside])
        elif inside:
            self.counts.nfe += self.stepper.extend(step)
            values = iter(self.stepper.interpolate_many(step, [float(x) for x in inside]))
        else:
            values = iter(())
        return [next(values) if isinstance(x, Tensor) or x != 1 else step.y1 for x in xs]

    def polynomial(self, step: Step) -> Float[Tensor, "terms *state"]:
        """The solution inside a step: the factors of the powers of the fraction, from the 0th."""
        if self.by_error or self.settings.interpolation == "dense":
            self.counts.nfe += self.stepper.extend(step)
            return torch.cat([step.y0[None], self.stepper.polynomial(step)])
        rise = step.y1 - step.y0
        if self.settings.interpolation == "linear":
            return torch.stack([step.y0, rise])
        begin, end = step.h * step.f0[0], step.h * self._slope_at_end(step)
        return torch.stack([step.y0, begin, 3 * rise - 2 * begin - end, begin + end - 2 * rise])

    def _slope_at_end(self, step: Step) -> Float[Tensor, "*state"]:
        """The slope where a step ends, beside the one at its beginning; one evaluation."""
        return self.first_slope(as_time(step.t + step.h, step.y1), step.y1)[0]

    def _simple(self, step: Step, x: Time) -> Float[Tensor, "*state"]:
        """The linear or the cubic interpolation at the fraction ``x`` of a step."""
        rise = step.y1 - step.y0
        if self.settings.interpolation == "linear":
            return step.y0 + x * rise
        f0, f1 = step.f0[0], self._slope_at_end(step)
        slopes = step.h * ((1 - x) * f0 - x * f1)
        return step.y0 + x * (rise + (1 - x) * (slopes + (2 * x - 1) * rise))


def as_numbers(device: torch.device, *times: Time) -> Float[Tensor, " numbers"]:
    """Numbers for compiled code, as one vector.

    Compiled code checks each tensor at every call, and even reads each 0-dimensional one.
    """
    if not any(isinstance(x, Tensor) for x in times):
        # None of them is a tensor here, which a type checker does not take from the line above.
        return as_vector(times, device)  # type: ignore[reportArgumentType]
    as_number = partial(torch.as_tensor, dtype=exact_dtype(device), device=device)
    return torch.stack([as_number(x) for x in times])


def _least(size: Time) -> float:
    """The size as a number; where the samples of a batch share their steps, the least of all."""
    return float(unwrap(size).min()) if isinstance(size, Tensor) else float(size)


def _call_with_numbers(function: Callable, numbers: Float[Tensor, " numbers"], *others: Any) -> Any:
    """Call the function with the entries of a vector as its first arguments."""
    return function(*numbers.unbind(), *others)
