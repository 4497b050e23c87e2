"""The cost of a log-determinant, of a trace and of its estimate, in products and seconds."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from neural_ode.flows import Hutchinson, closed_trace, exact_trace
from odeclaims.cell import Cell, Row
from odeclaims.claims.change_of_variables.fields import random_points
from odeclaims.claims.change_of_variables.settings import (
    LARGEST_SQUARE,
    TIMED_MATRICES,
    TIMED_POINTS,
)


class _CountProducts(torch.autograd.Function):
    """The identity; each vector-Jacobian product through it adds one to a list."""

    @staticmethod
    def forward(ctx, x, passed):
        ctx.passed = passed
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *grads):
        ctx.passed.append(1)
        return grads[0], None


def _count(work: Callable[[Callable], Any], field: nn.Module) -> int:
    """The vector-Jacobian products that ``work`` takes of the field."""
    passed: list[int] = []
    work(lambda t, z: _CountProducts.apply(field(t, z), passed))
    return len(passed)


@torch.no_grad()
def _shortest(work: Callable[[], Any]) -> float:
    """Seconds of the quickest call among those that fit a fifth of a second, at least three."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < 0.2:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def measure_costs(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    """The vector-Jacobian products of each quantity, and the seconds that it takes a point.

    The log-determinant and the exact trace are left out where a matrix would be too large.
    """
    dim = cell.params["dim"]
    z, t = random_points(TIMED_POINTS, dim, generator), torch.tensor(0.5, dtype=torch.float64)
    noise = Hutchinson(generator=generator).draw(z)
    works: dict[str, Callable[[Any], Any]] = {
        "estimate": lambda f: noise(f, t, z),
        "closed": lambda f: closed_trace(field, t, z),
    }
    if dim <= LARGEST_SQUARE:
        jacobians = random_points(TIMED_MATRICES * dim, dim, generator).view(-1, dim, dim)
        works["determinant"] = lambda f: torch.linalg.slogdet(jacobians)
        works["exact"] = lambda f: exact_trace(f, t, z)
    rows: list[Row] = []
    for name, work in works.items():
        batch = TIMED_MATRICES if name == "determinant" else TIMED_POINTS
        seconds = _shortest(partial(work, field)) / batch
        rows.append({"quantity": name, "vjps": _count(work, field), "time_s": seconds})
    return rows
