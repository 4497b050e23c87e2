"""What the benchmarks run, on whichever commit of the package is installed.

asv runs the benchmark files of the working copy against the package of every commit of a range. The
workloads come from the working copy too, so that every commit does the same work, also one that is
older than the workloads. Where the package of a commit has no such thing yet, a
``NotImplementedError`` makes the measurement a gap.
"""

import copy
import importlib
import inspect
import itertools
import os
import runpy
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

WORKLOADS = Path(__file__).parents[1] / "suites" / "odeclaims" / "workloads.py"
# The class in the package, its arguments, and what else the solve needs.
GRADIENTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "backprop": ("Backprop", {}, {}),
    "adjoint": ("Adjoint", {}, {}),
    "seminorm": ("Adjoint", {"norm": "seminorm"}, {}),
    "checkpointed": ("Checkpointed", {}, {}),
    "reversible": ("Reversible", {}, {"method": "reversible_heun"}),
    "interpolated": ("InterpolatedAdjoint", {}, {}),
}
# On [0, 10] for the MLPs, on [0, 1] for the conv field.
REFERENCE_STEPS = 128
Function = TypeVar("Function", bound=Callable)


def unit(name: str) -> Callable[[Function], Function]:
    """Say in which unit a ``track_`` function counts, where asv looks for it."""

    def mark(function: Function) -> Function:
        function.__dict__["unit"] = name
        return function

    return mark


def installed(module: str, name: str) -> Any:
    """A name of the installed package.

    Raises:
        NotImplementedError: where this commit has no such module or name.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NotImplementedError(f"{module}.{name} is not there: {error}") from error


@cache
def _workloads() -> dict[str, Any]:
    """The names of the working copy's workloads module, on top of the installed package."""
    try:
        return runpy.run_path(str(WORKLOADS))
    except ImportError as error:
        raise NotImplementedError(f"the workloads need more than there is: {error}") from error


# Each measurement is a fork of a process that has imported this: torch is imported once a commit,
# and so are the modules that torch imports no sooner than for a gradient, an update or a compiler.
with suppress(NotImplementedError, ImportError):
    _workloads()
    importlib.import_module("torch._dynamo")


@cache
def problem(workload: str, batch: int | None = None) -> Any:
    """The problem of that workload, or the one of its first ``batch`` states, on one thread.

    Raises:
        NotImplementedError: where this commit lacks the networks that it is made of.
    """
    torch.set_num_threads(1)
    whole = _workloads()["WORKLOADS"][workload].problem()
    return replace(whole, y0=whole.y0[:batch])


def in_float64(problem: Any) -> Any:
    """The same problem with field, states and times in float64, in which counts are taken.

    Where a tolerance is near the roundings of float32, which differ between processors, or a ReLU
    bends the flow, they decide about a step: one more on one machine, and not on another.
    """
    field = copy.deepcopy(problem.field).double()
    return replace(problem, field=field, y0=problem.y0.double(), ts=problem.ts.double())


def solve(problem: Any, **settings: Any) -> Any:
    """The forward solve at the problem's tolerance."""
    tolerance = {"rtol": problem.tol, "atol": problem.tol}
    return installed("neural_ode", "solve")(
        problem.field, problem.y0, problem.ts, **tolerance, **settings
    )


def require_method(method: str) -> None:
    """Raise NotImplementedError where this commit has no method of that name."""
    y0, ts = torch.ones(1), torch.tensor([0.0, 0.1])
    try:
        installed("neural_ode", "solve")(lambda t, y: -y, y0, ts, method=method, rtol=0.1, atol=0.1)
    except ValueError as error:
        if "unknown method" not in str(error):
            raise
        raise NotImplementedError(str(error)) from error


def compile_solve(problem: Any) -> None:
    """Let the solver compile this problem's step, which it then keeps.

    Raises:
        NotImplementedError: where this commit does not compile, or this machine has no compiler.
        UserWarning: where compiling went wrong.
    """
    if "compile" not in inspect.signature(installed("neural_ode", "solve")).parameters:
        raise NotImplementedError("solve cannot compile yet")
    if not any(map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++"))):
        raise NotImplementedError("there is no C++ compiler here")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("error", message="not compiled")
        solve(problem, compile=True)


def gradient_settings(gradient: str) -> dict[str, Any]:
    """The arguments of ``solve`` that choose a gradient method.

    Raises:
        NotImplementedError: where this commit has no such method.
    """
    name, arguments, others = GRADIENTS[gradient]
    if "method" in others:
        require_method(others["method"])
    return {"gradient": installed("neural_ode", name)(**arguments), **others}


def differentiate(problem: Any, **settings: Any) -> tuple[Any, list[Tensor]]:
    """The solution, and the loss's gradient by the initial states and by each parameter."""
    y0 = problem.y0.clone().requires_grad_()
    solution = solve(replace(problem, y0=y0), **settings)
    loss = _workloads()["loss_of"](solution.ys)
    return solution, list(torch.autograd.grad(loss, [y0, *problem.field.parameters()]))


@cache
def reference(workload: str, batch: int | None = None) -> tuple[Tensor, list[Tensor]]:
    """The states at every output time, and the gradients, in float64 and without the package.

    Fixed steps of the classic Runge-Kutta method, at least ``REFERENCE_STEPS``, differentiated by
    autograd. Its own error is below 1e-8 for the MLPs, and for the gradient through the conv field,
    where a ReLU bends the flow, about 2e-3.
    """
    whole = in_float64(problem(workload, batch))
    field, y0, ts = whole.field, whole.y0.requires_grad_(), whole.ts
    ys = [y0]
    steps = -(-REFERENCE_STEPS // (len(ts) - 1))
    for start, end in itertools.pairwise(ts):
        ys.append(_rk4(field, ys[-1], start, (end - start) / steps, steps))
    loss = _workloads()["loss_of"](torch.stack(ys))
    return torch.stack(ys).detach(), list(torch.autograd.grad(loss, [y0, *field.parameters()]))


def _rk4(field: Callable, y: Tensor, start: Tensor, h: Tensor, steps: int) -> Tensor:
    for i in range(steps):
        t = start + i * h
        k1 = field(t, y)
        k2 = field(t + h / 2, y + h / 2 * k1)
        k3 = field(t + h / 2, y + h / 2 * k2)
        k4 = field(t + h, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def relative_error(found: Tensor, expected: Tensor) -> float:
    """The 2-norm of the difference over that of what was expected."""
    return float((found.double() - expected).norm() / expected.norm())


def gradient_error(found: list[Tensor], expected: list[Tensor]) -> float:
    """The larger of two relative errors: by the initial states, and by all parameters together."""
    by_state = relative_error(found[0], expected[0])
    flat = [torch.cat([x.flatten() for x in gradients[1:]]) for gradients in (found, expected)]
    return max(by_state, relative_error(*flat))
