"""What a claim is: what was published, what is measured, and by which rule it is judged.

The rule comes first. A criterion is written with its reason before the run, names the least
evidence under which it may speak at all, and is not moved when a result is seen.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd
import torch

from neural_ode import SolverFailure
from odeclaims.statistics import interval

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

Scalar = str | int | float | bool | None
Row = dict[str, Scalar]
ProfileName = Literal["smoke", "quick", "hour", "paper"]
Outcome = Literal["reproduced", "partly", "not reproduced", "insufficient"]

PROFILES: tuple[ProfileName, ...] = ("smoke", "quick", "hour", "paper")
STATUSES = ("ok", "underflow", "max_steps", "nonfinite", "timeout", "oom")
# From the best to the worst: a claim is as good as its worst criterion.
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "partly", "not reproduced", "insufficient")

# Seconds between two states of a cell that are shown.
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
    """

    name: ProfileName
    seeds: int | None = None
    device: str = "cpu"

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
    """One independent measurement, which may give several rows.

    Attributes:
        claim: the slug of its claim.
        params: what sets it apart from the other cells; they become columns.
        repetition: the number of the seed, from 0.
        device: a torch device.
        alone: whether nothing else may run beside it, because it measures time.
        paired: parameters that do not enter the seed, so that the arms of a comparison see the same
            weights and data.
        timeout_s: seconds after which it is given up with the status ``timeout``.
        checkpoint: a file that a long measurement may keep its state in and go on from; it is the
            cell's own, and deleted when the cell is finished. ``None`` where nothing can be kept.
        progress: the file through which ``tell`` reaches the one who waits.
    """

    claim: str
    params: Mapping[str, Any]
    repetition: int = 0
    device: str = "cpu"
    alone: bool = False
    paired: tuple[str, ...] = ()
    timeout_s: float = 3600.0
    checkpoint: Path | None = None
    progress: Path | None = None

    @property
    def seed(self) -> int:
        """Derived from the claim, the unpaired parameters and the repetition; a 63-bit number."""
        seeding = {k: v for k, v in self.params.items() if k not in self.paired}
        return int(digest(self.claim, seeding, self.repetition), 16) >> 1

    def generator(self) -> torch.Generator:
        """A new CPU generator with the cell's seed."""
        return torch.Generator().manual_seed(self.seed)

    def tell(self, state: object) -> None:
        """Say how far a long measurement is: the text of ``state`` is shown while the cell runs.

        It may be called as often as one likes, and is written once a second at most.
        """
        if self.progress is None:
            return
        with suppress(FileNotFoundError):
            if time.time() - self.progress.stat().st_mtime < TELL_EVERY_S:
                return
        self.progress.parent.mkdir(parents=True, exist_ok=True)
        self.progress.write_text(f"{state} | {self.label()}", encoding="utf-8")

    def key(self, source: str) -> str:
        """The name under which its result is kept, given the digest of its code."""
        parts = (self.claim, dict(self.params), self.repetition, self.seed, self.device, source)
        return digest(*parts)

    def label(self) -> str:
        """How a person would name it."""
        params = ", ".join(f"{k}={v}" for k, v in self.params.items())
        return f"{self.claim} ({params}{', ' if params else ''}repetition={self.repetition})"


def digest(*parts: Any) -> str:
    """Sixteen hexadecimal digits that name this content."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def guarded(observe: Callable[[], Row]) -> Row:
    """The row that ``observe`` returns, or one that says why there is none.

    A solve that fails is a result and not a crash; any other exception is a bug and passes through.
    """
    try:
        return {"status": "ok", **observe()}
    except SolverFailure as failure:
        return {"status": failure.status}
    except (torch.OutOfMemoryError, MemoryError):
        return {"status": "oom"}


@dataclass(frozen=True)
class Evidence:
    """One line of a claim's ledger: who says what, where, and under which setting."""

    who: str
    value: str
    source: str
    setting: str = ""


