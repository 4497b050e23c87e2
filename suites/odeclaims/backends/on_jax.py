"""Torch fields for solvers in JAX: a solver's program calls back for each evaluation.

So a solver that is written in JAX solves any field of a claim, and each evaluation is counted where
it happens. A call costs some 50 microseconds more than one in torch.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any, ClassVar, Protocol, runtime_checkable
from weakref import WeakValueDictionary

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.failures import NonFinite, NotOffered
from neural_ode.field import Field
from neural_ode.gradients.first_derivative import first_derivative_only, link
from odeclaims.backends.on_torch import CountedField


@dataclass(eq=False)
class Called:
    """A field that programs in JAX call back by its number, as long as it is referred to.

    Attributes:
        counted: the field, which counts its evaluations.
        params: the tensors, beside the state, that a gradient is asked for.
        error: what the field has raised.
    """

    counted: CountedField
    params: Sequence[Tensor]
    error: Exception | None = None
    # A program calls from a thread of its own.
    context: Context = field(default_factory=copy_context)
    number: int = field(init=False)

    known: ClassVar[WeakValueDictionary[int, "Called"]] = WeakValueDictionary()
    numbers: ClassVar[count] = count()

    def __post_init__(self):
        self.number = next(Called.numbers)
        Called.known[self.number] = self

    def value(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative; on the way back it is part of a product, which is what counts there."""
        if not t.isfinite():
            # diffrax would go on for ever.
            raise NonFinite("the solver's time is no longer a number", math.nan)
        evaluate = self.counted.field if self.counted.ended else self.counted
        with torch.no_grad():
            return evaluate(t, y)

    def product(self, t: Tensor, y: Tensor, covector: Tensor) -> list[Tensor]:
        """The covector times the derivatives of the field by the state and the parameters."""
        with torch.enable_grad():
            y.requires_grad_()
            wanted = [y, *self.params]
            parts = torch.autograd.grad(
                self.counted(t, y), wanted, covector, retain_graph=True, allow_unused=True
            )
        pairs = zip(wanted, parts, strict=True)
        return [torch.zeros_like(w) if part is None else part for w, part in pairs]


def _call(name: str) -> Callable[..., Any]:
    """What a program calls back: a method of the field of a number, on torch's tensors."""

    def call(number: Any, *arrays: Any) -> Any:
        called = Called.known[int(number)]
        tensors = [torch.from_numpy(np.array(array)) for array in arrays]
        try:
            found = called.context.run(getattr(called, name), *tensors)
        except Exception as error:
            # JAX tells it by its text alone.
            called.error = error
            raise
        if isinstance(found, Tensor):
            return found.numpy()
        return tuple(part.numpy() for part in found)

    return call


@cache
def field_in_jax() -> Callable[[Any, Any, tuple[Any, Any]], Any]:
    """The field of a number, as a function in JAX of the time, the state and (number, parameters).

    Its gradient calls back too.
    """
    import jax
    import jax.numpy as jnp
    from jax.custom_derivatives import SymbolicZero

    def like(*arrays: Any) -> tuple[Any, ...]:
        return tuple(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays)

    def callback(name: str, result: Any, *arguments: Any) -> Any:
        return jax.pure_callback(_call(name), result, *arguments, vmap_method="sequential")

    @jax.custom_vjp
    def value(t: Any, y: Any, args: tuple[Any, Any]) -> Any:
        return callback("value", like(y)[0], args[0], t, y)

    # A product is linear in its covector, and solvers look at the shape of that derivative.
    @jax.custom_jvp
    def product(number: Any, params: Any, t: Any, y: Any, covector: Any) -> Any:
        return callback("product", like(y, *params), number, t, y, covector)

    def of_product(primals: Any, tangents: Any) -> Any:
        *others, by_covector = tangents
        if not all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(others[1:])):
            raise NotOffered("a solver in JAX does not offer the second derivative of a field")
        return product(*primals), product(*primals[:-1], by_covector)

    product.defjvp(of_product, symbolic_zeros=True)

    def forward(t: Any, y: Any, args: tuple[Any, Any]) -> tuple[Any, Any]:
        return value(t, y, args), (t, y, args)

    def backward(kept: Any, covector: Any) -> tuple[Any, Any, Any]:
        t, y, (number, params) = kept
        of_state, *of_params = product(number, params, t, y, covector)
        no_number = np.zeros(number.shape, jax.dtypes.float0)
        return jnp.zeros_like(t), of_state, (no_number, tuple(of_params))

    value.defvjp(forward, backward)
    return value


@contextmanager
def calling_back(float64: bool) -> Iterator[None]:
    """Run a program that calls back, with or without float64, and with no log of what is raised.

    ``jax.enable_x64`` holds for its own thread, and JAX rounds in the one that calls back.
    """
    import jax

    log = logging.getLogger("jax._src.callback")
    before, level = jax.config.values["jax_enable_x64"], log.level
    jax.config.update("jax_enable_x64", float64)
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
        log.setLevel(level)


@runtime_checkable
class Run(Protocol):
    """A program with everything that it needs but the tensors that a gradient is asked for."""

    def there(self, y0: Tensor, params: Sequence[Tensor]) -> Tensor:
        """The states after the first output time."""
        ...

    def back(self, covector: Tensor) -> Sequence[Tensor]:
        """The covector times the derivatives of these states by ``y0`` and by each parameter."""
        ...


class Solved(torch.autograd.Function):
    """The states that a program finds, with the gradient that it finds."""

    @staticmethod
    def forward(ctx, run: Run, y0: Tensor, *params: Tensor) -> Tensor:
        """What ``run`` finds."""
        ctx.run, ctx.link = run, link(y0)
        ctx.save_for_backward(*params)
        return run.there(y0, params)

    @staticmethod
    @first_derivative_only("a solve on JAX", "use a solver in torch")
    def backward(ctx, saved: Sequence[Tensor], *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """What ``run`` finds on its way back."""
        return None, *ctx.run.back(*grad_outputs)


def check_leaves(
    backend: str,
    field: Field,
    t: Float[Tensor, ""],
    y: Float[Tensor, "*state"],
    known: Sequence[Tensor],
) -> None:
    """Check, by one evaluation, that a field has no other tensors for a gradient than these.

    Raises:
        NotOffered: where it has; their gradient would be lost without a word.
    """
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        reached = leaves_of(field(t, y))
    if any(all(leaf is not each for each in (y, *known)) for leaf in reached):
        raise NotOffered(
            f"{backend} does not offer the gradient of a tensor that a field holds beside its"
            " parameters"
        )


def leaves_of(value: Tensor) -> list[Tensor]:
    """The leaves of autograd's graph that a tensor was computed from."""
    found, seen, left = [], set(), [value.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            found.append(leaf)
        left += [following for following, _ in node.next_functions]
    return found
