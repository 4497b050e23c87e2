"""Two runs and one results folder, which is deleted, moved and made again between them."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.odeclaims.forked import Counted

# Every cell waits for the file "go", so that the run has no result to look at before that.
WAITS = """
    while not (FOLDER / "go").exists():
        time.sleep(0.01)
"""
REFUSED = "odeclaims: another run is writing to ../results; wait for it or use --out\n"
GONE = "odeclaims: results was deleted or moved while this run was writing to it; run again\n"


class Pair:
    """A run that waits in its first cell, and a second one from another folder."""

    def __init__(self, first: Counted, second: Counted) -> None:
        self.first, self._second, self.out = first, second, first.out
        for each in (first, second):
            each.claim(cells=3, trouble=WAITS)
        second.out = first.out
        second.put("go", "")
        self.run = first.start("run", "--jobs", "1")
        first.wait_until(lambda: len(first.log()) == 1)

    def second(self, out: str = "../results", before: str = "") -> tuple[int, str, str]:
        """The second run, from its start to its end."""
        return self._second("run", "--jobs", "1", "--out", out, before=before)


@pytest.fixture
def pair(tmp_path, forks) -> Iterator[Pair]:
    (tmp_path / "second").mkdir()
    first, second = Counted(tmp_path, forks), Counted(tmp_path / "second", forks)
    yield Pair(first, second)
    second.end_at_once()
    first.end_at_once()


def processes_of(group: int) -> list[int]:
    """The numbers of the processes of a group."""
    numbers = []
    for path in Path("/proc").iterdir():
        # Others may end meanwhile.
        with suppress(ValueError, ProcessLookupError):
            if os.getpgid(int(path.name)) == group:
                numbers.append(int(path.name))
    return numbers


def delete(out: Path) -> None:
    # A worker may write while it is deleted.
    shutil.rmtree(out, ignore_errors=True)


def delete_and_make(out: Path) -> None:
    delete(out)
    out.mkdir(exist_ok=True)


def delete_the_locks(out: Path) -> None:
    for path in out.glob(".*lock"):
        path.unlink()


def move(out: Path) -> None:
    out.rename(out.with_name("moved"))


def replace(out: Path) -> None:
    shutil.copytree(out, out.with_name("copy"))
    move(out)
    out.with_name("copy").rename(out)


CHANGES = [lambda out: None, delete, delete_and_make, delete_the_locks, move, replace]


@pytest.mark.parametrize("change", CHANGES)
def test_the_second_run_is_refused_and_the_first_does_not_claim_success(pair, change):
    change(pair.out)
    code, _, errors = pair.second()
    assert (code, errors) == (2, REFUSED)
    pair.first.put("go", "")
    code, output, errors = pair.first.end()
    if change is CHANGES[0]:
        assert (code, errors) == (0, "")
        assert len(pair.first.rows()) == 3
    else:
        assert (code, errors) == (2, GONE)
        assert "cells measured" not in output
    # And now that there is no other run, one begins.
    assert pair.second()[0] == 0
    assert len(pair.first.rows()) == 3


@pytest.mark.parametrize("change", [delete, delete_and_make, move, replace])
def test_a_second_run_with_other_temporary_files_ends_the_first(pair, change, tmp_path):
    """Then it does not see the lock outside of the folder, as two jobs of a cluster do not."""
    change(pair.out)
    (tmp_path / "tmp").mkdir()
    elsewhere = f"import tempfile; tempfile.tempdir = {str(tmp_path / 'tmp')!r}"
    assert pair.second(before=elsewhere)[0] == 0
    pair.first.put("go", "")
    code, _, errors = pair.first.end()
    assert (code, errors) == (2, GONE)
    assert len(pair.first.rows()) == 3


@pytest.mark.parametrize("change", [delete, delete_and_make, move])
def test_after_a_kill_the_folder_is_free(pair, change):
    # Its workers, forked off it, hold the lock until each has ended.
    workers = processes_of(pair.run)
    os.killpg(pair.run, signal.SIGKILL)
    pair.first.end()
    for worker in workers:
        pair.first.wait_for_the_end_of(worker)
    change(pair.out)
    pair.first.put("go", "")
    assert pair.second()[0] == 0
    assert len(pair.first.rows()) == 3


def test_a_folder_by_another_name_is_the_same_folder(pair, tmp_path):
    (tmp_path / "linked").symlink_to("results")
    for out in ("../linked", f"{tmp_path}/results", "../results/../results"):
        code, _, errors = pair.second(out)
        assert (code, errors) == (2, REFUSED.replace("../results", out, 1))


LOSES_A_CELL = """
from odeclaims.run import claims
claims.whole = claims._assemble
def assemble(claim, rules, profile, tasks, store, *rest):
    from odeclaims.run.claims import whole
    store.path(tasks[0].cell, tasks[0].key).unlink()
    return whole(claim, rules, profile, tasks, store, *rest)
claims._assemble = assemble
"""


def test_cells_that_vanish_before_the_rows_are_put_together_are_missed(counted):
    counted.claim(cells=2)
    code, output, errors = counted("run", "--jobs", "1", before=LOSES_A_CELL)
    assert (code, errors) == (1, "")
    assert "claim counted has no results: 1 of its cells are no longer in results/cells" in output
    assert counted("run")[0] == 0
