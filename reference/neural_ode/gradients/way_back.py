"""What every backward pass has that evaluates the field again."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from neural_ode.gradients.first_derivative import first_derivative_only
from neural_ode.transforms import is_one_of_many


def way_back(name: str) -> Callable[[Callable], Callable]:
    """Make a backward pass one that says so where its gradient would not be that of the solution.

    The forward pass has to keep ``ctx.link = link(y0)``, and a ``ctx.problem`` with the ``wanted``
    tensors. A second derivative is an error (see ``first_derivative_only``), and so are parameters
    that were replaced or frozen since. A field that draws random numbers gets a warning. Hooks of
    the parameters see the whole gradient once, as they do with backpropagation.
    """

    def decorate(backward: Callable) -> Callable:
        @wraps(backward)
        def checked(ctx: Any, saved: Sequence[Tensor], *grads: Tensor) -> Any:
            wanted = ctx.problem.wanted
            if is_one_of_many(grads[0]):
                raise RuntimeError(
                    f"{name} goes back with one gradient at a time: leave out is_grads_batched, or"
                    " vectorize, or use Backprop()"
                )
            wanted.check()
            before = _random_states(grads[0].device)
            with _hooks_aside(wanted.tensors):
                results = backward(ctx, saved, *grads)
            if not all(map(torch.equal, before, _random_states(grads[0].device))):
                warnings.warn(
                    f"the field draws random numbers, and {name} evaluates it again on the way back"
                    " with others, so its gradient is not that of the solution: draw them before"
                    " the solve, or use Backprop()",
                    stacklevel=2,
                )
            return results

        return first_derivative_only(name)(checked)

    return decorate


def _random_states(device: torch.device) -> list[Tensor]:
    """The states of the global generators, which any draw without one of its own changes."""
    on_host = torch.get_rng_state()
    return [on_host, torch.cuda.get_rng_state(device)] if device.type == "cuda" else [on_host]


@contextmanager
def _hooks_aside(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Take the hooks of these tensors off, or each evaluation's share of a gradient would pass them
    too.
    """
    # Autograd calls what is in these dictionaries, for which torch has no public name.
    hooks = [x._backward_hooks for x in tensors if x._backward_hooks]
    kept = [dict(each) for each in hooks]
    for each in hooks:
        each.clear()
    try:
        yield
    finally:
        for each, before in zip(hooks, kept, strict=True):
            each.update(before)