@dataclass(frozen=True)
class Bounds:
    """A closed range that a value lies in or not."""

    at_least: float = -math.inf
    at_most: float = math.inf

    def hold(self, value: float) -> bool:
        """Whether the value lies in the range; NaN lies in none."""
        return self.at_least <= value <= self.at_most

    def __str__(self) -> str:
        if math.isinf(self.at_least) and math.isinf(self.at_most):
            return "any value"
        if math.isinf(self.at_most):
            return f">= {self.at_least:g}"
        if math.isinf(self.at_least):
            return f"<= {self.at_most:g}"
        return f"{self.at_least:g} to {self.at_most:g}"


def judged(value: float, reproduced: Bounds, partly: Bounds | None) -> Outcome:
    """What a value comes to under these bounds."""
    if reproduced.hold(value):
        return "reproduced"
    if partly and partly.hold(value):
        return "partly"
    return "not reproduced"


@dataclass(frozen=True)
class Criterion:
    """One rule of a claim, fixed before the run.

    Attributes:
        name: what is judged, in a few words.
        values: from the claim's rows to one number for each seed, or a single number where nothing
            is random.
        reproduced: the range in which the claim holds.
        because: why this range.
        partly: a wider range in which it holds in part, if there is one.
        statistic: which of the seeds' values speaks: the median, or the least or the largest where
            every seed has to pass.
        least_seeds: fewer seeds than this are insufficient.
        lacking: says what the rows lack before the criterion may speak; "" where nothing.
        decides: whether it enters the claim's verdict. An expectation about a known limit of the
            claim is judged and shown like the rest, but the claim does not hang on it.
    """

    name: str
    values: Callable[[pd.DataFrame], Iterable[float]]
    reproduced: Bounds
    because: str
    partly: Bounds | None = None
    statistic: Literal["median", "min", "max"] = "median"
    least_seeds: int = 1
    lacking: Callable[[pd.DataFrame], str] = lambda df: ""
    decides: bool = True

    def judge(self, df: pd.DataFrame) -> "Judgement":
        """The judgement of these rows; insufficient evidence is a judgement too."""
        reason = self.lacking(df)
        values = np.array([]) if reason else np.array(list(self.values(df)), dtype=float)
        if not reason and len(values) < max(1, self.least_seeds):
            reason = f"{len(values)} of at least {max(1, self.least_seeds)} values"
        if not np.isfinite(values).all():
            reason = f"{np.sum(~np.isfinite(values))} of {len(values)} values are not finite"
        if reason:
            return Judgement(self, "insufficient", None, None, len(values), reason)
        value = float({"median": np.median, "min": np.min, "max": np.max}[self.statistic](values))
        # The interval is that of the median; a worst case has none.
        spread = interval(values) if self.statistic == "median" else None
        found = judged(value, self.reproduced, self.partly)
        return Judgement(self, found, value, spread, len(values), "")


