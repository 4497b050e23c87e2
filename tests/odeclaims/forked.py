"""Runs of the command line that do not pay for the imports, on a claim that logs its measurements.

One process imports everything and is forked for each run, and a run's workers are forked off it in
turn (``fork_server``), unless a test asks for "fresh" ones as joblib starts them, which import
a torch of a few lines. Some tests in ``cli`` have the whole as a user starts it.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

# No test depends on how long this is; it ends a test that would wait for ever.
DEADLINE_S = 240
# Seconds between two looks at what is waited for; looking takes time from what is looked at.
LOOK_EVERY_S = 0.02

# The process that runs are forked off.
SERVER = Path(__file__).with_name("fork_server.py")
# Where processes that are started, and not forked, find a torch that takes no time to import.
LIGHT = Path(__file__).with_name("light")
COUNTED = """
import os, time
from dataclasses import replace
from pathlib import Path

from odeclaims.cell import Cell
from odeclaims.claim import Claim, Column
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Size, Statement

FOLDER = Path(__file__).parent

def cells(profile):
    for repetition in range(CELLS):
        yield Cell("counted", {"of": CELLS}, repetition)

def alone(cell):
    return cell.repetition in ALONE

def measure(cell, context):
    log = os.open(FOLDER / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{cell.repetition} {os.getpid()} {os.getppid()}\\n".encode())
    os.close(log)
    row = {"x": float(cell.seed % 97) / 7, "time_s": time.perf_counter()}
    rows = [row]
    TROUBLE
    return rows

def x_of(df):
    return df["x"]

def whole(df):
    return 1.0

RULE = Exact(Bounds(at_most=14))
STATEMENTS = [Statement("x_is_small", "x is small", x_of, RULE, "a remainder", central=True)]
SIZE = Size("a number a cell", whole)

def figure(df):
    # A worker draws nothing, and so need not import this.
    from matplotlib.figure import Figure

    return Figure()

def table(df):
    return df[["repetition", "x"]]

CLAIM = Claim(
    slug="counted", title="A toy", statement="x is small.", source="nowhere", ledger=[],
    deviations=["all of it"],
    columns={
        "of": Column("cells"), "x": Column("a number"), "time_s": Column("a clock", varies=True),
    },
    module=__name__,
)
CLAIMS = [CLAIM]
"""


def ended(pid: int) -> bool:
    """Whether a process does nothing any more; it may stay a zombie for ever."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    return True


class Forked:
    """A folder, and runs of the command line in it.

    Attributes:
        module: the name of a module there whose ``CLAIMS`` are all claims that the command line
            knows; "" where it finds them as it does for a user.
    """

    module = ""

    def __init__(self, folder: Path, forks: subprocess.Popen) -> None:
        self.folder, self.forks, self.out = folder, forks, folder / "results"
        self.running = 0
        self.output, self.errors = folder / "output.txt", folder / "errors.txt"

    def beside(self) -> "Forked":
        """What runs in the same folder beside a run of this one."""
        other = Forked(self.folder, self.forks)
        other.module, other.out = self.module, self.out
        other.output, other.errors = (
            p.with_stem(f"{p.stem}-beside") for p in (self.output, self.errors)
        )
        return other

    def start(self, *arguments: str, before: str = "", workers: str = "forked") -> int:
        """Start a run, after the statement ``before``; the number of its process and group."""
        order: dict[str, Any] = {
            "folder": str(self.folder),
            "arguments": arguments,
            "module": self.module,
        }
        order |= {"before": before, "workers": workers, "light": str(LIGHT)}
        order |= {"output": str(self.output), "errors": str(self.errors)}
        self.running = self._order(order)
        return self.running

    def _order(self, order: dict[str, Any]) -> int:
        """Give an order to the server, and take its answer."""
        assert self.forks.stdin is not None
        assert self.forks.stdout is not None
        self.forks.stdin.write(json.dumps(order) + "\n")
        self.forks.stdin.flush()
        return int(self.forks.stdout.readline())

    def end(self) -> tuple[int, str, str]:
        """Wait for the run to end: its exit code, output and errors."""
        self.wait_for_the_end_of(self.running)
        code = self._order({"wait_for": self.running})
        self.running = 0
        return code, self.output.read_text(), self.errors.read_text()

    def end_at_once(self) -> None:
        """End a run that a test which failed has left behind."""
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.running, signal.SIGKILL)
            self.end()

    def __call__(self, *arguments: str, **how: str) -> tuple[int, str, str]:
        self.start(*arguments, **how)
        return self.end()

    def wait_until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            over = self.running and ended(self.running)
            if holds():
                return
            assert not over, self.errors.read_text()
            assert time.monotonic() < deadline, "what was waited for did not happen"
            time.sleep(LOOK_EVERY_S)

    def wait_for_the_end_of(self, pid: int) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not ended(pid):
            assert time.monotonic() < deadline, "a process did not end"
            time.sleep(LOOK_EVERY_S)


class Counted(Forked):
    """A folder with a claim that logs each measurement as it begins, and runs of it."""

    module = "counted"

    def claim(
        self, *, cells: int, trouble: str = "pass", alone: str = "()", more: str = ""
    ) -> None:
        text = COUNTED.replace("CELLS", str(cells)).replace("ALONE", alone)
        (self.folder / "counted.py").write_text(text.replace("TROUBLE", trouble) + more)

    def put(self, name: str, text: str) -> None:
        """Put a file for the claim to read, in one step."""
        beside = self.folder / f"{name}.part"
        beside.write_text(text)
        beside.replace(self.folder / name)

    def log(self) -> list[tuple[int, int, int]]:
        """What was measured: repetition, process and its parent."""
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(r), int(pid), int(parent)) for r, pid, parent in map(str.split, lines)]

    def kept(self, out: Path | None = None) -> set[int]:
        """The repetitions whose cells are kept; every file is whole, or this fails."""
        files = list((out or self.out).glob("cells/counted/*.json"))
        records = [json.loads(path.read_text()) for path in files]
        assert all(len(record["rows"]) >= 1 for record in records)
        return {record["cell"]["repetition"] for record in records}

    def rows(self, out: Path | None = None) -> pd.DataFrame:
        """The rows without the times, as text."""
        path = (out or self.out) / "quick" / "counted" / "data.csv"
        return pd.read_csv(path, dtype=str).drop(columns="time_s")
