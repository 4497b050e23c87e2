"""The fields of the workloads as pure JAX functions, with the weights of the torch fields."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from torch import nn

from neural_ode.networks import ConvField, MLPField

# A field in JAX: from (t, y, parameters) to the derivative.
JaxField = Callable[[Any, Any, Sequence[Any]], Any]


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
