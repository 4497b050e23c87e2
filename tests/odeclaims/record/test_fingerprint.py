"""The digest of a rule: what it decides enters, and how it is told does not."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from odeclaims.claims import find_claims
from odeclaims.record.fingerprint import rule_digest
from odeclaims.statement import Statement

RULE = '''
"""How the rows are judged."""

from functools import partial

import numpy as np

from odeclaims.kits import needs
from odeclaims.kits.rows import ok
from odeclaims.rules import Better, Bounds
from odeclaims.statement import Statement

LIMIT = 0.5
UNUSED = 1


def _inner(df):
    """What is looked at."""
    # A comment.
    return ok(df, kind="result")


def quantity(column, df):
    """The values."""

    def above(value):
        return value > LIMIT

    return [value for value in _inner(df)[column] if above(value)]


STATEMENT = Statement(
    "x_is_large", "x is large", partial(quantity, "x"), Better(Bounds(at_least=0)),
    "a test", needs=(needs.seeds(6),), central=True,
)
'''


@pytest.fixture
def digest_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def digest(*changes: tuple[str, str]) -> str:
        text = RULE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        name = f"judge_of_test_{len(made)}"
        made.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        statement: Any = importlib.import_module(name).STATEMENT
        assert isinstance(statement, Statement)
        # Apart from the name of the module, which a real claim keeps.
        return rule_digest(statement)

    yield digest
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "change",
    [
        ('"""The values."""', '"""Something else."""'),
        ("# A comment.", "# Another."),
        ("UNUSED = 1", "UNUSED = 2"),
        ('"a test"', '"another reason"'),
        ('"x is large", partial', '"x is big", partial'),
        ("    return [value for", "    return [\n        value for"),
        ('ok(df, kind="result")', 'ok(\n        df,\n        kind="result",\n    )'),
    ],
)
def test_what_does_not_decide_leaves_the_digest(digest_of, change):
    assert digest_of(change) == digest_of()


@pytest.mark.parametrize(
    "change",
    [
        ("LIMIT = 0.5", "LIMIT = 0.6"),
        ("value > LIMIT", "value >= LIMIT"),
        ('kind="result"', 'kind="training"'),
        ('partial(quantity, "x")', 'partial(quantity, "y")'),
        ("at_least=0", "at_least=0.1"),
        ("Bounds(at_least=0)", 'Bounds(at_least=0), of="median"'),
        ("needs.seeds(6)", "needs.seeds(7)"),
        ("central=True", "central=False"),
    ],
)
def test_what_decides_enters_the_digest(digest_of, change):
    assert digest_of(change) != digest_of()


def test_a_rule_of_a_kit_enters_too(digest_of, monkeypatch):
    before = digest_of()
    monkeypatch.setattr("odeclaims.kits.rows.of", lambda df, **equal: df)
    assert digest_of() != before


def test_every_rule_of_every_claim_has_a_digest():
    for claim in find_claims().values():
        digests = [rule_digest(statement) for statement in claim.statements]
        assert all(len(digest) == 16 for digest in digests)
