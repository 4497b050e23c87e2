"""A run of claims: from their cells to rows, provenance and verdict.

A worker writes each finished cell to disk itself, so that a killed run loses only the cells in
flight. Cells that measure time run afterwards, one at a time and with nothing beside them. On a
cluster (``cluster.py``) a worker returns what it measured, and this process writes it.
"""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from rich.console import Console

from odeclaims.cell import OWN_SOLVER, Cell, Profile, Row, digest
from odeclaims.claim import Claim
from odeclaims.record.cells import CellStore
from odeclaims.record.files import CorruptFile, remove_litter
from odeclaims.record.frame import frame
from odeclaims.record.provenance import machine, provenance
from odeclaims.record.registry import registration, rules_of
from odeclaims.record.results import Results
from odeclaims.record.schema import read_provenance
from odeclaims.run import cluster
from odeclaims.run.pool import in_processes
from odeclaims.run.progress import STATES, cell_counter, progress_bar, reports_of_cells
from odeclaims.run.solving import versions_of
from odeclaims.run.tasks import THREADS, Compute, Summary, Task, list_tasks

# The statuses of rows that say what the machine had time or memory for just then.
GIVEN_UP = {"timeout", "oom"}


def run_claims(
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
        ValueError: where another run writes to ``out``, ``out`` holds results of another solver, it
            is deleted or moved meanwhile, or the cluster's workers have other code.
        OSError: where ``out`` cannot be written, or the scheduler cannot be reached.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _only_run(out) as check_folder:
        for claim in claims:
            _check_solver(Results(out, profile.name, claim), profile.solver)
        rules = dict(_rules(claims))
        tasks, store = list_tasks(claims, profile), CellStore(out)
        how = {"jobs": jobs, "fresh": fresh, "scheduler": scheduler}
        summary = _measure(tasks, store, check_folder, console, **how)
        for claim in claims:
            check_folder()
            of_claim = [t for t in tasks if t.claim is claim]
            if not of_claim:
                summary.empty.append(
                    f"{claim.slug} has nothing to measure at {profile.name}. Where it evaluates"
                    " trained networks, `odeclaims trained` lists which are published."
                )
                continue
            try:
                stood = rules.get(claim.slug)
                missing = _assemble(claim, stood, profile, of_claim, store, out, console)
                summary.written += [] if missing else [claim.slug]
                if missing and not summary.failures:
                    raise ValueError(
                        f"claim {claim.slug} has no results: {missing} of its cells are no longer"
                        f" in {out / 'cells'}, run again to measure them"
                    )
            except ValueError as error:
                # One claim's rows are not what it describes; the others still have theirs.
                summary.failures.append(str(error))
        return summary


class Sample(NamedTuple):
    """One cell of a claim that was measured to be held against published rows.

    Attributes:
        claim: the claim.
        cell: the cell.
        cells: how many the claim has.
        rows: what was measured.
    """

    claim: Claim
    cell: Cell
    cells: int
    rows: list[Row]


def run_samples(
    claims: Sequence[Claim], profile: Profile, out: Path, *, jobs: int | None, console: Console
) -> tuple[list[Sample], Summary]:
    """Measure the middle cell of each claim, and write no results of the claims.

    Claims list their dearest cells first, and their simplest last. A later run of a whole claim
    goes on from there.

    Raises:
        ValueError, OSError: as ``run_claims`` does.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _only_run(out) as check_folder:
        tasks, store = list_tasks(claims, profile), CellStore(out)
        by_claim = {claim.slug: [t for t in tasks if t.claim is claim] for claim in claims}
        middle = [each[len(each) // 2] for each in by_claim.values() if each]
        summary = _measure(middle, store, check_folder, console, jobs=jobs)
        samples = [
            Sample(task.claim, task.cell, len(by_claim[task.claim.slug]), record["rows"])
            for task in middle
            for record in [store.read(task.cell, task.key)[0]]
            if record is not None
        ]
    return samples, summary


def _measure(
    tasks: list[Task],
    store: CellStore,
    check_folder: Callable[[], None],
    console: Console,
    *,
    jobs: int | None,
    fresh: bool = False,
    scheduler: str | None = None,
) -> Summary:
    """Measure the tasks that are not finished, in a folder that is locked."""
    summary = Summary()
    open_tasks = [t for t in tasks if fresh or not _finished(store, t, console)]
    summary.reused = len(tasks) - len(open_tasks)
    for path in store.out.glob(STATES):
        path.unlink()  # of a run that was killed
    remove_litter(store.out)
    with ExitStack() as stack:
        if scheduler:
            client = stack.enter_context(cluster.connect(scheduler))
            compute: Compute = partial(cluster.compute, client, store)
            # Dask itself gives a worker as many as it has threads, and workers may join later.
            jobs = jobs or max(1, len(open_tasks))
            if not cluster.workers(client):
                console.print("The scheduler has no workers yet; waiting for them.", style="yellow")
        else:
            compute = partial(in_processes, store, console)
            jobs = jobs or os.cpu_count() or 1
        for sentence in _compute(open_tasks, compute, jobs, store.out, console):
            check_folder()
            summary.computed += not sentence
            if sentence and sentence not in summary.failures:
                summary.failures.append(sentence)
    return summary


def _rules(claims: Sequence[Claim]) -> Iterator[tuple[str, dict[str, str]]]:
    """The digests of the rules of each claim whose rules can be named."""
    for claim in claims:
        with suppress(ValueError, TypeError):
            yield claim.slug, rules_of(claim)


@contextmanager
def _only_run(out: Path) -> Iterator[Callable[[], None]]:
    """Hold the folder's locks, which the system gives back even when this process is killed.

    One lies in the folder, where runs on other machines see it. The other lies outside: it stays
    when the folder is deleted and made again beside a run that still writes to it. Where another
    run has another folder for temporary files, it does not see that one: so the first run ends.

    Yields:
        What raises a ValueError once the folder is not the one that was locked.

    Raises:
        ValueError: where another run holds one of them.
    """
    whose = f"{getattr(os, 'getuid', int)()}-{digest(str(out.resolve()))}"
    outside = Path(tempfile.gettempdir()) / f"odeclaims-{whose}.lock"
    inside = out / ".run.lock"
    with ExitStack() as held:
        for path in (outside, inside):
            try:
                held.enter_context(FileLock(path).acquire(timeout=0))
            except Timeout:
                raise ValueError(
                    f"another run is writing to {out}; wait for it or use --out"
                ) from None
        locked = os.stat(inside)

        def check() -> None:
            try:
                same = os.path.samestat(os.stat(inside), locked)
            except FileNotFoundError:
                same = False
            if not same:
                raise ValueError(
                    f"{out} was deleted or moved while this run was writing to it; run again"
                )

        yield check


def _check_solver(results: Results, solver: str) -> None:
    """Check that the rows that are there, if any, are those of the solver that is to measure.

    Raises:
        ValueError: where another solver made them.
    """
    try:
        there = read_provenance(results.provenance).get("solver", OWN_SOLVER)
    except (FileNotFoundError, CorruptFile):
        return
    if there != solver:
        raise ValueError(
            f"{results.folder} holds results of the solver {there}, which those of {solver} would"
            " replace; name another folder with --out"
        )


def _finished(store: CellStore, task: Task, console: Console) -> bool:
    """Whether a run before this one has measured the cell to its end.

    Where it was given up, another time limit or another load of the machine may let it end, so each
    run tries it once. Its row stays where it is given up again. A cell of several rows, of which
    one alone was given up, has others to lose.
    """
    record, problem = store.read(task.cell, task.key)
    if problem:
        console.print(problem, style="yellow", markup=False, highlight=False)
    if record is None:
        return False
    given_up = [row["status"] in GIVEN_UP for row in record["rows"]]
    return not (given_up and all(given_up))


def _compute(
    tasks: list[Task], compute: Compute, jobs: int, out: Path, console: Console
) -> Iterator[str]:
    """Compute the tasks; for each, as it ends, yield "" or a sentence that says why it failed."""
    together = [t for t in tasks if not t.alone]
    alone = [t for t in tasks if t.alone]
    report = cell_counter(console, len(tasks))
    with progress_bar(console, out) as progress, reports_of_cells(console, out):
        bar = progress.add_task("cells", total=len(tasks), running=0)
        for batch, count in ((together, jobs), (alone, 1)):
            progress.update(bar, running=min(count, len(batch)))
            for done, sentence in enumerate(compute(batch, count), start=1):
                progress.update(bar, advance=1, running=min(count, len(batch) - done))
                report()
                yield sentence


def _assemble(
    claim: Claim,
    rules: Mapping[str, str] | None,
    profile: Profile,
    tasks: list[Task],
    store: CellStore,
    out: Path,
    console: Console,
) -> int:
    """Write the claim's rows, if every one of its cells is finished; how many are not."""
    records = [store.read(task.cell, task.key)[0] for task in tasks]
    finished = [record for record in records if record is not None]
    if not finished or len(finished) < len(records):
        return len(records) - len(finished)
    df = frame(claim, [row for cell in finished for row in cell["rows"]])
    origin = provenance(profile.device) | {
        "profile": profile.name,
        "device": profile.device,
        "solver": profile.solver,
        "threads": THREADS,
        "datasets": dict(claim.datasets),
        "seeds": sorted({cell["seed"] for cell in finished}),
        "cells": len(finished),
        "not_offered": sorted({each for cell in finished for each in cell["not_offered"]}),
        "cells_made_at_commits": sorted({str(cell["commit"]) for cell in finished}),
        "started": min(cell["started"] for cell in finished),
        "duration_s": round(sum(cell["duration_s"] for cell in finished), 3),
    }
    # A cell that was measured by changed code stays so, whatever has been committed since.
    origin["clean_tree"] &= all(cell.get("clean_tree") is not False for cell in finished)
    origin["packages"] |= versions_of(profile.solver)
    # Rules that have no digest are an error of this claim, and stop no other one.
    origin |= registration(claim, rules or rules_of(claim), out, origin["cells_made_at_commits"])
    origin |= _machines(finished, profile.device)
    results = Results(out, profile.name, claim)
    try:
        results.read()
    except FileNotFoundError:
        pass
    except CorruptFile as error:
        # What was there is set aside, so that the new rows do not take its place.
        console.print(str(error), style="yellow", markup=False)
    results.write(df, origin)
    return 0


def _machines(records: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """What measured the cells, with their numbers, unless all were measured on a machine as this.

    Cells that were kept before this was recorded are not counted.
    """
    machines = Counter(json.dumps(record["machine"]) for record in records if "machine" in record)
    if set(machines) <= {json.dumps(machine(device))}:
        return {}
    return {"machines": [json.loads(text) | {"cells": count} for text, count in machines.items()]}
