"""From cells to rows: processes, progress, and going on where a run was stopped.

A worker writes each finished cell to disk itself, so that a killed run loses only the cells in
flight. Cells that measure time run afterwards, one at a time and with nothing beside them. On a
cluster (``cluster.py``) a worker returns what it found, and this process writes it.
"""

import gc
import json
import os
import re
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from joblib import Parallel, delayed
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

from odeclaims import cluster
from odeclaims.claim import Cell, Claim, Profile, Row, guarded
from odeclaims.provenance import commit, machine, provenance
from odeclaims.source import source_digest
from odeclaims.store import CellStore, CorruptFile, Results, described, frame, remove_litter

# One thread a cell: cells run beside each other, and a time with one thread compares across
# machines.
THREADS = 1
# Seconds between two lines of progress where the output goes into a file or a pipe.
REPORT_EVERY_S = 10
# And between two reports of how far the cells in flight are.
REPORT_CELLS_EVERY_S = 60
# The files in which they say so, below the results folder.
STATES = "cells/*/*.progress"


Measure = Callable[[Cell], list[Row]]
# How tasks are computed, so many at a time; for each, as it ends, "" or why it failed.
Compute = Callable[[list["Task"], int], Iterator[str]]


class CellTimeout(Exception):
    """A cell that took longer than it may."""


@dataclass(frozen=True)
class Task:
    """A cell with the claim that measures it and the key under which it is kept."""

    claim: Claim
    cell: Cell
    key: str


@dataclass
class Summary:
    """How a run went: cells computed and taken from before, and what failed, one sentence each."""

    computed: int = 0
    reused: int = 0
    failures: list[str] = field(default_factory=list)


def run(
    claims: Sequence[Claim],
    profile: Profile,
    out: Path,
    *,
    jobs: int | None,
    fresh: bool = False,
    scheduler: str | None = None,
    console: Console,
) -> Summary:
    """Measure what is not measured yet, then write rows, provenance and verdict of each claim.

    Args:
        claims: the claims to run.
        profile: how large.
        out: the results folder; only one run may write to it at a time.
        jobs: cells that run side by side; by default one a core, or as many as the cluster
            takes.
        fresh: measure again what is finished.
        scheduler: the address of a Dask cluster that measures; by default this machine does.
        console: where progress is shown.

    Raises:
        ValueError: where another run writes to ``out``, or the cluster's workers have other code.
        OSError: where ``out`` cannot be written, or the scheduler cannot be reached.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _only_run(out), ExitStack() as stack:
        tasks = _tasks(claims, profile)
        store, summary = CellStore(out), Summary()
        open_tasks = [t for t in tasks if fresh or not _finished(store, t, console)]
        summary.reused = len(tasks) - len(open_tasks)
        for path in out.glob(STATES):
            path.unlink()  # of a run that was killed
        remove_litter(out)
        if scheduler:
            client = stack.enter_context(cluster.connected(scheduler))
            compute: Compute = partial(cluster.compute, client, store)
            # Dask itself gives a worker as many as it has threads, and workers may join later.
            jobs = jobs or max(1, len(open_tasks))
            if not cluster.workers(client):
                console.print("The scheduler has no workers yet; waiting for them.", style="yellow")
        else:
            compute = partial(_parallel, store, console)
            jobs = jobs or os.cpu_count() or 1
        for sentence in _compute(open_tasks, compute, jobs, store.out, console):
            summary.computed += not sentence
            summary.failures += [sentence] if sentence else []
        for claim in claims:
            try:
                own = [t for t in tasks if t.claim is claim]
                _assemble(claim, profile, own, store, out, console)
            except ValueError as error:
                # One claim's rows are not what it describes; the others still have theirs.
                summary.failures.append(str(error))
        return summary


@contextmanager
def _only_run(out: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system gives back even when this process is killed."""
    lock = FileLock(out / ".run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another run is writing to {out}; wait for it or use --out") from None
    try:
        yield
    finally:
        lock.release()


def _tasks(claims: Sequence[Claim], profile: Profile) -> list[Task]:
    tasks = []
    for claim in claims:
        source = source_digest(claim.measure)
        cells = list(claim.cells(profile))
        tasks += [Task(claim, cell, cell.key(source)) for cell in cells]
    return tasks


def _finished(store: CellStore, task: Task, console: Console) -> bool:
    record, problem = store.read(task.cell, task.key)
    if problem:
        console.print(problem, style="yellow", markup=False)
    return record is not None


