"""What a worker does with one cell; whole runs are tested as processes in ``test_cli``."""

from odeclaims.claim import Cell
from odeclaims.run import _work
from odeclaims.store import CellStore

CELL = Cell("toy", {"x": 1})


def leave_a_checkpoint(cell: Cell) -> list[dict]:
    assert cell.checkpoint is not None
    cell.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    cell.checkpoint.write_text("half way")
    return [{"y": 2}]


def test_the_checkpoint_of_a_finished_cell_is_deleted(tmp_path):
    store = CellStore(tmp_path)
    assert _work(leave_a_checkpoint, CELL, "key", store, None) == ""
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
    sentence = _work(fail, CELL, "key", store, None)
    assert "RuntimeError: power cut" in sentence
    kept = store.path(CELL, "key").with_suffix(".checkpoint")
    assert kept.read_text() == "half way"
