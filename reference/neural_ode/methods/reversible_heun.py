"""Reversible Heun: a method of second order whose steps can be taken back exactly.

Beside the state y it carries a second one, w, at which alone the field is evaluated:

    w1 = 2 y0 - w0 + h f(t0, w0),    y1 = y0 + h/2 (f(t0, w0) + f(t1, w1)),

which can be solved for (y0, w0) without any iteration. One evaluation a step.

Source: Kidger, Foster, Li & Lyons, Efficient and accurate gradients for neural SDEs, NeurIPS 2021,
algorithms 1 and 2, without the noise.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.kept import lend, own
from neural_ode.methods.base import Differentiate, Taken
from neural_ode.methods.tableau import lower
from neural_ode.step.base import Advanced, Carried, Evaluate
from neural_ode.step.error import ErrorTest
from neural_ode.step.second_state import WithSecondState
from neural_ode.step.tableau import Tableau
from neural_ode.times import Time, as_time, nudge

# The weights of Heun's method, with Euler's as the embedded one. The stages are evaluated at w.
_WEIGHTS = Tableau(
    name="reversible_heun",
    order=2,
    c=np.array([0.0, 1]),
    a=lower([1]),
    b=np.array([1 / 2, 1 / 2]),
    b_error=np.array([-1 / 2, 1 / 2]),
    dense=np.array([[1, -1 / 2], [0, 1 / 2]]),
    source="Kidger, Foster, Li & Lyons, NeurIPS 2021, algorithms 1 and 2",
)


class ReversibleHeun:
    """The method; its steps are those of ``ReversibleHeunStepper``."""

    name = _WEIGHTS.name
    order = _WEIGHTS.order
    source = _WEIGHTS.source
    adaptive = True
    fixed_norm = False
    # A step also needs w.
    one_step = False
    has_dense_output = True
    integrate = None

    def accepts(self, setting: str) -> bool:
        """Every setting means something to it."""
        return True

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> "ReversibleHeunStepper":
        """The stepper for states like ``y``."""
        return ReversibleHeunStepper(_WEIGHTS, y, evaluate, traced=traced)

    def undo(
        self,
        taken: Sequence[Taken],
        y: Float[Tensor, "*state"],
        memory: Sequence[Tensor],
        grad_ys: Float[Tensor, "time *state"],
        differentiate: Differentiate,
    ) -> Float[Tensor, "*state"]:
        """The gradient by ``y0``, step by step from the last; see ``methods.base.Undo``.

        A step maps (y0, w0, f0) to (y1, w1, f1) with f the field's value at w.
        """
        (w,) = memory
        # The cotangents of y, w and f, the last without what the step before puts on it.
        a_y, a_w, a_f = (torch.zeros_like(y) for _ in range(3))
        f = None
        for t, h, outputs in reversed(taken):
            begin, begin_f = torch.zeros_like(y), torch.zeros_like(y)
            for i, x in outputs:
                if x == 1:
                    a_y = a_y + grad_ys[i]
                    continue
                # The dense output y0 + h (x - x^2 / 2) f0 + h x^2 / 2 f1.
                begin = begin + grad_ys[i]
                begin_f = begin_f + h * (x - x**2 / 2) * grad_ys[i]
                a_f = a_f + h * x**2 / 2 * grad_ys[i]
            f1, by_w = differentiate(t + h, w, a_f + h / 2 * a_y)
            if f is not None:
                # Only now is the slope known that undoing the step after this one needs.
                y = y - f[1] / 2 * (f[0] + f1)
            a_w = a_w + by_w
            a_f = begin_f + h / 2 * a_y + h * a_w
            a_y, a_w = begin + a_y + 2 * a_w, -a_w
            w, f = 2 * y - w - h * f1, (f1, h)
        _, by_w = differentiate(taken[0].t, w, a_f)
        return a_y + (a_w + by_w)


class ReversibleHeunStepper(WithSecondState):
    """The stepper of reversible Heun, whose second state is w."""

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
        k0, rate0, w0 = f0
        ks: list[Tensor] = []
        rates: list[Tensor | None] = []
        self._keep(ks, rates, 0, (k0, rate0))
        end = as_time(t + h, y0)
        if nudge_end:
            end = nudge(end, towards=-float("inf") * h)
        w1 = self._combine((2 * y0 - w0).reshape(-1), self._constants.a[1], h, ks)
        k1, rate1 = own(self.evaluate(end, lend(w1), True))
        self._keep(ks, rates, 1, (k1, rate1))
        self._check_kept(ks)
        y1 = self._combine(y0.reshape(-1), self._constants.b, h, ks)
        q1 = None if q0 is None else q0 + self._integrate(self._constants.b, h, rates)
        ratio = None
        if test is not None:
            with torch.no_grad():
                ratio = self._ratio(test, h, y0, y1, q0, q1, ks, rates)
        return y1, q1, (k1, rate1, w1), ratio, ks, rates


REVERSIBLE_HEUN = ReversibleHeun()
