"""A cell's key follows the code that computes it, and nothing else."""

import importlib
import sys

import pytest

from odeclaims import source

CODE = '''
import math
from helper import scale

SIZE = 3


def inner(x):
    """Says something."""
    return scale(x) + SIZE  # a comment


def measure(cell):
    return inner(cell)


def figure(df):
    return math.pi
'''
HELPER = "def scale(x):\n    return 2 * x\n\n\ndef picture():\n    return None\n"


@pytest.fixture
def digest_of(tmp_path, monkeypatch):
    """A function from the text of a package's claim and helper to the digest of its measure."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(code: str = CODE, helper: str = HELPER) -> str:
        package = tmp_path / "mine"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / "claim.py").write_text(code.replace("from helper", "from mine.helper"))
        (package / "helper.py").write_text(helper)
        for name in [n for n in sys.modules if n.partition(".")[0] == "mine"]:
            del sys.modules[name]
        source._parse.cache_clear()
        source._path.cache_clear()
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        return source.source_digest(importlib.import_module("mine.claim").measure)

    return make


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# a comment", "# another"),
        ('"""Says something."""', '"""Says something else."""'),
        ("math.pi", "math.e"),
        ("\n\n\ndef inner", "\n\n\n\n\ndef inner"),
    ],
)
def test_words_and_pictures_do_not_change_the_digest(digest_of, before, after):
    assert digest_of() == digest_of(CODE.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after"), [("SIZE = 3", "SIZE = 4"), ("+ SIZE", "- SIZE"), ("inner(cell)", "cell")]
)
def test_code_that_is_reached_changes_the_digest(digest_of, before, after):
    assert digest_of() != digest_of(CODE.replace(before, after))


def test_imported_modules_of_the_package_count(digest_of):
    assert digest_of() != digest_of(helper=HELPER.replace("2", "3"))
    assert digest_of() == digest_of(helper=HELPER + "# a remark\n")


def test_an_import_that_only_the_figure_needs_does_not_count(digest_of):
    unused = CODE.replace("from helper import scale", "from helper import scale, picture")
    drawn = unused.replace("return math.pi", "return picture()")
    assert digest_of(unused) == digest_of(drawn)
