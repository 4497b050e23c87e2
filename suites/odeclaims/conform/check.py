"""What a check is, and how a backend is asked."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from neural_ode import METHODS
from odeclaims.backends import Answer, Backend, Prepared
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.problems import Known
from odeclaims.workloads import Problem

Outcome = Literal["pass", "fail", "not offered", "cannot be asked"]

# The methods that are asked for, with the tableaux that say what they cost.
ASKED = ("dopri5", "tsit5", "bosh3")
# An error may be this many times the tolerance: errors add up over the steps, a tolerance bounds
# those of single steps, and the speed suite takes an answer within it for right too.
FACTOR = 100.0
BECAUSE_FACTOR = (
    "a tolerance bounds the error of one step, and errors add up; the speed suite's bound too"
)


class NotOffered(Exception):
    """The backend says that it does not do what is asked; the message says in which words."""


class CannotAsk(Exception):
    """The check has no way to find out; the message says why."""


@dataclass(frozen=True)
class Observed:
    """What a check saw: a number to be judged, and what stands behind it."""

    value: float
    sentence: str = ""


@dataclass(frozen=True)
class Check:
    """One question to a solver, with its criterion, which was written before it was put.

    Attributes:
        group: the heading it stands under.
        name: what is asked, in a few words, with the method or the gradient.
        value: what the number is that is judged.
        bounds: the range in which the check is passed.
        because: why this range.
        look: asks the backend.
        limit_s: seconds after which a solver that has not answered is taken to hang.
    """

    group: str
    name: str
    value: str
    bounds: Bounds
    because: str
    look: Callable[[Backend], Observed]
    limit_s: float = 120.0

    def judge(self, backend: Backend) -> "Finding":
        """Ask, here and now; whatever the backend raises is a finding too."""
        try:
            observed = self.look(backend)
        except NotOffered as reason:
            return Finding(self, "not offered", None, str(reason))
        except CannotAsk as reason:
            return Finding(self, "cannot be asked", None, str(reason))
        except Exception as error:
            return Finding(self, "fail", None, f"raised {in_short(error)}")
        holds = self.bounds.hold(observed.value)
        return Finding(self, "pass" if holds else "fail", observed.value, observed.sentence)


@dataclass(frozen=True)
class Finding:
    """What came of a check: the number that was judged, where there is one, and a sentence."""

    check: Check
    outcome: Outcome
    value: float | None
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``scorecard.json``; a value that is not finite is text."""
        finite = self.value is None or math.isfinite(self.value)
        return {
            "group": self.check.group,
            "check": self.check.name,
            "outcome": self.outcome,
            "measured": self.value if finite else str(self.value),
            "what": self.check.value,
            "passes_if": str(self.check.bounds),
            "because": self.check.because,
            "sentence": self.sentence,
        }


def in_short(error: Exception) -> str:
    """The error's type and the beginning of its first line, which is the same in every run.

    Where that begins the traceback of another language's runtime, as with JAX's callbacks, it is
    the line behind it that speaks.
    """
    lines = str(error).strip().splitlines() or ["without a message"]
    text = lines[0]
    if text.endswith("Traceback (most recent call last):"):
        text = next((line for line in lines[1:] if line[:1].strip()), text)
    return f"{type(error).__name__}: {text if len(text) <= 160 else text[:157] + '...'}"


def prepared(
    backend: Backend,
    problem: Problem,
    *,
    tol: float,
    method: str | None = None,
    gradient: str | None = None,
) -> Prepared:
    """The work, by the backend's first method unless told.

    Raises:
        CannotAsk: where the backend does not know such a problem.
    """
    method = method or first_method(backend)
    try:
        return backend.prepare(problem, method=method, tol=tol, gradient=gradient)
    except ValueError as error:
        raise CannotAsk(f"the backend refuses the problem: {in_short(error)}") from error


def ask(backend: Backend, problem: Problem, **how: Any) -> Answer:
    """The backend's answer."""
    work = prepared(backend, problem, **how)
    return work.answer(work.run())


@cache
def methods(backend: Backend) -> dict[str, str]:
    """Of each method that is asked for: "" where the backend has it, or how it refuses.

    The contract says that ``prepare`` refuses, but some solvers look at the name when they run. The
    problem is in float32, as the workloads are.
    """
    problem = problems.mixed().single().problem
    refusals = {}
    for name in ASKED:
        try:
            backend.prepare(problem, method=name, tol=1e-3, gradient=None).run()
            refusals[name] = ""
        except (ValueError, NotImplementedError) as error:
            refusals[name] = in_short(error)
    return refusals


def require_method(backend: Backend, method: str) -> None:
    """Raise ``NotOffered`` for a method that the backend has not got."""
    refusal = methods(backend)[method]
    if refusal:
        raise NotOffered(refusal)


def first_method(backend: Backend) -> str:
    """The first of ``ASKED`` that the backend has.

    Raises:
        CannotAsk: where it has none.
    """
    for name, refusal in methods(backend).items():
        if not refusal:
            return name
    raise CannotAsk(f"the backend has none of the methods {', '.join(ASKED)}")


def require_gradient(backend: Backend, gradient: str) -> None:
    """Raise ``NotOffered`` for a gradient that the backend does not offer."""
    if gradient not in backend.gradients:
        offered = ", ".join(backend.gradients) or "none"
        raise NotOffered(f"the backend offers the gradients: {offered}")


@cache
def keeps_float64(backend: Backend) -> bool:
    """Whether the final states see a change of the initial ones that float32 does not."""
    problem = problems.mixed().problem
    moved = replace(problem, y0=problem.y0 * (1 + 1e-12))
    try:
        first, second = (ask(backend, p, tol=1e-4).states for p in (problem, moved))
    except Exception:
        # Whatever it is, the checks that pose the problem in float64 show it.
        return False
    return not np.array_equal(first, second)


def require_float64(backend: Backend) -> None:
    """Raise ``CannotAsk`` where rounding would hide what the check looks at."""
    if not keeps_float64(backend):
        raise CannotAsk("the backend does not keep float64, and rounding in float32 hides it")


def posed(backend: Backend, known: Known) -> Known:
    """The problem in the best precision that the backend keeps."""
    return known if keeps_float64(backend) else known.single()


def tolerances(backend: Backend) -> tuple[float, ...]:
    """From loose to tight, all far above the rounding of the backend's precision."""
    return (1e-4, 1e-5, 1e-6, 1e-7, 1e-8) if keeps_float64(backend) else (1e-2, 1e-3, 1e-4)


def scaled(
    answer: Answer, known: Known
) -> Float64[np.ndarray, "time batch features"] | Float64[np.ndarray, "0 0 0"]:
    """The error of every number, over one plus its size, as the tolerances weigh it.

    Raises:
        ValueError: where the answer has another shape than states at every time after the first.
    """
    expected = known.states()
    if answer.states.shape != expected.shape:
        raise ValueError(
            f"the states have the shape {answer.states.shape}, expected {expected.shape}: one for"
            " every output time after the first"
        )
    return np.abs(answer.states - expected) / (1 + np.abs(expected))


def misses(answer: Answer, known: Known, tol: float) -> float:
    """The largest error in units of the tolerance."""
    return float(scaled(answer, known).max()) / tol


def evaluations(answer: Answer) -> int:
    """The forward evaluations that the backend states.

    Raises:
        CannotAsk: where it states none.
    """
    if answer.nfe_forward is None:
        raise CannotAsk("the backend does not say how often it evaluates the field")
    return answer.nfe_forward


def per_step(method: str) -> int:
    """Evaluations of one step of this method, by its tableau."""
    return METHODS[method].nfe_per_step
