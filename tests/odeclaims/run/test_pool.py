"""Worker processes that die, and whose run dies."""

import importlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace

import pytest

from odeclaims.cell import Cell, Context, Row
from odeclaims.record.cells import CellStore
from odeclaims.record.provenance import code_state
from odeclaims.run import pool
from odeclaims.run.code import CodeHere, code_of


@pytest.mark.slow(reason="workers as joblib starts them import torch")
def test_a_worker_that_dies_is_named_and_the_other_cells_are_measured(counted):
    """Cell 2 waits to be ended with the worker that cell 3 takes with it.

    The workers are joblib's own, which tells of their death.
    """
    counted.claim(
        cells=6,
        trouble="""
    so_far = [line.split()[0] for line in (FOLDER / "log").read_text().splitlines()]
    if cell.repetition == 2 and so_far.count("2") == 1:
        time.sleep(60)
    if cell.repetition == 3 and not (FOLDER / "mended").exists():
        while "\\n2 " not in (FOLDER / "log").read_text():
            time.sleep(0.01)
        os._exit(7)
""",
    )
    code, output, errors = counted("run", "--jobs", "2", workers="fresh")
    assert (code, errors) == (1, "")
    assert "In flight were counted (of=6, repetition=2); counted (of=6, repetition=3)" in output
    assert "counted (of=6, repetition=3) failed: A worker process" in output
    assert "with EXIT(7)" in output
    assert "5 cells measured, 0 taken from before" in output
    assert counted.kept() == {0, 1, 2, 4, 5}
    assert not (counted.out / "quick" / "counted" / "data.csv").exists()
    times = Counter(repetition for repetition, _, _ in counted.log())
    assert times == {0: 1, 1: 1, 2: 2, 3: 2, 4: 1, 5: 1}
    counted.put("mended", "")
    code, output, _ = counted("run")
    assert code == 0
    assert "1 cells measured, 5 taken from before" in output


CHANGE_ONCE_LISTED = """
from odeclaims.run import claims
def list_and_change(*arguments, list_tasks=claims.list_tasks):
    tasks = list_tasks(*arguments)
    with open("counted.py", "a") as file:
        file.write("ADDED = 1\\n")
    return tasks
claims.list_tasks = list_and_change
"""


@pytest.mark.slow(reason="workers as joblib starts them import torch")
def test_code_that_is_changed_after_a_run_began_measures_nothing_for_it(counted):
    counted.claim(cells=3)
    arguments = "run", "--jobs", "1"
    code, output, errors = counted(*arguments, before=CHANGE_ONCE_LISTED, workers="fresh")
    assert (code, errors) == (1, "")
    assert output.count("its code was changed after this run began; run again to go on") == 1
    assert "0 cells measured, 0 taken from before" in output
    assert counted.log() == []
    assert "3 cells measured, 0 taken from before" in counted(*arguments, workers="fresh")[1]


def test_a_worker_reads_the_code_once_and_measures_by_that_of_the_key_alone(tmp_path, monkeypatch):
    read = []

    def code_here(measure, solver: str) -> SimpleNamespace:
        read.append(solver)
        return SimpleNamespace(digest="here", changed=lambda: False)

    monkeypatch.setattr(pool, "_code_here", cache(code_here))
    store = CellStore(tmp_path)
    for number in range(3):
        cell = Cell("toy", {"x": 1}, number)
        for code, says in (("here", ""), ("elsewhere", "its code was changed after")):
            key = cell.key(code)
            found = pool.measure_by_code_of_key(no_rows, cell, key, 600.0, store, code_state())
            assert found[0] == key
            assert says in found[1]
            assert store.path(cell, key).exists() == (not found[1])
    assert read == ["ours"]


@pytest.mark.parametrize("changed", ["before", "after", "never"])
def test_what_is_imported_late_is_that_of_the_key_or_nothing_is_kept(
    tmp_path, monkeypatch, changed
):
    """A worker imports some of the code with a later cell, when the file may have been changed."""
    package = tmp_path / f"late_{changed}"
    package.mkdir()
    late = package / "late.py"
    late.write_text("VALUE = 1\n")
    (package / "measure.py").write_text(
        f"def measure(cell, context):\n    from {package.name}.late import VALUE\n"
        "    return [{'x': VALUE}]\n"
    )
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    measure = importlib.import_module(f"{package.name}.measure").measure
    code, store, cell = CodeHere(measure, "ours"), CellStore(tmp_path), Cell("toy", {})
    assert code.digest == code_of(measure, "ours")
    task = (measure, cell, cell.key(code.digest), 600.0, store, code_state())
    if changed == "before":
        late.write_text("VALUE = 'changed'\n")
    # What a process has imported it keeps, so that its later cells are not of the key either.
    for _ in range(2):
        _, says = pool.measure_and_keep(*task, code_changed=code.changed)
        assert ("its code was changed after this run began" in says) == (changed == "before")
        assert store.path(*task[1:3]).exists() == (changed != "before")
    if changed == "after":
        # What was imported before stays what it was.
        late.write_text("VALUE = 'changed'\n")
        assert pool.measure_and_keep(*task, code_changed=code.changed)[1] == ""
        assert measure(None, None) == [{"x": 1}]


def no_rows(cell: Cell, context: Context) -> list[Row]:
    return []


def test_a_worker_ends_soon_after_its_run_is_killed(counted):
    counted.claim(cells=1, trouble="time.sleep(60)")
    before = "from odeclaims.run import observe; observe.LOOK_EVERY_S = 0.02"
    run = counted.start("run", "--jobs", "1", before=before)
    counted.wait_until(counted.log)
    os.kill(run, signal.SIGKILL)
    assert counted.end()[0] == -signal.SIGKILL
    counted.wait_for_the_end_of(counted.log()[0][1])


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, ValueError])
def test_a_signal_while_joblib_starts_is_no_fault_of_joblib(tmp_path, monkeypatch, stopped):
    """Its thread has not begun then, and it cannot wait for the thread's end."""

    def starts(tasks) -> Iterator[None]:
        try:
            raise stopped
        finally:
            raise RuntimeError("cannot join thread before it is started")
        yield

    monkeypatch.setattr(pool, "Parallel", lambda **how: starts)
    with pytest.raises(KeyboardInterrupt if stopped is KeyboardInterrupt else RuntimeError):
        list(pool._processes([], CellStore(tmp_path), 1))
