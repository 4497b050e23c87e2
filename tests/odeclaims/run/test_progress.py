"""How far a run is, where there is no terminal; on a terminal ``test_observe`` has it."""

import io
import time

from rich.console import Console

from odeclaims.run import progress
from odeclaims.run.progress import reports_of_cells


def test_how_far_the_cells_are_is_printed_where_there_is_no_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_CELLS_EVERY_S", 0.01)
    path = tmp_path / "cells" / "toy" / "key.progress"
    path.parent.mkdir(parents=True)
    path.write_text("batch [7]")
    out = io.StringIO()
    with reports_of_cells(Console(file=out), tmp_path):
        deadline = time.monotonic() + 10
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert out.getvalue().startswith("batch [7]\n")
