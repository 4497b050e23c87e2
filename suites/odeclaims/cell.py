"""What is measured: a cell, the rows it gives, and what a run lends to it.

Every module that measures imports this one, so nothing here knows of claims, rules or pictures.
torch is imported when it is needed, since the commands that only read results do without it.
"""

import difflib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import torch

Scalar = str | int | float | bool | None
Row = dict[str, Scalar]
ProfileName = Literal["smoke", "quick", "hour", "paper"]

PROFILES: tuple[ProfileName, ...] = ("smoke", "quick", "hour", "paper")
STATUSES = ("ok", "underflow", "max_steps", "nonfinite", "timeout", "oom", "not_offered")

# The solver that measures where none is named.
OWN_SOLVER = "ours"

# A state of a cell that comes sooner after the last one, in seconds, is not written.
TELL_EVERY_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True)
class Profile:
    """How large a run is to be; the claims choose their own sizes by its name.

    Attributes:
        name: smoke (every code path, for tests), quick (minutes on two cores), hour (the most that
            two cores do in an hour, a claim) or paper (published sizes).
        seeds: repetitions of every seeded cell; the claim's own choice where ``None``.
        device: a torch device.
        solver: the backend that solves.

    Raises:
        ValueError: for another name, or fewer than one repetition.
        TypeError: for repetitions that are not a whole number, or a device that is not text.
    """

    name: ProfileName
    seeds: int | None = None
    device: str = "cpu"
    solver: str = OWN_SOLVER

    def __post_init__(self) -> None:
        if self.name not in PROFILES:
            near = difflib.get_close_matches(str(self.name), PROFILES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected {' or '.join(PROFILES)}"
            raise ValueError(f"there is no profile {self.name!r}; {hint}")
        if self.seeds is not None:
            _check_whole("seeds", self.seeds, 1)
        _check_device(self.device)

    def pick(self, *, smoke: T, quick: T, paper: T, hour: T | None = None) -> T:
        """The one of the values that is meant for this profile; without ``hour`` that is paper's.

        A claim whose published sizes take two cores longer than an hour says what an hour is for.
        """
        if hour is None:
            hour = paper
        return {"smoke": smoke, "quick": quick, "hour": hour, "paper": paper}[self.name]

    def repetitions(self, *, smoke: int, quick: int, paper: int, hour: int | None = None) -> range:
        """The numbers of the repetitions: the user's count, or the one for this profile."""
        return range(self.seeds or self.pick(smoke=smoke, quick=quick, paper=paper, hour=hour))


@dataclass(frozen=True)
class Cell:
    """The identity of one independent measurement, which may give several rows.

    Attributes:
        claim: the slug of its claim.
        params: what sets it apart from the other cells; they become columns.
        repetition: the number of the seed, from 0.
        device: a torch device.
        paired: parameters that do not enter the seed, so that the arms of a comparison see the same
            weights and data.
        revision: that of its claim's rules.
        solver: the backend that solves. It does not enter the seed, so that all solvers see the
            same weights and data.

    Raises:
        ValueError: for parameters that JSON cannot hold, or a negative repetition.
        TypeError: for a repetition that is not a whole number, or a device that is not text.
    """

    claim: str
    params: Mapping[str, Any]
    repetition: int = 0
    device: str = "cpu"
    paired: tuple[str, ...] = ()
    revision: int = 1
    solver: str = OWN_SOLVER

    def __post_init__(self) -> None:
        try:
            json.dumps(dict(self.params), sort_keys=True)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"a cell of {self.claim} has parameters that cannot name it ({error}): expected"
                " texts, numbers and booleans"
            ) from None
        _check_whole("repetition", self.repetition, 0)
        _check_whole("revision", self.revision, 1)
        _check_device(self.device)

    @property
    def seed(self) -> int:
        """A 63-bit number from the claim, its revision, the unpaired parameters and the repetition.

        The first revision does not enter, as it did not before there were revisions.
        """
        seeding = {k: v for k, v in self.params.items() if k not in self.paired}
        revision = [self.revision] if self.revision > 1 else []
        return int(digest(self.claim, seeding, self.repetition, *revision), 16) >> 1

    def generator(self) -> "torch.Generator":
        """A new CPU generator with the cell's seed."""
        import torch

        return torch.Generator().manual_seed(self.seed)

    def key(self, source: str) -> str:
        """The name under which its result is kept, given the digest of its code."""
        parts = (self.claim, dict(self.params), self.repetition, self.seed, self.device, source)
        return digest(*parts, *([] if self.solver == OWN_SOLVER else [self.solver]))

    def label(self) -> str:
        """How a person would name it."""
        params = ", ".join(f"{k}={v}" for k, v in self.params.items())
        return f"{self.claim} ({params}{', ' if params else ''}repetition={self.repetition})"


@dataclass(frozen=True)
class Context:
    """What a run lends to the measurement of a cell; a measurement works without any of it.

    Attributes:
        checkpoint: a file in which a long measurement may keep its state, to go on from there
            after a kill. It belongs to this cell alone and is deleted when the cell is finished.
            ``None`` where nothing can be kept.
        progress: the file through which ``tell`` reaches whoever waits.
        label: how the progress names the cell.
    """

    checkpoint: Path | None = None
    progress: Path | None = field(default=None, repr=False)
    label: str = ""

    def tell(self, state: object) -> None:
        """Say how far a long measurement is: the text of ``state`` is shown while the cell runs.

        It may be called at every step, and is written once a second at most.
        """
        if self.progress is None:
            return
        with suppress(FileNotFoundError):
            if time.time() - self.progress.stat().st_mtime < TELL_EVERY_S:
                return
        self.progress.parent.mkdir(parents=True, exist_ok=True)
        self.progress.write_text(f"{state} | {self.label}", encoding="utf-8")


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}, expected at least {least}")


def _check_device(device: object) -> None:
    if not isinstance(device, str):
        raise TypeError(f"device is {device!r}, expected the name of a torch device")


def digest(*parts: Any) -> str:
    """Sixteen hexadecimal digits that name this content."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def guarded(observe: Callable[[], Row]) -> Row:
    """The row that ``observe`` returns, or one whose status says why there is none.

    A solve that fails is a result and not a crash; any other exception is a bug and passes through.

    Raises:
        TypeError: where ``observe`` returns something else than a row.
    """
    import torch

    from neural_ode.delegate import failure_of

    try:
        row = observe()
        if not isinstance(row, Mapping):
            raise TypeError(f"observe returned {type(row).__name__}, expected a row: a dictionary")
        return {"status": "ok", **row}
    except (torch.OutOfMemoryError, MemoryError):
        return {"status": "oom"}
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        return {"status": failure.status}
