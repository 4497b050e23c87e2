"""What a check is, and how a backend is asked."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from neural_ode import METHODS, failures
from odeclaims.backends import Answer, Backend, Prepared
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.problems import KnownProblem
from odeclaims.workloads import Problem

Outcome = Literal["pass", "fail", "not offered", "cannot be asked"]

# The explicit methods that the checks ask for; their tableaux give the cost of a step.
METHODS_ASKED = ("dopri5", "tsit5", "bosh3")
# The implicit methods: for the stiff problem, and for other checks where a solver has no explicit
# one.
IMPLICIT = ("kvaerno3", "kvaerno5")
# An error may be this many times the tolerance: a tolerance bounds the error of one step, and the
# errors of the steps add up. The speed suite has the same bound.
FACTOR = 100.0
BECAUSE_FACTOR = (
    "a tolerance bounds the error of one step, and errors add up; the speed suite's bound too"
)


class NotOffered(Exception):
    """The backend refuses what is asked; the message is its own."""


class CannotAsk(Exception):
    """The check cannot measure this backend; the message says why."""


@dataclass(frozen=True)
class Observation:
    """The result of a check before it is judged: a number, and a sentence that explains it."""

    value: float
    sentence: str = ""


@dataclass(frozen=True)
class Check:
    """One question to a solver, and the criterion for its answer.

    Attributes:
        group: the heading that it is listed under.
        name: the question in a few words, with the method or the gradient.
        value: what the measured number means.
        bounds: the check passes if the number lies in this range.
        because: the reason for this range.
        measure: asks the backend.
        limit_s: the seconds that a solver has for its answer; it fails the check after that.
    """

    group: str
    name: str
    value: str
    bounds: Bounds
    because: str
    measure: Callable[[Backend], Observation]
    limit_s: float = 120.0

    def judge(self, backend: Backend) -> "Finding":
        """Measure in this process and judge.

        ``NotOffered`` and ``NotImplementedError`` are "not offered", ``CannotAsk`` is "cannot be
        asked", and any other error is a failed check.
        """
        try:
            observed = self.measure(backend)
        except (NotOffered, failures.NotOffered, NotImplementedError) as reason:
            return Finding(self, "not offered", None, str(reason))
        except CannotAsk as reason:
            return Finding(self, "cannot be asked", None, str(reason))
        except Exception as error:
            return Finding(self, "fail", None, f"raised {shorten_error(error)}")
        holds = self.bounds.hold(observed.value)
        return Finding(self, "pass" if holds else "fail", observed.value, observed.sentence)


@dataclass(frozen=True)
class Finding:
    """The outcome of a check, with the number that was judged, if there is one, and a sentence."""

    check: Check
    outcome: Outcome
    value: float | None
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """The entry in ``scorecard.json``; a value that is not finite is text."""
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


def shorten_error(error: Exception) -> str:
    """The error's type and the beginning of its first line, which is the same in every run.

    If that line only announces a traceback, as in errors from JAX's callbacks, the first line after
    the traceback is taken instead.
    """
    lines = str(error).strip().splitlines() or ["without a message"]
    text = lines[0]
    if text.endswith("Traceback (most recent call last):"):
        text = next((line for line in lines[1:] if line[:1].strip()), text)
    return f"{type(error).__name__}: {text if len(text) <= 160 else text[:157] + '...'}"


def prepare(
    backend: Backend,
    problem: Problem,
    *,
    tol: float,
    method: str | None = None,
    gradient: str | None = None,
) -> Prepared:
    """The work, set up by the backend; without a ``method``, with the first that it has.

    Raises:
        CannotAsk: if the backend does not know such a problem.
    """
    method = method or first_method(backend)
    try:
        return backend.prepare(problem, method=method, tol=tol, gradient=gradient)
    except ValueError as error:
        raise CannotAsk(f"the backend refuses the problem: {shorten_error(error)}") from error


def ask(backend: Backend, problem: Problem, **how: Any) -> Answer:
    """The backend's answer to a problem; the arguments are those of ``prepare``."""
    work = prepare(backend, problem, **how)
    return work.answer(work.run())


