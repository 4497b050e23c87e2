"""The checks of problems that have no solution."""

from collections.abc import Callable
from functools import partial

import numpy as np

from odeclaims.backends import Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.check import (
    Check,
    Observation,
    keeps_float64,
    prepare,
    shorten_error,
    tolerances,
)
from odeclaims.record.wording import number
from odeclaims.workloads import Problem

LIMIT_S = 30.0


def answer_to_unsolvable(pose: Callable[[], Problem], backend: Backend) -> Observation:
    """One for a finite answer to a problem that has no solution, else zero."""
    problem = pose()
    if not keeps_float64(backend):
        problem = problems.in_float32(problem)
    # In float64 it is 1e-6.
    work = prepare(backend, problem, tol=tolerances(backend)[2])
    try:
        answer = work.answer(work.run())
    except Exception as error:
        return Observation(0, f"raises {shorten_error(error)}")
    if not np.isfinite(answer.states).all():
        return Observation(0, "answers with values that are not finite")
    expected = (len(problem.ts) - 1, *problem.y0.shape)
    if answer.states.shape != expected:
        return Observation(
            1,
            f"answers without a word, but with states of the shape {answer.states.shape}, expected"
            f" {expected}",
        )
    return Observation(1, f"answers {number(float(answer.states.flat[-1]))} without a word")


CHECKS = [
    Check(
        "failing problems",
        what,
        "1 for a finite number without a word, else 0",
        Bounds(at_most=0),
        "there is no solution; an error or a visible NaN says so",
        partial(answer_to_unsolvable, pose),
        LIMIT_S,
    )
    for what, pose in (
        ("blow-up in finite time", problems.blow_up),
        ("field that is NaN", problems.not_a_number),
        ("field that becomes infinite half way", problems.infinite_later),
    )
]
