"""One Runge-Kutta step, the norm of its error, and the size of the next one.

What makes the step quick: the stages lie one after another in one contiguous scratch buffer, each
linear combination of them is a single fused operation, and times and step sizes are Python floats.

A state may have integrals riding along, ``dq/dt = r(t, y)``: quantities that nothing depends on, as
the adjoint's parameter gradients are. They enter no stage, so they cost one combination a step.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.tableau import ButcherTableau

# The derivative of the state, shape [*state], and the rates of the integrals, shape [integrals], or
# None where there are none or where they are not wanted.
Slope = tuple[Tensor, Tensor | None]
# From a 0-dimensional time, a state and whether the rates of the integrals are wanted.
Evaluate = Callable[[Tensor, Tensor, bool], Slope]
Norm = Callable[[Float[Tensor, "*state"]], Float[Tensor, ""]]
# The norm of an error of the state and of the integrals together.
JointNorm = Callable[[Float[Tensor, "*state"], Float[Tensor, " integrals"]], Float[Tensor, ""]]
Tolerance = float | Tensor
# A float, or a 0-dimensional tensor where the gradient with respect to the time is wanted.
Time = float | Tensor


def rms_norm(x: Float[Tensor, "*state"]) -> Float[Tensor, ""]:
    """Root mean square over all entries of ``x``; zero where there are none."""
    return torch.linalg.vector_norm(x) / math.sqrt(max(x.numel(), 1))


@dataclass(frozen=True)
class ErrorTest:
    """In which units an error is measured: a step passes where the result is at most 1.

    Attributes:
        rtol, atol: the error is divided by ``atol + rtol max(|y0|, |y1|)``, entry by entry.
        norm: makes one number of the divided error of a state.
        joint_norm: the same for the state and the integrals together; the integrals have no say
            where it is ``None``.
    """

    rtol: Tolerance
    atol: Tolerance
    norm: Norm = rms_norm
    joint_norm: JointNorm | None = None

    @property
    def key(self) -> Hashable:
        """What code that was compiled for this test may be found by."""
        tolerances = [getattr(x, "shape", None) for x in (self.rtol, self.atol)]
        return (*tolerances, self.norm, self.joint_norm)

    def untraced(self, device: torch.device) -> "ErrorTest":
        """The same with tolerances in tensors, whose values a compiler does not build in."""
        rtol, atol = (
            x.to(device, torch.float64) if isinstance(x, Tensor) else _number(x, device)
            for x in (self.rtol, self.atol)
        )
        return ErrorTest(rtol, atol, self.norm, self.joint_norm)

    def scale(self, size: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What an error of entries of this size is divided by; ``size`` may be overwritten."""
        return size.mul_(self.rtol).add_(self.atol)

    def measure(
        self, y: Float[Tensor, "*state"], q: Float[Tensor, " integrals"] | None
    ) -> Float[Tensor, ""]:
        """The norm of an error that is already in units of the tolerance."""
        if self.joint_norm is None or q is None:
            return self.norm(y)
        return self.joint_norm(y, q)


@lru_cache(maxsize=64)
def _number(x: float, device: torch.device) -> Float[Tensor, ""]:
    """A number as a tensor, which takes longer to make than to find again."""
    # Found again by later solves, which may want gradients even if this one is in inference mode.
    with torch.inference_mode(False):
        return torch.tensor(x, dtype=torch.float64, device=device)


def as_vector(numbers: Sequence[float], device: torch.device) -> Float[Tensor, " numbers"]:
    """Numbers of the host as one vector in float64, sent without waiting for the device."""
    if device.type != "cuda":
        return torch.tensor(numbers, dtype=torch.float64, device=device)
    # Only from pinned memory does a copy go its own way.
    pinned = torch.tensor(numbers, dtype=torch.float64, pin_memory=True)
    return pinned.to(device, non_blocking=True)


class _Combine(torch.autograd.Function):
    """``y + h sum_j weights_j k_j`` in one operation, with a graph that keeps no tensor alive.

    The values of ``ks`` are read from the scratch buffer, whose transpose is ``columns``; the
    tensors themselves are passed only so that autograd knows them. The coefficients are constants,
    so the backward pass needs none of the values and the buffer may be used again at once.
    """

    @staticmethod
    def forward(ctx, y, columns, weights, h, *ks):
        ctx.weights, ctx.h = weights, h
        ctx.shape = ks[0].shape
        return torch.addmv(y, columns, weights, alpha=h)

    @staticmethod
    def backward(ctx, *grads):
        (grad,) = grads
        rows = torch.outer(ctx.weights, grad * ctx.h)
        return grad, None, None, None, *(row.view(ctx.shape) for row in rows)


