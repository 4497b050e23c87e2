"""A measurement on another solver: every ``solve`` in it is handed to a backend."""

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from neural_ode.delegate import Delegate, solve_with
from neural_ode.failures import NotOffered
from odeclaims.backends import Backend, choose_backends, find_backends
from odeclaims.cell import OWN_SOLVER


def choose_solver(name: str) -> Backend:
    """The backend of this name, if it can run claims here.

    Raises:
        ValueError: for an unknown name, a backend whose library is not installed, or one that
            defines no ``solve``.
    """
    (backend,) = choose_backends([name])
    if not backend.runs_claims:
        able = [known.name for known in find_backends().values() if known.runs_claims]
        raise ValueError(
            f"backend {name} cannot run claims, since it defines no solve; those that do are"
            f" {', '.join(able)}"
        )
    return backend


def versions_of(solver: str) -> dict[str, str]:
    """The versions of the distributions that another solver needs; none for ours."""
    if solver == OWN_SOLVER:
        return {}
    return {name: importlib.metadata.version(name) for name in choose_solver(solver).requires}


@contextmanager
def solving_by(name: str) -> Iterator[set[str]]:
    """Solve with the backend of this name in the block.

    Yields:
        What the backend was asked for and does not offer, a sentence each; it grows in the block.

    Raises:
        ValueError: as ``choose_solver``.
    """
    missing: set[str] = set()
    if name == OWN_SOLVER:
        yield missing
        return
    with solve_with(_noting(choose_solver(name), missing)):
        yield missing


def _noting(backend: Backend, missing: set[str]) -> Delegate:
    """The backend's ``solve``, which also notes what it does not offer."""

    @wraps(backend.solve)
    def solve(*arguments: Any) -> Any:
        try:
            return backend.solve(*arguments)
        except NotOffered as error:
            missing.add(str(error))
            raise

    solve.failure_of = backend.failure_of  # type: ignore[attr-defined]
    return solve
