"""The loop over adaptive steps as one graph, so that a solve costs one call and not one a step.

Between two steps of a compiled solve Python takes longer than the steps of a small field do. Here
the trials, the controller and the end of the loop are part of what is compiled. It is the loop of
``integrate.Run`` written for a compiler, without its branches: what is not taken is masked out.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.step import Controller, ErrorTest, RungeKutta

# Why the loop has ended; as long as it has not it is going.
GOING, REACHED, UNDERFLOW, LIMIT, NONFINITE = range(5)


class Limits(NamedTuple):
    """What the steps keep to, as 0-dimensional tensors: sizes, and how many may be tried."""

    min_step: Float[Tensor, ""]
    max_step: Float[Tensor, ""]
    attempts: Float[Tensor, ""]


class Trials(NamedTuple):
    """Where the loop stands; every number is a 0-dimensional float64 tensor.

    Attributes:
        ended: one of the reasons above.
        t, size: the time reached, and the size of the next step.
        previous: the last accepted error ratio, NaN before there is one.
        accepted, rejected: steps so far.
        h: the signed size of the last step tried.
    """

    ended: Float[Tensor, ""]
    t: Float[Tensor, ""]
    size: Float[Tensor, ""]
    previous: Float[Tensor, ""]
    accepted: Float[Tensor, ""]
    rejected: Float[Tensor, ""]
    h: Float[Tensor, ""]


_NUMBERS = len(Trials._fields)


class StepLoop:
    """All steps of one method from one time to another, without integrals.

    Args:
        stepper: made to be traced; its method carries its last slope over and has no further stages
            for its dense output.
        controller: chooses the step sizes.
    """

    def __init__(self, stepper: RungeKutta, controller: Controller) -> None:
        self.stepper, self.controller = stepper, controller

    def __call__(
        self,
        bounds: Float[Tensor, " bounds"],
        y: Float[Tensor, "*state"],
        test: ErrorTest,
    ) -> tuple[Float[Tensor, " numbers"], Float[Tensor, "*state"]]:
        """Steps from one time, the choice of the first size included, to another.

        Args:
            bounds: the two times and the three ``Limits``, in float64, as one vector: whoever calls
                what is compiled has every tensor checked, and every 0-dimensional one read.
            y: the state at the first time.
            test: how the error is measured.

        Returns:
            The last ``Trials`` as one vector, so that the host waits for the device once, and the
            state at ``until``.
        """
        # torch's operator for loops in a graph is not part of its public face yet.
        from torch._higher_order_ops.while_loop import while_loop

        # Nothing that a loop reads may be a part of the same tensor.
        t, until, *limits = (bound.clone() for bound in bounds.unbind())
        direction = torch.sign(until - t)
        (f, _), size = self.stepper.start(t, direction, y, None, test)
        size, zero = torch.as_tensor(size).to(t), t * 0.0
        ended = torch.where(size.isfinite(), GOING, NONFINITE).to(t)
        begin = Trials(
            ended, t.clone(), size.clone(), zero + torch.nan, zero, zero + 0.0, zero + 0.0
        )
        stages = [torch.zeros_like(y) for _ in range(self.stepper.nfe_per_step)]
        last = while_loop(
            lambda *state: state[0] == GOING,
            lambda *state: self._trial(state, direction, until, Limits(*limits), test),
            # What a loop carries must not be one of the tensors that come in, nor twice the same.
            (*begin, y.clone(), f.clone(), y.clone(), *stages),
        )
        trials, (y0, f0, y1, *stages) = Trials(*last[:_NUMBERS]), last[_NUMBERS:]
        inside = (until - trials.t) / trials.h
        there = self.stepper.state_at(inside, trials.h, y0, [f0, *stages])
        goal = torch.where(trials.t + trials.h == until, y1, there)
        return torch.stack(last[:_NUMBERS]), goal

    def _trial(
        self,
        carried: tuple[Tensor, ...],
        direction: Float[Tensor, ""],
        until: Float[Tensor, ""],
        limits: Limits,
        test: ErrorTest,
    ) -> tuple[Tensor, ...]:
        """One turn: a step is tried, and taken, or tried again with another size."""
        now, (y, f) = Trials(*carried[:_NUMBERS]), carried[_NUMBERS : _NUMBERS + 2]
        size = torch.clamp(now.size, limits.min_step, limits.max_step)
        wanted = direction * size
        end = now.t + wanted
        # Far from zero the end is rounded, and the step must be the one that reaches it.
        h = end - now.t
        y1, _, (f1, _), ratio, ks, _ = self.stepper.advance(
            now.t, h, y, (f, None), None, False, test
        )
        ratio = torch.as_tensor(ratio).double()
        finite, still, smallest = ratio.isfinite(), end == now.t, size <= limits.min_step
        good = finite & ((ratio <= 1) | smallest) & ~still
        factor = self.controller.factor(ratio, now.previous, self.stepper.tableau.order)
        following = size * torch.where(finite, factor, self.controller.dfactor)
        reached = good & (direction * (end - until) >= 0)
        taken = good & ~reached
        accepted, rejected = now.accepted + good, now.rejected + ~(good | still)
        stuck = ~finite & ((now.t + direction * following == now.t) | smallest)
        ended = torch.where(reached, REACHED, GOING).to(end)
        full = (accepted + rejected >= limits.attempts) & ~reached
        ended = torch.where(full, float(LIMIT), ended)
        ended = torch.where(stuck, float(NONFINITE), ended)
        ended = torch.where(still, float(UNDERFLOW), ended)
        trials = (
            ended,
            torch.where(taken, end, now.t),
            following,
            torch.where(good, ratio, now.previous),
            accepted,
            rejected,
            torch.where(still, wanted, h),
        )
        kept = (torch.where(taken, y1, y), torch.where(taken, f1, f))
        # Nothing may leave the loop twice, and the last stage may be carried over.
        return *trials, *kept, y1.clone(), *(k.clone() for k in ks[1:])
