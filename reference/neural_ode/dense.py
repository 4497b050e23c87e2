"""Dense output: the solution of a solve at any time, from what its steps know inside themselves."""

from bisect import bisect_right
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import describe
from neural_ode.older_torch import floats_of
from neural_ode.times import Time, exact_dtype
from neural_ode.transforms import is_batched, unwrap

if TYPE_CHECKING:
    import neural_ode.run


class Trajectory:
    """The steps of one solve, each as a polynomial of the fraction of the step.

    It has the method's own order, or that of the ``interpolation`` of a grid. Memory: one state and
    the coefficients of the polynomial for each step.
    """

    def __init__(self) -> None:
        self._begins: list[float] = []
        self._steps: list[tuple[Time, Time]] = []
        self._pieces: list[Float[Tensor, "terms *state"]] = []
        self._watches = True

    def __len__(self) -> int:
        """How many steps were kept."""
        return len(self._pieces)

    def watch(self, run: "neural_ode.run.Run") -> None:
        """Have the steps of an integration kept; of the first one alone, which is the solve's."""
        if not self._watches:
            return
        self._watches, before = False, run.on_step

        def keep(visit: "neural_ode.run.Visit") -> None:
            if before is not None:
                before(visit)
            step = visit.step
            begin = unwrap(step.t).item() if isinstance(step.t, Tensor) else step.t
            self._begins.append(begin)
            self._steps.append((step.t, step.h))
            self._pieces.append(run.polynomial(step))

        run.on_step = keep

    def at(
        self, t: Any, ts: Float[Tensor, " time"], ys: Float[Tensor, "time *state"]
    ) -> Float[Tensor, "..."]:
        """The state at a time, or the states at several; see ``Solution.at``.

        Args:
            t: the time, or the times.
            ts, ys: what the solve gave back.
        """
        times = _as_times(t, ys.device)
        row, values = times.reshape(-1), floats_of(unwrap(times).detach().reshape(-1))
        begin, end = (float(x) for x in ts.detach()[[0, -1]])
        _check_inside(values, begin, end, torch.finfo(ts.dtype).eps)
        if not self._pieces or not values:
            states = ys[0].expand(len(values), *ys.shape[1:])
        else:
            states = self._interpolate(row, values, 1.0 if end > begin else -1.0)
            followed = any(piece.requires_grad for piece in self._pieces)
            if ys.requires_grad and torch.is_grad_enabled() and not followed:
                states = _WithoutGradient.apply(states, ys)
        return states if times.ndim else states[0]

    def _interpolate(
        self, ts: Float[Tensor, " time"], values: Sequence[float], direction: float
    ) -> Float[Tensor, "time *state"]:
        """The states at these times, whose ``values`` are numbers of the host."""
        ordered = [direction * t for t in self._begins]
        numbers = [max(bisect_right(ordered, direction * t) - 1, 0) for t in values]
        # Each piece once, however many of the times lie in it.
        places = {number: i for i, number in enumerate(dict.fromkeys(numbers))}
        pieces = torch.stack([self._pieces[number] for number in places])
        begins, sizes = (
            torch.stack([torch.as_tensor(x, dtype=ts.dtype, device=ts.device) for x in each])
            for each in zip(*(self._steps[number] for number in places), strict=True)
        )
        index = torch.tensor([places[number] for number in numbers], device=pieces.device)
        x = (ts - begins[index]) / sizes[index]
        x = x.to(pieces.dtype).reshape(-1, *[1] * (pieces.ndim - 2))
        *lower, y = pieces[index].unbind(dim=1)
        for factor in reversed(lower):
            y = y * x + factor
        return y


def _as_times(t: Any, device: torch.device) -> Tensor:
    """One time or several as a tensor in double precision.

    Raises:
        TypeError, ValueError: in one sentence, for anything else.
    """
    is_number = isinstance(t, Real) and not isinstance(t, bool)
    if not (is_number or (isinstance(t, Tensor) and t.is_floating_point())):
        raise TypeError(f"t is {describe(t)}, expected a number or a floating-point tensor")
    times = torch.as_tensor(t, dtype=exact_dtype(device), device=device)
    if times.ndim > 1:
        raise ValueError(f"t has shape {tuple(times.shape)}, expected at most one dimension")
    if is_batched(times):
        raise ValueError("t differs within a batch of vmap: give all the times in one tensor")
    return times


def _check_inside(values: Sequence[float], begin: float, end: float, eps: float) -> None:
    """Raise ValueError for a time outside the solution by more than rounding."""
    slack = eps * max(abs(begin), abs(end))
    low, high = min(begin, end) - slack, max(begin, end) + slack
    for value in values:
        if not low <= value <= high:
            raise ValueError(
                f"t={value:.9g} lies outside the solution, which runs from t={begin:.9g} to"
                f" {end:.9g}"
            )


class _WithoutGradient(torch.autograd.Function):
    """States that autograd cannot follow although the solve has a gradient."""

    @staticmethod
    def forward(ctx, y, like):
        return y.clone()

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError(
            "the gradient of this solve reaches its output times alone, and not at(t): put the time"
            " into ts, or use Backprop()"
        )
