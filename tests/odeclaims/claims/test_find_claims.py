"""Claims of other packages, found through an entry point."""

import importlib.metadata
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from odeclaims.claims import find_claims

OURS = find_claims()
FIRST = next(iter(OURS))


def register(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Let these be the claims that other packages bring."""
    entries = [
        importlib.metadata.EntryPoint(name, value, "odeclaims.claims")
        for name, value in values.items()
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)


@pytest.fixture
def another_package(monkeypatch) -> ModuleType:
    module = ModuleType("another_package")
    vars(module)["CLAIM"] = replace(OURS[FIRST], slug="another_claim")
    monkeypatch.setitem(sys.modules, "another_package", module)
    return module


def test_a_claim_joins_in_alphabetical_order(monkeypatch, another_package):
    register(monkeypatch, mine="another_package:CLAIM")
    found = find_claims()
    assert found["another_claim"] is vars(another_package)["CLAIM"]
    assert list(found) == sorted([*OURS, "another_claim"])


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"x": "nowhere_at_all:X"}, "x = nowhere_at_all:X .* cannot be loaded: No module"),
        ({"x": "builtins:object"}, "is type, expected a Claim"),
        (
            {"x": "another_package:CLAIM", "y": "another_package:CLAIM"},
            "y = another_package:CLAIM .* has the slug 'another_claim' of another claim",
        ),
        (
            {"x": f"odeclaims.claims.{FIRST}:CLAIM"},
            f"has the slug {FIRST!r} of another claim",
        ),
    ],
)
def test_a_bad_entry_point_is_named(monkeypatch, another_package, entries, says):
    register(monkeypatch, **entries)
    with pytest.raises(ValueError, match=says):
        find_claims()
