"""Any explicit Runge-Kutta method made reversible, by a second state beside the first.

Write Psi_h(t, x) for the increment of a step of the base method. A step of the pair (y, z), which
begins as (y0, y0), with a coupling 0 < c <= 1 is

    y1 = c y0 + (1 - c) z0 + Psi_h(t0, z0),    z1 = z0 - Psi_{-h}(t1, y1),

and has the inverse

    z0 = z1 + Psi_{-h}(t1, y1),    y0 = (y1 - (1 - c) z0 - Psi_h(t0, z0)) / c.

It has the order of the base method, and costs two of its steps. On y' = a y the matrix of a step
has the determinant c, so that with a < 0 the pair is stable for h |a| up to about -log(c) alone.
Going back divides by c, so that rounding grows as c to the power of minus the number of steps.
Inside a step the paper gives no state. Here it is y0 plus the increment of the base's dense output,
moved linearly by (1 - c) (z0 - y0), so that it ends at y1.

Source: McCallum & Foster, Efficient, accurate and stable gradients for Neural ODEs, 2024
(arXiv:2410.11648), which calls the coupling lambda and takes 0.99 or 0.999.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import describe
from neural_ode.kept import lend, own
from neural_ode.methods.base import Differentiate, Taken
from neural_ode.methods.tableau import ButcherTableau
from neural_ode.step.base import Advanced, Carried, Evaluate, Step
from neural_ode.step.error import ErrorTest
from neural_ode.step.second_state import WithSecondState
from neural_ode.step.tableau import Tableau
from neural_ode.times import Time, as_time, nudge


@dataclass(frozen=True, eq=False)
class Coupled:
    """A reversible method: ``solve(..., method=Coupled(RK4), gradient=Reversible())``.

    Attributes:
        base: the explicit method, such as ``neural_ode.METHODS["dopri5"]``.
        coupling: c, above 0 and at most 1. The smaller, the more stable, and the less exact on the
            way back.

    Raises:
        TypeError: for a base that is not a ``ButcherTableau``, or a coupling that is not a number.
        ValueError: for a coupling out of range, or a base whose dense output needs further stages.
    """

    base: ButcherTableau
    coupling: float = 0.999

    fixed_norm = False
    # A step also needs z.
    one_step = False
    has_dense_output = True
    integrate = None

    def __post_init__(self):
        if not isinstance(self.base, ButcherTableau):
            raise TypeError(f"base is {describe(self.base)}, expected a ButcherTableau")
        if isinstance(self.coupling, bool) or not isinstance(self.coupling, int | float):
            raise TypeError(f"coupling is {describe(self.coupling)}, expected a number")
        if not 0 < self.coupling <= 1:
            raise ValueError(f"coupling is {self.coupling}, expected one above 0 and at most 1")
        if self.base.dense_c is not None:
            raise ValueError(
                f"the dense output of {self.base.name} needs further stages, which a reversible"
                " step cannot take back: choose another base, such as dopri5"
            )

    @property
    def name(self) -> str:
        """The base's name, with what is made of it."""
        return f"coupled {self.base.name}"

    @property
    def order(self) -> int:
        """That of the base."""
        return self.base.order

    @property
    def adaptive(self) -> bool:
        """Whether the base estimates its error."""
        return self.base.adaptive

    def accepts(self, setting: str) -> bool:
        """Every setting means something to it."""
        return True

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> "CoupledStepper":
        """The stepper for states like ``y``."""
        return CoupledStepper(self.base, y, evaluate, traced=traced, coupling=self.coupling)

    def undo(
        self,
        taken: Sequence[Taken],
        y: Float[Tensor, "*state"],
        memory: Sequence[Tensor],
        grad_ys: Float[Tensor, "time *state"],
        differentiate: Differentiate,
    ) -> Float[Tensor, "*state"]:
        """The gradient by ``y0``, step by step from the last; see ``methods.base.Undo``."""
        (z,), c, reached = memory, self.coupling, _reached(self.base)
        a_y, a_z = torch.zeros_like(y), torch.zeros_like(y)
        for t, h, outputs in reversed(taken):
            # Cotangents of y0, of z0, and of h times each slope of the base's step from z0.
            begin, begin_z = torch.zeros_like(y), torch.zeros_like(y)
            inside = [torch.zeros_like(y) for _ in self.base.b]
            for i, x in outputs:
                if x == 1:
                    a_y = a_y + grad_ys[i]
                    continue
                begin = begin + (1 - x * (1 - c)) * grad_ys[i]
                begin_z = begin_z + x * (1 - c) * grad_ys[i]
                for k, weights in enumerate(self.base.dense):
                    weight = sum(w * x ** (p + 1) for p, w in enumerate(weights.tolist()))
                    inside[k] = inside[k] + weight * grad_ys[i]
            # z1 = z0 - Psi_{-h}(t1, y1), and the increment there is -h times the weighted slopes.
            back = _Increment(self.base, t + h, -h, y, reached, differentiate)
            z = z + back.value
            a_y = a_y + back.pull([-b * a_z for b in self.base.b.tolist()])
            # The dense output may use a last stage that is none of the increment.
            stages = self.base.stages if any(x != 1 for _, x in outputs) else reached
            there = _Increment(self.base, t, h, z, stages, differentiate)
            y = (y - (1 - c) * z - there.value) / c
            pairs = zip(self.base.b.tolist(), inside, strict=True)
            a_z = begin_z + a_z + (1 - c) * a_y + there.pull([b * a_y + more for b, more in pairs])
            a_y = begin + c * a_y
        return a_y + a_z


