"""What a step is, and what the loops and the gradients ask of the stepper that takes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from neural_ode.step.error import ErrorTest
from neural_ode.times import Time

# The derivative of the state, shape [*state], and the rates of the integrals, shape [integrals], or
# None where there are none or where they are not wanted.
Slope = tuple[Tensor, Tensor | None]
# What a step begins with: a slope, followed by the tensors, if any, that the method itself carries
# from one step to the next. Most methods carry nothing, so for them it is the slope as it stands.
Carried = tuple[Any, ...]
# From a 0-dimensional time, a state and whether the rates of the integrals are wanted.
Evaluate = Callable[[Tensor, Tensor, bool], Slope]
# What ``advance`` returns: y1, q1, what the next step may begin with, the error ratio, the stages
# and their rates.
Advanced = tuple[Tensor, Tensor | None, Carried, Tensor | None, list[Tensor], list[Tensor | None]]


@dataclass(slots=True)
class Step:
    """A step taken, accepted or not: all that the dense output and the next step need.

    Attributes:
        t, h: where it began and its signed size.
        y0, y1: the states at its two ends, shape [*state].
        q1: the integrals at its end, shape [integrals], or ``None``.
        f0, f1: what it began with, and what its last stage leaves for the next one; where the
            stepper ``carries``, the next step begins with ``f1``.
        ratio: the error in units of the tolerance; ``None`` where it was not asked for.
        ks: every stage derivative while autograd is on, to link them into the graph; empty while it
            is off, when their values in the scratch buffer are all that is needed.
        stages: how many stages the scratch buffer holds, those of the dense output included; none
            before those of a compiled step are loaded into it.
        rates: the rates of the integrals at every stage of a compiled step.
        nudged: whether the stages at its two ends were evaluated just inside them.
        fixed: whether its beginning and its end stay where they are when the first output time
            moves: a stop does, and whatever comes after it.
    """

    t: Time
    h: Time
    y0: Float[Tensor, "*state"]
    y1: Float[Tensor, "*state"]
    q1: Float[Tensor, " integrals"] | None
    f0: Carried
    f1: Carried
    ratio: float | None
    ks: list[Float[Tensor, "*state"]] = field(repr=False)
    stages: int
    rates: Sequence[Tensor | None] = field(default=(), repr=False)
    nudged: tuple[bool, bool] = (False, False)
    fixed: tuple[bool, bool] = (False, False)


@runtime_checkable
class Stepper(Protocol):
    """A method made ready for one field and for states of one shape, dtype and device."""

    @property
    def evaluate(self) -> Evaluate:
        """The field."""
        ...

    @property
    def order(self) -> int:
        """The order of the solution that is carried forward."""
        ...

    @property
    def carries(self) -> bool:
        """Whether the next step begins with what a step leaves, its ``f1``; else with a slope."""
        ...

    @property
    def nfe_per_step(self) -> int:
        """Field evaluations of a step whose beginning is at hand."""
        ...

    @property
    def stages(self) -> int:
        """The stages that a step keeps for its dense output, the first one included."""
        ...

    @property
    def dense_nfe(self) -> int:
        """Further evaluations that the dense output of a step needs."""
        ...

    @property
    def for_loop(self) -> "LoopStepper | None":
        """The stepper as the compiled loop takes it; ``None`` where the loop cannot."""
        ...

    def slope(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Carried:
        """What a step from ``(t, y)`` begins with where no step leads up to it; one evaluation."""
        ...

    def start(
        self,
        t0: Time,
        direction: Time,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        test: ErrorTest,
    ) -> tuple[Carried, Time]:
        """What the first step begins with, and a good size of it; two evaluations."""
        ...

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
        """One step of signed size ``h`` from ``(t, y0)``, which begins with ``f0``.

        ``nudge_end`` evaluates the stages at the end of the step at the last representable time
        before it, for a field that jumps there. The error is estimated where there is a ``test``.
        """
        ...

    def extend(self, step: Step) -> int:
        """Prepare the dense output of the step just taken; returns the evaluations it took."""
        ...

    def interpolate(self, step: Step, x: Time) -> Float[Tensor, "*state"]:
        """The dense output at the fraction ``x`` of the step just taken."""
        ...

    def interpolate_many(
        self, step: Step, xs: Sequence[float]
    ) -> Sequence[Float[Tensor, "*state"]]:
        """The dense output at several fractions of the step just taken."""
        ...

    def integrals(
        self, step: Step, q0: Float[Tensor, " integrals"], x: float
    ) -> Float[Tensor, " integrals"]:
        """The dense output of the integrals at the fraction ``x`` of the step just taken."""
        ...

    def polynomial(self, step: Step) -> Float[Tensor, "degree *state"]:
        """The dense output of the step just taken as a polynomial without its constant term.

        The state at the fraction ``x`` is ``y0 + sum_p polynomial[p] x^(p + 1)``.
        """
        ...


@runtime_checkable
class LoopStepper(Stepper, Protocol):
    """A stepper whose steps ``loop.StepLoop`` can take.

    It ``carries``, what it carries is a slope alone, and ``dense_nfe`` is 0.
    """

    def state_at(
        self,
        x: Float[Tensor, ""],
        h: Float[Tensor, ""],
        y0: Float[Tensor, "*state"],
        ks: Sequence[Float[Tensor, "*state"]],
    ) -> Float[Tensor, "*state"]:
        """The dense output at the fraction ``x`` of a step of these stages, for a compiler."""
        ...
