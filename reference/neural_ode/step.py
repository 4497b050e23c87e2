"""One Runge-Kutta step, the norm of its error, and the size of the next one.

What makes the step quick: the stages lie one after another in one contiguous scratch buffer, each
linear combination of them is a single fused operation, and times and step sizes are Python floats.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.tableau import ButcherTableau

Evaluate = Callable[[Float[Tensor, ""], Float[Tensor, "*state"]], Float[Tensor, "*state"]]
Norm = Callable[[Float[Tensor, "*state"]], Float[Tensor, ""]]
# A float, or a 0-dimensional tensor where the gradient with respect to the time is wanted.
Time = float | Tensor


def rms_norm(x: Float[Tensor, "*state"]) -> Float[Tensor, ""]:
    """Root mean square over all entries of ``x``; zero where there are none."""
    return torch.linalg.vector_norm(x) / math.sqrt(max(x.numel(), 1))


class _Combine(torch.autograd.Function):
    """``y + h sum_j weights_j k_j`` in one operation, with a graph that keeps no tensor alive.

    The values of ``ks`` are read from the scratch buffer, whose transpose is ``columns``; the
    tensors themselves are passed only so that autograd knows them. The coefficients are constants,
    so the backward pass needs none of the values and the buffer may be used again at once.
    """

    @staticmethod
    def forward(ctx, y, columns, weights, h, *ks):
        ctx.weights, ctx.h = weights, h
        return torch.addmv(y.reshape(-1), columns, weights, alpha=h).view(y.shape)

    @staticmethod
    def backward(ctx, *grads):
        (grad,) = grads
        rows = torch.outer(ctx.weights, grad.reshape(-1) * ctx.h)
        return grad, None, None, None, *(row.view(grad.shape) for row in rows)


@dataclass
class Step:
    """A step taken, accepted or not: all that the error test and the dense output need.

    Attributes:
        t, h: where it began and its signed size.
        y0, y1: the states at its two ends, shape [*state].
        f0, f_last: the derivatives of its first and its last stage, shape [*state]; for a FSAL
            method the last is the one at the new point.
        ks: every stage derivative while autograd is on, to link them into the graph; empty while it
            is off, when their values in the scratch buffer are all that is needed.
        stages: how many stages the scratch buffer holds, those of the dense output included.
    """

    t: Time
    h: Time
    y0: Float[Tensor, "*state"]
    y1: Float[Tensor, "*state"]
    f0: Float[Tensor, "*state"]
    f_last: Float[Tensor, "*state"]
    ks: list[Float[Tensor, "*state"]] = field(repr=False)
    stages: int


class RungeKutta:
    """One method made ready for states of one shape: coefficients on the device, and the scratch.

    Args:
        tableau: the method.
        y: a state; its shape, dtype and device are those of every later step.
        evaluate: the field, called with a 0-dimensional time tensor of the state's dtype.
    """

    def __init__(
        self, tableau: ButcherTableau, y: Float[Tensor, "*state"], evaluate: Evaluate
    ) -> None:
        constant = partial(torch.tensor, dtype=y.dtype, device=y.device)
        stages = len(tableau.dense)
        self.tableau, self.evaluate = tableau, evaluate
        self._scratch = torch.empty(stages, y.numel(), dtype=y.dtype, device=y.device)
        self._columns = [self._scratch[:i].T for i in range(stages + 1)]
        self._a = [constant(row[:i]) for i, row in enumerate(tableau.a)]
        self._b = constant(tableau.b)
        self._b_error = None if tableau.b_error is None else constant(tableau.b_error)
        # float64, so that the time of a stage is rounded once, to the dtype of the state.
        self._c = torch.tensor(tableau.c, dtype=torch.float64, device=y.device)
        self._dense = torch.tensor(tableau.dense, dtype=torch.float64, device=y.device)
        self._powers = torch.arange(1, self._dense.shape[1] + 1).to(self._dense)
        if tableau.dense_c is not None and tableau.dense_a is not None:
            self._c_dense = torch.tensor(tableau.dense_c, dtype=torch.float64, device=y.device)
            self._a_dense = [
                constant(row[: tableau.stages + i]) for i, row in enumerate(tableau.dense_a)
            ]

    def step(
        self,
        t: Time,
        h: Time,
        y0: Float[Tensor, "*state"],
        f0: Float[Tensor, "*state"],
        *,
        nudge_end: bool = False,
    ) -> Step:
        """One step of signed size ``h`` from ``(t, y0)``, where the field has the value ``f0``.

        ``nudge_end`` evaluates the stages at the end of the step at the last representable time
        before it, for a field that jumps there.
        """
        tableau, ks, k = self.tableau, [], f0
        self._keep(ks, 0, f0)
        y = y0
        for i, time in enumerate(self._times(self._c, t, h, y0.dtype)[1:], start=1):
            if nudge_end and tableau.c[i] == 1:
                time = nudge(time, towards=-math.copysign(math.inf, float(h)))
            y = self._combine(y0, self._a[i], h, ks)
            k = self.evaluate(time, y)
            self._keep(ks, i, k)
        y1 = y if tableau.fsal else self._combine(y0, self._b, h, ks)
        return Step(t, h, y0, y1, f0, k, ks, tableau.stages)

    @torch.no_grad()
    def error(self, step: Step) -> Float[Tensor, "*state"]:
        """The estimate of the local error of the step just taken, shape [*state], no graph.

        Raises:
            ValueError: for a method without an embedded one.
        """
        if self._b_error is None:
            raise ValueError(f"{self.tableau.name} has no error estimate")
        error = torch.mv(self._columns[self.tableau.stages], self._b_error)
        return error.mul_(float(step.h)).view(step.y0.shape)

    def interpolate(self, step: Step, x: Time) -> Float[Tensor, "*state"]:
        """The dense output at the fraction ``x`` of the step just taken, shape [*state]."""
        if isinstance(x, float) and x == 1:
            return step.y1
        self._extend(step)
        weights = (self._dense @ x**self._powers).to(step.y0.dtype)
        if not isinstance(x, Tensor):
            return self._combine(step.y0, weights, step.h, step.ks)
        slopes = torch.stack(step.ks, dim=-1) @ weights
        return step.y0 + step.h * slopes

    def _extend(self, step: Step) -> None:
        """Evaluate the stages that only the dense output needs, once a step."""
        if self.tableau.dense_c is None or step.stages > self.tableau.stages:
            return
        times = self._times(self._c_dense, step.t, step.h, step.y0.dtype)
        for time, weights in zip(times, self._a_dense, strict=True):
            y = self._combine(step.y0, weights, step.h, step.ks)
            self._keep(step.ks, step.stages, self.evaluate(time, y))
            step.stages += 1

    def _keep(
        self, ks: list[Float[Tensor, "*state"]], stage: int, k: Float[Tensor, "*state"]
    ) -> None:
        """Put a stage's values into the scratch buffer, and itself aside only for autograd."""
        self._scratch[stage].copy_(k.detach().reshape(-1))
        if torch.is_grad_enabled():
            ks.append(k)

    @staticmethod
    def _times(c: Float[Tensor, " nodes"], t: Time, h: Time, dtype: torch.dtype) -> tuple:
        """The times of the stages as 0-dimensional tensors."""
        return (c * h + t).to(dtype).unbind()

    def _combine(
        self,
        y: Float[Tensor, "*state"],
        weights: Float[Tensor, " stages"],
        h: Time,
        ks: list[Float[Tensor, "*state"]],
    ) -> Float[Tensor, "*state"]:
        """``y + h sum_j weights_j k_j`` over the stages that ``weights`` reaches."""
        count = len(weights)
        columns = self._columns[count]
        # What autograd's apply returns is not annotated, hence the two silenced checks.
        if isinstance(h, Tensor):
            total = _Combine.apply(torch.zeros_like(y), columns, weights, 1.0, *ks[:count])
            return y + h.to(y.dtype) * total  # type: ignore[reportOperatorIssue]
        if torch.is_grad_enabled():
            return _Combine.apply(y, columns, weights, h, *ks[:count])  # type: ignore[return]
        return torch.addmv(y.reshape(-1), columns, weights, alpha=h).view(y.shape)


