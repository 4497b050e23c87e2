"""The methods by their names: every one that a module of this package defines."""

import pkgutil
from importlib import import_module

from neural_ode.methods.base import Method
from neural_ode.methods.tableau import ButcherTableau


def discover() -> dict[str, Method]:
    """The methods in the modules of this package, in the order of the files and inside them."""
    modules = [
        import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
    ]
    values = [value for module in modules for value in vars(module).values()]
    # A class has the members too, but it is the objects that are methods.
    found = [v for v in values if isinstance(v, Method) and not isinstance(v, type)]
    return {method.name: method for method in found}


_DISCOVERED = discover()
METHODS = {name: m for name, m in _DISCOVERED.items() if isinstance(m, ButcherTableau)}
"""The Runge-Kutta methods by name."""
NAMED = {**METHODS, **_DISCOVERED}
"""Every method by name, the Runge-Kutta methods first."""


def find_method(method: str | Method) -> Method:
    """The method of that name; a method itself passes through.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if not isinstance(method, str) and isinstance(method, Method):
        return method
    if method not in NAMED:
        raise ValueError(f"unknown method {method!r}; expected one of {', '.join(NAMED)}")
    return NAMED[method]