def _compute(
    tasks: list[Task], compute: Compute, jobs: int, out: Path, console: Console
) -> Iterator[str]:
    """Compute the tasks; for each, as it ends, yield "" or a sentence that says why it failed."""
    together = [t for t in tasks if not t.cell.alone]
    alone = [t for t in tasks if t.cell.alone]
    report = _reporter(console, len(tasks))
    with _progress(console, out) as progress, _reports_of_cells(console, out):
        bar = progress.add_task("cells", total=len(tasks), running=0)
        for batch, count in ((together, jobs), (alone, 1)):
            progress.update(bar, running=min(count, len(batch)))
            for done, sentence in enumerate(compute(batch, count), start=1):
                progress.update(bar, advance=1, running=min(count, len(batch) - done))
                report()
                yield sentence


def _parallel(store: CellStore, console: Console, tasks: list[Task], count: int) -> Iterator[str]:
    """The tasks in worker processes of this machine, ``count`` of them in flight, as they end.

    When a worker dies, joblib ends the others too. The cells that were in flight are then measured
    again one at a time, so that the one that takes its worker with it is known. It has failed, and
    the rest goes on.
    """
    left = {task.key: task for task in tasks}
    while left:
        before = {key: _written(store, task) for key, task in left.items()}
        try:
            for key, sentence in _processes(list(left.values()), store, count):
                del left[key]
                yield sentence
        except BrokenProcessPool as death:
            for key, task in list(left.items()):
                if _written(store, task) != before[key]:
                    # It was kept, and only the word that it was did not arrive.
                    del left[key]
                    yield ""
            for path in store.out.glob(STATES):
                path.unlink()
            # Tasks are taken in their order, so those in flight are the first that are left.
            flying = [left.pop(key) for key in list(left)[:count]]
            names = "; ".join(task.cell.label() for task in flying)
            reason = _reason(death)
            if len(flying) == 1:
                yield f"{names} failed: {reason}"
                continue
            console.print(
                f"{reason} In flight were {names}; they are measured again, one at a time.",
                style="yellow",
                markup=False,
                highlight=False,
            )
            for task in flying:
                yield from _parallel(store, console, [task], 1)


def _processes(tasks: list[Task], store: CellStore, count: int) -> Iterator[tuple[str, str]]:
    """For each task, as it ends, its key and what ``_work`` says."""
    made = commit()
    # With a single job joblib would stay in this process, where a timeout, a crash or the thread of
    # the progress display would touch the measurement. So there are two workers at least, and what
    # limits the cells in flight is the number dispatched.
    parallel: Any = Parallel(
        n_jobs=max(2, count),
        # Both are annotated as texts, and taken as numbers too.
        pre_dispatch=count,  # type: ignore[arg-type]
        batch_size=1,  # type: ignore[arg-type]
        return_as="generator_unordered",
    )
    yield from parallel(
        delayed(_work)(task.claim.measure, task.cell, task.key, store, made) for task in tasks
    )


def _written(store: CellStore, task: Task) -> int | None:
    """When the task's cell was last kept, in nanoseconds; ``None`` where it never was."""
    path = store.path(task.cell, task.key)
    return path.stat().st_mtime_ns if path.exists() else None


def _reason(death: BrokenProcessPool) -> str:
    """Why the worker processes ended, in one sentence."""
    codes = ", ".join(re.findall(r"[A-Z]+\(-?\d+\)", str(death)))
    what = str(death).partition(".")[0]
    return f"{what}, with {codes}." if codes else f"{what}."


def _states(out: Path) -> list[str]:
    """How far the cells in flight are, a line for each that says so."""
    lines = []
    for path in sorted(out.glob(STATES)):
        with suppress(FileNotFoundError):
            lines.append(path.read_text(encoding="utf-8"))
    return [line for line in lines if line]


class _Display(Progress):
    """The bar, and below it how far the cells in flight are."""

    def __init__(self, *columns: ProgressColumn, out: Path, **settings: Any) -> None:
        self.out = out
        super().__init__(*columns, **settings)

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        for line in _states(self.out):
            yield Text(line, style="dim", no_wrap=True, overflow="ellipsis")


@contextmanager
def _reports_of_cells(console: Console, out: Path) -> Iterator[None]:
    """Print now and then how far the cells in flight are, where there is no terminal for it."""
    done = threading.Event()

    def report() -> None:
        while not done.wait(REPORT_CELLS_EVERY_S):
            for line in _states(out):
                console.print(line, markup=False, highlight=False)

    reporter = threading.Thread(target=report, daemon=True)
    if not console.is_terminal:
        reporter.start()
    try:
        yield
    finally:
        done.set()


