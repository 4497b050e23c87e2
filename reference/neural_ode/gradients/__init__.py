"""How the gradient of a loss reaches the initial state, the parameters and the times.

A ``Gradient`` is a small object with one method, ``solve(field, y0, ts, settings) -> (ys, stats)``.
Each way to the gradient has a file of its own in this package.
"""

import pkgutil
from importlib import import_module

from neural_ode.gradients.adjoint import Adjoint
from neural_ode.gradients.backprop import Backprop
from neural_ode.gradients.base import Gradient
from neural_ode.gradients.checkpointed import Checkpointed
from neural_ode.gradients.interpolated import InterpolatedAdjoint
from neural_ode.gradients.reversible import Reversible
from neural_ode.gradients.symplectic import SymplecticAdjoint

__all__ = [
    "GRADIENTS",
    "Adjoint",
    "Backprop",
    "Checkpointed",
    "Gradient",
    "InterpolatedAdjoint",
    "Reversible",
    "SymplecticAdjoint",
]


def discover() -> dict[str, type[Gradient]]:
    """The public classes with a ``solve`` that the modules of this package define.

    Raises:
        ValueError: for two classes of one name; the message names their files.
    """
    modules = [
        import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
    ]
    classes = [
        (name, value, module)
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
        if hasattr(value, "solve") and value is not Gradient and not name.startswith("_")
    ]
    gradients: dict[str, type[Gradient]] = {}
    files: dict[str, str | None] = {}
    for name, value, module in classes:
        if name in gradients:
            raise ValueError(
                f"two gradients have the name {name!r}: one in {files[name]}, one in"
                f" {module.__file__}"
            )
        gradients[name], files[name] = value, module.__file__
    return gradients


GRADIENTS = discover()
"""The ways to the gradient by the names of their classes."""


def __getattr__(name: str) -> type[Gradient]:
    """A gradient whose file was added to this package, which needs no line above."""
    if name in GRADIENTS:
        return GRADIENTS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
