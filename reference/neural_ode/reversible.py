"""Reversible Heun: a method of second order whose steps can be taken back exactly.

Beside the state y it carries a second one, w, at which alone the field is evaluated:

    w1 = 2 y0 - w0 + h f(t0, w0),    y1 = y0 + h/2 (f(t0, w0) + f(t1, w1)),

which can be solved for (y0, w0) without any iteration. One evaluation a step.

Source: Kidger, Foster, Li & Lyons, Efficient and accurate gradients for neural SDEs, NeurIPS 2021,
algorithms 1 and 2, without the noise.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.step import Advanced, ErrorTest, RungeKutta, Slope, Time, as_time, nudge
from neural_ode.tableau import HEUN, ButcherTableau

# The weights of Heun's method, with Euler's as the embedded one; the stages differ.
REVERSIBLE_HEUN = ButcherTableau(
    name="reversible_heun",
    order=2,
    c=HEUN.c,
    a=HEUN.a,
    b=HEUN.b,
    b_error=HEUN.b - np.array([1.0, 0.0]),
    dense=HEUN.dense,
    source="Kidger, Foster, Li & Lyons, NeurIPS 2021, algorithms 1 and 2",
)


class ReversibleHeun(RungeKutta):
    """The stepper of reversible Heun.

    Its slopes are pairs of f(t, w) and w, but for the first, which knows that w is y.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Without the last slope of a step w would be lost.
        self.carries = True

    def advance(
        self,
        t: Time,
        h: Time,
        y0: Float[Tensor, "*state"],
        f0: Slope,
        q0: Float[Tensor, " integrals"] | None,
        nudge_end: bool,
        test: ErrorTest | None,
    ) -> Advanced:
        """One step of signed size ``h``; see ``RungeKutta.advance``."""
        k0, w0 = f0[0], y0 if f0[1] is None else f0[1]
        ks: list[Tensor] = []
        self._keep(ks, [], 0, (k0, None))
        end = as_time(t + h, y0)
        if nudge_end:
            end = nudge(end, towards=-float("inf") * h)
        w1 = self._combine((2 * y0 - w0).reshape(-1), self._constants.a[1], h, ks)
        k1 = self.evaluate(end, w1, False)[0]
        self._keep(ks, [], 1, (k1, None))
        y1 = self._combine(y0.reshape(-1), self._constants.b, h, ks)
        ratio = None
        if test is not None:
            with torch.no_grad():
                ratio = self._ratio(test, h, y0, y1, None, None, ks, [])
        return y1, None, (k1, w1), ratio, ks, [None, None]
