"""What becomes of problems that cannot be solved, and of one that is hard."""

from collections.abc import Callable
from functools import partial

import numpy as np

from odeclaims.backends import Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.check import (
    FACTOR,
    Check,
    Observed,
    in_short,
    misses,
    posed,
    prepared,
    tolerances,
)
from odeclaims.report.tables import number
from odeclaims.workloads import Problem

LIMIT_S = 30.0
_TOL = 1e-6


def fate(pose: Callable[[], Problem], backend: Backend) -> Observed:
    """One for a finite answer to a problem that has none, else zero."""
    problem = pose()
    work = prepared(backend, problem, tol=_TOL)
    try:
        answer = work.answer(work.run())
    except Exception as error:
        return Observed(0, f"raises {in_short(error)}")
    if not np.isfinite(answer.states).all():
        return Observed(0, "answers with values that are not finite")
    return Observed(1, f"answers {number(float(answer.states.flat[-1]))} without a word")


def stiff(backend: Backend) -> Observed:
    """The error in units of the tolerance, or zero where the solver gives up in so many words."""
    known = posed(backend, problems.stiff())
    tol = tolerances(backend)[0]
    work = prepared(backend, known.problem, tol=tol)
    try:
        answer = work.answer(work.run())
    except Exception as error:
        return Observed(0, f"raises {in_short(error)}")
    if not np.isfinite(answer.states).all():
        return Observed(0, "answers with values that are not finite")
    return Observed(misses(answer, known, tol), f"solved with {answer.nfe_forward} evaluations")


CHECKS = [
    *(
        Check(
            "failing problems",
            what,
            "1 for a finite number without a word, else 0",
            Bounds(at_most=0),
            "there is no solution; an error or a visible NaN says so",
            partial(fate, pose),
            LIMIT_S,
        )
        for what, pose in (
            ("blow-up in finite time", problems.blow_up),
            ("field that is NaN", problems.not_a_number),
            ("field that becomes infinite half way", problems.infinite_later),
        )
    ),
    Check(
        "failing problems",
        "stiff problem, rate 1000",
        "error in units of the tolerance; 0 where the solver gives up visibly",
        Bounds(at_most=FACTOR),
        "an explicit method needs some hundred steps for it, and may say no, but not be wrong",
        stiff,
        LIMIT_S,
    ),
]
