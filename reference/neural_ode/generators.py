"""Where random numbers are drawn: always on the device of their generator.

A generator draws on its own device alone. A model that is moved, or made, elsewhere therefore has
the weights that the same generator gives it on the CPU.
"""

import torch
from torch import Tensor

from neural_ode.older_torch import default_device


def device_of(generator: torch.Generator | None) -> torch.device:
    """The device on which the generator draws; without one it is torch's default device."""
    return default_device() if generator is None else generator.device


@torch.no_grad()
def fill_uniform(x: Tensor, bound: float, generator: torch.Generator | None) -> None:
    """Fill a tensor in place with uniform numbers between ``-bound`` and ``bound``."""
    if generator is None or generator.device == x.device:
        x.uniform_(-bound, bound, generator=generator)
        return
    drawn = torch.empty(x.shape, dtype=x.dtype, device=generator.device)
    x.copy_(drawn.uniform_(-bound, bound, generator=generator))
