"""The same work on different solvers: one file a backend, found through an entry point.

A distribution joins by naming a subclass of ``Backend`` under the entry point
``odeclaims.backends``; the backends here are registered the same way, in ``pyproject.toml``.
Importing this package imports no solver: a backend's module is imported when the backends are
looked up, and its library when it is given work.
"""

import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any

from odeclaims.backends.base import (
    GRADIENTS,
    Answer,
    Backend,
    Crossing,
    Ending,
    Prepared,
    is_installed,
)

__all__ = [
    "GRADIENTS",
    "Answer",
    "Backend",
    "Crossing",
    "Ending",
    "Prepared",
    "choose_backends",
    "find_backends",
    "is_installed",
    "select_usable",
]

ENTRY_POINT = "odeclaims.backends"


def find_backends() -> dict[str, Backend]:
    """Every registered backend by its name, in alphabetical order, installed or not.

    Raises:
        ValueError: for an entry point that cannot be loaded, is not a backend, offers a gradient of
            an unknown name, or has the name of another.
    """
    backends: dict[str, Backend] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT):
        backend = _load(entry)
        if backend.name in backends:
            raise ValueError(f"two backends are registered under the name {backend.name!r}")
        backends[backend.name] = backend
    return dict(sorted(backends.items()))


def choose_backends(names: Iterable[str]) -> list[Backend]:
    """The backends of these names, each once, if all of them can be used.

    Raises:
        ValueError: for an unknown name, or for a backend whose library is not installed.
    """
    known = find_backends()
    backends = []
    for name in dict.fromkeys(names):
        if name not in known:
            raise ValueError(f"there is no backend {name!r}; the backends are {', '.join(known)}")
        if known[name].missing():
            raise ValueError(f"backend {name} needs {', '.join(known[name].missing())}")
        backends.append(known[name])
    return backends


def select_usable(backends: Mapping[str, Backend], device: str = "cpu") -> list[Backend]:
    """The backends for which everything is installed that problems on the device take."""
    return [backend for backend in backends.values() if not backend.missing(device)]


# An entry point is of another class once the backport importlib_metadata has been imported.
def _load(entry: Any) -> Backend:
    where = f"the entry point {entry.name} = {entry.value} in the group {ENTRY_POINT}"
    try:
        backend = entry.load()()
    except Exception as error:
        raise ValueError(f"{where} cannot be loaded: {error}") from error
    if not isinstance(backend, Backend):
        raise ValueError(f"{where} is {type(backend).__name__}, expected a Backend")
    unknown = sorted(set(backend.gradients) - set(GRADIENTS))
    if unknown:
        raise ValueError(f"{where} offers the unknown gradients {', '.join(unknown)}")
    return backend
