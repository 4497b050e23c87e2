"""What ways to the gradient share that take the steps of a solve back, one after another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.field import Field, Plain, changed, same_values
from neural_ode.gradients.parameters import OutsideGraph, Wanted, vjp
from neural_ode.grid import Grid, fraction, grid_of
from neural_ode.integrate import integrate
from neural_ode.kept import lend
from neural_ode.run import Visit
from neural_ode.settings import Settings
from neural_ode.solution import Counts, Stats
from neural_ode.times import Time, Times, as_time


class Checkpoint(NamedTuple):
    """What is remembered of an accepted step beside the state at its beginning.

    Attributes:
        t, h: where it began and its signed size.
        nudged: whether the stages at its two ends were evaluated just inside them.
        fixed: whether its ends stay where they are when the first output time moves.
        outputs: the numbers of the output times inside it, and their fractions of the step.
    """

    t: float
    h: float
    nudged: tuple[bool, bool]
    fixed: tuple[bool, bool]
    outputs: Sequence[tuple[int, float]]

    @classmethod
    def of(cls, visit: Visit) -> "Checkpoint":
        """That of a step as it is shown to who watches the integration."""
        step, outputs = visit.step, [(i, float(x)) for i, x in visit.outputs]
        return cls(float(step.t), float(step.h), step.nudged, step.fixed, outputs)


class Timing(NamedTuple):
    """Where a step lies in time, as tensors where the times want a gradient.

    Attributes:
        t, h: where it begins and its signed size.
        xs: the fractions of the step at which its outputs lie.
        sources: the output times that these depend on, by their numbers, where they are tensors.
    """

    t: Time
    h: Time
    xs: Sequence[Time]
    sources: Mapping[int, Time]


def timing_of(taken: Checkpoint, number: int, times: Times, grid: Grid | None) -> Timing:
    """The timing of a step by its number; without a grid the error has chosen its size."""
    first = times.points[0]
    if not isinstance(first, Tensor):
        return Timing(taken.t, taken.h, [x for _, x in taken.outputs], {})
    outputs = [i for i, _ in taken.outputs]
    if grid is None:
        # The grid moves with the first time up to the first stop, as it does in the forward loop.
        begin_fixed, end_fixed = taken.fixed
        shift = 0.0 if begin_fixed else first - first.detach()
        t, h = taken.t + shift, taken.h - shift if end_fixed else taken.h
        xs, sources = [(times.points[i] - t) / h for i in outputs], [] if begin_fixed else [0]
    else:
        t, end = grid.points[number : number + 2]
        h, xs = end - t, [fraction(times.points[i], grid.points, number) for i in outputs]
        sources = [i for i in grid.sources[number : number + 2] if i is not None]
    # Each once, in the order in which they come.
    return Timing(t, h, xs, {i: times.points[i] for i in (*sources, *outputs)})


@dataclass(frozen=True)
class RememberedSolve:
    """A solve whose steps are taken back from the state at the beginning of each.

    Attributes:
        field, settings: those of the solve.
        stats: what it costs.
        wanted: the tensors that get a gradient.
        taken: what is remembered of each step, once it is solved.
    """

    field: Field
    settings: Settings
    stats: Stats
    wanted: Wanted
    taken: list[Checkpoint]

    def solve_forward(
        self, y0: Float[Tensor, "*state"], ts: Float[Tensor, " time"]
    ) -> tuple[Float[Tensor, "time *state"], list[Float[Tensor, "*state"]]]:
        """The solution at ``ts``, and the state at the beginning of each step."""
        states = []

        def remember(visit: Visit) -> None:
            self.taken.append(Checkpoint.of(visit))
            states.append(visit.step.y0)

        plain, times, counts = Plain(self.field, y0), Times.read(ts), self.stats.forward
        ys, _ = integrate(plain, y0, times, self.settings, counts, on_step=remember)
        return ys, states


def grid_taken(times: Times, settings: Settings) -> Grid | None:
    """The grid that a solve has stepped along; ``None`` where the steps move with the first time.

    They do so where the error chose them, and where steps of one size go on until an event.
    """
    if settings.adaptive or settings.event_fn is not None:
        return None
    return grid_of(times, settings)


class Derivative:
    """The field on the way back; see ``methods.base.Differentiate``.

    Attributes:
        totals: the gradients of the parameters so far.
    """

    def __init__(self, field: Field, wanted: Wanted, counts: Counts) -> None:
        self.field, self.params, self.counts = field, wanted.tensors, counts
        self.totals = [torch.zeros_like(p) for p in self.params]
        self.outside = OutsideGraph(wanted)

    def __call__(self, t: float, y: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """f at (t, y) and the product of ``a`` with its derivative; adds to the parameters'."""
        f, by_y, _ = self.at(as_time(t, y), y, a)
        return f, by_y

    def at(
        self, time: Float[Tensor, ""], y: Tensor, a: Tensor, *, by_time: bool = False
    ) -> tuple[Tensor, Tensor, float]:
        """The same with the product by the time, which is zero where it is not asked for."""
        self.counts.nfe += 1
        lent, extra = lend(y), [time.requires_grad_()] if by_time else []
        inputs = [*extra, *self.params]
        f, by_y, products = vjp(self.field, time, lent, a, inputs, self.outside)
        # Autograd would have differentiated at whatever the field has made of it.
        if not same_values(lent, y):
            raise changed()
        for total, g in zip(self.totals, products[len(extra) :], strict=True):
            total += g
        return f.clone(), by_y, float(products[0]) if by_time else 0.0

    def value(self, t: float, y: Tensor) -> Tensor:
        """f at (t, y)."""
        return self.value_at(as_time(t, y), y)

    def value_at(self, time: Float[Tensor, ""], y: Tensor) -> Tensor:
        """f at a time that is a tensor."""
        self.counts.nfe += 1
        lent = lend(y)
        f = self.field(time, lent).clone()
        if not same_values(lent, y):
            raise changed()
        return f