class Weights(NamedTuple):
    """The weights of one combination of stages: on the device, and as numbers for a compiler."""

    tensor: Float[Tensor, " stages"]
    floats: tuple[float, ...]


@dataclass(frozen=True)
class _Constants:
    """A tableau made ready for states of one dtype on one device; see ``ButcherTableau``."""

    a: Sequence[Weights]
    b: Weights
    b_error: Weights | None
    c: Weights
    dense: Float[Tensor, "all_stages degree"]
    powers: Float[Tensor, " degree"]
    c_dense: Weights | None
    a_dense: Sequence[Weights]
    # Whether the dense output, and so perhaps the solution or the error, uses a stage at all.
    used: Sequence[bool]


@lru_cache(maxsize=64)
def _constants(tableau: ButcherTableau, dtype: torch.dtype, device: torch.device) -> _Constants:
    # float64 for times and polynomials, so that each is rounded once, to the dtype of the state.
    exact = partial(torch.tensor, dtype=torch.float64, device=device)

    def weights(row, dtype: torch.dtype = dtype) -> Weights:
        return Weights(torch.tensor(row, dtype=dtype, device=device), tuple(row.tolist()))

    stages, dense_a = tableau.stages, tableau.dense_a
    # Kept for later solves, which may want gradients even if this one is in inference mode.
    with torch.inference_mode(False):
        return _Constants(
            a=[weights(row[:i]) for i, row in enumerate(tableau.a)],
            b=weights(tableau.b),
            b_error=None if tableau.b_error is None else weights(tableau.b_error),
            c=weights(tableau.c, torch.float64),
            dense=exact(tableau.dense),
            powers=exact(range(1, tableau.dense.shape[1] + 1)),
            c_dense=None if tableau.dense_c is None else weights(tableau.dense_c, torch.float64),
            a_dense=[]
            if dense_a is None
            else [weights(row[: stages + i]) for i, row in enumerate(dense_a)],
            used=[bool(row.any()) for row in tableau.dense],
        )


@dataclass(slots=True)
class Step:
    """A step taken, accepted or not: all that the dense output and the next step need.

    Attributes:
        t, h: where it began and its signed size.
        y0, y1: the states at its two ends, shape [*state].
        q1: the integrals at its end, shape [integrals], or ``None``.
        f0, f1: the slopes of its first and its last stage; for a FSAL method the last is the one at
            the new point.
        ratio: the error in units of the tolerance; ``None`` where it was not asked for.
        ks: every stage derivative while autograd is on, to link them into the graph; empty while it
            is off, when their values in the scratch buffer are all that is needed.
        stages: how many stages the scratch buffer holds, those of the dense output included; none
            before those of a compiled step are loaded into it.
        rates: the rates of the integrals at every stage of a compiled step.
        nudged: whether the stages at its two ends were evaluated just inside them.
    """

    t: Time
    h: Time
    y0: Float[Tensor, "*state"]
    y1: Float[Tensor, "*state"]
    q1: Float[Tensor, " integrals"] | None
    f0: Slope
    f1: Slope
    ratio: float | None
    ks: list[Float[Tensor, "*state"]] = field(repr=False)
    stages: int
    rates: Sequence[Tensor | None] = field(default=(), repr=False)
    nudged: tuple[bool, bool] = (False, False)


# What ``advance`` returns: y1, q1, the last slope, the error ratio, the stages and their rates.
Advanced = tuple[Tensor, Tensor | None, Slope, Tensor | None, list[Tensor], list[Tensor | None]]


