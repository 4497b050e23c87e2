"""The worker processes of this machine, and what becomes of a cell that kills its worker."""

import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Any

from joblib import Parallel, delayed
from rich.console import Console

from odeclaims.cell import Cell
from odeclaims.claim import Measure
from odeclaims.record.cells import CellStore
from odeclaims.run.code import CodeHere
from odeclaims.run.observe import CHANGED, measure_and_keep
from odeclaims.run.progress import STATES
from odeclaims.run.tasks import Task
from odeclaims.run.watch import end_with

# Of a run that ends early, which says so itself.
warnings.filterwarnings("ignore", r"\d+ tasks which were still being processed", UserWarning)
# joblib's tracker removes the semaphores of a run that is stopped while its workers start, and
# warns of each. It is a process of its own, which gets these options.
sys.warnoptions.append("ignore:resource_tracker:UserWarning")


def in_processes(
    store: CellStore, console: Console, tasks: list[Task], count: int
) -> Iterator[str]:
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
                yield from in_processes(store, console, [task], 1)


def _processes(tasks: list[Task], store: CellStore, count: int) -> Iterator[tuple[str, str]]:
    """For each task, as it ends, its key and what ``measure_by_code_of_key`` says."""
    calls = (
        delayed(measure_by_code_of_key)(
            task.claim.measure,
            task.cell,
            task.key,
            task.timeout_s,
            store,
            task.code,
        )
        for task in tasks
    )
    yield from call_apart(calls, count)


def measure_by_code_of_key(measure: Measure, cell: Cell, key: str, *rest: Any) -> tuple[str, str]:
    """``measure_and_keep``, in a process that has the code from which the key was made.

    A process imports a claim with its first cell, and some of what it measures with when it is
    first used. A file that was changed since the run began would be measured with, and kept as if
    it had not been.
    """
    code = _code_here(measure, cell.solver)
    if cell.key(code.digest) != key:
        return key, CHANGED.format(cell.claim)
    return measure_and_keep(measure, cell, key, *rest, code_changed=code.changed)


# Read once a process, since its imports stay as they are.
_code_here = cache(CodeHere)


def call_apart(calls: Iterable[Any], count: int) -> Iterator[Any]:
    """What calls return, as they end, each made in a worker process that ends with this one.

    Args:
        calls: made by joblib's ``delayed``.
        count: how many are in flight at a time.
    """
    # With a single job joblib would stay in this process, where a timeout, a crash or the thread of
    # the progress display would touch the call. So there are two workers at least, and what limits
    # the calls in flight is the number dispatched.
    parallel: Any = Parallel(
        n_jobs=max(2, count),
        # Both are annotated as texts, and taken as numbers too.
        pre_dispatch=count,  # type: ignore[arg-type]
        batch_size=1,  # type: ignore[arg-type]
        return_as="generator_unordered",
        initializer=end_with,
        initargs=(os.getpid(),),
    )
    try:
        yield from parallel(calls)
    except RuntimeError as error:
        # A signal that comes while joblib starts its thread has it wait for one that never began
        # (joblib 1.6.0).
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise


def _written(store: CellStore, task: Task) -> int | None:
    """When the task's cell was last kept, in nanoseconds; ``None`` where it never was."""
    path = store.path(task.cell, task.key)
    return path.stat().st_mtime_ns if path.exists() else None


def _reason(death: BrokenProcessPool) -> str:
    """Why the worker processes ended, in one sentence."""
    codes = ", ".join(re.findall(r"[A-Z]+\(-?\d+\)", str(death)))
    what = str(death).partition(".")[0]
    return f"{what}, with {codes}." if codes else f"{what}."
