"""One cell measured in this process: the worker's side of a run."""

import gc
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from odeclaims.cell import Cell, Context, Row, guarded
from odeclaims.claim import Measure
from odeclaims.record.cells import CellStore, describe
from odeclaims.record.files import CorruptFile
from odeclaims.record.provenance import machine
from odeclaims.run.limit import CellTimeout, time_limit
from odeclaims.run.solving import solving_by
from odeclaims.run.tasks import THREADS

CHANGED = (
    "{} is not measured to the end: its code was changed after this run began; run again to go on"
)


def measure_and_keep(
    measure: Measure,
    cell: Cell,
    key: str,
    timeout_s: float,
    store: CellStore,
    code: Mapping[str, Any],
    *,
    code_changed: Callable[[], bool],
) -> tuple[str, str]:
    """Measure one cell and keep it.

    Args:
        measure: the claim's.
        cell: the cell.
        key: the name under which it is kept.
        timeout_s: seconds after which it is given up.
        store: where it is kept.
        code: its commit, and whether its tree was clean.
        code_changed: whether the cell was measured by other code than that of its key.

    Returns:
        Its key, and "" or a sentence that says why there is nothing to keep.
    """
    checkpoint, progress = (
        store.path(cell, key).with_suffix(suffix) for suffix in (".checkpoint", ".progress")
    )
    context = Context(checkpoint, progress, cell.label())
    try:
        record = observe(
            measure, cell, context, code=code, timeout_s=timeout_s, code_changed=code_changed
        )
    finally:
        progress.unlink(missing_ok=True)
    if isinstance(record, str):
        return key, record
    try:
        store.write(cell, key, record)
    except CorruptFile as error:
        # Rows that are no plain data are this cell's failure, and not that of the run.
        return key, f"{cell.label()} failed: {error}"
    checkpoint.unlink(missing_ok=True)
    return key, ""


def observe(
    measure: Measure,
    cell: Cell,
    context: Context,
    *,
    code: Mapping[str, Any],
    timeout_s: float,
    code_changed: Callable[[], bool],
) -> dict[str, Any] | str:
    """Measure one cell in this process.

    Args:
        measure: its claim's.
        cell: the cell.
        context: what the run lends to it.
        code: its commit, and whether its tree was clean.
        timeout_s: seconds after which it is given up.
        code_changed: whether the cell was measured by other code than that of its key.

    Returns:
        What is kept of it, or a sentence that says why there is nothing to keep.
    """
    _freeze_imports()
    torch.set_num_threads(THREADS)
    # What is called float32 is float32 on a GPU too, where convolutions would round to ten bits.
    torch.backends.cudnn.allow_tf32 = False
    clock = _clock_of(torch.device(cell.device))
    started = clock()
    record: dict[str, Any] = {
        "cell": describe(cell),
        "seed": cell.seed,
        **code,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        with solving_by(cell.solver) as missing:
            record["rows"] = _rows(measure, cell, context, timeout_s)
        # A row that JSON cannot hold is this cell's failure, and not that of the run.
        json.dumps(record["rows"])
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{cell.label()} failed: {type(error).__name__}: {error}"
            f" ({Path(where.filename).name}, line {where.lineno})"
        )
    if code_changed():
        return CHANGED.format(cell.claim)
    record["not_offered"] = sorted(missing)
    record["duration_s"] = round(clock() - started, 3)
    record["machine"] = machine(cell.device)
    return record


def _clock_of(device: torch.device) -> Callable[[], float]:
    """The clock for what a cell takes, in seconds: on a CPU that of the processor.

    Other work on the machine does not move it. Finished child processes count, such as a compiler.
    """
    return (lambda: sum(os.times()[:4])) if device.type == "cpu" else time.perf_counter


@cache
def _freeze_imports() -> None:
    """Leave what the imports made to no collection of garbage, once in this process.

    A cell that meters memory collects before it does; walking the imports took 0.15 s each time.
    """
    gc.freeze()


def _rows(measure: Measure, cell: Cell, context: Context, timeout_s: float) -> list[Row]:
    """The rows of a cell, each with the parameters, the seed and a status."""
    measured: list[Row] = []

    def observe() -> Row:
        measured.extend(measure(cell, context))
        return {}

    try:
        with time_limit(timeout_s):
            outcome = guarded(observe)
    except CellTimeout:
        outcome = {"status": "timeout"}
    common: Row = {
        "repetition": cell.repetition,
        "seed": cell.seed,
        "device": torch.device(cell.device).type,
        "solver": cell.solver,
    }
    rows = measured if outcome["status"] == "ok" else [outcome]
    return [{**cell.params, "status": "ok", **common, **row} for row in rows]
