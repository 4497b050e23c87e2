"""The claims, a folder or a file each. One that is put here is found; nothing else has to change.

A distribution of one's own joins by naming its ``CLAIM`` under the entry point
``odeclaims.claims``.
"""

import importlib
import importlib.metadata
import pkgutil
from typing import Any

from odeclaims.claim import Claim

ENTRY_POINT = "odeclaims.claims"


def find_claims() -> dict[str, Claim]:
    """Every claim by its slug, in alphabetical order: those of this package and registered ones.

    Raises:
        ValueError: for a file that cannot be imported, has no ``CLAIM`` or one whose slug is not
            the file's name, and for an entry point that cannot be loaded, is no claim, or has the
            slug of another.
    """
    claims = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("_"):
            continue  # a figure that several claims share
        file = f"claims/{module.name}{'/__init__' if module.ispkg else ''}.py"
        try:
            content = importlib.import_module(f"{__name__}.{module.name}")
        except ImportError as error:
            raise ValueError(f"{file} cannot be imported: {error}") from error
        claim = getattr(content, "CLAIM", None)
        if claim is None:
            raise ValueError(f"{file} defines no CLAIM")
        if not isinstance(claim, Claim):
            raise ValueError(f"{file} defines a CLAIM that is {type(claim).__name__}, no Claim")
        if claim.slug != module.name:
            raise ValueError(f"{file} holds {claim.slug!r}, expected its own name")
        claims[claim.slug] = claim
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT):
        claim = _load(entry)
        if claim.slug in claims:
            raise ValueError(f"{_where(entry)} has the slug {claim.slug!r} of another claim")
        claims[claim.slug] = claim
    return dict(sorted(claims.items()))


# An entry point is of another class once the backport importlib_metadata has been imported.
def _load(entry: Any) -> Claim:
    try:
        claim = entry.load()
    except Exception as error:
        raise ValueError(f"{_where(entry)} cannot be loaded: {error}") from error
    if not isinstance(claim, Claim):
        raise ValueError(f"{_where(entry)} is {type(claim).__name__}, expected a Claim")
    return claim


def _where(entry: Any) -> str:
    return f"the entry point {entry.name} = {entry.value} in the group {ENTRY_POINT}"
