"""The code of a measurement: its digest, and whether a process measures by the code of a digest."""

import importlib
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from odeclaims.cell import OWN_SOLVER, digest
from odeclaims.record.source import files_of, source_digest
from odeclaims.run.solving import choose_solver, versions_of


def code_of(measure: Callable[..., Any], solver: str) -> str:
    """The digest of the code that measures a cell, and that of the solver if it is not ours."""
    source, *adapter = map(source_digest, _modules(measure, solver))
    return digest(source, *adapter, versions_of(solver)) if adapter else source


class CodeHere:
    """The code with which this process measures: its digest, and what it imports later.

    A file that was changed before this was made is in the digest. One whose module is imported at
    its first use may be changed in between, so that it is looked at again after each measurement.

    Args:
        measure: the claim's.
        solver: by its name.
    """

    def __init__(self, measure: Callable[..., Any], solver: str) -> None:
        files = {k: v for name in _modules(measure, solver) for k, v in files_of(name).items()}
        self._later = {
            name: (path, _stamp(path))
            for name, path in files.items()
            if path and name not in sys.modules
        }
        self._changed = False
        self.digest = code_of(measure, solver)

    def changed(self) -> bool:
        """Whether this process ever imported a module from a file that had changed."""
        imported = [self._later.pop(name) for name in [*self._later] if name in sys.modules]
        self._changed |= any(_stamp(path) != stamp for path, stamp in imported)
        return self._changed


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file is written; nothing of one that is gone."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def import_all(module: str) -> None:
    """Import a module and all modules of this project that it imports, now or later."""
    for name in files_of(module):
        # What cannot be imported here, for want of a library, is not used either.
        with suppress(ImportError):
            importlib.import_module(name)


def _modules(measure: Callable[..., Any], solver: str) -> list[str]:
    """The modules with which the code that measures begins."""
    adapter = [] if solver == OWN_SOLVER else [type(choose_solver(solver)).__module__]
    return [measure.__module__, *adapter]
