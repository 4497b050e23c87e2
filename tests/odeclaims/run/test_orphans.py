"""A run that is ended from outside leaves no process behind, whenever it is, and goes on later.

The workers are joblib's own, as a user has them, unless a test says otherwise. SIGINT and SIGTERM
go the same way and differ in the exit code, so a test has one of the two; SIGKILL goes its own.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

# Seconds in which every process of a run has to be gone. One that is still importing what the run
# had imported, on a machine with other work, takes longer before it can look.
GONE_S, GONE_ONCE_IMPORTED_S = 10, 60
# A cell computes, and does not sleep, until the file "go" is there.
BUSY = """
    while not (FOLDER / "go").exists():
        pass
"""
STOPPED = "odeclaims: stopped; finished cells are kept, run again to go on\n"
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
# A run that says when it puts the rows together, and takes its time for it.
ASSEMBLES_SLOWLY = """
from odeclaims.run import claims
def assemble(*_):
    import pathlib, time
    pathlib.Path("assembling").touch()
    time.sleep(300)
claims._assemble = assemble
"""


def members(session: int) -> list[int]:
    """The processes of a session that still do something."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, of_session, *_ = path.read_text().rpartition(") ")[2].split()
            if int(of_session) == session and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def wait_until_gone(session: int, within: float) -> None:
    deadline = time.monotonic() + within
    while left := members(session):
        assert time.monotonic() < deadline, f"processes {left} live on"
        time.sleep(0.05)


def stop(
    counted, run: int, sign: signal.Signals, *, whole_group: bool = False, within: float = GONE_S
) -> None:
    """Send a signal to the run's own process or to all, and see that all are gone."""
    (os.killpg if whole_group else os.kill)(run, sign)
    code, _, errors = counted.end()
    assert code == CODES[sign]
    assert errors == ("" if sign == signal.SIGKILL else STOPPED)
    wait_until_gone(run, within)


def goes_on(counted, cells: int) -> None:
    counted.put("go", "")
    kept = len(counted.kept())
    code, output, errors = counted("run")
    assert (code, errors) == (0, "")
    assert f"{cells - kept} cells measured, {kept} taken from before" in output
    assert len(counted.rows()) == cells


pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc"),
    pytest.mark.slow(reason="workers as joblib starts them import torch"),
]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_workers_that_compute_end_with_their_run(counted, sign):
    counted.claim(cells=6, trouble=BUSY)
    run = counted.start("run", "--jobs", "2", workers="fresh")
    counted.wait_until(lambda: len(counted.log()) == 2)
    assert len(members(run)) >= 3
    stop(counted, run, sign)
    goes_on(counted, 6)


def test_a_signal_to_all_processes_of_a_run_is_one_sentence(counted):
    """As a terminal sends it at Ctrl-C."""
    counted.claim(cells=6, trouble=BUSY)
    run = counted.start("run", "--jobs", "2", workers="fresh")
    counted.wait_until(lambda: len(counted.log()) == 2)
    stop(counted, run, signal.SIGINT, whole_group=True)
    goes_on(counted, 6)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_workers_that_have_only_been_started_end_with_their_run(counted, sign):
    counted.claim(cells=6, trouble=BUSY)
    run = counted.start("run", "--jobs", "2", workers="fresh")
    counted.wait_until(lambda: len(members(run)) >= 3)
    assert not counted.log()
    stop(counted, run, sign, within=GONE_ONCE_IMPORTED_S)
    goes_on(counted, 6)


def test_a_semaphore_that_is_left_is_removed_without_a_word():
    code = (
        "import odeclaims.run.pool\n"
        "from joblib.externals.loky.backend import resource_tracker\n"
        "resource_tracker.register('/loky-left', 'semlock')"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert ended.stderr == ""


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_puts_its_rows_together_can_be_ended(counted, sign):
    counted.claim(cells=2)
    run = counted.start("run", "--jobs", "2", workers="fresh", before=ASSEMBLES_SLOWLY)
    counted.wait_until((counted.folder / "assembling").exists)
    stop(counted, run, sign)
    goes_on(counted, 2)


def test_a_signal_that_comes_again_changes_nothing(counted):
    counted.claim(cells=6, trouble=BUSY)
    run = counted.start("run", "--jobs", "2", workers="fresh")
    counted.wait_until(lambda: len(counted.log()) == 2)
    for _ in range(20):
        with suppress(ProcessLookupError):
            os.kill(run, signal.SIGTERM)
        time.sleep(0.02)
    code, _, errors = counted.end()
    assert code == CODES[signal.SIGTERM]
    assert errors == STOPPED
    wait_until_gone(run, GONE_S)
