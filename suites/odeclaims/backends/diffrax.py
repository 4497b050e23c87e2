"""diffrax: the same fields with the same weights, as pure JAX functions; each solve is jitted."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from neural_ode.networks import ConvField, MLPField
from odeclaims.backends.base import Answer, Backend, Prepared
from odeclaims.workloads import Problem, loss_of

# For each method: diffrax's name, and the evaluations of a step; the last stage begins the next.
_METHODS = {"dopri5": ("Dopri5", 6), "tsit5": ("Tsit5", 6), "bosh3": ("Bosh3", 3)}

# JAX's names for the kinds of torch devices.
_PLATFORMS = {"cpu": "cpu", "cuda": "gpu"}

# A field in JAX: from (t, y, parameters) to the derivative.
JaxField = Callable[[Any, Any, Sequence[Any]], Any]


class Diffrax(Backend):
    """diffrax (Kidger 2021) under ``jax.jit``, in the precision of the initial states.

    Its controller's defaults are those of torchdiffeq: the root mean square over the whole batch,
    safety 0.9, factors from 0.2 to 10, and no memory of earlier errors.
    """

    name = "diffrax"
    requires = ("diffrax", "jax")
    gradients = ("checkpointed", "adjoint", "seminorm")
    in_torch = False

    def missing(self, device: str = "cpu") -> list[str]:
        """The packages that are missing, or a build of JAX that finds the GPU."""
        packages = super().missing()
        if packages or device == "cpu":
            return packages
        import jax

        try:
            jax.devices(_PLATFORMS[torch.device(device).type])
        except RuntimeError:
            return ["a build of JAX for CUDA"]
        return []

    def prepare(
        self, problem: Problem, *, method: str, tol: float, gradient: str | None
    ) -> Prepared:
        """The work; its first run compiles it, once for all tolerances."""
        import jax

        if method not in _METHODS:
            raise ValueError(f"backend diffrax knows the methods {', '.join(_METHODS)}: {method!r}")
        times, shape = tuple(problem.ts.tolist()), tuple(problem.y0.shape)
        # JAX rounds everything to float32 unless float64 is enabled.
        double = problem.y0.dtype == torch.float64
        with jax.enable_x64(double):
            kind = (problem.y0.dtype, problem.y0.device.type)
            field = jax_field(problem.field, problem.y0.device.type)
            program = _program(field, shape, times, method, gradient, kind)
            y0 = to_jax_layout(problem.field, problem.y0.cpu().numpy())
            arguments = (y0, jax_params(problem.field), np.asarray(tol, y0.dtype))
            arguments = jax.device_put(
                arguments, jax.devices(_PLATFORMS[problem.y0.device.type])[0]
            )

        def run() -> tuple[Any, Any, Any, float | None]:
            with jax.enable_x64(double):
                return program(*arguments)

        def answer(output: tuple[Any, Any, Any, float | None]) -> Answer:
            ys, gradients, steps, compile_s = output
            vector = None
            if gradients is not None:
                of_states, of_params = gradients
                parts = [to_torch_layout(problem.field, of_states), *of_params]
                vector = np.concatenate([_float64(part).ravel() for part in parts])
            # diffrax counts steps, not evaluations, and only those of the forward solve.
            evaluations = 1 + _METHODS[method][1] * int(steps)
            states = _float64(to_torch_layout(problem.field, ys))
            return Answer(states, vector, evaluations, None, compile_s)

        return Prepared(run, answer)


def _float64(array: Any) -> np.ndarray:
    return np.asarray(array, dtype=np.float64)


class _Program:
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


@cache
def _program(
    field: JaxField,
    shape: tuple[int, ...],
    times: tuple[float, ...],
    method: str,
    gradient: str | None,
    kind: tuple[torch.dtype, str] = (torch.float32, "cpu"),
) -> _Program:
    """The solve, with its gradient where one is asked for; one for each shape, dtype and device."""
    import diffrax
    import jax

    solver = getattr(diffrax, _METHODS[method][0])()
    # The final states alone need no interpolation.
    saveat = diffrax.SaveAt(t1=True) if len(times) == 2 else diffrax.SaveAt(ts=times[1:])

    def solve(y0: Any, params: Any, tol: Any) -> tuple[Any, Any]:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            solver,
            t0=times[0],
            t1=times[-1],
            dt0=None,
            y0=y0,
            args=params,
            saveat=saveat,
            stepsize_controller=diffrax.PIDController(rtol=tol, atol=tol),
            adjoint=_adjoint(gradient, tol),
        )
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

    return _Program(forward if gradient is None else forward_and_backward)


def _adjoint(gradient: str | None, tol: Any) -> Any:
    """diffrax's own object for a gradient."""
    import diffrax

    if gradient == "adjoint":
        return diffrax.BacksolveAdjoint()
    if gradient == "seminorm":
        controller = diffrax.PIDController(rtol=tol, atol=tol, norm=diffrax.adjoint_rms_seminorm)
        return diffrax.BacksolveAdjoint(stepsize_controller=controller)
    return diffrax.RecursiveCheckpointAdjoint()


