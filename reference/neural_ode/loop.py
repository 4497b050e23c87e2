"""The loop over adaptive steps as one graph, so that a solve costs one call and not one a step.

Between two steps of a compiled solve Python takes longer than the steps of a small field do. Here
the trials, the controller and the end of the loop are part of what is compiled. It is the loop of
``integrate`` written for a compiler, without its branches: what is not taken is masked out.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.progress import SHORT
from neural_ode.step.base import LoopStepper
from neural_ode.step.controllers import Controller
from neural_ode.step.error import ErrorTest

# Why the loop has ended; as long as it has not it is going. ``OVERFLOW`` is ``REACHED`` with a
# state that is not finite, which no error has shown.
GOING, REACHED, UNDERFLOW, LIMIT, DOUBTFUL, OVERFLOW = range(6)
# Steps that were not finite, or that followed a failed one and brought next to nothing, after which
# the solve is left to the loop outside, which sees whether it gets on (``progress.Progress``).
# Of steps that are only short, so many count as one of those.
DOUBTS, NEXT_TO_NOTHING, SHORT_ONES = 32, 1e-3, 32


class Trials(NamedTuple):
    """Where the loop stands; every number is a 0-dimensional float64 tensor.

    Attributes:
        ended: one of the reasons above.
        t, size: the time reached, and the size of the next step.
        previous: the last accepted error ratio, NaN before there is one.
        accepted, rejected: steps so far.
        h: the signed size of the last step tried.
        failed: whether that was rejected.
        doubts: steps so far that may have brought nothing.
    """

    ended: Float[Tensor, ""]
    t: Float[Tensor, ""]
    size: Float[Tensor, ""]
    previous: Float[Tensor, ""]
    accepted: Float[Tensor, ""]
    rejected: Float[Tensor, ""]
    h: Float[Tensor, ""]
    failed: Float[Tensor, ""]
    doubts: Float[Tensor, ""]


class StepLoop:
    """All steps of one method from one time to another, without integrals.

    Args:
        stepper: made to be traced.
        controller: chooses the step sizes.
    """

    def __init__(self, stepper: LoopStepper, controller: Controller) -> None:
        self.stepper, self.controller = stepper, controller

    def __call__(
        self,
        bounds: Float[Tensor, " bounds"],
        y: Float[Tensor, "*state"],
        test: ErrorTest,
    ) -> tuple[Float[Tensor, " numbers"], Float[Tensor, "2 *state"]]:
        """Steps from one time, the choice of the first size included, to another.

        Args:
            bounds: the two times, the smallest and the largest size of a step, and how many may be
                tried, in float64.
            y: the state at the first time.
            test: how the error is measured.

        Returns:
            The last ``Trials`` as one vector, so that the host waits for the device once, and the
            states at both times.
        """
        # torch's operator for loops in a graph is not part of its public face yet.
        from torch._higher_order_ops.while_loop import while_loop

        begin, until, *_ = bounds.unbind()
        direction = torch.sign(until - begin)
        (f, _), size = self.stepper.start(begin, direction, y, None, test)
        size, zero = torch.as_tensor(size).to(bounds), begin * 0.0
        ended = torch.where(size.isfinite(), GOING, DOUBTFUL).to(bounds)
        first = Trials(ended, begin, size, zero + torch.nan, zero, zero, zero, zero, zero)
        unused = [torch.zeros_like(y)] * self.stepper.nfe_per_step
        numbers, states = while_loop(
            lambda numbers, _: numbers[0] == GOING,
            lambda numbers, states: self._trial(numbers, states, bounds, test),
            # Two tensors, since every one that a loop carries or reads is handed on at every turn.
            (torch.stack(first), torch.stack([y, f, y, *unused])),
        )
        last, (y0, f0, y1, *stages) = Trials(*numbers.unbind()), states.unbind()
        inside = (until - last.t) / last.h
        there = self.stepper.state_at(inside, last.h, y0, [f0, *stages])
        reached = torch.where(last.t + last.h == until, y1, there)
        # Outside the graph this check, and the stack, would take Python longer than a whole step.
        bad = (last.ended == REACHED) & ~reached.isfinite().all()
        ended = torch.where(bad, float(OVERFLOW), last.ended)
        return torch.cat([ended[None], numbers[1:]]), torch.stack([y, reached])

    def _trial(
        self,
        numbers: Float[Tensor, " numbers"],
        states: Float[Tensor, "carried *state"],
        bounds: Float[Tensor, " bounds"],
        test: ErrorTest,
    ) -> tuple[Float[Tensor, " numbers"], Float[Tensor, "carried *state"]]:
        """One turn: a step is tried, and taken, or tried again with another size."""
        now, (y, f, *_) = Trials(*numbers.unbind()), states.unbind()
        begin, until, min_step, max_step, attempts = bounds.unbind()
        direction = torch.sign(until - begin)
        size = torch.clamp(now.size, min_step, max_step)
        wanted = direction * size
        end = now.t + wanted
        # Far from zero the end is rounded, and the step must be the one that reaches it.
        h = end - now.t
        y1, _, (f1, _), ratio, ks, _ = self.stepper.advance(
            now.t, h, y, (f, None), None, False, test
        )
        ratio = torch.as_tensor(ratio).double()
        finite = ratio.isfinite() & (ratio >= 0)
        still, smallest = end == now.t, size <= min_step
        good = finite & ((ratio <= 1) | smallest) & ~still
        factor = self.controller.factor(ratio, now.previous, self.stepper.order)
        following = size * torch.where(finite, factor, self.controller.dfactor)
        reached = good & (direction * (end - until) >= 0)
        taken = good & ~reached
        accepted, rejected = now.accepted + good, now.rejected + ~(good | still)
        same = following == size
        stuck = ~finite & (same | (now.t + direction * following == now.t) | smallest)
        barren = good & (now.failed > 0) & (ratio < NEXT_TO_NOTHING)
        short = good & (size < SHORT * (until - begin).abs()) & (following <= 2 * size)
        doubts = now.doubts + (~finite | barren) + short / SHORT_ONES
        ended = torch.where(doubts >= DOUBTS, DOUBTFUL, GOING).to(end)
        ended = torch.where(reached, float(REACHED), ended)
        full = (accepted + rejected >= attempts) & ~reached
        ended = torch.where(full, float(LIMIT), ended)
        # The loop outside finds whether it is the state or only the norm that is not finite.
        ended = torch.where(stuck | ~(following > 0), float(DOUBTFUL), ended)
        ended = torch.where(~good & finite & same, float(UNDERFLOW), ended)
        ended = torch.where(still, float(UNDERFLOW), ended)
        tried = Trials(
            ended,
            torch.where(taken, end, now.t),
            following,
            torch.where(good, ratio, now.previous),
            accepted,
            rejected,
            torch.where(still, wanted, h),
            (~good).to(end),
            doubts,
        )
        kept = torch.where(taken, y1, y), torch.where(taken, f1, f)
        return torch.stack(tried), torch.stack([*kept, y1, *ks[1:]])
