"""Events: a solve that ends where a function of the time and the state is first zero.

After each step the function is looked at. Where one of its values has changed its sign, the root in
the step is found on the dense output. So an event that comes and goes within one step is missed,
as it is everywhere: ``max_step`` makes the steps short enough.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import bisect, brentq
from torch import Tensor

from neural_ode.arguments import check_callable, describe
from neural_ode.failures import NonFinite
from neural_ode.step.base import Step
from neural_ode.times import as_time, exact_dtype
from neural_ode.transforms import transforming

if TYPE_CHECKING:
    import neural_ode.run

EventFunction = Callable[[Float[Tensor, ""], Float[Tensor, "*state"]], Tensor]

# The closest that the root of a function can be told, as a part of a step.
_CLOSEST = 4 * float(np.finfo(float).eps)


class Event:
    """The end of one solve: where a function is first zero.

    Args:
        function: maps a 0-dimensional time and a state to real numbers, one for each event.
        ts: two times, the first that of the initial state; of the second only the direction counts.

    Attributes:
        ts: the output times of the solve in double precision. The second is written when the event
            is found, so that whoever integrates again, as an adjoint does, goes to that time.
        pending: whether the event is still to be found; afterwards the solve is like any other.

    Raises:
        TypeError, ValueError: in one sentence, for arguments that make no sense.
    """

    def __init__(self, function: EventFunction, ts: Float[Tensor, " 2"]) -> None:
        check_callable("event_fn", function)
        if len(ts) != 2:
            raise ValueError(
                f"ts has {len(ts)} times, expected two where there is an event_fn: the first, and"
                " another that tells the direction"
            )
        if transforming():
            raise ValueError(
                "event_fn cannot be used inside torch.func or forward-mode differentiation, since"
                " the time of an event is looked for by its value"
            )
        self.function, self.pending = function, True
        exact = ts.to(exact_dtype(ts.device))
        self.ts = torch.stack([exact[0], exact[1].detach()])
        self._values = np.empty(0)

    def is_at_start(self, y0: Float[Tensor, "*state"]) -> bool:
        """Whether one of the values is zero where the solve begins; nothing is integrated then."""
        begin = self.ts[0].item()
        self._values = self._measure(begin, y0)
        if self._values.size == 0:
            raise ValueError("event_fn returned no number, expected at least one")
        if not self._values.all():
            self._end_at(begin)
        return not self.pending

    def is_in(self, run: "neural_ode.run.Run", step: Step, t: float, end: float) -> bool:
        """Whether it comes in the step just taken, from ``t`` to ``end``."""
        before, after = self._values, self._measure(end, step.y1)
        changed = np.flatnonzero(np.sign(after) != np.sign(before)).tolist()
        self._values = after
        if not changed:
            return False
        # With autograd as it is: the step keeps the stages that this adds for the output there.
        terms = run.polynomial(step).detach()

        def value(x: float, i: int) -> float:
            if x in (0, 1):
                return (before, after)[int(x)][i]
            powers = terms.new_tensor([x**p for p in range(len(terms))])
            return self._measure(t + x * (end - t), torch.tensordot(powers, terms, dims=1))[i]

        x = min(_first_change(partial(value, i=i)) for i in changed)
        self._end_at(end if x == 1 else t + x * (end - t))
        return True

    def _measure(self, t: float, y: Float[Tensor, "*state"]) -> np.ndarray:
        """The values at one time."""
        with torch.no_grad():
            values = values_of(self.function, as_time(t, y), y.clone()).double().cpu().numpy()
        if self._values.size and values.size != self._values.size:
            raise ValueError(
                f"event_fn returned {values.size} numbers at t={t:.9g}, and {self._values.size}"
                " before"
            )
        if not np.isfinite(values).all():
            raise NonFinite(f"event_fn is not finite at t={t:.9g}", t)
        return values

    def _end_at(self, t: float) -> None:
        # Autograd knows the second time as a constant, and need not learn that it is another.
        self.ts.data[1] = t
        self.pending = False


def _first_change(value: Callable[[float], float]) -> float:
    """Where a value leaves its sign at 0 for another one, or for zero, that it has at 1.

    Args:
        value: of the event function, over the share of the step from 0 to 1.

    Brent's method wants opposite signs, and is slow at a multiple zero. So a bisection looks where
    a value stays at zero once it has come there, or where Brent's method gives up.
    """
    before = np.sign(value(0.0))
    if value(1.0):
        x, found = brentq(value, 0.0, 1.0, (), _CLOSEST, _CLOSEST, full_output=True, disp=False)
        if found.converged:
            return x
    x = bisect(
        lambda x: 1.0 if np.sign(value(x)) == before else -1.0, 0.0, 1.0, (), _CLOSEST, _CLOSEST
    )
    # A zero at the very end is that of the end, and not one just before it.
    return 1.0 if 1 - x <= 2 * _CLOSEST else x


def values_of(function: EventFunction, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Tensor:
    """The values of an event function in one row.

    Raises:
        TypeError: for an output that is not a tensor of real numbers.
    """
    values: Any = function(t, y)
    if not isinstance(values, Tensor) or values.is_complex():
        got = values.dtype if isinstance(values, Tensor) else describe(values)
        raise TypeError(f"event_fn returned {got}, expected a tensor of real numbers")
    return values.reshape(-1)
