"""What of torchdiffeq is here: found by importing both.

``python -m odeclaims.dropin`` prints the table that stands on the page on moving from torchdiffeq.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import pandas as pd

import neural_ode
from neural_ode.methods import NAMED
from neural_ode.odeint import CALLBACKS, options_of

# Parameters of torchdiffeq's solvers that are not options of ``odeint``, but its arguments.
_ARGUMENTS = {"self", "func", "y0", "rtol", "atol", "args", "kwargs", "unused_kwargs"}


def functions(package: ModuleType) -> dict[str, Callable[..., Any]]:
    """The public functions of a package by their names."""
    return {
        name: value
        for name, value in vars(package).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


def solvers() -> dict[str, type]:
    """The solvers of torchdiffeq by the names of their methods."""
    from torchdiffeq._impl.odeint import SOLVERS

    return SOLVERS


def options(solver: type) -> list[str]:
    """The names of the options that a solver of torchdiffeq takes, in alphabetical order."""
    constructors = [vars(base)["__init__"] for base in solver.__mro__ if "__init__" in vars(base)]
    names = {
        name
        for constructor in constructors
        if inspect.isfunction(constructor)
        for name in inspect.signature(constructor).parameters
    }
    # The explicit method gives it to its base, and takes none.
    taken = {"implicit"} if solver.__name__ == "AdamsBashforth" else set()
    return sorted(names - _ARGUMENTS - taken)


def callbacks(solver: Any) -> list[str]:
    """The names of the callbacks that a solver of torchdiffeq calls."""
    return sorted(solver.valid_callbacks())


def callbacks_here(name: str) -> list[str]:
    """The names of the callbacks that the method of this name calls here."""
    method = NAMED[name]
    kinds = () if method.integrate else ("step", "accept", "reject")
    return sorted(CALLBACKS[kind] for kind in (kinds if method.adaptive else kinds[:1]))


def table() -> pd.DataFrame:
    """A row for each public function and each method of torchdiffeq."""
    return pd.DataFrame([*_functions(), *_methods()])


def _functions() -> Iterator[dict[str, str]]:
    import torchdiffeq

    for name, theirs in functions(torchdiffeq).items():
        ours = functions(neural_ode).get(name)
        known = inspect.signature(ours).parameters if ours else {}
        yield {
            "torchdiffeq": f"`{name}`",
            "here": "yes" if ours else "no",
            "its arguments or options": _named(
                [p for p in inspect.signature(theirs).parameters if p != "kwargs"], known
            ),
            "callbacks": "",
            "events": "",
        }


def _methods() -> Iterator[dict[str, str]]:
    for name, solver in solvers().items():
        method = NAMED.get(name)
        events = hasattr(solver, "integrate_until_event")
        ours = method is not None and method.accepts("event_fn")
        yield {
            "torchdiffeq": f"method `{name}`",
            "here": "yes" if method else "no",
            "its arguments or options": _named(
                options(solver), options_of(method) if method else ()
            ),
            "callbacks": _named(callbacks(solver), callbacks_here(name) if method else ()),
            "events": "-" if not events else "yes" if ours else "no",
        }


def _named(theirs: Sequence[str], ours: Any) -> str:
    """What of these names is here, and what is missing."""
    if not theirs:
        return "-"
    missing = [name for name in theirs if name not in ours]
    there = ", ".join(name for name in theirs if name in ours)
    return f"{there}; missing: {', '.join(missing)}" if missing else there


if __name__ == "__main__":
    print(table().to_markdown(index=False, disable_numparse=True))
