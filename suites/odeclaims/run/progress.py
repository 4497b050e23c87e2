"""How far a run is: a bar on a terminal, and now and then a line where there is none."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from odeclaims.record.files import escape_controls

# Seconds between two lines of progress where the output goes into a file or a pipe.
REPORT_EVERY_S = 10
# And between two reports of how far the cells in flight are.
REPORT_CELLS_EVERY_S = 60
# The files in which they say so, below the results folder.
STATES = "cells/*/*.progress"


def read_states(out: Path) -> list[str]:
    """How far the cells in flight are, a line for each that says so."""
    lines = []
    for path in sorted(out.glob(STATES)):
        with suppress(FileNotFoundError):
            lines.append(escape_controls(path.read_text(encoding="utf-8", errors="replace")))
    return [line for line in lines if line]


class Display(Progress):
    """The bar, and below it how far the cells in flight are."""

    def __init__(self, *columns: ProgressColumn, out: Path, **settings: Any) -> None:
        self.out = out
        super().__init__(*columns, **settings)

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bar, then a line for each cell that says how far it is."""
        yield from super().get_renderables()
        for line in read_states(self.out):
            yield Text(line, style="dim", no_wrap=True, overflow="ellipsis")


@contextmanager
def reports_of_cells(console: Console, out: Path) -> Iterator[None]:
    """Print how far the cells in flight are once a minute, where no terminal shows it."""
    done = threading.Event()

    def report() -> None:
        while not done.wait(REPORT_CELLS_EVERY_S):
            for line in read_states(out):
                console.print(line, markup=False, highlight=False)

    reporter = threading.Thread(target=report, daemon=True)
    if not console.is_terminal:
        reporter.start()
    try:
        yield
    finally:
        done.set()


def progress_bar(console: Console, out: Path) -> Progress:
    """The bar of a run that writes to ``out``; nothing where there is no terminal."""
    return Display(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[running]} in flight"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        out=out,
        console=console,
        disable=not console.is_terminal,
        refresh_per_second=4,
    )


def cell_counter(console: Console, total: int) -> Callable[[], None]:
    """What to call after each cell: a line now and then where there is no terminal for a bar."""
    started = told = time.monotonic()
    done = 0

    def report() -> None:
        nonlocal done, told
        done, now = done + 1, time.monotonic()
        if not console.is_terminal and (now - told >= REPORT_EVERY_S or done == total):
            told = now
            console.print(f"{done} of {total} cells after {now - started:.0f} s", highlight=False)

    return report
