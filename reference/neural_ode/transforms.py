"""The function transforms of ``torch.func`` and forward-mode differentiation, as solves see them.

Under a transform a tensor stands for something else: a whole batch, or a value with its derivative.
Neither the scratch buffer of the steps nor an autograd function of our own can take it, so the
steps are then spelled out in plain operations, as they are for a compiler.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad

# torch has no public name for these. They are what its own autograd functions ask.
_active = torch._C._are_functorch_transforms_active
_functorch = torch._C._functorch  # type: ignore[reportAttributeAccessIssue]


def transforming() -> bool:
    """Whether a transform of ``torch.func`` or a level of forward-mode differentiation is on."""
    return _active() or forward_ad._current_level >= 0


def unwrap(x: Tensor) -> Tensor:
    """The plain tensor below all transforms; a batch of them has its dimensions there."""
    if not transforming():
        return x
    while _functorch.is_functorch_wrapped_tensor(x):
        x = _functorch.get_unwrapped(x)
    return x


def all_finite(x: Tensor) -> bool:
    """Whether every entry is a finite number, in every sample of a batch."""
    return bool(unwrap(x).isfinite().all())


def is_batched(x: Tensor) -> bool:
    """Whether the tensor stands for a batch, of ``torch.func.vmap``."""
    if not transforming():
        return False
    while _functorch.is_functorch_wrapped_tensor(x):
        if _functorch.is_batchedtensor(x):
            return True
        x = _functorch.get_unwrapped(x)
    return False


def is_one_of_many(x: Tensor) -> bool:
    """Whether autograd hands a whole batch of gradients at once, as ``is_grads_batched`` asks."""
    # torch has no public name for it, and it is no transform of torch.func.
    return "Batched" in str(torch._C._dispatch_keys(x))


def is_followed(x: Tensor) -> bool:
    """Whether what is computed from ``x`` is differentiated with respect to it."""
    if torch.is_grad_enabled() and x.requires_grad:
        return True
    if not transforming():
        return False
    return (
        _functorch.is_functorch_wrapped_tensor(x) or forward_ad.unpack_dual(x).tangent is not None
    )
