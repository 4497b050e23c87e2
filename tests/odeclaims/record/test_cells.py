"""Finished cells on disk: as they were measured, or set aside and reported."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from odeclaims.cell import Cell
from odeclaims.record.cells import CellStore
from tests.odeclaims.record.strategies import scalars, texts
from tests.odeclaims.toy_claims import record_of


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 0}',
        '{"format": 3, "key": "k"}',
        '{"format": 3, "key": "k", "rows": []}',
    ],
)
def test_a_spoilt_cell_is_set_aside_and_reported(tmp_path, content):
    store, cell = CellStore(tmp_path), Cell("toy", {})
    store.write(cell, "k", record_of(cell, []))
    record, problem = store.read(cell, "k")
    assert record is not None
    assert not problem
    store.path(cell, "k").write_text(content)
    record, problem = store.read(cell, "k")
    assert record is None
    assert "set aside as k.json.corrupt-1" in problem
    assert store.read(cell, "k") == (None, "")


def test_a_cell_with_a_single_other_digit_is_set_aside(tmp_path):
    store, cell = CellStore(tmp_path), Cell("toy", {})
    rows = [{"x": 0.1, "word": "é", "y": float("nan"), "n": 2**62}]
    record = record_of(cell, rows) | {"commit": None}
    store.write(cell, "k", record)
    found, _ = store.read(cell, "k")
    assert found is not None
    assert str(found["rows"]) == str(record["rows"])
    path = store.path(cell, "k")
    path.write_text(path.read_text().replace('"x": 0.1', '"x": 0.2'))
    found, problem = store.read(cell, "k")
    assert found is None
    assert "not the one that was written; set aside as k.json.corrupt-1" in problem


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@given(
    rows=st.lists(st.dictionaries(texts, scalars, max_size=4), max_size=4),
    params=st.dictionaries(texts, scalars, max_size=3),
)
def test_cells_survive_their_files(folder, rows, params):
    """Every type as it was, empty and numeric texts too, since JSON tells them apart."""
    store, cell = CellStore(folder), Cell("toy", params)
    key = cell.key("source")
    store.write(cell, key, record_of(cell, rows))
    record, problem = store.read(cell, key)
    assert record is not None
    assert problem == ""
    assert repr(record["rows"]) == repr(rows)


WHOLE = [
    {"value": 0.1, "word": 'q"q', "status": "ok"},
    {"value": None, "word": "a,b", "status": "ok"},
    {"value": -1e-300, "word": "two\nlines", "status": "ok"},
    {"value": 1 / 3, "word": "é\r", "status": "ok"},
]


@given(length=st.integers(0, 300))
def test_a_cut_cell_is_measured_again(folder, length):
    store, cell = CellStore(folder), Cell("toy", {})
    store.write(cell, "key", record_of(cell, WHOLE))
    path = store.path(cell, "key")
    content = path.read_bytes()
    assume(length < len(content) - 1)
    path.write_bytes(content[:length])
    record, problem = store.read(cell, "key")
    assert record is None
    (aside,) = path.parent.glob("key.json.corrupt-*")
    assert aside.name in problem
    aside.unlink()
