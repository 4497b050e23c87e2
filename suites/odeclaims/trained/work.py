"""Train what the pool lacks, in processes of their own, and keep it until it is published."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from joblib import delayed

from neural_ode import SolverFailure
from odeclaims.cell import Context
from odeclaims.record.files import set_aside, write_text
from odeclaims.record.provenance import code_state, machine
from odeclaims.record.source import source_digest
from odeclaims.run.code import import_all
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


@dataclass(frozen=True)
class Code:
    """The code that is to train a network: its digest, commit, and whether its tree was clean."""

    digest: str
    commit: str | None
    clean_tree: bool

    @property
    def line(self) -> str:
        """As it stands in the list of those by which a training began or went on."""
        return f"{self.commit}{'' if self.clean_tree else WITH_CHANGES}"


def code_of(specification: Specification) -> Code:
    """The code of the source tree as it is now."""
    return Code(source_digest(_module_of(specification)), **code_state())


def _module_of(specification: Specification) -> str:
    """The name of the module that trains a network."""
    return recipe_of(specification).train.__module__


def train(specification: Specification, out: Path, code: Code | None = None) -> Path:
    """Train one network in this process and keep it; a training that was stopped goes on.

    Args:
        specification: the network.
        out: the results folder; the network is kept below its ``cells/trained``.
        code: that of the process which asked for it; by default that of the source tree.

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
            return _train(specification, place, code or code_of(specification))
    except Timeout:
        raise ValueError(f"another process trains {specification.name}") from None


def _train(specification: Specification, place: Path, code: Code) -> Path:
    recipe = recipe_of(specification)
    _set_others_aside(specification, place)
    begun, losses = _Lines(place / COMMITS), _Lines(place / LOSSES)
    begun.add(code.line)
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
    first = _losses(losses.read())
    if not first:
        raise ValueError(f"the recipe {recipe.name} called on_update after no update")
    errors = [row["test_error"] for row in history if row.get("test_error") is not None]
    made = {
        "test_error": errors[-1] if errors else None,
        "core_hours": core_hours(history),
        "commits": sorted({line.removesuffix(WITH_CHANGES) for line in begun.read()}),
        "clean_tree": not any(WITH_CHANGES in line for line in begun.read()),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "first_losses": [first[number] for number in sorted(first)],
        **machine("cpu"),
    }
    done = store.write(place.parent, specification, model, history, made)
    for left in (*KEPT, NOTE):
        (place / left).unlink(missing_ok=True)
    return done


def _losses(lines: Sequence[str]) -> dict[int, float]:
    """The loss of each update; a line that a loss of power cut short is left out."""
    found = {}
    for line in lines:
        number, _, loss = line.partition(" ")
        with suppress(ValueError):
            found[int(number)] = float(loss)
    return found


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
        """Add a line; one that was cut short before it is ended."""
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n" if whole else f"\n{line}\n")

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
    codes = [code_of(each) for each in specifications]
    pairs = zip(specifications, codes, strict=True)
    yield from call_apart((delayed(_train_or_say)(each, out, code) for each, code in pairs), jobs)


def _train_or_say(specification: Specification, out: Path, code: Code) -> tuple[str, str]:
    """Train by the code that is named, or not at all; a process may train several networks."""
    import_all(_module_of(specification))
    if source_digest(_module_of(specification)) != code.digest:
        return specification.name, (
            f"{specification.name} was not trained: the code of its recipe was changed after the"
            " command began; train again to go on"
        )
    try:
        train(specification, out, code)
    except (SolverFailure, ValueError, OSError) as error:
        return specification.name, f"{specification.name} was not trained: {error}"
    return specification.name, ""
