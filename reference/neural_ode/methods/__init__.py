"""The methods by their names: every one that a module of this package defines.

These modules are imported while ``neural_ode`` is: they import from its submodules, such as
``neural_ode.methods.tableau``, and not from ``neural_ode`` itself.
"""

import pkgutil
from difflib import get_close_matches
from importlib import import_module

from neural_ode.arguments import describe
from neural_ode.methods.base import Method
from neural_ode.methods.tableau import ButcherTableau


def discover() -> dict[str, Method]:
    """The methods in the modules of this package, in the order of the files and inside them.

    Raises:
        ValueError: for two methods of one name; the message names their files.
    """
    modules = [
        import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
    ]
    values = [(value, module) for module in modules for value in vars(module).values()]
    methods: dict[str, Method] = {}
    files: dict[str, str | None] = {}
    for value, module in values:
        # A class has the members too, but it is the objects that are methods.
        if not isinstance(value, Method) or isinstance(value, type):
            continue
        # A module may import the method of another.
        if methods.setdefault(value.name, value) is not value:
            raise ValueError(
                f"two methods have the name {value.name!r}: one in {files[value.name]}, one in"
                f" {module.__file__}"
            )
        files.setdefault(value.name, module.__file__)
    return methods


_DISCOVERED = discover()
METHODS = {name: m for name, m in _DISCOVERED.items() if isinstance(m, ButcherTableau)}
"""The Runge-Kutta methods by name."""
NAMED = {**METHODS, **_DISCOVERED}
"""Every method by name, the Runge-Kutta methods first."""


# The same methods by their names in SciPy, MATLAB and other libraries.
_ELSEWHERE = {
    "rk23": "bosh3",
    "ode23": "bosh3",
    "rk45": "dopri5",
    "ode45": "dopri5",
    "dormandprince": "dopri5",
    "dop853": "dopri8",
    "rungekutta4": "rk4",
}
# Parts of the names of implicit methods.
_IMPLICIT = ("implicit", "backward", "bdf", "radau", "lsoda", "vode", "ode15s", "kvaerno", "trapez")


def find_method(method: str | Method) -> Method:
    """The method of that name; a method itself passes through.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if not isinstance(method, str) and isinstance(method, Method):
        return method
    if not isinstance(method, str) or method not in NAMED:
        hint = _hint(method) if isinstance(method, str) else ""
        raise ValueError(
            f"unknown method {describe(method)};{hint} expected one of {', '.join(NAMED)}"
        )
    return NAMED[method]


def _hint(name: str) -> str:
    """What may be meant by an unknown name."""
    plain = "".join(c for c in name[:60].lower() if c.isalnum())
    if any(part in plain for part in _IMPLICIT):
        return " did you mean 'kvaerno5', which is for stiff problems?"
    named = {known.replace("_", ""): known for known in NAMED} | _ELSEWHERE
    near = get_close_matches(plain, named, n=1)
    return f" did you mean {named[near[0]]!r}?" if near else ""