def jax_params(field: nn.Module) -> tuple[Any, ...]:
    """The field's parameters as JAX arrays, in the order of ``field.parameters()``."""
    import jax.numpy as jnp

    return tuple(jnp.asarray(p.detach().cpu().numpy()) for p in field.parameters())


def to_jax_layout(field: nn.Module, array: Any) -> Any:
    """States in the layout of the JAX field: channels last for a convolutional field."""
    return np.moveaxis(array, -3, -1) if isinstance(field, ConvField) else array


def to_torch_layout(field: nn.Module, array: Any) -> Any:
    """States in the layout of the torch field."""
    return np.moveaxis(np.asarray(array), -1, -3) if isinstance(field, ConvField) else array


def jax_field(field: nn.Module, device: str = "cpu") -> JaxField:
    """The field as a function of the time, the state and the parameters.

    Args:
        field: the field in torch.
        device: the type of the torch device; the JAX field is written for one of that kind.

    Raises:
        ValueError: for a class that has not been written in JAX.
    """
    if isinstance(field, MLPField):
        return _mlp
    if isinstance(field, ConvField):
        return _conv(field.norm1.num_groups, field.norm1.eps, device == "cpu")
    raise ValueError(
        f"{type(field).__name__} has not been written in JAX, only MLPField and ConvField have"
    )


def _mlp(t: Any, y: Any, params: Sequence[Any]) -> Any:
    """``MLPField`` in JAX."""
    import jax.numpy as jnp

    x = jnp.concatenate([y, jnp.full((*y.shape[:-1], 1), t, y.dtype)], axis=-1)
    *hidden, (weight, bias) = zip(params[::2], params[1::2], strict=True)
    for w, b in hidden:
        x = jnp.tanh(x @ w.T + b)
    return x @ weight.T + bias


@cache
def _conv(groups: int, eps: float, shifted: bool) -> JaxField:
    """``ConvField`` in JAX, on states of shape [batch, height, width, channels].

    If ``shifted``, a convolution is written as one matrix product over shifted copies. XLA's own
    convolution and its gradient run many times slower on a CPU inside a loop, where a solver
    evaluates its field (jax-ml/jax#12868).
    """
    import jax
    import jax.numpy as jnp

    def norm(y: Any, weight: Any, bias: Any) -> Any:
        grouped = y.reshape(*y.shape[:3], groups, -1)
        mean = grouped.mean((1, 2, 4), keepdims=True)
        variance = grouped.var((1, 2, 4), keepdims=True)
        normal = (grouped - mean) * jax.lax.rsqrt(variance + eps)
        return normal.reshape(y.shape) * weight + bias

    def conv(t: Any, y: Any, weight: Any, bias: Any) -> Any:
        y = jnp.concatenate([jnp.full((*y.shape[:3], 1), t, y.dtype), y], -1)
        if not shifted:
            layouts = ("NHWC", "OIHW", "NHWC")
            return (
                jax.lax.conv_general_dilated(y, weight, (1, 1), "SAME", None, None, layouts) + bias
            )
        height, width = y.shape[1:3]
        padded = jnp.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
        copies = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        kernel = weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])
        return jnp.concatenate(copies, -1) @ kernel + bias

    def field(t: Any, y: Any, params: Sequence[Any]) -> Any:
        norm1, conv1, norm2, conv2, norm3 = zip(params[::2], params[1::2], strict=True)
        y = conv(t, jax.nn.relu(norm(y, *norm1)), *conv1)
        y = conv(t, jax.nn.relu(norm(y, *norm2)), *conv2)
        return norm(y, *norm3)

    return field
