"""The rows of a cell beside those that are published of it."""

import pytest

from odeclaims.cell import Cell
from odeclaims.claim import Column
from odeclaims.record.compare_rows import compare_rows
from odeclaims.record.frame import frame, read_csv, to_csv
from tests.odeclaims.toy_claims import make_claim

COLUMNS = {
    "size": Column("a parameter"),
    "x": Column("a number"),
    "word": Column("a word"),
    "time_s": Column("a clock", varies=True),
}
CLAIM = make_claim(columns=COLUMNS)
CELL = Cell("toy", {"size": 0.1}, 3)
OTHERS = (Cell("toy", {"size": 0.1}, 2), Cell("toy", {"size": 0.3}, 3))


def rows_of(cell: Cell, *xs: float | None) -> list:
    common = {"status": "ok", "repetition": cell.repetition, "seed": cell.seed}
    common |= {"device": "cpu", "solver": "ours", "word": "a", **cell.params}
    return [{**common, "x": x, "time_s": 0.5 * i} for i, x in enumerate(xs)]


PUBLISHED = [*rows_of(OTHERS[0], 7.0), *rows_of(CELL, 1.0, None, 3.0), *rows_of(OTHERS[1], 9.0)]


def compare(rows, published=PUBLISHED, cell=CELL):
    df = read_csv(to_csv(frame(CLAIM, list(published))))
    return compare_rows(CLAIM, df, cell, rows)


def test_the_same_rows_agree_whatever_the_time_and_a_little_rounding():
    found = compare([row | {"time_s": 9.0} for row in rows_of(CELL, 1.009, None, 3.0)])
    assert found.agree
    assert (found.rows, found.published, found.differing) == (3, 3, 0)
    # All columns but the clock.
    assert found.values == 3 * (len(CLAIM.all_columns) - 1)
    assert str(found) == "3 rows as published"


@pytest.mark.parametrize(
    ("rows", "differing", "column"),
    [
        (rows_of(CELL, 1.02, None, 3.0), 1, "x"),
        (rows_of(CELL, 1.0, 2.0, 3.0), 1, "x"),
        (rows_of(CELL, 1.0, None, None), 1, "x"),
        (rows_of(CELL, 1.0, None, -3.0), 1, "x"),
        ([row | {"word": "b"} for row in rows_of(CELL, 1.0, None, 4.0)], 4, "word"),
        ([row | {"status": "timeout"} for row in rows_of(CELL, 1.0, None, 3.0)], 3, "status"),
    ],
)
def test_what_differs_is_counted_and_the_column_named(rows, differing, column):
    found = compare(rows)
    assert not found.agree
    assert (found.differing, found.column) == (differing, column)
    assert f"{differing} of {found.values} values differ (numbers by more than 1%)" in str(found)
    assert str(found).endswith(f"in {column}")


def test_fewer_rows_and_a_cell_that_is_not_published():
    assert str(compare(rows_of(CELL, 1.0))) == "1 row, 3 published"
    assert not compare(rows_of(CELL, 1.0)).agree
    other = Cell("toy", {"size": 0.2}, 3)
    found = compare(rows_of(other, 1.0), cell=other)
    assert str(found) == "the record has no rows of this cell"
    assert not found.agree


def test_a_cell_of_several_repetitions_with_seeds_of_their_own():
    rows = rows_of(CELL, 1.0, 2.0)
    rows[1] |= {"repetition": 4, "seed": 5, "size": 0.2}
    assert compare(rows, [*PUBLISHED[:1], *rows, *rows_of(OTHERS[1], 9.0)]).agree


def test_a_column_that_is_all_gaps_and_one_of_both_kinds():
    published = [row | {"word": None} for row in rows_of(CELL, None, None)]
    assert compare(published, published).agree
    mixed = rows_of(CELL, 1.0, 2.0)
    mixed[1]["word"] = "b2"
    assert compare(mixed, mixed).agree
    assert compare(published, mixed).differing == 4
