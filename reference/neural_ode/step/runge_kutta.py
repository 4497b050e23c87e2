"""One step of an explicit Runge-Kutta method.

What makes the step quick: the stages lie one after another in one contiguous scratch buffer, each
linear combination of them is a single fused operation, and times and step sizes are Python floats.

A state may have integrals beside it, ``dq/dt = r(t, y)``: quantities that nothing depends on, as
the adjoint's parameter gradients are. They enter no stage, so they cost one combination a step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.kept import check_kept, lend, own, version
from neural_ode.older_torch import floats_of
from neural_ode.step.base import Advanced, Carried, Evaluate, Slope, Step
from neural_ode.step.error import ErrorTest
from neural_ode.step.first import initial_step
from neural_ode.step.tableau import Tableau
from neural_ode.times import Time, as_time, as_vector, beside_export, exact_dtype, nudge


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
        return grad, None, None, None, *rows.view(len(rows), *ctx.shape).unbind()


class Weights(NamedTuple):
    """The weights of one combination of stages: on the device, and as numbers for a compiler."""

    tensor: Float[Tensor, " stages"]
    floats: tuple[float, ...]


@dataclass(frozen=True)
class _Constants:
    """A tableau made ready for states of one dtype on one device; see ``Tableau``."""

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
def _constants(tableau: Tableau, dtype: torch.dtype, device: torch.device) -> _Constants:
    # Times and polynomials are as exact as the device allows, and rounded once.
    wide = exact_dtype(device)
    exact = partial(torch.tensor, dtype=wide, device=device)

    def weights(row, dtype: torch.dtype = dtype) -> Weights:
        floats = tuple(row.tolist())
        return Weights(torch.tensor(floats, dtype=dtype, device=device), floats)

    stages, dense_a = tableau.stages, tableau.dense_a
    # Kept for later solves, which may want gradients even if this one is in inference mode.
    with torch.inference_mode(False), beside_export():
        return _Constants(
            a=[weights(row[:i]) for i, row in enumerate(tableau.a)],
            b=weights(tableau.b),
            b_error=None if tableau.b_error is None else weights(tableau.b_error),
            c=weights(tableau.c, wide),
            dense=exact(tableau.dense),
            powers=exact(range(1, tableau.dense.shape[1] + 1)),
            c_dense=None if tableau.dense_c is None else weights(tableau.dense_c, wide),
            a_dense=[]
            if dense_a is None
            else [weights(row[: stages + i]) for i, row in enumerate(dense_a)],
            used=[bool(row.any()) for row in tableau.dense],
        )


class RungeKutta:
    """The stepper of an explicit Runge-Kutta method; see ``step.base.Stepper``.

    It holds the coefficients on the device and the scratch buffer. What a step begins with is the
    slope at its beginning; for a FSAL method the last stage is the slope at the new point.

    Args:
        tableau: the coefficients.
        y: a state; its shape, dtype and device are those of every later step.
        evaluate: the field, called with a 0-dimensional time tensor of the state's dtype.
        traced: whether a compiler reads the steps, or a transform of ``torch.func``: then there is
            no scratch buffer, and every combination is spelled out in plain operations.
    """

    def __init__(
        self,
        tableau: Tableau,
        y: Float[Tensor, "*state"],
        evaluate: Evaluate,
        *,
        traced: bool = False,
    ) -> None:
        self.tableau, self.evaluate, self.traced = tableau, evaluate, traced
        # Read once: a compiler cannot follow a property that keeps its value, and would check the
        # tableau's arrays at every call.
        self.carries, self.nfe_per_step = tableau.fsal, tableau.stages - 1
        self.order, self.stages = tableau.order, tableau.stages
        self.dense_nfe = 0 if tableau.dense_c is None else len(tableau.dense_c)
        self._shape, self._on_cpu = y.shape, y.device.type == "cpu"
        self._constants = _constants(tableau, y.dtype, y.device)
        self._dtype, self._device = y.dtype, y.device
        self._views: dict[int, Tensor] = {}
        self._rates: Tensor | None = None
        # How often each stage of this step had been changed in place when autograd was given it.
        self._versions: list[int] = []

    @cached_property
    def _scratch(self) -> Float[Tensor, "all_stages entries"]:
        """The stages one after another; made when needed, since a compiled loop needs none."""
        size = (len(self.tableau.dense), self._shape.numel())
        return torch.empty(size, dtype=self._dtype, device=self._device)

    @cached_property
    def _rows(self) -> Sequence[Float[Tensor, "*state"]]:
        """Each stage's part of the scratch buffer."""
        return self._scratch.view(len(self._scratch), *self._shape).unbind()

    @property
    def for_loop(self) -> "RungeKutta | None":
        """The stepper itself, for a FSAL method without further stages for its dense output."""
        return self if self.carries and self.dense_nfe == 0 else None

    def slope(self, t: Float[Tensor, "*each"], y: Float[Tensor, "*state"]) -> Carried:
        """The slope at ``(t, y)``."""
        return own(self.evaluate(t, lend(y), True))

    def start(
        self,
        t0: Time,
        direction: Time,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        test: ErrorTest,
    ) -> tuple[Carried, Time]:
        """The first slope, and a good size of the first step; two evaluations."""
        f0 = own(self.evaluate(as_time(t0, y0), lend(y0), True))
        # A compiler follows one mode throughout.
        with_grad = torch.is_grad_enabled() and not torch.compiler.is_compiling()
        problem = (self.evaluate, t0, direction, y0, q0, f0, self.order, test)
        with torch.no_grad():
            return f0, initial_step(*problem, with_grad=with_grad)

    def advance(
        self,
        t: Time,
        h: Time,
        y0: Float[Tensor, "*state"],
        f0: Carried,
        q0: Float[Tensor, " integrals"] | None,
        nudge_end: bool,
        test: ErrorTest | None,
    ) -> Advanced:
        """One step of signed size ``h`` from ``(t, y0)``, where the slope is ``f0``."""
        constants, slope = self._constants, f0
        ks: list[Tensor] = []
        rates: list[Tensor | None] = []
        self._keep(ks, rates, 0, f0)
        last = self.nfe_per_step if self.carries else 0
        y, flat = y0, y0.reshape(-1)
        for i, time in enumerate(self._times(constants.c, t, h, y0.dtype)[1:], start=1):
            if nudge_end and constants.c.floats[i] == 1:
                time = nudge(time, towards=-math.inf * h)
            y = self._combine(flat, constants.a[i], h, ks)
            slope = self.evaluate(time, lend(y) if i == last else y, constants.used[i])
            self._keep(ks, rates, i, slope)
        self._check_kept(ks)
        y1 = y if self.carries else self._combine(flat, constants.b, h, ks)
        q1 = None if q0 is None else q0 + self._integrate(constants.b, h, rates)
        ratio = None
        if test is not None:
            with torch.no_grad():
                ratio = self._ratio(test, h, y0, y1, q0, q1, ks, rates)
        return y1, q1, own(slope) if self.carries else slope, ratio, ks, rates

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
    ) -> Float[Tensor, "*each"]:
        """The norm of the error over the tolerance: a step passes at 1 or less."""
        weights = self._constants.b_error
        if weights is None:
            raise ValueError(f"{self.tableau.name} has no error estimate")
        error = self._error(weights, h, ks)
        scale = test.scale(self._larger(test.sizes(y0), test.sizes(y1)))
        error = error / scale if self.traced else error.div_(scale)
        if test.joint_norm is None or q0 is None or q1 is None:
            return test.measure(error, None)
        of_integrals = self._integrate(weights, h, rates)
        return test.measure(error, of_integrals.div_(test.scale(self._larger(q0.abs(), q1.abs()))))

    def _larger(
        self, a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape"]:
        """The larger of the two, entry by entry; ``a`` may be overwritten."""
        # New memory of a large state costs more than its arithmetic.
        return torch.maximum(a, b, out=None if self.traced else a)

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
        return step.y0 + step.h * (torch.stack(self._linked(step), dim=-1) @ weights)

    def _linked(self, step: Step) -> list[Tensor]:
        """The stages with their graphs."""
        if self.traced:
            return step.ks
        # The field may have overwritten them since, so autograd gets the values kept.
        stages = zip(step.ks, self._rows, strict=False)
        return [row + (k - k.detach()) if k.requires_grad else row for k, row in stages]

    def interpolate_many(
        self, step: Step, xs: Sequence[float]
    ) -> Sequence[Float[Tensor, "*state"]]:
        """The dense output at several fractions of the step just taken."""
        self.extend(step)
        flat = step.y0.reshape(-1)
        if self.traced:
            with beside_export():
                weights = self._weights_at(xs, step.y0.dtype)
                rows = [Weights(row, tuple(floats_of(row))) for row in weights]
            return [self._combine(flat, row, step.h, step.ks) for row in rows]
        weights = self._weights_at(xs, step.y0.dtype)
        if len(xs) == 1 or torch.is_grad_enabled() or isinstance(step.h, Tensor):
            return [self._combine(flat, Weights(row, ()), step.h, step.ks) for row in weights]
        several = torch.addmm(flat[None], weights, self._scratch, alpha=step.h)
        return several.view(len(xs), *self._shape).unbind()

    def _weights_at(
        self, xs: Sequence[float], dtype: torch.dtype
    ) -> Float[Tensor, "fractions all_stages"]:
        """The weights of the dense output at several fractions, in the state's dtype."""
        powers = as_vector(xs, self._device)[:, None] ** self._constants.powers
        return (powers @ self._constants.dense.T).to(dtype)

    def _dense_weights(self, x: Time) -> Float[Tensor, " all_stages"]:
        """The weights of the dense output at one fraction, in float64."""
        return self._constants.dense @ x**self._constants.powers

    def polynomial(self, step: Step) -> Float[Tensor, "degree *state"]:
        """The dense output of the step just taken as a polynomial without its constant term.

        The state at the fraction ``x`` is ``y0 + sum_p polynomial[p] x^(p + 1)``.
        """
        self.extend(step)
        weights = self._constants.dense.T
        if step.ks:
            ks = torch.stack(self._linked(step))
            return step.h * torch.tensordot(weights.to(ks.dtype), ks, dims=1)
        weights = weights.to(self._scratch.dtype) * step.h
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
        self._check_kept(step.ks)
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
        if self.traced and torch.compiler.is_compiling():
            ks.append(k)
            rates.append(rate)
            return
        if stage == 0 and self._versions:
            self._versions.clear()
        follows = torch.is_grad_enabled()
        if follows:
            self._versions.append(version(k))
        if self.traced:
            ks.append(own(slope)[0])
            rates.append(rate)
            return
        if follows:
            ks.append(k)
            k = k.detach()
        self._rows[stage].copy_(k)
        if rate is not None:
            if self._rates is None:
                # Zeros, since a stage of weight zero is never filled.
                self._rates = rate.new_zeros(len(self.tableau.dense), len(rate))
            self._rates[stage].copy_(rate)

    def _check_kept(self, ks: list[Tensor]) -> None:
        """Raise ValueError where the field has overwritten a stage that autograd needs."""
        if self._versions and not torch.compiler.is_compiling():
            check_kept(ks, self._versions)

    def _columns(self, count: int) -> Float[Tensor, "entries count"]:
        """The first stages of the scratch buffer, one a column."""
        if count not in self._views:
            self._views[count] = self._scratch[:count].T
        return self._views[count]

    def _times(self, c: Weights, t: Time, h: Time, dtype: torch.dtype) -> Sequence[Tensor]:
        """The times of the stages as 0-dimensional tensors."""
        if self._on_cpu and isinstance(t, float) and isinstance(h, float):
            times = [t + node * h for node in c.floats]
            return torch.tensor(times, dtype=dtype, device=self._device).unbind()
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
            end = flat.view(self._shape) + h * _sum(weights.floats, ks)
            return end.to(flat.dtype)
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
