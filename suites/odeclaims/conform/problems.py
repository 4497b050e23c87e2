"""The problems of the checks. Their solutions do not come from a solver of this project.

Most fields are ``MLPField`` with chosen weights, since every backend knows that class. A layer of
tanh allows closed forms: ``z' = a tanh(b z)`` makes ``sinh(b z)`` grow as ``e^(a b t)``, and
``z' = a tanh(b t + c)`` is a quadrature. Each problem is made once: a solver that compiles would
compile every new field again.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from torch import Tensor, nn

from neural_ode.networks import MLPField
from odeclaims.backends import Crossing
from odeclaims.workloads import Problem

# From a time to the states, shape [batch, features].
Flow = Callable[[float], Float64[np.ndarray, "batch features"]]

# Tolerance of SciPy's solves where there is no closed form; measured errors are far larger.
TIGHT = 1e-12


@dataclass(frozen=True)
class KnownProblem:
    """A problem with its solution.

    Attributes:
        problem: the problem for the backend, in float64.
        flow: the solution, at any time between the first and the last output time; that of
            ``stiff`` only where the initial values are forgotten.
    """

    problem: Problem
    flow: Flow

    def states(self) -> Float64[np.ndarray, "time batch features"]:
        """The states at every output time after the first."""
        return np.stack([self.flow(t) for t in self.problem.ts.tolist()[1:]])

    def at(self, *times: float) -> "KnownProblem":
        """The same problem with other output times, the first of which gives the initial states."""
        y0 = torch.tensor(self.flow(times[0]))
        return replace(self, problem=replace(self.problem, y0=y0, ts=_times(*times)))

    def part(self, rows: slice) -> "KnownProblem":
        """The problem with some of its samples."""
        problem = replace(self.problem, y0=self.problem.y0[rows].clone())
        return KnownProblem(problem, lambda t: self.flow(t)[rows])

    def single(self) -> "KnownProblem":
        """The same problem in float32."""
        return replace(self, problem=in_float32(self.problem))


@cache
def in_float32(problem: Problem) -> Problem:
    """The same problem in float32; the field is copied, and its finite weights stay finite."""
    field, limits = deepcopy(problem.field), torch.finfo(torch.float32)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.clamp_(limits.min, limits.max)
    return replace(problem, field=field.float(), y0=problem.y0.float(), ts=problem.ts.float())


def _times(*times: float) -> Float[Tensor, " time"]:
    return torch.tensor(times, dtype=torch.float64)


def _mlp(*weights: np.ndarray) -> MLPField:
    """``dy/dt = second tanh(first [y, t] + bias) + last`` with these weights, in float64."""
    first, _, second, _ = weights
    field = MLPField(len(second), len(first), depth=1).double()
    with torch.no_grad():
        for parameter, weight in zip(field.parameters(), weights, strict=True):
            parameter.copy_(torch.tensor(weight))
    return field


def _problem(field: nn.Module, y0: np.ndarray, *times: float) -> Problem:
    return Problem(field, torch.tensor(y0, dtype=torch.float64), _times(*times), tol=1e-6)


# --- with a closed form

# Growing and decaying components and one driven by the time, mixed by a matrix: the field couples
# them all.
_A, _B = np.array([1.0, -2.0, 1.0]), np.array([1.5, 1.0, 2.0])
_DRIVEN, _PHASE = 2, -5.0
_MIX = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.25, 0.0, 1.0]])
_Z0 = np.array([[0.1, 1.0, 0.0], [-0.3, 2.0, 0.5], [0.02, -1.5, -0.5], [1.0, 0.3, 1.0]])
END = 5.0


@cache
def mixed() -> KnownProblem:
    """The main problem: three coupled components, four samples, from 0 to 5."""
    unmix = np.linalg.inv(_MIX)
    first = np.column_stack([_B[:, None] * unmix, np.zeros(3)])
    first[_DRIVEN] = [0, 0, 0, _B[_DRIVEN]]
    bias = np.array([0.0, 0.0, _PHASE])
    field = _mlp(first, bias, _MIX * _A, np.zeros(3))
    return KnownProblem(_problem(field, _Z0 @ _MIX.T, 0.0, END), _mixed_flow)


def _mixed_flow(t: float) -> Float64[np.ndarray, "batch features"]:
    z = np.arcsinh(np.sinh(_B * _Z0) * np.exp(_A * _B * t)) / _B
    a, b = _A[_DRIVEN], _B[_DRIVEN]
    driven = a / b * np.log(np.cosh(b * t + _PHASE) / np.cosh(_PHASE))
    z[:, _DRIVEN] = _Z0[:, _DRIVEN] + driven
    return z @ _MIX.T


@cache
def crossing() -> tuple[KnownProblem, Crossing]:
    """One sample of the main problem, and an event that comes twice: down, and up again.

    The feature is driven by the time, and the line that it meets rises.
    """
    return mixed().part(slice(0, 1)), Crossing(feature=2, level=-1.0, slope=0.1)


@cache
def crossing_time(begin: float, end: float) -> float:
    """When it first comes between two times, by the closed form."""
    known, event = crossing()

    def value(t: float) -> float:
        return event.value(t, known.flow(t))

    grid = np.linspace(begin, end, 1001)
    sign = np.sign([value(t) for t in grid])
    first = int(np.flatnonzero(sign[1:] != sign[:-1])[0])
    return float(brentq(value, *sorted(grid[first : first + 2]), xtol=1e-14))


def crossing_gradient() -> Float64[np.ndarray, " inputs"]:
    """The gradient of the first time, by the implicit function theorem.

    Where c is the event function, ``dt = -dy_k / (c_t + f_k)``.
    """
    known, event = crossing()
    t = crossing_time(0.0, END)
    weights = [p.detach().numpy() for p in known.problem.field.parameters()]
    rate = _mlp_forward(weights, t, known.flow(t))[1][0, event.feature] - event.slope
    covector = np.zeros(known.problem.y0.shape)
    covector[0, event.feature] = -1 / rate
    return gradient_of(known.at(0.0, t), covector)


@cache
def stiff(rate: float) -> KnownProblem:
    """``w' = tanh(w)`` and ``y' = -r tanh(y - w)``: y forgets its initial value and follows w."""
    field = _mlp(
        np.array([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0]]),
        np.zeros(2),
        np.diag([1.0, -rate]),
        np.zeros(2),
    )
    start = np.array([[0.3, 1.0], [-0.5, -0.2]])

    def flow(t: float) -> np.ndarray:
        w = np.arcsinh(np.sinh(start[:, 0]) * np.exp(t))
        # The distance u = y - w obeys u' = -r tanh(u) - w'. Soon it is where that is zero, but for
        # a part of the size of w'' / r^2.
        return np.column_stack([w, w - np.arctanh(np.tanh(w) / rate)])

    return KnownProblem(_problem(field, start, 0.0, 2.0), flow)


# --- with a reference from SciPy


@cache
def oscillator() -> Problem:
    """``y1' = tanh(y2), y2' = -tanh(y1)``, 64 samples: periodic, so steps grow with time."""
    field = _mlp(
        np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
        np.zeros(2),
        np.diag([1.0, -1.0]),
        np.zeros(2),
    )
    return _problem(field, np.column_stack([np.linspace(1, 2, 64), np.zeros(64)]), 0.0, 1.0)


@cache
def neighbours() -> KnownProblem:
    """One hard sample, the first, and 31 easy ones.

    ``u' = tanh(u) - 20 (tanh(20 u + 20 s) - tanh(20 s))`` with a constant s. For s = 0 the state u
    falls from 1 towards 0 and stops abruptly; for s = 2 the field is nearly ``u' = tanh(u)``.
    """
    first = np.array([[1.0, 0.0, 0.0], [20.0, 20.0, 0.0], [0.0, 20.0, 0.0]])
    second = np.array([[1.0, -20.0, 20.0], [0.0, 0.0, 0.0]])
    field = _mlp(first, np.zeros(3), second, np.zeros(2))
    easy = np.column_stack([np.linspace(0.2, 1.0, 31), np.full(31, 2.0)])
    problem = _problem(field, np.vstack([[[1.0, 0.0]], easy]), 0.0, 2.0)
    return KnownProblem(problem, lambda t: _by_scipy(problem, t))


@cache
def tiny() -> Problem:
    """One sample of the main problem without its time, a billionth in size.

    It is far below every tolerance, so the steps grow as fast as the controller allows, and they
    are the same for neighbouring states. The field is linear at this size, and so is the numerical
    solution: a difference of two solves is its derivative up to rounding.
    """
    field = deepcopy(mixed().problem.field)
    with torch.no_grad():
        first, bias, *_ = field.parameters()
        first[_DRIVEN] = 0
        bias.zero_()
    return _problem(field, 1e-9 * np.array([[1.0, -0.5, 0.8]]), 0.0, 2.0)


@cache
def _by_scipy(problem: Problem, t: float) -> Float64[np.ndarray, "batch features"]:
    """The states at a time; each sample is solved alone."""
    weights = [p.detach().numpy() for p in problem.field.parameters()]

    def field(time: float, y: np.ndarray) -> np.ndarray:
        return _mlp_forward(weights, time, y)[1]

    start = float(problem.ts[0])
    ends = [
        solve_ivp(field, (start, t), y0, "DOP853", rtol=TIGHT, atol=TIGHT).y[:, -1]
        for y0 in problem.y0.numpy()
    ]
    return np.stack(ends)


def _mlp_forward(
    weights: list[np.ndarray], t: float, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The hidden layer and the derivative, written in NumPy independently of the torch field."""
    first, bias, second, last = weights
    hidden = np.tanh(y @ first[:, :-1].T + t * first[:, -1] + bias)
    return hidden, hidden @ second.T + last