def _progress(console: Console, out: Path) -> Progress:
    return _Display(
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


def _reporter(console: Console, total: int) -> Callable[[], None]:
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


def _work(
    measure: Measure, cell: Cell, key: str, store: CellStore, made: str | None
) -> tuple[str, str]:
    """Measure one cell and keep it.

    Returns:
        Its key, and "" or a sentence that says why there is nothing to keep.
    """
    checkpoint, progress = (
        store.path(cell, key).with_suffix(suffix) for suffix in (".checkpoint", ".progress")
    )
    try:
        record = observe(measure, replace(cell, checkpoint=checkpoint, progress=progress), made)
    finally:
        progress.unlink(missing_ok=True)
    if isinstance(record, str):
        return key, record
    store.write(cell, key, record)
    checkpoint.unlink(missing_ok=True)
    return key, ""


def observe(measure: Measure, cell: Cell, made: str | None) -> dict[str, Any] | str:
    """Measure one cell in this process.

    Args:
        measure: its claim's.
        cell: the cell.
        made: the commit of the code.

    Returns:
        What is kept of it, or a sentence that says why there is nothing to keep.
    """
    _freeze_imports()
    torch.set_num_threads(THREADS)
    # What is called float32 is float32 on a GPU too, where convolutions would round to ten bits.
    torch.backends.cudnn.allow_tf32 = False
    started = time.perf_counter()
    record: dict[str, Any] = {
        "cell": described(cell),
        "seed": cell.seed,
        "commit": made,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        record["rows"] = _rows(measure, cell)
        # A row that JSON cannot hold is this cell's failure, and not that of the run.
        json.dumps(record["rows"])
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{cell.label()} failed: {type(error).__name__}: {error}"
            f" ({Path(where.filename).name}, line {where.lineno})"
        )
    record["duration_s"] = round(time.perf_counter() - started, 3)
    record["machine"] = machine(cell.device)
    return record


@cache
def _freeze_imports() -> None:
    """Leave what the imports made to no collection of garbage, once in this process.

    A cell that meters memory collects before it does; walking the imports took 0.15 s each time.
    """
    gc.freeze()


def _rows(measure: Measure, cell: Cell) -> list[Row]:
    """The rows of a cell, each with the parameters, the seed and a status."""
    found: list[Row] = []

    def observe() -> Row:
        found.extend(measure(cell))
        return {}

    try:
        with _time_limit(cell.timeout_s):
            outcome = guarded(observe)
    except CellTimeout:
        outcome = {"status": "timeout"}
    common: Row = {
        "repetition": cell.repetition,
        "seed": cell.seed,
        "device": torch.device(cell.device).type,
    }
    rows = found if outcome["status"] == "ok" else [outcome]
    return [{**cell.params, "status": "ok", **common, **row} for row in rows]


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise CellTimeout in this thread after so many seconds, where the system has alarms."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise CellTimeout

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _assemble(
    claim: Claim,
    profile: Profile,
    tasks: list[Task],
    store: CellStore,
    out: Path,
    console: Console,
) -> None:
    """Write the claim's rows, if every one of its cells is finished."""
    records = [store.read(task.cell, task.key)[0] for task in tasks]
    finished = [record for record in records if record is not None]
    if not finished or len(finished) < len(records):
        return
    df = frame(claim, [row for record in finished for row in record["rows"]])
    made = provenance(profile.device) | {
        "profile": profile.name,
        "device": profile.device,
        "threads": THREADS,
        "datasets": dict(claim.datasets),
        "seeds": sorted({record["seed"] for record in finished}),
        "cells": len(finished),
        "cells_made_at_commits": sorted({str(record["commit"]) for record in finished}),
        "started": min(record["started"] for record in finished),
        "duration_s": round(sum(record["duration_s"] for record in finished), 3),
    }
    made |= _machines(finished, profile.device)
    results = Results(out, profile.name, claim)
    try:
        results.read()
    except FileNotFoundError:
        pass
    except CorruptFile as error:
        # What was there is set aside, so that the new rows do not take its place.
        console.print(str(error), style="yellow", markup=False)
    results.write(df, made)


def _machines(records: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """What measured the cells, with their numbers, unless all were measured on a machine as this.

    Cells that were kept before this was recorded are not counted.
    """
    found = Counter(json.dumps(record["machine"]) for record in records if "machine" in record)
    if set(found) <= {json.dumps(machine(device))}:
        return {}
    return {"machines": [json.loads(text) | {"cells": count} for text, count in found.items()]}
