"""Train what the pool lacks, in processes of their own, and keep it until it is published."""

import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from joblib import delayed

from neural_ode import SolverFailure
from odeclaims.cell import Context
from odeclaims.record.files import set_aside, write_text
from odeclaims.record.provenance import clean_tree, commit, machine
from odeclaims.run.pool import call_apart
from odeclaims.run.tasks import THREADS
from odeclaims.trained import store
from odeclaims.trained.recipes import recipe_of
from odeclaims.trained.specification import Specification
from odeclaims.trained.training import FIRST_UPDATES, core_hours, keep_freed_memory

# What a training keeps in the folder of its network until it is finished, and whose that is.
CHECKPOINT, COMMITS, LOSSES = KEPT = ("checkpoint", "commits.txt", "losses.txt")
NOTE = "specification.txt"
# Follows the commit, in the list of those at which a training began or went on.
WITH_CHANGES = " with changes"


def work_folder(out: Path) -> Path:
    """Where trainings in progress and finished networks lie until they are published."""
    return out / "cells" / "trained"


def is_begun(specification: Specification, out: Path) -> bool:
    """Whether there is a checkpoint from which the training of a network would go on."""
    place = work_folder(out) / specification.name
    return (place / CHECKPOINT).exists() and not _is_of_another(specification, place)


def train(specification: Specification, out: Path) -> Path:
    """Train one network in this process and keep it; a training that was stopped goes on.

    Args:
        specification: the network.
        out: the results folder; the network is kept below its ``cells/trained``.

    Returns:
        The network's folder.

    Raises:
        ValueError: where another process trains it.
        SolverFailure: where a solve fails.
    """
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    place = work_folder(out) / specification.name
    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock").acquire(timeout=0):
            return _train(specification, place)
    except Timeout:
        raise ValueError(f"another process trains {specification.name}") from None


def _train(specification: Specification, place: Path) -> Path:
    recipe = recipe_of(specification)
    _set_others_aside(specification, place)
    begun, losses = _Lines(place / COMMITS), _Lines(place / LOSSES)
    begun.add(f"{commit()}{'' if clean_tree() else WITH_CHANGES}")
    progress = place.with_suffix(".progress")
    context = Context(place / CHECKPOINT, progress, specification.name)
    model = recipe.build(specification)

    def on_update(number: int, loss: float) -> None:
        if number <= FIRST_UPDATES:
            losses.add(f"{number} {loss!r}")

    try:
        history = recipe.train(specification, model, context, on_update)
    finally:
        progress.unlink(missing_ok=True)
    first = dict(line.split() for line in losses.read())
    if not first:
        raise ValueError(f"the recipe {recipe.name} called on_update after no update")
    errors = [row["test_error"] for row in history if row.get("test_error") is not None]
    made = {
        "test_error": errors[-1] if errors else None,
        "core_hours": core_hours(history),
        "commits": sorted({line.removesuffix(WITH_CHANGES) for line in begun.read()}),
        "clean_tree": clean_tree() and not any(WITH_CHANGES in line for line in begun.read()),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "first_losses": [float(first[number]) for number in sorted(first, key=int)],
        **machine("cpu"),
    }
    done = store.write(place.parent, specification, model, history, made)
    for left in (*KEPT, NOTE):
        (place / left).unlink(missing_ok=True)
    return done


def _set_others_aside(specification: Specification, place: Path) -> None:
    """Set aside what lies there of networks of another specification, and note whose the rest is.

    What was kept before there were notes is taken for that of this specification.
    """
    names = [*KEPT] if _is_of_another(specification, place) else []
    try:
        store.read_record(place.parent, specification)
    except FileNotFoundError:
        pass
    except store.OtherSpecification:
        names += store.FILES
    aside = [set_aside(place / name).name for name in names if (place / name).exists()]
    if aside:
        warnings.warn(
            f"{place} has files of a network of another specification; they are set aside as"
            f" {', '.join(aside)}, and training begins anew",
            stacklevel=2,
        )
    write_text(place / NOTE, specification.digest)


def _is_of_another(specification: Specification, place: Path) -> bool:
    """Whether a training of another specification was begun there."""
    note = place / NOTE
    return note.exists() and note.read_text(encoding="utf-8") != specification.digest


class _Lines:
    """A text file to which lines are added, each whole before the next update."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def read(self) -> list[str]:
        if not self.path.exists():
            return []
        return self.path.read_text(encoding="utf-8").split("\n")[:-1]


def train_all(
    specifications: Sequence[Specification], out: Path, jobs: int
) -> Iterator[tuple[str, str]]:
    """Train networks in processes of their own, ``jobs`` of them at a time.

    Yields:
        For each, as it ends, its name, and "" or a sentence that says why it failed.
    """
    yield from call_apart((delayed(_train_or_say)(each, out) for each in specifications), jobs)


def _train_or_say(specification: Specification, out: Path) -> tuple[str, str]:
    try:
        train(specification, out)
    except (SolverFailure, ValueError, OSError) as error:
        return specification.name, f"{specification.name} was not trained: {error}"
    return specification.name, ""