def gradient_of(
    known: KnownProblem, covector: Float64[np.ndarray, "batch features"] | None = None
) -> Float64[np.ndarray, " inputs"]:
    """The gradient of the final states along a covector, as an ``Answer`` holds it.

    Without one, that of the summed squares of the final states.

    SciPy solves the adjoint equations along the closed form of the states, so only linear equations
    are solved backward: ``a' = -a df/dy``, ``g' = -a df/dtheta``.
    """
    weights = [p.detach().numpy() for p in known.problem.field.parameters()]
    first, _, second, _ = weights
    start, end = known.problem.ts[0].item(), known.problem.ts[-1].item()
    shape = known.problem.y0.shape

    def slope(t: float, flat: np.ndarray) -> np.ndarray:
        a, y = flat[: np.prod(shape)].reshape(shape), known.flow(t)
        hidden, _ = _mlp_forward(weights, t, y)
        inner = (a @ second) * (1 - hidden**2)
        inputs = np.column_stack([y, np.full(len(y), t)])
        parts = [inner @ first[:, :-1], inner.T @ inputs, inner.sum(0), a.T @ hidden, a.sum(0)]
        return -np.concatenate([p.ravel() for p in parts])

    if covector is None:
        covector = 2 * known.flow(end)
    flat = np.concatenate([covector.ravel(), np.zeros(sum(w.size for w in weights))])
    return solve_ivp(slope, (end, start), flat, "DOP853", rtol=TIGHT, atol=TIGHT).y[:, -1]


# --- without a solution


class Formula(nn.Module):
    """A field without parameters, given by a formula of the time and the state."""

    def __init__(self, formula: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative."""
        return self.formula(t, y)


def blow_up() -> Problem:
    """``y' = y^2`` from 1, which is infinite at t = 1, to t = 2."""
    return _problem(Formula(lambda t, y: y * y), np.ones((1, 1)), 0.0, 2.0)


def not_a_number() -> Problem:
    """A field that is NaN everywhere."""
    weights = np.zeros((1, 2)), np.zeros(1), np.ones((1, 1)), np.array([np.nan])
    return _problem(_mlp(*weights), np.ones((1, 1)), 0.0, 1.0)


def infinite_later() -> Problem:
    """``y' = -tanh(y)`` up to t = 0.5, from where on the field is infinite."""
    huge = np.finfo(np.float64).max
    first = np.array([[1.0, 0.0], [0.0, 1e4], [0.0, 0.0]])
    bias = np.array([0.0, -5e3, 1e3])
    return _problem(
        _mlp(first, bias, np.array([[-1.0, huge, huge]]), np.zeros(1)), np.ones((1, 1)), 0.0, 1.0
    )
