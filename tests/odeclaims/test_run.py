"""What a worker does with one cell; whole runs are tested as processes in ``test_cli``."""

import io
import time

from odeclaims.store import CellStore
from rich.console import Console

from odeclaims import run
from odeclaims.claim import Cell
from odeclaims.run import _progress, _reports_of_cells, _states, _work

CELL = Cell("toy", {"x": 1})


def leave_a_checkpoint(cell: Cell) -> list[dict]:
    assert cell.checkpoint is not None
    cell.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    cell.checkpoint.write_text("half way")
    return [{"y": 2}]


def test_the_checkpoint_of_a_finished_cell_is_deleted(tmp_path):
    store = CellStore(tmp_path)
    assert _work(leave_a_checkpoint, CELL, "key", store, None) == ("key", "")
    record, problem = store.read(CELL, "key")
    assert problem == ""
    assert record is not None
    assert "checkpoint" not in record["cell"]
    assert [path.name for path in store.path(CELL, "key").parent.iterdir()] == ["key.json"]


def test_the_checkpoint_of_a_cell_that_failed_is_kept(tmp_path):
    def fail(cell: Cell) -> list[dict]:
        leave_a_checkpoint(cell)
        raise RuntimeError("power cut")

    store = CellStore(tmp_path)
    _, sentence = _work(fail, CELL, "key", store, None)
    assert "RuntimeError: power cut" in sentence
    kept = store.path(CELL, "key").with_suffix(".checkpoint")
    assert kept.read_text() == "half way"


def test_a_cell_says_how_far_it_is_while_it_runs_and_then_no_more(tmp_path):
    store, seen = CellStore(tmp_path), []

    def measure(cell: Cell) -> list[dict]:
        cell.tell("batch 1")
        cell.tell("batch 2, too soon after the first to be written")
        seen.extend(_states(tmp_path))
        with _progress(Console(file=io.StringIO(), force_terminal=True), tmp_path) as bar:
            seen.extend(str(line) for line in list(bar.get_renderables())[1:])
        return []

    assert _work(measure, CELL, "key", store, None) == ("key", "")
    assert seen == ["batch 1 | toy (x=1, repetition=0)"] * 2
    assert _states(tmp_path) == []


def test_a_cell_outside_of_a_run_says_it_to_nobody():
    CELL.tell("batch 1")


def test_how_far_the_cells_are_is_printed_where_there_is_no_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "REPORT_CELLS_EVERY_S", 0.01)
    path = tmp_path / "cells" / "toy" / "key.progress"
    path.parent.mkdir(parents=True)
    path.write_text("batch [7]")
    out = io.StringIO()
    with _reports_of_cells(Console(file=out), tmp_path):
        deadline = time.monotonic() + 10
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert out.getvalue().startswith("batch [7]\n")