class RungeKutta:
    """One method made ready for states of one shape: coefficients on the device, and the scratch.

    Attributes:
        carries: whether the last slope of a step is the first of the next.
        nfe_per_step: field evaluations of a step whose first slope is at hand.

    Args:
        tableau: the method.
        y: a state; its shape, dtype and device are those of every later step.
        evaluate: the field, called with a 0-dimensional time tensor of the state's dtype.
        traced: whether a compiler reads the steps: then there is no scratch buffer, and every
            combination is spelled out for it to fuse.
    """

    def __init__(
        self,
        tableau: ButcherTableau,
        y: Float[Tensor, "*state"],
        evaluate: Evaluate,
        *,
        traced: bool = False,
    ) -> None:
        self.tableau, self.evaluate, self.traced = tableau, evaluate, traced
        # Read once: a compiler cannot follow a property that keeps its value, and would check the
        # tableau's arrays at every call.
        self.carries, self.nfe_per_step = tableau.fsal, tableau.stages - 1
        self._shape, self._on_cpu = y.shape, y.device.type == "cpu"
        self._constants = _constants(tableau, y.dtype, y.device)
        self._dtype, self._device = y.dtype, y.device
        self._views: dict[int, Tensor] = {}
        self._rates: Tensor | None = None

    @cached_property
    def _scratch(self) -> Float[Tensor, "all_stages entries"]:
        """The stages one after another; made when needed, since a compiled loop needs none."""
        size = (len(self.tableau.dense), self._shape.numel())
        return torch.empty(size, dtype=self._dtype, device=self._device)

    @cached_property
    def _rows(self) -> Sequence[Float[Tensor, "*state"]]:
        """Each stage's part of the scratch buffer."""
        return self._scratch.view(len(self._scratch), *self._shape).unbind()

    def slope(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Slope:
        """What a step from ``(t, y)`` begins with."""
        return self.evaluate(t, y, True)

    def start(
        self,
        t0: Time,
        direction: Time,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        test: ErrorTest,
    ) -> tuple[Slope, Time]:
        """The first slope, and a good size of the first step; two evaluations."""
        f0 = self.slope(as_time(t0, y0), y0)
        order = self.tableau.order
        with torch.no_grad():
            return f0, initial_step(self.evaluate, t0, direction, y0, q0, f0, order, test)

    def advance(
        self,
        t: Time,
        h: Time,
        y0: Float[Tensor, "*state"],
        f0: Slope,
        q0: Float[Tensor, " integrals"] | None,
        nudge_end: bool,
        test: ErrorTest | None,
    ) -> Advanced:
        """One step of signed size ``h`` from ``(t, y0)``, where the slope is ``f0``.

        ``nudge_end`` evaluates the stages at the end of the step at the last representable time
        before it, for a field that jumps there. The error is estimated where there is a ``test``.
        """
        constants, slope = self._constants, f0
        ks: list[Tensor] = []
        rates: list[Tensor | None] = []
        self._keep(ks, rates, 0, f0)
        y, flat = y0, y0.reshape(-1)
        for i, time in enumerate(self._times(constants.c, t, h, y0.dtype)[1:], start=1):
            if nudge_end and constants.c.floats[i] == 1:
                time = nudge(time, towards=-math.inf * h)
            y = self._combine(flat, constants.a[i], h, ks)
            slope = self.evaluate(time, y, constants.used[i])
            self._keep(ks, rates, i, slope)
        y1 = y if self.carries else self._combine(flat, constants.b, h, ks)
        q1 = None if q0 is None else q0 + self._integrate(constants.b, h, rates)
        ratio = None
        if test is not None:
            with torch.no_grad():
                ratio = self._ratio(test, h, y0, y1, q0, q1, ks, rates)
        return y1, q1, slope, ratio, ks, rates

    def _ratio(
        self,
        test: ErrorTest,
        h: Time,
        y0: Float[Tensor, "*state"],
        y1: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        q1: Float[Tensor, " integrals"] | None,
        ks: list[Tensor],
        rates: list[Tensor | None],
    ) -> Float[Tensor, ""]:
        """The norm of the error over the tolerance: a step passes at 1 or less."""
        weights = self._constants.b_error
        if weights is None:
            raise ValueError(f"{self.tableau.name} has no error estimate")
        error = self._error(weights, h, ks)
        error = error.div_(test.scale(_larger(y0, y1)))
        if test.joint_norm is None or q0 is None or q1 is None:
            return test.norm(error)
        of_integrals = self._integrate(weights, h, rates)
        return test.joint_norm(error, of_integrals.div_(test.scale(_larger(q0, q1))))

    def _error(self, weights: Weights, h: Time, ks: list[Tensor]) -> Float[Tensor, "*state"]:
        """The estimate of the local error of the step just taken."""
        if self.traced:
            return h * _sum(weights.floats, ks)
        columns = self._columns(self.tableau.stages)
        # The first argument has no weight, it only has the right length.
        error = torch.addmv(columns[:, 0], columns, weights.tensor, beta=0, alpha=float(h))
        return error.view(self._shape)

    def _integrate(
        self, weights: Weights, h: Time, rates: list[Tensor | None]
    ) -> Float[Tensor, " integrals"]:
        """``h sum_j weights_j r_j`` over the stages."""
        if self.traced:
            return h * _sum(weights.floats, rates)
        if self._rates is None:
            raise ValueError("the field gave no rates for the integrals")
        reached = self._rates[: len(weights.tensor)]
        return torch.mv(reached.T, weights.tensor).mul_(h)

    def integrals(
        self, step: Step, q0: Float[Tensor, " integrals"], x: float
    ) -> Float[Tensor, " integrals"]:
        """The dense output of the integrals at the fraction ``x`` of the step just taken."""
        self.extend(step)
        weights = Weights(self._dense_weights(x).to(q0), ())
        return q0 + self._integrate(weights, step.h, [])

    def state_at(
        self,
        x: Float[Tensor, ""],
        h: Float[Tensor, ""],
        y0: Float[Tensor, "*state"],
        ks: Sequence[Float[Tensor, "*state"]],
    ) -> Float[Tensor, "*state"]:
        """The dense output at the fraction ``x`` of a step of these stages, for a compiler."""
        weights = self._dense_weights(x).to(y0).unbind()
        return y0 + h * sum(w * k for w, k in zip(weights, ks, strict=True))

    def interpolate(self, step: Step, x: Time) -> Float[Tensor, "*state"]:
        """The dense output at the fraction ``x`` of the step just taken, shape [*state]."""
        if isinstance(x, float) and x == 1:
            return step.y1
        if not isinstance(x, Tensor):
            return self.interpolate_many(step, [x])[0]
        self.extend(step)
        weights = self._dense_weights(x).to(step.y0.dtype)
        return step.y0 + step.h * (torch.stack(step.ks, dim=-1) @ weights)

    def interpolate_many(
        self, step: Step, xs: Sequence[float]
    ) -> Sequence[Float[Tensor, "*state"]]:
        """The dense output at several fractions of the step just taken."""
        self.extend(step)
        constants = self._constants
        powers = as_vector(xs, self._device)[:, None] ** constants.powers
        weights = (powers @ constants.dense.T).to(step.y0.dtype)
        flat = step.y0.reshape(-1)
        if len(xs) == 1 or torch.is_grad_enabled() or isinstance(step.h, Tensor):
            return [self._combine(flat, Weights(row, ()), step.h, step.ks) for row in weights]
        several = torch.addmm(flat[None], weights, self._scratch, alpha=step.h)
        return several.view(len(xs), *self._shape).unbind()

    def _dense_weights(self, x: Time) -> Float[Tensor, " all_stages"]:
        """The weights of the dense output at one fraction, in float64."""
        return self._constants.dense @ x**self._constants.powers

    def polynomial(self, step: Step) -> Float[Tensor, "degree *state"]:
        """The dense output of the step just taken as a polynomial without its constant term.

        The state at the fraction ``x`` is ``y0 + sum_p polynomial[p] x^(p + 1)``.
        """
        self.extend(step)
        weights = self._constants.dense.T.to(self._scratch.dtype) * step.h
        return (weights @ self._scratch).view(len(weights), *self._shape)

    def extend(self, step: Step) -> int:
        """Have every stage that the dense output needs in the scratch buffer.

        Returns how many evaluations that took: a method may have stages for the dense output alone.
        """
        self._load(step)
        constants = self._constants
        if constants.c_dense is None or step.stages > self.tableau.stages:
            return 0
        times = self._times(constants.c_dense, step.t, step.h, step.y0.dtype)
        flat = step.y0.reshape(-1)
        for time, weights in zip(times, constants.a_dense, strict=True):
            y = self._combine(flat, weights, step.h, step.ks)
            self._keep(step.ks, [], step.stages, self.evaluate(time, y, self._rates is not None))
            step.stages += 1
        return len(times)

    def _load(self, step: Step) -> None:
        """Put the stages of a compiled step into the scratch buffer, once."""
        if step.stages:
            return
        ks, rates = step.ks.copy(), step.rates
        step.ks.clear()
        for i, k in enumerate(ks):
            self._keep(step.ks, [], i, (k, rates[i]))
        step.stages = len(ks)

    def _keep(self, ks: list[Tensor], rates: list[Tensor | None], stage: int, slope: Slope) -> None:
        """Put a stage's values into the scratch buffer, and itself aside only for autograd."""
        k, rate = slope
        if self.traced:
            ks.append(k)
            rates.append(rate)
            return
        if torch.is_grad_enabled():
            ks.append(k)
            k = k.detach()
        self._rows[stage].copy_(k)
        if rate is not None:
            if self._rates is None:
                # Zeros, since a stage of weight zero is never filled.
                self._rates = rate.new_zeros(len(self.tableau.dense), len(rate))
            self._rates[stage].copy_(rate)

    def _columns(self, count: int) -> Float[Tensor, "entries count"]:
        """The first stages of the scratch buffer, one a column."""
        if count not in self._views:
            self._views[count] = self._scratch[:count].T
        return self._views[count]

    def _times(self, c: Weights, t: Time, h: Time, dtype: torch.dtype) -> Sequence[Tensor]:
        """The times of the stages as 0-dimensional tensors."""
        if self._on_cpu and isinstance(t, float) and isinstance(h, float):
            return torch.tensor([t + node * h for node in c.floats], dtype=dtype).unbind()
        # Numbers sent to another device would make the host wait for it.
        return (c.tensor * h + t).to(dtype).unbind()

    def _combine(
        self,
        flat: Float[Tensor, " entries"],
        weights: Weights,
        h: Time,
        ks: list[Tensor],
    ) -> Float[Tensor, "*state"]:
        """``y + h sum_j weights_j k_j`` over the stages that ``weights`` reaches; y comes flat."""
        if self.traced:
            return flat.view(self._shape) + h * _sum(weights.floats, ks)
        count = len(weights.tensor)
        columns = self._columns(count)
        if isinstance(h, Tensor):
            zero = torch.zeros_like(flat)
            total = _Combine.apply(zero, columns, weights.tensor, 1.0, *ks[:count])
            return (flat + h.to(flat) * total).view(self._shape)
        if torch.is_grad_enabled():
            end = _Combine.apply(flat, columns, weights.tensor, h, *ks[:count])
            return end.view(self._shape)
        return torch.addmv(flat, columns, weights.tensor, alpha=h).view(self._shape)


def _sum(weights: Sequence[float], terms: Sequence[Tensor | None]) -> Tensor:
    """The weighted sum, spelled out; terms of weight zero do not enter."""
    kept = [(w, x) for w, x in zip(weights, terms, strict=False) if w != 0 and x is not None]
    (w, x), rest = kept[0], kept[1:]
    total = w * x
    for w, x in rest:
        total = total + w * x
    return total


def _larger(a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The larger of the two magnitudes, entry by entry."""
    # In place of one of them, since new memory of a large state costs more than its arithmetic.
    size = a.abs()
    return torch.maximum(size, b.abs(), out=size)


def as_time(t: Time, y: Float[Tensor, "*state"]) -> Float[Tensor, ""]:
    """A time as the field sees it: a 0-dimensional tensor of the state's dtype and device."""
    if isinstance(t, Tensor):
        return t.to(dtype=y.dtype, device=y.device)
    return torch.full((), t, dtype=y.dtype, device=y.device)


def nudge(time: Float[Tensor, ""], towards: Time) -> Float[Tensor, ""]:
    """The next representable time towards plus or minus infinity; the gradient passes unchanged."""
    now = time.detach()
    target = (
        towards.detach().to(now) if isinstance(towards, Tensor) else torch.full_like(now, towards)
    )
    return time + (torch.nextafter(now, target) - now)


def initial_step(
    evaluate: Evaluate,
    t0: Time,
    direction: Time,
    y0: Float[Tensor, "*state"],
    q0: Float[Tensor, " integrals"] | None,
    f0: Slope,
    order: int,
    test: ErrorTest,
) -> Time:
    """The size of a first step from one more evaluation of the field; NaN where it is not finite.

    Source: Hairer, Norsett & Wanner, Solving ODEs I, sec. II.4, algorithm (a) to (f).
    """
    joint = q0 is not None and test.joint_norm is not None
    scale = test.scale(y0.abs())
    of_integrals = test.scale(q0.abs()) if q0 is not None else None
    # Numbers of the host where that is the device, tensors where the host would have to wait.
    numbers = isinstance(t0, float) and y0.device.type == "cpu"
    measure = partial(_measure, test, scale, of_integrals, numbers)
    k0, rate0 = f0
    d0, d1 = measure(y0, q0), measure(k0, rate0)
    flat_start = (d0 < 1e-5) | (d1 < 1e-5)
    h0 = _pick(flat_start, 1e-6, 0.01 * d0 / _pick(flat_start, 1.0, d1))
    ahead = direction * h0
    rise = ahead.to(y0) * k0 if isinstance(ahead, Tensor) else ahead * k0
    k1, rate1 = evaluate(as_time(t0 + ahead, y0), y0 + rise, joint)
    change = None if rate0 is None or rate1 is None else rate1 - rate0
    d2 = measure(k1 - k0, change) / _pick(h0 > 0, h0, 1.0)
    steepest = _pick(d1 > d2, d1, d2)
    still = steepest <= 1e-15
    wanted = (0.01 / _pick(still, 1.0, steepest)) ** (1 / order)
    h1 = _pick(still, _pick(h0 > 1e-3, h0 * 1e-3, 1e-6), wanted)
    # Where the second evaluation overflows, the first guess has to do.
    size = _pick(abs(d2) < math.inf, _pick(100 * h0 < h1, 100 * h0, h1), h0)
    return _pick(d0 + d1 < math.inf, size, math.nan)


def _measure(
    test: ErrorTest,
    scale: Float[Tensor, "*state"],
    of_integrals: Float[Tensor, " integrals"] | None,
    numbers: bool,
    y: Float[Tensor, "*state"],
    q: Float[Tensor, " integrals"] | None,
) -> Time:
    """The norm in units of the two scales, as a number of the host where one is wanted."""
    q = None if q is None or of_integrals is None else q / of_integrals
    norm = test.measure(y / scale, q)
    return float(norm) if numbers else norm.double()


def _pick(condition: bool | Tensor, first: Time, second: Time) -> Time:
    """The first where the condition holds, else the second; for tensors without waiting for it."""
    if isinstance(condition, Tensor):
        return torch.where(condition, first, second)
    return first if condition else second


def _between(least: Time, x: Time, most: float) -> Time:
    """``x``, or the bound that it passes."""
    if isinstance(x, Tensor):
        return torch.clamp(torch.maximum(x, x.new_tensor(0) + least), max=most)
    return min(most, max(x, float(least)))


@dataclass(frozen=True)
class IntegralController:
    """The step grows or shrinks with the last error ratio alone.

    Attributes:
        safety: the factor that keeps the next step a little below its limit.
        ifactor: the most that a step may grow.
        dfactor: the most that a step may shrink; an accepted step does not shrink at all.

    Source: Hairer et al., Solving ODEs I, eq. (4.13); the constants are torchdiffeq's.
    """

    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2

    def factor(self, ratio: Time, previous: Time | None, order: int) -> Time:
        """By how much the next step is larger than this one, given its error ratio."""
        if not isinstance(ratio, Tensor) and ratio == 0:
            return self.ifactor
        least = _pick(ratio < 1, 1.0, self.dfactor)
        return _between(least, self.safety / ratio ** (1 / order), self.ifactor)


@dataclass(frozen=True)
class PIController:
    """The step follows the last two error ratios, which damps its swings on stiff problems.

    Attributes:
        safety, ifactor, dfactor: as for the integral controller.
        alpha, beta: exponents of the last and of the last but one accepted ratio, times the order.

    Source: Gustafsson, ACM Trans. Math. Softw. 17 (1991); Hairer & Wanner, Solving ODEs II, IV.2.
    """

    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2
    alpha: float = 0.7
    beta: float = 0.4

    def factor(self, ratio: Time, previous: Time | None, order: int) -> Time:
        """By how much the next step is larger; ``previous`` is the last accepted ratio.

        Without one it is ``None``, or NaN where the ratios are tensors.
        """
        if not isinstance(ratio, Tensor) and ratio == 0:
            return self.ifactor
        alone = self.safety / ratio ** (1 / order)
        if previous is None:
            return _between(self.dfactor, alone, self.ifactor)
        both = self.safety * previous ** (self.beta / order) / ratio ** (self.alpha / order)
        wanted = _pick((ratio <= 1) & (previous > 0), both, alone)
        return _between(self.dfactor, wanted, self.ifactor)


Controller = IntegralController | PIController
