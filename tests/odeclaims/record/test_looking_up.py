"""Names of cells are looked up where they were stored, and derived again there."""

import csv
import shutil
from pathlib import Path

import pytest

from odeclaims.claims import find_claims
from odeclaims.record.judged import Judged, find_cells
from odeclaims.record.results import Results

RESULTS = Path(__file__).parents[3] / "results"
NAMES = ("adjoint_gradients", "universal_approximation", "backward_nfe")


@pytest.fixture
def known(tmp_path) -> list[Judged]:
    for name in NAMES:
        shutil.copytree(RESULTS / "quick" / name, tmp_path / "quick" / name)
    return [Judged(Results(tmp_path, "quick", find_claims()[name])) for name in NAMES]


def stored(judged: Judged, table: str) -> str:
    with (judged.results.folder / "hashes.csv").open(newline="") as file:
        return next(row["hash"] for row in csv.DictReader(file) if row["table"] == table)


@pytest.mark.parametrize("table", ["statements", "table"])
def test_only_the_result_that_stores_a_name_is_derived(known, table):
    name = stored(known[-1], table)
    ((judged, cell),) = find_cells(name, known)
    assert judged is known[-1]
    assert (cell.hash, cell.table) == (name, table)
    assert not any("verdict" in vars(other) or "table" in vars(other) for other in known[:-1])


def test_what_is_stored_is_not_believed(known):
    name = stored(known[1], "statements")
    for judged in known:
        path = judged.results.folder / "hashes.csv"
        path.write_text(path.read_text().replace(name, "0123456789"))
    assert find_cells("0123456789", known) == []
    ((judged, _),) = find_cells(name, known)
    assert judged is known[1]
    for judged in known:
        (judged.results.folder / "hashes.csv").unlink()
    assert len(find_cells(name, known)) == 1
