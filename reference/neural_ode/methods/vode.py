"""The implicit Adams method of VODE, one step of SciPy at a time.

VODE (Brown, Byrne and Hindmarsh 1989) varies its step and its order, from 1 to 12, and solves each
implicit step by functional iteration, without a Jacobian.

SciPy works in float64 on the host. VODE steps past an output and interpolates: the outputs before
the last do not change its steps, and the field is evaluated a little beyond the last.
"""

import math
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.polynomial.legendre import leggauss
from numpy.polynomial.polynomial import polyval
from scipy.integrate import ode
from torch import Tensor

from neural_ode.failures import NonFinite, SolverFailure, StepLimit, StepUnderflow
from neural_ode.solution import Counts
from neural_ode.step.error import Tolerance
from neural_ode.times import as_time

# Where VODE leaves what it has done, counted from 0 (its documentation counts from 1). Among the
# floats: the size of the last step, and where the Taylor coefficients of the solution at its end
# begin. Among the integers: its order, and the failures of the corrector and of the error test.
_STEP, _TAYLOR = 10, 20
_ORDER, _FAILURES = 13, [20, 21]

MAX_ORDER = 12
# Exact to degree 13; the polynomials of the Adams formulas have degree 11 at most.
_GAUSS_POINTS, _GAUSS_WEIGHTS = leggauss(7)

_UNDERFLOW = {
    -2: "the tolerance asks for more than float64 can resolve",
    -3: "the tolerance or the interval is smaller than float64 can resolve",
    -4: "the error is too large however small the step",
    -5: "the corrector does not converge however small the step",
}

_this_thread = threading.local()


def integrate_vode(
    field: Callable[[Float[Tensor, ""], Float[Tensor, "*state"]], Float[Tensor, "*state"]],
    y0: Float[Tensor, "*state"],
    times: Sequence[float],
    *,
    rtol: Tolerance,
    atol: Tolerance,
    counts: Counts,
    max_num_steps: int,
    exempt: int = 0,
) -> Float[Tensor, "time *state"]:
    """The solution at ``times``, in the dtype and on the device of ``y0``.

    Args:
        field: the derivative of the state; it is called without autograd.
        y0: the state at the first time.
        times: at least two output times, strictly increasing or decreasing.
        rtol, atol: numbers, or tensors that broadcast to the state; in each step the root mean
            square of the estimated error over ``rtol * |y| + atol`` is at most one.
        counts: is added to; a rejected step is one that failed the error test, or whose corrector
            did not converge.
        max_num_steps: the most accepted steps between two output times.
        exempt: how many of the last entries of the flattened state are integrals: the field does
            not depend on them, and their errors do not count in the choice of the steps.

    Raises:
        StepLimit, StepUnderflow, NonFinite: where the integration cannot go on.
        RuntimeError: inside the field of another solve by this method.
    """
    if y0.numel() == 0:
        return y0.detach().repeat(len(times), *[1] * y0.ndim)
    # Without any other state the integrals have to choose the steps themselves.
    exempt = exempt if exempt < y0.numel() else 0
    with _not_nested(), torch.no_grad(), warnings.catch_warnings():
        # SciPy warns of failures; here an exception tells of them.
        warnings.filterwarnings("ignore", "vode: ", UserWarning)
        run = _Steps(_HostField(field, y0, exempt, times[0], counts), rtol, atol, times[-1])
        ys = [run.field.y0, *(run.output(t, max_num_steps) for t in times[1:])]
    return torch.from_numpy(np.stack(ys)).to(y0).view(-1, *y0.shape)


@contextmanager
def _not_nested() -> Iterator[None]:
    """SciPy has one place a thread for the field of the solve that is running."""
    if getattr(_this_thread, "solving", False):
        raise RuntimeError(
            "method 'adams' was called inside the field of another solve by 'adams', but SciPy's"
            " VODE cannot be nested: use another method for one of the two"
        )
    _this_thread.solving = True
    try:
        yield
    finally:
        _this_thread.solving = False


def _on_host(x: Float[Tensor, "*state"]) -> np.ndarray:
    return x.detach().reshape(-1).double().cpu().numpy()


class _HostField:
    """The field as VODE calls it: arrays of float64 in and out, and without the integrals.

    SciPy replaces an exception that the field raises. So it is kept here, and VODE gets values that
    are not numbers, with which it soon gives up.
    """

    def __init__(
        self, field: Callable, y0: Float[Tensor, "*state"], exempt: int, t0: float, counts: Counts
    ) -> None:
        self.field, self.like, self.t0, self.counts = field, y0, t0, counts
        self.y0 = _on_host(y0)
        self.size = len(self.y0) - exempt
        self.failure: BaseException | None = None
        self.called = self.nonfinite = False
        self.rates = self._evaluate(t0, self.y0[: self.size])
        if self.nonfinite or not np.isfinite(self.y0).all():
            raise NonFinite(f"the field or the state is not finite at t={t0:.9g}", t0)

    def __call__(self, t: float, y: np.ndarray) -> np.ndarray:
        """The derivative of VODE's part of the state."""
        # VODE asks first for the rates at the start, which are known already.
        if self.called and self.failure is None:
            try:
                self.rates = self._evaluate(t, y)
            except BaseException as failure:
                self.failure = failure
        self.called = True
        return self.rates[: self.size] if self.failure is None else np.full(self.size, np.nan)

    def _evaluate(self, t: float, y: np.ndarray) -> np.ndarray:
        # A copy, since VODE goes on to write into its own array.
        state = torch.from_numpy(np.concatenate([y, self.y0[self.size :]])).to(self.like)
        self.counts.nfe += 1
        rates = _on_host(self.field(as_time(t, self.like), state.view(self.like.shape))).copy()
        self.nonfinite |= not np.isfinite(rates).all()
        return rates

    def reraise(self) -> None:
        """Raise what the field has raised, if anything."""
        try:
            if self.failure is not None:
                raise self.failure
        finally:
            self.failure = None

    def spread(self, tolerance: Tolerance) -> np.ndarray:
        """A tolerance for each entry of VODE's state."""
        if not isinstance(tolerance, Tensor):
            tolerance = torch.tensor(tolerance, dtype=torch.float64, device="cpu")
        return _on_host(tolerance.expand(self.like.shape))[: self.size]


