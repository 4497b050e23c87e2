"""The same work on different solvers: one file a backend, found through an entry point.

A distribution joins by naming a subclass of ``Backend`` under the entry point
``odeclaims.backends``; the backends here are registered the same way, in ``pyproject.toml``.
"""

import importlib.metadata
from typing import Any

from odeclaims.backends.base import GRADIENTS, Answer, Backend, Prepared, is_installed

__all__ = ["GRADIENTS", "Answer", "Backend", "Prepared", "find_backends", "is_installed"]

ENTRY_POINT = "odeclaims.backends"


def find_backends() -> dict[str, Backend]:
    """Every registered backend by its name, in alphabetical order, installed or not.

    Raises:
        ValueError: for an entry point that cannot be loaded, is no backend, offers a gradient of
            an unknown name, or has the name of another.
    """
    backends: dict[str, Backend] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT):
        backend = _load(entry)
        if backend.name in backends:
            raise ValueError(f"two backends are registered under the name {backend.name!r}")
        backends[backend.name] = backend
    return dict(sorted(backends.items()))


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
