"""What Windows and macOS lack: each is taken away here, and the run does without it."""

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from odeclaims.cell import Cell
from odeclaims.record import files, provenance
from odeclaims.run import claims, observe
from odeclaims.run.limit import CellTimeout, time_limit

CELL = Cell("toy", {"x": 1})


def work(seconds: float) -> None:
    """Compute in Python for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.fixture
def no_alarms(monkeypatch):
    monkeypatch.delattr(signal, "SIGALRM")
    monkeypatch.delattr(signal, "setitimer")


@pytest.mark.usefixtures("no_alarms")
def test_a_cell_ends_in_time_without_alarms():
    def measure(cell, context):
        work(30)
        return []

    started = time.monotonic()
    (row,) = observe._rows(measure, CELL, observe.Context(), 0.05)
    assert row["status"] == "timeout"
    assert time.monotonic() - started < 20


@pytest.mark.usefixtures("no_alarms")
def test_nothing_is_raised_after_the_limit_is_left():
    with time_limit(0.02):
        pass
    work(0.1)
    # At its very end it is raised inside, or not at all.
    for _ in range(20):
        try:
            with time_limit(0.001):
                work(0.001)
        except CellTimeout:
            pass
        work(0.002)


def test_a_limit_holds_in_any_thread_and_there_alone():
    ended = []

    def limited() -> None:
        try:
            with time_limit(0.05):
                work(30)
        except CellTimeout:
            ended.append("limited")

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join(20)
    assert ended == ["limited"]


def test_an_error_of_the_measurement_is_itself_under_a_limit(monkeypatch):
    monkeypatch.delattr(signal, "SIGALRM")
    with pytest.raises(ZeroDivisionError), time_limit(10):
        _ = 1 / 0


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_two_runs_keep_out_of_each_other_s_way_without_locks_of_the_system(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.delattr(os, "getuid")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    out = tmp_path / "results"
    out.mkdir()
    with claims._only_run(out) as check:
        check()
        with pytest.raises(ValueError, match="another run is writing to"), claims._only_run(out):
            pass
    with claims._only_run(out) as check:
        check()


def test_a_file_that_somebody_reads_is_replaced_when_it_is_read(tmp_path, monkeypatch):
    path, replace, tries = tmp_path / "data.csv", os.replace, []

    def refuse_twice(source: str, target: Path) -> None:
        tries.append(source)
        if len(tries) < 3:
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_twice)
    assert files.write_text(path, "x\n").read_text() == "x\n"
    assert len(tries) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_is_named_and_stays(tmp_path, monkeypatch):
    path = tmp_path / "data.csv"
    path.write_text("old\n")

    def refuse(source: str, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Access is denied")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files, "WAITS_S", (0.0,))
    with pytest.raises(OSError, match="Access is denied") as failed:
        files.write_text(path, "new\n")
    assert failed.value.filename == str(path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old\n"]


def test_a_processor_has_a_name_without_proc(monkeypatch):
    monkeypatch.setattr(provenance.Path, "exists", lambda path: False)
    assert provenance._cpu()


def test_a_machine_without_git_gives_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.ask_git("rev-parse", "HEAD") is None