@dataclass(frozen=True)
class Judgement:
    """What a criterion found: its outcome, the value that decided, and a median's 95% interval."""

    criterion: Criterion
    outcome: Outcome
    value: float | None
    interval: tuple[float, float] | None
    count: int
    lacking: str

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``verdict.json``."""
        partly = self.criterion.partly
        return {
            "name": self.criterion.name,
            "decides": self.criterion.decides,
            "outcome": self.outcome,
            "value": self.value,
            "interval_95": list(self.interval) if self.interval else None,
            "values": self.count,
            "statistic": self.criterion.statistic,
            "reproduced_if": str(self.criterion.reproduced),
            "partly_if": str(partly) if partly else None,
            "because": self.criterion.because,
            "lacking": self.lacking,
        }


@dataclass(frozen=True)
class Verdict:
    """The judgements of all criteria of a claim, and every caveat that applied."""

    claim: str
    title: str
    judgements: tuple[Judgement, ...]
    caveats: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of a criterion that decides."""
        return self.decisive.outcome

    @property
    def decisive(self) -> Judgement:
        """The first of the criteria that decide whose outcome is the worst, and so the claim's."""
        deciding = [j for j in self.judgements if j.criterion.decides]
        return max(deciding, key=lambda j: OUTCOMES.index(j.outcome))

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``verdict.json``."""
        return {
            "claim": self.claim,
            "title": self.title,
            "outcome": self.outcome,
            "criteria": [j.as_dict() for j in self.judgements],
            "caveats": list(self.caveats),
        }


@dataclass(frozen=True)
class FlipMap:
    """One quantity under many settings, each judged by the same bounds.

    Attributes:
        quantity: what is judged, in a few words.
        values: a row for each setting: ``panel``, ``row`` and ``column`` say which, in the order in
            which they are to be shown, and ``value`` is the quantity; NaN where it was not
            measured.
        row: what the rows are.
        column: what the columns are, with their unit.
        reproduced: the range in which the claim holds.
        partly: a wider range in which it holds in part, if there is one.
    """

    quantity: str
    values: pd.DataFrame
    row: str
    column: str
    reproduced: Bounds
    partly: Bounds | None = None


@dataclass(frozen=True)
class Column:
    """A column of a claim's CSV.

    Attributes:
        meaning: what stands in it, with its unit.
        varies: whether two runs on one machine may differ in it, as times and allocator peaks do.
    """

    meaning: str
    varies: bool = False


COMMON_COLUMNS = {
    "status": Column(
        "ok, or why there is no result: underflow (of the step), max_steps, nonfinite, timeout, oom"
    ),
    "repetition": Column("number of the repetition, from 0"),
    "seed": Column("seed derived from the claim, the cell and the repetition"),
    "device": Column("type of the device: cpu or cuda"),
}


@dataclass(frozen=True)
class Claim:
    """A claim, complete: everything about it stands in the one file that makes this object.

    Attributes:
        slug: its name in commands and paths, and the name of its file.
        title: a heading.
        statement: what is claimed, in one line.
        source: where it was published.
        ledger: what the paper, its code and replications report.
        deviations: how this experiment differs from the published set-up.
        columns: the columns of the CSV beside the common ones, parameters first.
        cells: what is run under a profile.
        measure: what is observed in one cell, a row for each observation; the framework adds the
            parameters, the seed and, where it is missing, the status.
        criteria: how the rows are judged.
        figure: the picture, drawn from the rows alone.
        table: the table, made from the rows alone.
        caveats: sentences that qualify the verdict, given the rows.
        datasets: digests of the data used, by name.
        animation: a short moving picture, drawn from the rows alone, where there is one.
        flips: over which settings the verdict changes, made from the rows alone, where it hangs on
            settings.
    """

    slug: str
    title: str
    statement: str
    source: str
    ledger: Sequence[Evidence]
    deviations: Sequence[str]
    columns: Mapping[str, Column]
    cells: Callable[[Profile], Iterable[Cell]]
    measure: Callable[[Cell], list[Row]]
    criteria: Sequence[Criterion]
    figure: Callable[[pd.DataFrame], "Figure"]
    table: Callable[[pd.DataFrame], pd.DataFrame]
    caveats: Callable[[pd.DataFrame], list[str]] = lambda df: []
    datasets: Mapping[str, str] = field(default_factory=dict)
    animation: Callable[[pd.DataFrame], "FuncAnimation"] | None = None
    flips: Callable[[pd.DataFrame], FlipMap] | None = None

    def __post_init__(self) -> None:
        if not any(criterion.decides for criterion in self.criteria):
            raise ValueError(f"claim {self.slug} has no criterion that decides")
        clash = set(self.columns) & set(COMMON_COLUMNS)
        if clash:
            raise ValueError(f"claim {self.slug} redefines the common columns {sorted(clash)}")

    @property
    def all_columns(self) -> dict[str, Column]:
        """The columns of its CSV in their order."""
        return {**self.columns, **COMMON_COLUMNS}

    def judge(self, df: pd.DataFrame) -> Verdict:
        """The verdict that follows from these rows."""
        judgements = tuple(criterion.judge(df) for criterion in self.criteria)
        caveats = list(self.caveats(df))
        failed = df[df["status"] != "ok"]["status"].value_counts()
        caveats += [f"{n} of {len(df)} rows have the status {s}." for s, n in failed.items()]
        return Verdict(self.slug, self.title, judgements, tuple(caveats))