class _Integrals:
    """Integrals along the solution, kept outside VODE's own state.

    Each step advances them by the Adams formula of VODE's order: the polynomial through the latest
    rates, as many as the order, is integrated. In VODE's own state they would dilute its norm and,
    whatever their tolerance, change its first step.
    """

    def __init__(self, t0: float, q0: np.ndarray, rates: np.ndarray) -> None:
        self.q, self.order = q0, 1
        self.times, self.rates = deque([t0], MAX_ORDER), deque([rates.copy()], MAX_ORDER)

    def advance(self, t: float, rates: np.ndarray, order: int) -> None:
        """Go on to the end of a step of this order, where the rates are these."""
        start, self.order = self.times[-1], order
        self.times.append(t)
        self.rates.append(rates.copy())
        self.q = self.q + self._between(start, t)

    def at(self, t: float) -> np.ndarray:
        """The integrals at a time inside the last step."""
        return self.q + self._between(self.times[-1], t)

    def _between(self, start: float, end: float) -> np.ndarray:
        times = list(self.times)[-self.order :]
        half = (end - start) / 2
        x = start + half + half * _GAUSS_POINTS
        lagrange = [
            np.prod([np.ones_like(x), *((x - b) / (a - b) for b in times if b != a)], axis=0)
            for a in times
        ]
        weights = half * np.stack(lagrange) @ _GAUSS_WEIGHTS
        return weights @ np.stack(list(self.rates)[-self.order :])


class _Steps:
    """One integration under way, one step of VODE at a time."""

    def __init__(self, field: _HostField, rtol: Tolerance, atol: Tolerance, end: float) -> None:
        self.field, self.t, self.end = field, field.t0, end
        # How many attempts were rejected, and whether the last of them met values not finite.
        self.rejected, self.nonfinite = 0, False
        state, q0 = np.split(field.y0, [field.size])
        self.integrals = _Integrals(self.t, q0, field.rates[field.size :]) if len(q0) else None
        tolerances: dict[str, Any] = {"rtol": field.spread(rtol), "atol": field.spread(atol)}
        self.solver = ode(field).set_integrator("vode", method="adams", **tolerances)
        self.solver.set_initial_value(state, self.t)
        # SciPy shows VODE's workspaces nowhere else.
        self.vode = self.solver._integrator  # type: ignore[reportAttributeAccessIssue]

    def output(self, t: float, max_num_steps: int) -> np.ndarray:
        """The state at an output time, after the steps that lead up to it or past it."""
        steps = 0
        while (t - self.t) * (self.end - self.field.t0) > 0:
            if steps == max_num_steps:
                raise StepLimit(f"{steps} steps taken without reaching t={t:.9g}", self.t)
            self.step()
            steps += 1
        # VODE's own interpolation refuses a time that rounding alone puts outside the last step.
        shape = (self.vode.iwork[_ORDER] + 1, self.field.size)
        taylor = self.vode.rwork[_TAYLOR:][: math.prod(shape)].reshape(shape)
        y = polyval((t - self.t) / self.vode.rwork[_STEP], taylor)
        return y if self.integrals is None else np.concatenate([y, self.integrals.at(t)])

    def step(self) -> None:
        """One step of VODE, in as many attempts as it takes."""
        field, vode = self.field, self.vode
        field.nonfinite = False
        self.solver.integrate(self.end, step=True)
        field.reraise()
        rejected = int(vode.iwork[_FAILURES].sum()) - self.rejected
        if rejected:
            field.counts.rejected += rejected
            self.rejected, self.nonfinite = self.rejected + rejected, field.nonfinite
        t, rates = self.solver.t, field.rates[field.size :]
        if not self.solver.successful() or t == self.t or not np.isfinite(rates).all():
            raise self._failure()
        if self.integrals is not None:
            self.integrals.advance(t, rates, int(vode.iwork[_ORDER]))
        self.t = t
        field.counts.accepted += 1

    def _failure(self) -> SolverFailure:
        """Why the solve cannot go on from here."""
        if self.nonfinite or not np.isfinite(self.field.rates).all():
            message = f"the field or the state is not finite just after t={self.t:.9g}"
            return NonFinite(message, self.t)
        if self.solver.successful():
            h = self.vode.rwork[_STEP]
            why = f"the step {h:.3g} at t={self.t:.9g} is too small to move the time"
        else:
            why = f"{_UNDERFLOW[self.solver.get_return_code()]}, at t={self.t:.9g}"
        return StepUnderflow(why, self.t)
