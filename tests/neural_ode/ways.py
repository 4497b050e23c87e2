"""Every way to the gradient that the package has, by the name that it has in the tests."""

import inspect
from typing import Any

from neural_ode import Adjoint
from neural_ode.gradients import GRADIENTS
from neural_ode.methods import NAMED


def make(kind: type) -> Any:
    """A way to the gradient of this class, all of whose arguments have a default.

    Raises:
        TypeError: for one that cannot be made so; the message names the class and its file.
    """
    try:
        return kind()
    except TypeError as error:
        raise TypeError(
            f"{kind.__name__} in {inspect.getfile(kind)} cannot be made without arguments, as the"
            f" tests make every gradient; give each argument a default ({error})"
        ) from error


def _says(way: Any, what: str) -> bool:
    """Whether its class says this of itself, as ``neural_ode.gradients.Gradient`` describes."""
    return getattr(way, what, False)


_WAYS = {(name.removesuffix("Adjoint") or name).lower(): make(c) for name, c in GRADIENTS.items()}
UNDOING = {name: way for name, way in _WAYS.items() if _says(way, "needs_undo")}
UNDOABLE = next(name for name, method in NAMED.items() if method.undo is not None)
FOR_EVERY_METHOD: dict[str, Any] = {
    **{name: way for name, way in _WAYS.items() if name not in UNDOING},
    "seminorm": Adjoint(norm="seminorm"),
}
EVERY: dict[str, Any] = FOR_EVERY_METHOD | UNDOING
TWICE = {name: way for name, way in EVERY.items() if _says(way, "higher_derivatives")}
ONCE = {name: way for name, way in EVERY.items() if name not in TWICE}


def method_for(name: str, otherwise: str = "dopri5") -> str:
    """The method with which the tests try the way of this name."""
    return UNDOABLE if name in UNDOING else otherwise
