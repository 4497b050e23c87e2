"""diffrax's solves of fields that are written in JAX, as programs that are compiled once."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from odeclaims.backends.base import Crossing
from odeclaims.backends.jax_fields import JaxField
from odeclaims.workloads import loss_of

# For each method: diffrax's name, and the evaluations of a step; the last stage begins the next.
# An implicit step takes as many as its equations need.
METHODS = {
    "dopri5": ("Dopri5", 6),
    "tsit5": ("Tsit5", 6),
    "bosh3": ("Bosh3", 3),
    "kvaerno3": ("Kvaerno3", None),
    "kvaerno5": ("Kvaerno5", None),
}


def evaluations(method: str, steps: int) -> int | None:
    """Those of a forward solve, of which diffrax counts the steps; ``None`` where they vary."""
    of_step = METHODS[method][1]
    return None if of_step is None else 1 + of_step * steps


class Program:
    """A function that is compiled before its first call, so that compiling is timed separately.

    It is compiled once for all arguments of equal shapes.
    """

    def __init__(self, function: Callable[..., tuple[Any, Any, Any]]) -> None:
        self.function = function
        self.compiled: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> tuple[Any, Any, Any, float | None]:
        """What the function returns, when it is computed, and the seconds of compiling, if any."""
        import jax

        compile_s = None
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(arguments))
        if shapes not in self.compiled:
            started = time.perf_counter()
            # By default JAX rounds the factors of a float32 product to ten bits on a GPU.
            with jax.default_matmul_precision("highest"):
                self.compiled[shapes] = jax.jit(self.function).lower(*arguments).compile()
            compile_s = time.perf_counter() - started
        return *jax.block_until_ready(self.compiled[shapes](*arguments)), compile_s


def _solve(
    field: JaxField, method: str, y0: Any, params: Any, tol: Any, ends: tuple[Any, Any], **more: Any
) -> Any:
    """diffrax's solution, with its controller's defaults."""
    import diffrax

    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        getattr(diffrax, METHODS[method][0])(),
        t0=ends[0],
        t1=ends[1],
        dt0=None,
        y0=y0,
        args=params,
        stepsize_controller=diffrax.PIDController(rtol=tol, atol=tol),
        **more,
    )


@cache
def solve_program(
    field: JaxField,
    shape: tuple[int, ...],
    times: tuple[float, ...],
    method: str,
    gradient: str | None,
    kind: tuple[torch.dtype, str] = (torch.float32, "cpu"),
) -> Program:
    """The solve, with its gradient where one is asked for; one for each shape, dtype and device."""
    import diffrax
    import jax

    # The final states alone need no interpolation.
    saveat = diffrax.SaveAt(t1=True) if len(times) == 2 else diffrax.SaveAt(ts=times[1:])

    def solve(y0: Any, params: Any, tol: Any) -> tuple[Any, Any]:
        ends, how = (times[0], times[-1]), {"saveat": saveat, "adjoint": _adjoint(gradient, tol)}
        solution = _solve(field, method, y0, params, tol, ends, **how)
        return solution.ys, solution.stats["num_steps"]

    def loss(y0: Any, params: Any, tol: Any) -> tuple[Any, tuple[Any, Any]]:
        ys, steps = solve(y0, params, tol)
        # The loss uses only operations that arrays of JAX have too.
        of_arrays: Any = loss_of
        return of_arrays(ys), (ys, steps)

    def forward(y0: Any, params: Any, tol: Any) -> tuple[Any, Any, Any]:
        ys, steps = solve(y0, params, tol)
        return ys, None, steps

    def forward_and_backward(y0: Any, params: Any, tol: Any) -> tuple[Any, Any, Any]:
        gradients, (ys, steps) = jax.grad(loss, argnums=(0, 1), has_aux=True)(y0, params, tol)
        return ys, gradients, steps

    return Program(forward if gradient is None else forward_and_backward)


def _adjoint(gradient: str | None, tol: Any) -> Any:
    """diffrax's own object for a gradient."""
    import diffrax

    if gradient == "adjoint":
        return diffrax.BacksolveAdjoint()
    if gradient == "seminorm":
        controller = diffrax.PIDController(rtol=tol, atol=tol, norm=diffrax.adjoint_rms_seminorm)
        return diffrax.BacksolveAdjoint(stepsize_controller=controller)
    return diffrax.RecursiveCheckpointAdjoint()


@cache
def dense_program(field: JaxField, method: str) -> Callable[..., Any]:
    """From initial states, parameters, tolerance, both ends and some times to the states there.

    It also gives the number of steps.
    """
    import diffrax
    import jax

    def states(y0: Any, params: Any, tol: Any, ends: tuple[Any, Any], times: Any) -> Any:
        saveat = diffrax.SaveAt(dense=True)
        solution = _solve(field, method, y0, params, tol, ends, saveat=saveat)
        return jax.vmap(solution.evaluate)(times), solution.stats["num_steps"]

    return jax.jit(states)


@cache
def event_program(
    field: JaxField, event: Crossing, method: str, differentiate: bool
) -> Callable[..., Any]:
    """From initial states, parameters, tolerance and both ends to the event's time and state.

    It also gives the gradient of the time, or ``None``.
    """
    import diffrax
    import jax
    import optimistix

    def crossed(t: Any, y: Any, args: Any, **more: Any) -> Any:
        return event.value(t, y)

    def end(y0: Any, params: Any, tol: Any, ends: tuple[Any, Any]) -> Any:
        stop = diffrax.Event(crossed, optimistix.Newton(rtol=tol, atol=tol))
        solution = _solve(field, method, y0, params, tol, ends, event=stop)
        t, y = solution.ts[-1], solution.ys[-1]
        return t, (t, y)

    def with_gradient(*arguments: Any) -> Any:
        gradients, found = jax.grad(end, argnums=(0, 1), has_aux=True)(*arguments)
        return found, gradients

    def without(*arguments: Any) -> Any:
        return end(*arguments)[1], None

    return jax.jit(with_gradient if differentiate else without)
