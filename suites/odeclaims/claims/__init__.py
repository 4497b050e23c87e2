"""The claims, one file each. A file that is put here is found; nothing else needs to change."""

import importlib
import pkgutil

from odeclaims.claim import Claim


def find_claims() -> dict[str, Claim]:
    """Every claim of this package by its slug, in alphabetical order.

    Raises:
        ValueError: for a file without a ``CLAIM``, or one whose slug is not the file's name.
    """
    claims = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        claim = getattr(importlib.import_module(f"{__name__}.{module.name}"), "CLAIM", None)
        if not isinstance(claim, Claim):
            raise ValueError(f"claims/{module.name}.py defines no CLAIM")
        if claim.slug != module.name:
            raise ValueError(f"claims/{module.name}.py holds {claim.slug!r}, expected its own name")
        claims[claim.slug] = claim
    return claims
