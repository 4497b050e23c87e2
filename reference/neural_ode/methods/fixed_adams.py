"""The Adams methods with steps of given sizes, under the names by which torchdiffeq has them.

A step integrates the polynomial through the latest slopes. The explicit method (Adams-Bashforth)
takes those up to the beginning of the step. The implicit one (Adams-Moulton) adds the slope at its
end, for which it iterates from the explicit solution. The first steps, which have too few slopes
behind them, are those of the 3/8 rule.

The weights follow the actual sizes of the steps, so the order also holds on a grid of uneven steps.
Where all are alike they are the classical numbers.

Source: Hairer, Norsett & Wanner, Solving ODEs I, sec. III.1 and III.5.
"""

import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.polynomial.legendre import leggauss
from numpy.polynomial.polynomial import polyfromroots, polyval
from torch import Tensor

from neural_ode.arguments import check_count, check_flag
from neural_ode.kept import check_kept, lend, own, version
from neural_ode.methods import runge_kutta_1_to_4 as runge_kutta
from neural_ode.methods.base import Integrate, Undo
from neural_ode.step.base import Advanced, Carried, Evaluate, Step
from neural_ode.step.error import ErrorTest
from neural_ode.times import Time, as_time, nudge
from neural_ode.transforms import unwrap

# Exact to degree 13; the polynomials have degree 11 at most.
_GAUSS = leggauss(7)
# So many slopes are needed before the first step that is not one of the 3/8 rule.
FEWEST, MOST = 3, 12


@dataclass(frozen=True)
class FixedAdams:
    """An Adams method with steps of given sizes; see the module.

    Attributes:
        name: the name by which ``solve(method=...)`` finds it.
        implicit: whether the slope at the end of a step takes part.
        max_order: the most slopes, at most 12, that of the end included; the explicit method has
            one less. With fewer than 4 all steps are those of the 3/8 rule. An explicit method of
            many slopes is stable for very short steps alone: 5 is a good choice.
        max_iters: the most iterations of an implicit step. They end where a further one changes no
            entry of the step by more than ``rtol`` and ``atol`` allow. A step that does not get so
            far stands, a warning says so, and the next one takes one slope less.

    Raises:
        ValueError, TypeError: for numbers out of range.
    """

    name: str
    implicit: bool
    max_order: int = MOST
    max_iters: int = 4
    adaptive: ClassVar[bool] = False
    fixed_norm: ClassVar[bool] = False
    one_step: ClassVar[bool] = False
    has_dense_output: ClassVar[bool] = True
    undo: ClassVar[Undo | None] = None
    integrate: ClassVar[Integrate | None] = None
    options: ClassVar[tuple[str, ...]] = ("implicit", "max_order", "max_iters")

    def __post_init__(self):
        check_flag("implicit", self.implicit)
        check_count("max_order", self.max_order)
        check_count("max_iters", self.max_iters)
        if self.max_order > MOST:
            raise ValueError(f"max_order is {self.max_order}, expected at most {MOST}")
        if self.max_order <= FEWEST:
            warnings.warn(
                f"max_order is {self.max_order}, and below {FEWEST + 1} every step of"
                f" {self.name!r} is one of the 3/8 rule, 'rk4'",
                stacklevel=4,
            )

    @property
    def order(self) -> int:
        """The order of a step with all its slopes; those of the first steps is 4."""
        return self.max_order if self.implicit else self.max_order - 1

    @property
    def iterates(self) -> bool:
        """Whether it needs the tolerances, for its iteration."""
        return self.implicit

    def accepts(self, setting: str) -> bool:
        """Every setting but ``compile``: the number of evaluations of a step varies."""
        return setting != "compile"

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> "FixedAdamsStepper":
        """The stepper for states like ``y``."""
        return FixedAdamsStepper(self, y, evaluate, traced=traced)


class _Slope(NamedTuple):
    """A slope, the rates of the integrals there, and the time, once a step has begun with it."""

    t: Time | None
    k: Float[Tensor, "*state"]
    rate: Float[Tensor, " integrals"] | None
    # How often it had been changed in place when it came.
    version: int