def nudge(time: Float[Tensor, ""], towards: float) -> Float[Tensor, ""]:
    """The next representable time towards plus or minus infinity; the gradient passes unchanged."""
    target = torch.full_like(time, towards)
    return time + (torch.nextafter(time.detach(), target) - time.detach())


def error_ratio(
    error: Float[Tensor, "*state"],
    y0: Float[Tensor, "*state"],
    y1: Float[Tensor, "*state"],
    rtol: float | Float[Tensor, "*state"],
    atol: float | Float[Tensor, "*state"],
    norm: Norm,
) -> float:
    """The norm of the error over ``atol + rtol max(|y0|, |y1|)``: a step passes at 1 or less.

    This is the one place of a step where the host waits for the device.
    """
    scale = torch.maximum(y0.detach().abs(), y1.detach().abs()).mul_(rtol).add_(atol)
    return float(norm(error / scale))


@torch.no_grad()
def initial_step(
    evaluate: Evaluate,
    t0: float,
    y0: Float[Tensor, "*state"],
    f0: Float[Tensor, "*state"],
    direction: float,
    order: int,
    rtol: float | Float[Tensor, "*state"],
    atol: float | Float[Tensor, "*state"],
    norm: Norm,
) -> float:
    """The size of a first step, from one more evaluation of the field; NaN where it is not finite.

    Source: Hairer, Norsett & Wanner, Solving ODEs I, sec. II.4, algorithm (a) to (f).
    """
    scale = y0.abs().mul(rtol).add_(atol)
    d0, d1 = float(norm(y0 / scale)), float(norm(f0 / scale))
    if not math.isfinite(d0 + d1):
        return math.nan
    h0 = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1
    t1 = torch.full((), t0 + direction * h0, dtype=y0.dtype, device=y0.device)
    f1 = evaluate(t1, y0 + direction * h0 * f0)
    d2 = float(norm((f1 - f0) / scale)) / h0
    if not math.isfinite(d2):
        return h0
    still = max(d1, d2) <= 1e-15
    h1 = max(1e-6, h0 * 1e-3) if still else (0.01 / max(d1, d2)) ** (1 / order)
    return min(100 * h0, h1)


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

    def factor(self, ratio: float, previous: float | None, order: int) -> float:
        """By how much the next step is larger than this one, given its error ratio."""
        if ratio == 0:
            return self.ifactor
        least = 1.0 if ratio < 1 else self.dfactor
        return min(self.ifactor, max(self.safety / ratio ** (1 / order), least))


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

    def factor(self, ratio: float, previous: float | None, order: int) -> float:
        """By how much the next step is larger; ``previous`` is the last accepted ratio."""
        if ratio == 0:
            return self.ifactor
        if ratio > 1 or not previous:
            wanted = self.safety / ratio ** (1 / order)
        else:
            wanted = self.safety * previous ** (self.beta / order) / ratio ** (self.alpha / order)
        return min(self.ifactor, max(wanted, self.dfactor))


Controller = IntegralController | PIController