@cache
def find_refusal(backend: Backend, method: str) -> str:
    """The error with which the backend refuses the method; "" if it has it.

    By the contract ``prepare`` refuses, but some solvers read the name only when they run. The
    problem is in float32, as the workloads are, and in float64 where that is refused.
    """
    refusal = ""
    for known in (problems.mixed().single(), problems.mixed()):
        try:
            backend.prepare(known.problem, method=method, tol=1e-3, gradient=None).run()
            return ""
        except (ValueError, NotImplementedError, failures.NotOffered) as error:
            refusal = refusal or shorten_error(error)
    return refusal


def require_method(backend: Backend, method: str) -> None:
    """Raise ``NotOffered`` if the backend does not have the method."""
    refusal = find_refusal(backend, method)
    if refusal:
        raise NotOffered(refusal)


def first_method(backend: Backend) -> str:
    """The first of ``METHODS_ASKED`` and of ``IMPLICIT`` that the backend has.

    Raises:
        CannotAsk: if it has none of them.
    """
    names = (*METHODS_ASKED, *IMPLICIT)
    for name in names:
        if not find_refusal(backend, name):
            return name
    raise CannotAsk(f"the backend has none of the methods {', '.join(names)}")


def require_gradient(backend: Backend, gradient: str) -> None:
    """Raise ``NotOffered`` if the backend does not offer the gradient."""
    if gradient not in backend.gradients:
        offered = ", ".join(backend.gradients) or "none"
        raise NotOffered(f"the backend offers the gradients: {offered}")


@cache
def keeps_float64(backend: Backend) -> bool:
    """Whether a change of the initial states that float32 would round away moves the final ones."""
    problem = problems.mixed().problem
    moved = replace(problem, y0=problem.y0 * (1 + 1e-12))
    try:
        first, second = (ask(backend, p, tol=1e-4).states for p in (problem, moved))
    except Exception:
        # The checks that ask in float64 report the error.
        return False
    return not np.array_equal(first, second)


def require_float64(backend: Backend) -> None:
    """Raise ``CannotAsk`` if rounding would hide what the check measures."""
    if not keeps_float64(backend):
        raise CannotAsk("the backend does not keep float64, and rounding in float32 hides it")


def in_best_precision(backend: Backend, known: KnownProblem) -> KnownProblem:
    """The problem in the best precision that the backend keeps."""
    return known if keeps_float64(backend) else known.single()


def tolerances(backend: Backend) -> tuple[float, ...]:
    """Tolerances from loose to tight, all far above the rounding of the backend's precision."""
    return (1e-4, 1e-5, 1e-6, 1e-7, 1e-8) if keeps_float64(backend) else (1e-2, 1e-3, 1e-4)


def scaled_errors(
    answer: Answer, known: KnownProblem
) -> Float64[np.ndarray, "time batch features"] | Float64[np.ndarray, "0 0 0"]:
    """The absolute error of every number over one plus its size, as the tolerances weigh it.

    Raises:
        ValueError: if the answer is not one state for every output time after the first.
    """
    expected = known.states()
    if answer.states.shape != expected.shape:
        raise ValueError(
            f"the states have the shape {answer.states.shape}, expected {expected.shape}: one for"
            " every output time after the first"
        )
    return np.abs(answer.states - expected) / (1 + np.abs(expected))


def largest(values: Iterable[float]) -> float:
    """The largest number; NaN if one is NaN, which lies within no bounds."""
    return float(np.max(list(values)))


def worst_tolerance(errors: dict[float, float]) -> Observation:
    """The largest of some errors, each in units of its tolerance; the tolerances are the keys."""
    # argmax takes a NaN for the largest.
    tol = list(errors)[int(np.argmax(list(errors.values())))]
    return Observation(errors[tol], f"the worst is at tolerance {tol:g}")


def error_in_tolerances(answer: Answer, known: KnownProblem, tol: float) -> float:
    """The largest error in units of the tolerance."""
    return float(scaled_errors(answer, known).max()) / tol


def forward_evaluations(answer: Answer) -> int:
    """The number of forward evaluations that the backend states.

    Raises:
        CannotAsk: if it states none.
    """
    if answer.nfe_forward is None:
        raise CannotAsk("the backend does not say how often it evaluates the field")
    return answer.nfe_forward


def evaluations_per_step(method: str) -> int:
    """Evaluations of one step of this method, by its tableau."""
    return METHODS[method].nfe_per_step