class FixedAdamsStepper:
    """The stepper of an Adams method; see ``step.base.Stepper``. It keeps the latest slopes."""

    carries = False
    stages = runge_kutta.RK4.stages
    dense_nfe = 0
    for_loop = None

    def __init__(
        self,
        method: FixedAdams,
        y: Float[Tensor, "*state"],
        evaluate: Evaluate,
        *,
        traced: bool = False,
    ) -> None:
        self.method, self.evaluate, self.order = method, evaluate, method.order
        self.first = runge_kutta.RK4.stepper(y, evaluate, traced=traced)
        self._behind: deque[_Slope] = deque(maxlen=max(method.max_order - 1, 1))
        # The evaluations of the last step beside that at its beginning, and where its slopes lie,
        # where it is not a step of the 3/8 rule.
        self.nfe_per_step = 0
        self._nodes: Nodes | None = None

    def slope(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Carried:
        """The slope at ``(t, y)``, which the later steps have behind them."""
        k, rate = own(self.evaluate(t, lend(y), True))
        # Where an interpolation has asked for it, no step has begun with the one before.
        if self._behind and self._behind[0].t is None:
            self._behind.popleft()
        self._behind.appendleft(_Slope(None, k, rate, version(k)))
        return k, rate

    def start(
        self,
        t0: Time,
        direction: Time,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        test: ErrorTest,
    ) -> tuple[Carried, Time]:
        """There is no error by which to choose a step: this always raises NotImplementedError."""
        raise NotImplementedError(f"method {self.method.name!r} takes steps of given sizes")

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
        """One step of signed size ``h`` from ``(t, y0)``; see ``step.base.Stepper``."""
        self._behind[0] = self._behind[0]._replace(t=t)
        behind = list(self._behind)
        if len(behind) < FEWEST:
            self._nodes, self.nfe_per_step = None, self.first.nfe_per_step
            return self.first.advance(t, h, y0, f0, q0, nudge_end, None)
        nodes = Nodes.of([slope.t for slope in behind if slope.t is not None], h)
        slopes, self._nodes, self.nfe_per_step = behind, nodes, 0
        change = _combine(nodes.weights(1.0), [s.k for s in behind], h)
        if test is not None:
            self._nodes = nodes.with_end()
            end = as_time(t + h, y0)
            end = nudge(end, towards=-np.inf * h) if nudge_end else end
            change, last = self._iterate(end, h, y0, change, self._nodes, behind, test)
            slopes = [last, *behind]
        if torch.is_grad_enabled():
            check_kept([s.k for s in slopes], [s.version for s in slopes])
        ks, rates = [s.k for s in slopes], [s.rate for s in slopes]
        q1 = None if q0 is None else q0 + _combine(self._nodes.weights(1.0), rates, h)
        return y0 + change, q1, f0, None, ks, rates

    def _iterate(
        self,
        end: Float[Tensor, ""],
        h: Time,
        y0: Float[Tensor, "*state"],
        change: Float[Tensor, "*state"],
        nodes: "Nodes",
        behind: Sequence[_Slope],
        test: ErrorTest,
    ) -> tuple[Float[Tensor, "*state"], _Slope]:
        """The implicit step from the explicit one, and the slope at its end that it stands on."""
        weight, *others = nodes.weights(1.0)
        known = _combine(others, [slope.k for slope in behind], h)
        while True:
            k, rate = own(self.evaluate(end, y0 + change, True))
            before, change = change, known + _combine([weight], [k], h)
            self.nfe_per_step += 1
            if _close(before.detach(), change.detach(), test):
                return change, _Slope(None, k, rate, version(k))
            if self.nfe_per_step == self.method.max_iters:
                break
        warnings.warn(
            f"the implicit step to t={_number(end):.9g} is not solved to the tolerance after"
            f" {self.method.max_iters} iterations: take shorter steps or another tolerance",
            stacklevel=2,
        )
        self._behind.pop()
        return change, _Slope(None, k, rate, version(k))

    def extend(self, step: Step) -> int:
        """Nothing is missing."""
        return 0

    def interpolate(self, step: Step, x: Time) -> Float[Tensor, "*state"]:
        """The dense output at the fraction ``x`` of the step just taken."""
        if self._nodes is None:
            return self.first.interpolate(step, x)
        return step.y0 + _combine(self._nodes.weights(x), step.ks, step.h)

    def interpolate_many(
        self, step: Step, xs: Sequence[float]
    ) -> Sequence[Float[Tensor, "*state"]]:
        """The dense output at several fractions of the step just taken."""
        return [self.interpolate(step, x) for x in xs]

    def integrals(
        self, step: Step, q0: Float[Tensor, " integrals"], x: float
    ) -> Float[Tensor, " integrals"]:
        """The dense output of the integrals at the fraction ``x`` of the step just taken."""
        if self._nodes is None:
            return self.first.integrals(step, q0, x)
        return q0 + _combine(self._nodes.weights(x), step.rates, step.h)

    def polynomial(self, step: Step) -> Float[Tensor, "degree *state"]:
        """The dense output as a polynomial; see ``step.base.Stepper``."""
        if self._nodes is None:
            terms = self.first.polynomial(step)
        else:
            ks = torch.stack(step.ks)
            factors = torch.tensor(polynomials(self._nodes.floats).T, dtype=ks.dtype)
            terms = step.h * torch.tensordot(factors.to(ks.device), ks, dims=1)
        # Each step of a solve has as many terms as the longest.
        missing = max(self.method.max_order, runge_kutta.RK4.order) - len(terms)
        return torch.cat([terms, terms.new_zeros(missing, *terms.shape[1:])])


class Nodes(NamedTuple):
    """Where the slopes of a step lie, as fractions of it.

    Attributes:
        floats: as numbers.
        points: as a tensor where the gradient with respect to the times is wanted.
    """

    floats: tuple[float, ...]
    points: Float[Tensor, " nodes"] | None

    @classmethod
    def of(cls, times: Sequence[Time], h: Time) -> "Nodes":
        """Those of a step that begins at the first of these times."""
        numbers, size = [_number(t) for t in times], _number(h)
        # Steps that are alike but for the rounding of the times have the classical weights.
        rounding = 8 * np.finfo(float).eps * max(map(abs, numbers)) / abs(size)
        places = [(t - numbers[0]) / size for t in numbers]
        floats = tuple(float(round(x)) if abs(x - round(x)) <= rounding else x for x in places)
        points = None
        if isinstance(h, Tensor):
            points = torch.stack([torch.as_tensor((t - times[0]) / h).to(h) for t in times])
        return cls(floats, points)

    def with_end(self) -> "Nodes":
        """The same after a slope at the end of the step."""
        points = None
        if self.points is not None:
            points = torch.cat([self.points.new_ones(1), self.points])
        return Nodes((1.0, *self.floats), points)

    def weights(self, x: Time) -> Sequence[Time]:
        """The weights of the solution at a fraction of the step."""
        if self.points is not None:
            return _integrate(self.points, x).unbind()
        if isinstance(x, Tensor):
            return _integrate(torch.tensor(self.floats, dtype=x.dtype, device=x.device), x).unbind()
        dense = polynomials(self.floats)
        return (dense @ np.array([x**p for p in range(1, len(dense) + 1)])).tolist()


@lru_cache(maxsize=256)
def polynomials(nodes: tuple[float, ...]) -> Float[np.ndarray, "nodes degree"]:
    """The integrals of the Lagrange polynomials from 0, by the powers of their end from the 1st."""
    dense = np.empty((len(nodes), len(nodes)))
    for j, node in enumerate(nodes):
        lagrange = polyfromroots([x for i, x in enumerate(nodes) if i != j])
        dense[j] = lagrange / polyval(node, lagrange) / np.arange(1, len(nodes) + 1)
    return dense


def _integrate(nodes: Float[Tensor, " nodes"], x: Time) -> Float[Tensor, " nodes"]:
    """The same integrals at ``x`` by Gauss' formula, through which autograd goes."""
    places, widths = (torch.tensor(each).to(nodes) for each in _GAUSS)
    own = torch.eye(len(nodes), dtype=torch.bool, device=nodes.device)
    gaps = torch.where(own, 1.0, nodes[:, None] - nodes)
    factors = ((x * (places + 1) / 2)[:, None, None] - nodes) / gaps
    return x / 2 * (widths @ torch.where(own, 1.0, factors).prod(dim=-1))


def _number(t: Time) -> float:
    return unwrap(t.detach()).item() if isinstance(t, Tensor) else t


def _combine(
    factors: Sequence[Time],
    slopes: Sequence[Tensor | None],
    h: Time,
) -> Tensor:
    """``h`` times the weighted sum of the slopes, in their dtype."""
    terms = [x for x in slopes if x is not None]
    total = torch.zeros_like(terms[0])
    for factor, x in zip(factors, terms, strict=True):
        if isinstance(factor, Tensor):
            total = total + factor.to(x.dtype) * x
        else:
            total = torch.add(total, x, alpha=float(factor))
    return (h.to(total.dtype) if isinstance(h, Tensor) else h) * total


def _close(a: Float[Tensor, "*state"], b: Float[Tensor, "*state"], test: ErrorTest) -> bool:
    """Whether two changes of the state differ by less than the tolerances, in each entry."""
    scale = test.scale(torch.maximum(test.sizes(a), test.sizes(b)))
    return bool(unwrap(test.sizes(b - a) / scale < 1).all())


EXPLICIT_ADAMS = FixedAdams("explicit_adams", implicit=False)
IMPLICIT_ADAMS = FixedAdams("implicit_adams", implicit=True)
# The name that torchdiffeq keeps for scripts of its earlier versions.
FIXED_ADAMS = FixedAdams("fixed_adams", implicit=True)
