"""What follows from a result, worked out once, and the names of its cells.

The results are committed ones and changed copies.
"""

import csv
import re
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from odeclaims.claim import Column
from odeclaims.claims import find_claims
from odeclaims.record.frame import frame
from odeclaims.record.judged import Judged, find_cells
from odeclaims.record.results import Results
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Statement
from tests.odeclaims.toy_claims import PROVENANCE, make_claim

RESULTS = Path(__file__).parents[3] / "results"


@pytest.fixture(scope="module")
def judged() -> Judged:
    return Judged(Results(RESULTS, "quick", find_claims()["adjoint_gradients"]))


def test_every_cell_of_the_written_table_has_a_name_of_its_own(judged):
    named = judged.cells
    table = list(csv.reader((judged.results.folder / "table.csv").open(encoding="utf-8")))
    own = [cell for cell in named if cell.table == "table"]
    assert len(own) == (len(table) - 1) * len(table[0])
    assert {cell.column for cell in own} == set(table[0])
    for cell in own:
        written = table[1 + cell.row][table[0].index(cell.column)]
        assert cell.text == written or float(cell.text) == float(written)
    assert len({cell.hash for cell in named}) == len(named)
    assert all(re.fullmatch("[0-9a-f]{10}", cell.hash) for cell in named)


def test_committed_names_are_those_of_the_committed_rows(judged):
    written = list(csv.DictReader((judged.results.folder / "hashes.csv").open(encoding="utf-8")))
    assert [row["hash"] for row in written] == [cell.hash for cell in judged.cells]


def test_a_number_is_found_by_its_name_and_no_longer_once_the_rows_are_others(judged, tmp_path):
    cell = next(c for c in judged.cells if (c.table, c.column) == ("statements", "measured"))
    ((where, found),) = find_cells(cell.hash.upper(), [judged])
    assert (where, found) == (judged, cell)
    shutil.copytree(judged.results.folder, tmp_path / "quick" / "adjoint_gradients")
    changed = Results(tmp_path, "quick", judged.claim)
    assert [found for _, found in find_cells(cell.hash, [Judged(changed)])] == [cell]
    df = changed.read()
    df["error_y0"] *= 1.5
    changed.write(df, PROVENANCE)
    assert find_cells(cell.hash, [Judged(changed)]) == []


@pytest.mark.parametrize("name", ["", "xyz", "54834712e", "54834712ebf", "g" * 10])
def test_what_is_no_name_is_refused(name, judged):
    with pytest.raises(ValueError, match="10 hexadecimal digits"):
        find_cells(name, [judged])


def test_whatever_is_asked_of_it_a_result_is_read_judged_and_tabulated_once(tmp_path, monkeypatch):
    calls = Counter()

    def values(df: pd.DataFrame) -> pd.Series:
        calls["judge"] += 1
        return df["x"]

    def table(df: pd.DataFrame) -> pd.DataFrame:
        calls["table"] += 1
        return df

    rule = Exact(Bounds(at_most=1))
    statement = Statement("small", "x is small", values, rule, "a test", central=True)
    claim = make_claim(columns={"x": Column("a number")}, STATEMENTS=[statement], table=table)
    results = Results(tmp_path, "quick", claim)
    row = {"x": 0.5, "status": "ok", "repetition": 0, "seed": 1, "device": "cpu", "solver": "ours"}
    results.write(frame(claim, [row]), PROVENANCE)
    read = Results.read
    monkeypatch.setattr(Results, "read", lambda self: calls.update(["read"]) or read(self))
    calls.clear()
    judged = Judged(results)
    for _ in range(2):
        assert judged.verdict.summary == "1 of 1 reproduced"
        assert len(judged.cells) == judged.statements.size + judged.table.size
        assert judged.stale() == ""
        judged.write_verdict()
    assert calls == {"read": 1, "judge": 1, "table": 1}


@pytest.mark.parametrize(
    ("derived", "stored", "agree"),
    [
        # The end of an interval under SciPy 1.18 and 1.17, and a distance from a root under 1.15.
        (0.9999999999999997, 0.9999999793138715, True),
        (1.6760832721729457e-09, 1.6751249276580893e-09, True),
        (1.000001, 1.0, False),
        (1.7e-09, 1.6e-09, False),
        (6.7e-15, 9e-12, False),
    ],
)
def test_a_verdict_may_differ_by_rounding_alone(tmp_path, derived, stored, agree):
    def values(df: pd.DataFrame) -> pd.Series:
        return df["x"]

    rule = Exact(Bounds(at_most=2))
    statement = Statement("small", "x is small", values, rule, "a test", central=True)
    claim = make_claim(columns={"x": Column("a number")}, STATEMENTS=[statement])
    results = Results(tmp_path, "quick", claim)
    row = {"x": derived, "status": "ok", "repetition": 0, "seed": 1, "device": "cpu"}
    results.write(frame(claim, [row | {"solver": "ours"}]), PROVENANCE)
    text = results.verdict.read_text()
    assert repr(derived) in text
    results.verdict.write_text(text.replace(repr(derived), repr(stored)))
    assert (Judged(results).stale() == "") == agree
