"""The work of the benchmarks, on whichever commit of the package is installed.

asv runs the benchmark files of the working copy against the package of every commit of a range. The
workloads come from the working copy too, so every commit does the same work, even one that is older
than the workloads. If a commit lacks what a benchmark needs, a ``NotImplementedError`` leaves a gap
in its history.
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
    "symplectic": ("SymplecticAdjoint", {}, {}),
    "reversible": ("Reversible", {}, {"method": "reversible_heun"}),
    "interpolated": ("InterpolatedAdjoint", {}, {}),
}
# On [0, 10] for the MLPs, on [0, 1] for the conv field.
REFERENCE_STEPS = 128
Function = TypeVar("Function", bound=Callable)


def unit(name: str) -> Callable[[Function], Function]:
    """Set the unit of a ``track_`` function, in the attribute that asv reads."""

    def mark(function: Function) -> Function:
        function.__dict__["unit"] = name
        return function

    return mark


def installed(module: str, name: str) -> Any:
    """An object of the installed package, by its name.

    Raises:
        NotImplementedError: if this commit has no such module or name.
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
        raise NotImplementedError(f"this commit is too old for the workloads: {error}") from error


# Each measurement is a fork of a process that has imported this file. So torch is imported once a
# commit, as are the modules that torch imports only for a gradient, an update or a compiler.
with suppress(NotImplementedError, ImportError):
    _workloads()
    importlib.import_module("torch._dynamo")


@cache
def problem(workload: str, batch: int | None = None) -> Any:
    """The problem of that workload, or the one of its first ``batch`` states, on one thread.

    Raises:
        NotImplementedError: if this commit lacks the networks of the workload.
    """
    torch.set_num_threads(1)
    whole = _workloads()["WORKLOADS"][workload].problem()
    return replace(whole, y0=whole.y0[:batch])


def in_float64(problem: Any) -> Any:
    """The same problem with field, states and times in float64, in which counts are taken.

    Rounding in float32 differs between processors. If a tolerance is near it, or a ReLU bends the
    flow, rounding decides whether a step is taken on one machine and not on another.
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
    """Raise NotImplementedError if this commit has no method of that name."""
    y0, ts = torch.ones(1), torch.tensor([0.0, 0.1])
    try:
        installed("neural_ode", "solve")(lambda t, y: -y, y0, ts, method=method, rtol=0.1, atol=0.1)
    except ValueError as error:
        if "unknown method" not in str(error):
            raise
        raise NotImplementedError(str(error)) from error


def compile_solve(problem: Any) -> None:
    """Let the solver compile the step of this problem and keep it.

    Raises:
        NotImplementedError: if this commit cannot compile, or this machine has no compiler.
        UserWarning: if compiling failed.
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
        NotImplementedError: if this commit has no such method.
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


def relative_error(computed: Tensor, expected: Tensor) -> float:
    """The 2-norm of the difference over that of what was expected."""
    return float((computed.double() - expected).norm() / expected.norm())


def gradient_error(computed: list[Tensor], expected: list[Tensor]) -> float:
    """The larger of two relative errors: by the initial states, and by all parameters together."""
    by_state = relative_error(computed[0], expected[0])
    flat = [torch.cat([x.flatten() for x in gradients[1:]]) for gradients in (computed, expected)]
    return max(by_state, relative_error(*flat))
