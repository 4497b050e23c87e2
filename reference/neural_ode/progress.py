"""Whether an adaptive solve still gets anywhere, so that one that cannot reach its end is ended.

Near an overflow, or before a state that the field cannot bear, every longer step fails, and a step
that passes is so short that rounding keeps the state where it is. The time then creeps on by such
steps, millions of them for a thousandth of the interval. A tolerance far below the rounding of the
state makes steps so short, too, without a single one that fails.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.failures import SolverFailure, overflow, stagnation, too_tight
from neural_ode.step.base import Step
from neural_ode.step.error import ErrorTest
from neural_ode.transforms import unwrap

# The share of the interval by which the time has to get on while it meets trouble.
SHARE = 1e-6
# So many accepted steps that each follow a failed one, without getting on, end the solve.
BARREN = 10
# Fewer suffice where the state is beyond this part of the largest number of its dtype.
NEAR_OVERFLOW, BEFORE_OVERFLOW = 1e-10, 4
# Steps shorter than this part of the interval are so short that the tolerance is looked at, and so
# many times smaller than the rounding of the state it is out of reach. LSODE gives up at once.
SHORT, FAR_BELOW = 1e-5, 1000


@dataclass(slots=True)
class Progress:
    """How far the time has come since a solve began to meet steps that fail.

    Only an accepted step that follows a failed one is looked at, and it counts as barren where the
    failed one was not finite, or where the step leaves the state as it is, bit for bit. The count
    begins anew when the time has moved by ``SHARE`` of the interval, or when the steps have become
    four times shorter: then they close in on something, and will soon be too short for the time.

    Attributes:
        length: of the whole interval, positive.
        failed: whether a trial was rejected since the last accepted step.
        nonfinite: whether one of them was not finite.
        mark: the time from which the count goes.
        shortest: the length of the shortest step since then.
        barren: barren steps since then, or since they have become much shorter.
        met: barren steps since then.
        tight: accepted steps that a tolerance out of reach made short.
    """

    length: float
    failed: bool = False
    nonfinite: bool = False
    mark: float = math.nan
    shortest: float = math.inf
    barren: int = 0
    met: int = 0
    tight: int = 0

    def fail(self, *, nonfinite: bool) -> None:
        """Take note of a trial that was rejected."""
        self.failed = True
        self.nonfinite |= nonfinite

    def check(
        self, t: float, size: float, y0: Float[Tensor, "*state"], y1: Float[Tensor, "*state"]
    ) -> SolverFailure | None:
        """Why the solve cannot go on after the accepted step from ``t``; ``None`` where it can."""
        nonfinite, self.failed, self.nonfinite = self.nonfinite, False, False
        y0, y1 = unwrap(y0), unwrap(y1)
        if not nonfinite and not torch.equal(y0, y1):
            return None
        # Also where there is no mark yet.
        if not abs(t - self.mark) <= SHARE * self.length:
            self.mark, self.shortest, self.barren, self.met = t, size, 0, 0
        self.met += 1
        self.barren += 1
        if size < self.shortest / 4:
            self.shortest, self.barren = size, 0
        if nonfinite and self.met >= BEFORE_OVERFLOW:
            largest = y1.abs().max().item()
            if largest > NEAR_OVERFLOW * torch.finfo(y1.dtype).max:
                return overflow(t, largest, y1.dtype)
        return stagnation(t, nonfinite=nonfinite) if self.barren >= BARREN else None

    def is_short(self, size: float, following: float) -> bool:
        """Whether the error keeps steps so short that ``check_tolerance`` should look at them."""
        return size < SHORT * self.length and following <= 2 * size

    def check_tolerance(
        self, test: ErrorTest, step: Step, t: float, size: float
    ) -> SolverFailure | None:
        """Why the solve will not end after so many short steps; ``None`` where it may.

        Source: the test of LSODE for too much accuracy requested (Hindmarsh 1983, its TOLSF).
        """
        with torch.no_grad():
            times = float(unwrap(rounding_over_tolerance(test, step)).max())
        self.tight = self.tight + 1 if times >= FAR_BELOW else 0
        return too_tight(t, size, step.y1.dtype) if self.tight >= BARREN else None


def rounding_over_tolerance(test: ErrorTest, step: Step) -> Float[Tensor, "*each"]:
    """The rounding of the state after a step, in units of the tolerance."""
    eps = torch.finfo(step.y1.dtype).eps
    # Entries that stay the same are not rounded, however large they are.
    rounding = eps * torch.where(step.f0[0] == 0, 0, step.y1)
    scale = test.scale(torch.maximum(test.sizes(step.y0), test.sizes(step.y1)))
    q = None if step.q1 is None else eps * step.q1 / test.scale(step.q1.abs())
    return test.measure(rounding / scale, q)
