"""What every backward pass has that evaluates the field again."""

import threading
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
                    "torch's global generator was used on the way back. If the field draws random"
                    f" numbers, {name} evaluates it again with others, and its gradient is not that"
                    " of the solution: draw them before the solve, or use Backprop()",
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
    """Let no hook of these tensors see what single evaluations add to their gradients.

    A hook of another thread's backward pass runs all the same: this thread alone is told apart.
    """
    # Autograd calls what is in these dictionaries, for which torch has no public name.
    changed = []
    for hooks in (x._backward_hooks for x in tensors if x._backward_hooks):
        for key, hook in list(hooks.items()):
            hooks[key] = aside = _Aside(hook)
            changed.append((hooks, key, hook, aside))
    # A computed tensor that keeps its gradient would add them up, too.
    kept = [(x, x.grad) for x in tensors if x.retains_grad and not x.is_leaf]
    _Aside.here.depth = getattr(_Aside.here, "depth", 0) + 1
    try:
        yield
    finally:
        _Aside.here.depth -= 1
        for x, grad in kept:
            x.grad = grad
        for hooks, key, hook, aside in changed:
            # It may have been removed meanwhile, or wrapped once more by another thread.
            if hooks.get(key) is aside:
                hooks[key] = hook


class _Aside:
    """A hook that does nothing while this thread goes back through an equation."""

    here = threading.local()

    def __init__(self, hook: Callable[[Tensor], Tensor | None]) -> None:
        self.hook = hook

    def __call__(self, grad: Tensor) -> Tensor | None:
        return None if getattr(self.here, "depth", 0) else self.hook(grad)
