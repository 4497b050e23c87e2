"""Implicit Runge-Kutta methods for stiff problems: Kvaerno's, of orders 3 and 5.

A stiff problem has parts that decay far faster than the solution changes. An explicit method is
stable only for steps as short as they; these methods for steps of any size. The first stage is
explicit, and every other one solves ``Y = y + h sum_j a_ij k_j + h g f(t_i, Y)`` by Newton's
method with one matrix, ``1 - h g df/dy``, for all of them.

A part of the state that follows the others at once is less exact than they are: there the method of
order 5 has the order of its stages, 2. Inside a long step such a part may be far off, so steps end
at the output times; an event, ``Solution.at`` and ``InterpolatedAdjoint`` look inside steps.

The matrix has a row for each entry of the state, a batch included, so these methods are for states
of at most some thousand entries. Its derivative comes from autograd, and from differences where
the field cannot be differentiated so, as that of an adjoint; then a step costs an evaluation for
each entry more.

Sources: A. Kvaerno, Singly diagonally implicit Runge-Kutta methods with an explicit first stage,
BIT 44 (2004), for the coefficients; E. Hairer and G. Wanner, Solving ODEs II, sec. IV.8, for
Newton's method.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.gradients.first_derivative import first_derivative_only, link
from neural_ode.kept import lend
from neural_ode.methods.tableau import hermite, lower
from neural_ode.step.base import Advanced, Carried, Evaluate
from neural_ode.step.error import ErrorTest
from neural_ode.step.runge_kutta import RungeKutta
from neural_ode.step.tableau import Tableau
from neural_ode.times import Time, nudge

# The matrix of so many entries takes 128 MiB in float64.
MOST_ENTRIES = 4096
# Newton's method ends where it is nearer to its solution than this, in units of the tolerance, and
# gives up after so many iterations.
NEAR, ITERATIONS = 0.01, 10


class ImplicitTableau(Tableau):
    """An implicit Runge-Kutta method whose first stage is explicit and whose others share ``g``.

    Its fields are those of ``neural_ode.step.tableau.Tableau``; ``a`` has ``g`` on its diagonal but
    for the first stage, and its last row is ``b``. Its steps are chosen by their error.
    """

    explicit: ClassVar[bool] = False
    adaptive = True
    fixed_norm = False
    # A step begins with the slope that the last one solved for.
    one_step = False
    has_dense_output = True
    # Where the state follows another at once steps may be so long that the polynomial through one
    # is wrong, although its ends are right.
    ends_at_outputs = True
    undo = None
    integrate = None

    def accepts(self, setting: str) -> bool:
        """What forces steps to a size, at which they may have no solution, means nothing to it.

        Neither does ``compile``: how often a step evaluates the field varies.
        """
        return setting not in ("compile", "step_size", "grid", "min_step", "perturb")

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> "Esdirk":
        """The stepper for states like ``y``.

        Raises:
            ValueError: for a state whose matrix would be too large, or under a transform of
                ``torch.func``.
        """
        if traced:
            raise ValueError(
                f"method {self.name!r} iterates until its numbers are near enough, which neither"
                " torch.func nor a compiler can follow: choose an explicit method"
            )
        if y.numel() > MOST_ENTRIES:
            raise ValueError(
                f"method {self.name!r} needs a matrix with a row for each entry of the state, which"
                f" has {y.numel():,}: expected at most {MOST_ENTRIES:,}"
            )
        return Esdirk(self, y, evaluate)


class Esdirk(RungeKutta):
    """The stepper of such a method; see ``step.base.Stepper``."""

    def __init__(self, tableau: Tableau, y: Float[Tensor, "*state"], evaluate: Evaluate) -> None:
        super().__init__(tableau, y, evaluate)
        self.diagonal = float(tableau.a[-1, -1])
        # The derivative of the field, and where it was taken.
        self._known: tuple[float, Tensor, Tensor] | None = None

    @property
    def for_loop(self) -> None:
        """The compiled loop takes explicit steps."""
        return None

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
        """One step of signed size ``h``; its error is infinite where a stage is not solved."""
        if test is None:
            raise ValueError(f"a step of {self.tableau.name} is solved to a tolerance: give one")
        constants, flat = self._constants, y0.reshape(-1)
        ks: list[Tensor] = []
        rates: list[Tensor | None] = []
        self.nfe_per_step = 0
        self._keep(ks, rates, 0, f0)
        times = self._times(constants.c, t, h, y0.dtype)
        matrix = self._factored(h, self._derivative(times[0], _number(t), y0))
        y, k, rate = y0, f0[0], None
        for i, time in enumerate(times[1:], start=1):
            # A stage beyond the end of the step would lie behind the jump.
            if nudge_end and constants.c.floats[i] >= 1:
                time = nudge(times[-1], towards=-math.inf * h)
            known = self._combine(flat, constants.a[i], h, ks)
            found = self._solve(time, h, known.detach(), k.detach(), matrix, test)
            if found is None:
                nothing = torch.full_like(y0, math.nan)
                return nothing, q0, f0, y0.new_tensor(math.inf), ks, rates
            y = self._linked_stage(time, h, known, found)
            # Not the field there: that would magnify what is left of Newton's error.
            k = (y - known) / (h * self.diagonal)
            if q0 is not None:
                rate = self._evaluate(time, y, rates=True)[1]
            self._keep(ks, rates, i, (k, rate))
        q1 = None if q0 is None else q0 + self._integrate(constants.b, h, rates)
        with torch.no_grad():
            ratio = self._ratio(test, h, y0, y, q0, q1, ks, rates)
        return y, q1, (k, rate), ratio, ks, rates

    def _evaluate(
        self, time: Tensor, y: Float[Tensor, "*state"], *, rates: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        self.nfe_per_step += 1
        return self.evaluate(time, lend(y), rates)

    def _solve(
        self,
        time: Float[Tensor, ""],
        h: Time,
        known: Float[Tensor, "*state"],
        slope: Float[Tensor, "*state"],
        matrix: tuple[Tensor, Tensor],
        test: ErrorTest,
    ) -> Float[Tensor, "*state"] | None:
        """The state of a stage by Newton's method, from a first slope; ``None`` if it fails.

        Each iteration brings the error down by about the ratio of the last two corrections. So it
        ends where the correction, times what that ratio leaves of it, is near enough.
        """
        weight = _number(h) * self.diagonal
        before = math.inf
        with torch.no_grad():
            y = known + weight * slope
            for _ in range(ITERATIONS):
                rest = known + weight * self._evaluate(time, y)[0] - y
                correction = torch.linalg.lu_solve(*matrix, rest.reshape(-1, 1)).view_as(y)
                y = y + correction
                size = float(test.measure(correction / test.scale(test.sizes(y)), None))
                if not math.isfinite(size):
                    return None
                ratio = size / before
                # Of the first correction no ratio is known, and one of rounding does not shrink.
                left = size * ratio / (1 - ratio) if 0 < ratio < 1 else size
                if min(size, left) <= NEAR:
                    return y
                if ratio >= 1:
                    return None
                before = size
        return None

    def _linked_stage(
        self,
        time: Float[Tensor, ""],
        h: Time,
        known: Float[Tensor, "*state"],
        found: Float[Tensor, "*state"],
    ) -> Float[Tensor, "*state"]:
        """The state of a stage with its derivative, where autograd is on.

        It is one more step of Newton's method, by the matrix at the solution, through which the
        derivative of the whole iteration is exact (the implicit function theorem).
        """
        if not torch.is_grad_enabled():
            return found
        rest = known + h * self.diagonal * self._evaluate(time, found)[0] - found
        if not rest.requires_grad:
            return found
        derivative = self._differentiate(time, found)
        return _Newton.apply(rest, found, *self._factored(h, derivative))

    def _factored(
        self, h: Time, derivative: Float[Tensor, "entries entries"]
    ) -> tuple[Tensor, Tensor]:
        """``1 - h g df/dy``, factored."""
        one = torch.eye(len(derivative), dtype=derivative.dtype, device=derivative.device)
        factors, pivots, _ = torch.linalg.lu_factor_ex(
            one - _number(h) * self.diagonal * derivative
        )
        return factors, pivots

    def _derivative(
        self, time: Float[Tensor, ""], t: float, y: Float[Tensor, "*state"]
    ) -> Float[Tensor, "entries entries"]:
        """The derivative of the field where a step begins, which a shorter one needs again."""
        if self._known is None or self._known[0] != t or self._known[1] is not y:
            self._known = (t, y, self._differentiate(time, y))
        return self._known[2]

    def _differentiate(
        self, time: Float[Tensor, ""], y: Float[Tensor, "*state"]
    ) -> Float[Tensor, "entries entries"]:
        """The derivative of the field by the state, by autograd or by differences."""
        with torch.enable_grad():
            point = y.detach().clone().requires_grad_()
            value = self._evaluate(time.detach(), point)[0].reshape(-1)
        if not value.requires_grad:
            return self._by_differences(time, y.detach(), value)
        one = torch.eye(len(value), dtype=value.dtype, device=value.device)
        rows = [
            torch.autograd.grad(value, point, row, retain_graph=True, allow_unused=True)[0]
            for row in one
        ]
        matrix = torch.zeros_like(one)
        for i, row in enumerate(rows):
            if row is not None:
                matrix[i] = row.reshape(-1)
        return matrix

    def _by_differences(
        self, time: Float[Tensor, ""], y: Float[Tensor, "*state"], value: Float[Tensor, " entries"]
    ) -> Float[Tensor, "entries entries"]:
        matrix = value.new_zeros(len(value), len(value))
        with torch.no_grad():
            for i, entry in enumerate(y.reshape(-1)):
                size = math.sqrt(torch.finfo(y.dtype).eps) * (1 + float(entry.abs()))
                point = y.clone()
                point.view(-1)[i] += size
                matrix[:, i] = (self._evaluate(time, point)[0].reshape(-1) - value) / size
        return matrix


def _number(x: Time) -> float:
    return float(x.detach()) if isinstance(x, Tensor) else x


class _Newton(torch.autograd.Function):
    """A step of Newton's method from the solution, as a function of what is left to solve."""

    @staticmethod
    def forward(ctx, rest: Tensor, found: Tensor, factors: Tensor, pivots: Tensor) -> Tensor:
        ctx.link = link(rest)
        ctx.save_for_backward(factors, pivots)
        return found + torch.linalg.lu_solve(factors, pivots, rest.reshape(-1, 1)).view_as(found)

    @staticmethod
    @first_derivative_only("an implicit method", "choose an explicit one")
    def backward(ctx, saved: Sequence[Tensor], *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The incoming gradient, solved for with the matrix transposed."""
        (grad,) = grads
        solved = torch.linalg.lu_solve(*saved, grad.reshape(-1, 1), adjoint=True)
        return solved.view_as(grad), None, None, None


def with_diagonal(g: float, *rows: list[float]) -> Float[np.ndarray, "stages stages"]:
    """The stage weights of these rows below a diagonal of ``g``, which the first stage lacks."""
    return lower(*rows) + np.diag([0.0, *[g] * len(rows)])


def smooth_dense(
    a: Float[np.ndarray, "stages stages"], degree: int
) -> Float[np.ndarray, "stages degree"]:
    """The least dense weights of the order ``degree`` that join steps with their slopes.

    The last row of ``a`` has the weights of the solution. The stages are of order 2, with which the
    conditions of the orders 1 to 4 are those of the powers of ``c`` and of ``a c^2``.
    """
    stages, b, c = len(a), a[-1], a.sum(axis=1)
    powers = np.arange(1, degree + 1)
    first, last = np.eye(stages)[[0, -1]]
    ends = np.eye(degree)
    # Of each: a combination of stages, a combination of powers, and what they must give.
    conditions = [(c ** (p - 1), ends[k], (k + 1 == p) / p) for p in powers for k in range(degree)]
    conditions += [(a @ c**2, ends[k], (k + 1 == 4) / 12) for k in range(degree) if degree >= 4]
    for i, stage in enumerate(np.eye(stages)):
        conditions += [
            (stage, np.ones(degree), b[i]),
            (stage, ends[0], first[i]),
            (stage, powers, last[i]),
        ]
    matrix = np.array([np.outer(left, right).ravel() for left, right, _ in conditions])
    values = np.array([value for *_, value in conditions])
    return np.linalg.lstsq(matrix, values, rcond=None)[0].reshape(stages, degree)


_SOURCE = "Kvaerno, BIT 44 (2004)"

# The middle root of g^3 - 3 g^2 + 3 g / 2 - 1 / 6, with which the method is L-stable.
_G3 = 0.43586652150845899942
_A3 = with_diagonal(
    _G3,
    [_G3],
    [(-4 * _G3**2 + 6 * _G3 - 1) / (4 * _G3), (1 - 2 * _G3) / (4 * _G3)],
    [
        (6 * _G3 - 1) / (12 * _G3),
        -1 / ((24 * _G3 - 12) * _G3),
        (-6 * _G3**2 + 6 * _G3 - 1) / (6 * _G3 - 3),
    ],
)
KVAERNO3 = ImplicitTableau(
    name="kvaerno3",
    order=3,
    c=_A3.sum(axis=1).round(16),
    a=_A3,
    b=_A3[-1],
    b_error=_A3[-1] - _A3[-2],
    dense=hermite(_A3[-1], {0: 0, 3: 1}, 4),
    source=_SOURCE,
)

_A5 = with_diagonal(
    0.26,
    [0.26],
    [0.13, 0.84033320996790809],
    [0.22371961478320505, 0.47675532319799699, -0.06470895363112615],
    [0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998],
    [0.13855640231268224, 0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676],
    [
        0.13659751177640291,
        0,
        -0.05496908796538376,
        -0.04118626728321046,
        0.62993304899016403,
        0.06962479448202728,
    ],
)
KVAERNO5 = ImplicitTableau(
    name="kvaerno5",
    order=5,
    c=_A5.sum(axis=1).round(16),
    a=_A5,
    b=_A5[-1],
    b_error=_A5[-1] - _A5[-2],
    dense=smooth_dense(_A5, 4),
    source=_SOURCE,
)