def _reached(tableau: Tableau) -> int:
    """The stages that the solution uses: a last one may be there for the error alone."""
    return 1 + max(i for i, b in enumerate(tableau.b.tolist()) if b != 0)


class _Increment:
    """A step of the base method: its increment, and the derivative of what depends on its slopes.

    Args:
        tableau: the method.
        t, h: where it begins and its signed size.
        x: the state there, shape [*state].
        stages: how many stages are wanted.
        differentiate: the field and its derivative.
    """

    def __init__(
        self,
        tableau: ButcherTableau,
        t: float,
        h: float,
        x: Float[Tensor, "*state"],
        stages: int,
        differentiate: Differentiate,
    ) -> None:
        self.h, self.differentiate = h, differentiate
        self.a, self.b = tableau.a.tolist(), tableau.b.tolist()
        self.times = [t + node * h for node in tableau.c.tolist()]
        self.points: list[Tensor] = []
        ks: list[Tensor] = []
        for time, row in zip(self.times[:stages], self.a, strict=False):
            self.points.append(x + h * _sum(row, ks) if ks else x)
            ks.append(differentiate.value(time, self.points[-1]))
        self.value = h * _sum(self.b, ks)

    def pull(self, cotangents: Sequence[Float[Tensor, "*state"]]) -> Float[Tensor, "*state"]:
        """The cotangent of the state where the step began.

        Args:
            cotangents: those of ``h`` times each slope.
        """
        total, on_slopes = torch.zeros_like(self.points[0]), list(cotangents)
        for i in reversed(range(len(self.points))):
            _, by_point = self.differentiate(self.times[i], self.points[i], self.h * on_slopes[i])
            total = total + by_point
            for j, weight in enumerate(self.a[i][:i]):
                on_slopes[j] = on_slopes[j] + weight * by_point
        return total


class CoupledStepper(WithSecondState):
    """The stepper of the pair, whose second state is z; the slope that it begins with is at z."""

    def __init__(self, *arguments: Any, coupling: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.coupling = coupling
        self._reached = _reached(self.tableau)
        # The stages from z but for the first, those from y, and the first of the next step.
        self.nfe_per_step = self.tableau.stages - 1 + self._reached + 1

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
        """One step of signed size ``h``; see ``step.base.Stepper``."""
        constants, c = self._constants, self.coupling
        k0, rate0, z0 = f0
        ks: list[Tensor] = []
        rates: list[Tensor | None] = []
        self._keep(ks, rates, 0, (k0, rate0))
        flat = z0.reshape(-1)
        for i, time in enumerate(self._times(constants.c, t, h, y0.dtype)[1:], start=1):
            if nudge_end and constants.c.floats[i] == 1:
                time = nudge(time, towards=-math.inf * h)
            x = self._combine(flat, constants.a[i], h, ks)
            self._keep(ks, rates, i, own(self.evaluate(time, lend(x), constants.used[i])))
        self._check_kept(ks)
        y1 = c * (y0 - z0) + self._combine(flat, constants.b, h, ks)
        end = as_time(t + h, y0)
        if nudge_end:
            end = nudge(end, towards=-math.inf * h)
        z1 = z0 + self._back(t, h, end, y1)
        k1, rate1 = own(self.evaluate(end, lend(z1), True))
        q1 = None if q0 is None else q0 + self._integrate(constants.b, h, rates)
        ratio = None
        if test is not None:
            with torch.no_grad():
                ratio = self._ratio(test, h, y0, y1, q0, q1, ks, rates)
        return y1, q1, (k1, rate1, z1), ratio, ks, rates

    def _back(
        self, t: Time, h: Time, end: Float[Tensor, ""], y1: Float[Tensor, "*state"]
    ) -> Float[Tensor, "*state"]:
        """Minus the increment of the base's step from the end of this one back to its beginning."""
        constants = self._constants
        times = [end, *self._times(constants.c, t + h, -h, y1.dtype)[1 : self._reached]]
        slopes: list[Tensor] = []
        for time, weights in zip(times, constants.a, strict=False):
            x = y1 - h * _sum(weights.floats, slopes) if slopes else y1
            slope, _ = own(self.evaluate(time, lend(x.to(y1.dtype)), False))
            slopes.append(slope)
        return (h * _sum(constants.b.floats, slopes)).to(y1.dtype)

    def _shift(self, step: Step) -> Float[Tensor, "*state"]:
        """What y1 has beside y0 and the base's increment: ``(1 - c) (z0 - y0)``."""
        return (1 - self.coupling) * (step.f0[2] - step.y0)

    def interpolate(self, step: Step, x: Time) -> Float[Tensor, "*state"]:
        """The dense output at the fraction ``x`` of the step just taken, shape [*state]."""
        state = super().interpolate(step, x)
        # At a number it is the inherited method's, which asks for several.
        return state + x * self._shift(step) if isinstance(x, Tensor) else state

    def interpolate_many(
        self, step: Step, xs: Sequence[float]
    ) -> Sequence[Float[Tensor, "*state"]]:
        """The dense output at several fractions of the step just taken."""
        shift = self._shift(step)
        states = super().interpolate_many(step, xs)
        return [state + x * shift for state, x in zip(states, xs, strict=True)]

    def polynomial(self, step: Step) -> Float[Tensor, "degree *state"]:
        """The dense output of the step just taken as a polynomial without its constant term."""
        first, *others = super().polynomial(step)
        return torch.stack([first + self._shift(step), *others])


def _sum(weights: Sequence[float], terms: Sequence[Tensor]) -> Tensor:
    """The weighted sum over the terms that there are."""
    total = weights[0] * terms[0]
    for weight, term in zip(weights[1:], terms[1:], strict=False):
        if weight != 0:
            total = total + weight * term
    return total
