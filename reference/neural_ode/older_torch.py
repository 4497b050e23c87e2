"""What differs between the releases of torch, in one place: the solver runs on 2.6 and later.

Only compiled steps need a newer one, and say so.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from neural_ode.transforms import transforming

# Since this release the compiler keeps functions apart that were made of one code
# (``isolate_recompiles``), and compiles the derivatives that an adjoint takes.
COMPILES = "2.13"
NEEDED_TO_COMPILE = f"torch>={COMPILES}"


def compiles() -> bool:
    """Whether steps can be compiled by the torch that is installed."""
    # torch compares it as a version, not as a text.
    return torch.__version__ >= COMPILES


def check_compiles() -> None:
    """Raise ValueError where they cannot."""
    if not compiles():
        raise ValueError(
            f"compile=True needs {NEEDED_TO_COMPILE}, and this is torch {torch.__version__}:"
            " install a newer one, or leave compile out"
        )


def _is_exporting() -> bool:
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


# torch 2.6 has no name for it.
is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", _is_exporting)


def floats_of(numbers: Tensor) -> list[float]:
    """The entries of a vector as numbers of the host."""
    # In a transform of torch.func, torch 2.6 gives no list of any tensor, but single entries.
    return [x.item() for x in numbers] if transforming() else numbers.tolist()


def default_device() -> torch.device:
    """The device on which torch makes a tensor where none is named."""
    # torch 2.6 cannot name it once it was set and taken back.
    return torch.empty(0).device
