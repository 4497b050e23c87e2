"""The checks of samples in a batch, precision, side effects and repetition."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from odeclaims.backends import Backend
from odeclaims.claim import Bounds
from odeclaims.conform import problems
from odeclaims.conform.check import (
    BECAUSE_FACTOR,
    FACTOR,
    Check,
    NotOffered,
    Observation,
    ask,
    error_in_tolerances,
    first_method,
    in_best_precision,
    keeps_float64,
    largest,
    shorten_error,
    tolerances,
)
from odeclaims.conform.cost import RecordingField, require_evaluations
from odeclaims.record.wording import number

HARD, EASY = slice(0, 1), slice(1, 2)


def sample_in_batch(rows: slice, backend: Backend) -> Observation:
    """The error of one sample among the others, in units of the tolerance."""
    known, tol = problems.neighbours(), tolerances(backend)[1]
    alone = in_best_precision(backend, known.part(rows))
    batch = in_best_precision(backend, known)
    by_itself = ask(backend, alone.problem, tol=tol)
    among = ask(backend, batch.problem, tol=tol)
    part = replace(among, states=among.states[:, rows])
    difference = float(np.abs(part.states - by_itself.states).max())
    # A batched matrix product rounds differently from a small one, by no more than this.
    rounding = 1e3 * np.finfo(np.float64 if keeps_float64(backend) else np.float32).eps
    steps = "steps of its own" if difference <= rounding else "steps shared with the batch"
    error = error_in_tolerances(by_itself, alone, tol)
    sentence = f"alone {number(error)}, difference {number(difference)}: {steps}"
    return Observation(error_in_tolerances(part, alone, tol), sentence)


def double(backend: Backend) -> Observation:
    """The error at tolerance 1e-10 in units of it."""
    known, tol = problems.mixed(), 1e-10
    try:
        work = backend.prepare(known.problem, method=first_method(backend), tol=tol, gradient=None)
    except ValueError as error:
        raise NotOffered(shorten_error(error)) from error
    return Observation(error_in_tolerances(work.answer(work.run()), known, tol), "tolerance 1e-10")


def single(backend: Backend) -> Observation:
    """The error of a float32 problem at tolerance 1e-4 in units of it."""
    known, tol = problems.mixed().single(), 1e-4
    return Observation(
        error_in_tolerances(ask(backend, known.problem, tol=tol), known, tol), "tolerance 1e-4"
    )


def precision(name: str, backend: Backend) -> Observation:
    """The number of dtypes, other than the problem's, in which the field is evaluated."""
    dtype = getattr(torch, name)
    known = problems.mixed()
    problem = known.problem if dtype == torch.float64 else known.single().problem
    field = RecordingField(problem.field)
    ask(backend, replace(problem, field=field), tol=1e-3)
    require_evaluations(field)
    names = ", ".join(sorted(str(d).removeprefix("torch.") for d in field.dtypes))
    return Observation(len(field.dtypes - {dtype}), f"evaluated in {names}")


def side_effects(backend: Backend) -> Observation:
    """The number of input tensors that a solve has changed or left a gradient in."""
    problem = in_best_precision(backend, problems.mixed().at(0.0, 2.0)).problem
    inputs = [problem.y0, problem.ts, *problem.field.parameters()]
    before = [tensor.detach().clone() for tensor in inputs]
    for gradient in (None, *backend.gradients[:1]):
        ask(backend, problem, tol=1e-4, gradient=gradient)
    changed = sum(not torch.equal(a, b.detach()) for a, b in zip(before, inputs, strict=True))
    left = sum(tensor.grad is not None for tensor in inputs)
    # Other checks use the same weights.
    with torch.no_grad():
        for tensor, value in zip(inputs, before, strict=True):
            tensor.copy_(value)
            tensor.grad = None
    return Observation(changed + left, f"{changed} changed, {left} with a gradient left in them")


def repeats(backend: Backend) -> Observation:
    """The largest difference between two runs, in states and gradient."""
    problem = in_best_precision(backend, problems.mixed()).problem
    worst = 0.0
    for gradient in (None, *backend.gradients[:1]):
        first, second = (ask(backend, problem, tol=1e-4, gradient=gradient) for _ in range(2))
        worst = largest([worst, np.abs(first.states - second.states).max()])
        if first.gradient is not None and second.gradient is not None:
            worst = largest([worst, np.abs(first.gradient - second.gradient).max()])
    return Observation(worst, "one thread, one process")


CHECKS = [
    *(
        Check(
            "batch",
            f"{what} in a batch",
            "its error in units of the tolerance",
            Bounds(at_most=FACTOR),
            "a norm over the batch may average, but each sample was promised the tolerance",
            partial(sample_in_batch, rows),
        )
        for what, rows in (
            ("a hard sample among 31 easy ones", HARD),
            ("an easy sample beside a hard one", EASY),
        )
    ),
    Check(
        "precision",
        "float64 is kept",
        "largest error in units of the tolerance",
        Bounds(at_most=FACTOR),
        BECAUSE_FACTOR + "; rounding in float32 would be a thousand tolerances",
        double,
    ),
    Check(
        "precision",
        "float32 works",
        "largest error in units of the tolerance",
        Bounds(at_most=FACTOR),
        BECAUSE_FACTOR,
        single,
    ),
    *(
        Check(
            "precision",
            f"the field sees {name} where the problem is",
            "other precisions in which it is evaluated",
            Bounds(at_most=0),
            "another costs time or digits that nobody asked for",
            partial(precision, name),
        )
        for name in ("float32", "float64")
    ),
    Check(
        "manners",
        "what goes in stays as it is",
        "tensors that have changed or hold a gradient",
        Bounds(at_most=0),
        "initial states, times and parameters are the caller's",
        side_effects,
    ),
    Check(
        "manners",
        "two runs give equal bits",
        "largest difference of two runs",
        Bounds(at_most=0),
        "a result that cannot be repeated cannot be checked",
        repeats,
    ),
]
