"""Worker processes that die, and whose run dies."""

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from odeclaims.record.cells import CellStore
from odeclaims.run import pool


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
