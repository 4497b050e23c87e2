"""What a claim is: what was published, what is measured, and by which rule it is judged.

The rule comes first. A criterion is written with its reason before the run, names the least
evidence that it needs to be judged, and is not moved when a result is seen.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.statistics import interval

if TYPE_CHECKING:
    import matplotlib.animation
    import matplotlib.figure

Outcome = Literal["reproduced", "partly", "not reproduced", "insufficient"]

# From the best to the worst: a claim is as good as its worst criterion.
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "partly", "not reproduced", "insufficient")

Measure = Callable[[Cell, Context], list[Row]]
Figure = Callable[[pd.DataFrame], "matplotlib.figure.Figure"]
Animation = Callable[[pd.DataFrame], "matplotlib.animation.FuncAnimation"]
# What the rows lack before a criterion can be judged, in words; "" where they lack nothing.
Need = Callable[[pd.DataFrame], str]


STATISTICS = {"median": np.median, "min": np.min, "max": np.max}


@dataclass(frozen=True)
class Evidence:
    """One line of a claim's ledger: who says what, where, and under which setting."""

    who: str
    value: str
    source: str
    setting: str = ""


@dataclass(frozen=True)
class Bounds:
    """A closed range that a value lies in or not.

    Raises:
        ValueError: for an empty range.
    """

    at_least: float = -math.inf
    at_most: float = math.inf

    def __post_init__(self) -> None:
        if not self.at_least <= self.at_most:
            raise ValueError(f"no value is at least {self.at_least} and at most {self.at_most}")

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


def outcome_of(value: float, reproduced: Bounds, partly: Bounds | None) -> Outcome:
    """The outcome of a value under these bounds."""
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
        statistic: which number of the seeds' values is judged: the median, or the least or the
            largest where every seed has to pass.
        least_seeds: fewer seeds than this are insufficient.
        needs: the least evidence; the first need that the rows do not meet makes it insufficient.
        decides: whether it enters the claim's verdict. An expectation about a known limit of the
            claim is judged and shown like the rest, but the claim does not hang on it.

    Raises:
        ValueError: for another statistic.
        TypeError: for values that are no function, or a range that is no ``Bounds``.
    """

    name: str
    values: Callable[[pd.DataFrame], Iterable[float]]
    reproduced: Bounds
    because: str
    partly: Bounds | None = None
    statistic: Literal["median", "min", "max"] = "median"
    least_seeds: int = 1
    needs: Sequence[Need] = ()
    decides: bool = True

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise ValueError(
                f"the criterion {self.name!r} judges the {self.statistic!r}, expected"
                f" {' or '.join(STATISTICS)}"
            )
        if not callable(self.values):
            raise TypeError(f"the criterion {self.name!r} has values that are no function of rows")
        for bounds in (self.reproduced, self.partly or Bounds()):
            if not isinstance(bounds, Bounds):
                raise TypeError(
                    f"the criterion {self.name!r} has the range {bounds!r}, expected Bounds(...)"
                )

    def judge(self, df: pd.DataFrame) -> "Judgement":
        """The judgement of these rows; insufficient evidence is a judgement too."""
        reason = next(filter(None, (need(df) for need in self.needs)), "")
        values = np.array([]) if reason else np.array(list(self.values(df)), dtype=float)
        if not reason and len(values) < max(1, self.least_seeds):
            reason = f"{len(values)} of at least {max(1, self.least_seeds)} values"
        if not np.isfinite(values).all():
            reason = f"{np.sum(~np.isfinite(values))} of {len(values)} values are not finite"
        if reason:
            return Judgement(self, "insufficient", None, None, len(values), reason)
        value = float(STATISTICS[self.statistic](values))
        # The interval is that of the median; a worst case has none.
        spread = interval(values) if self.statistic == "median" else None
        outcome = outcome_of(value, self.reproduced, self.partly)
        return Judgement(self, outcome, value, spread, len(values), "")


@dataclass(frozen=True)
class Judgement:
    """A criterion with its outcome, the value that decided, and the 95% interval of a median."""

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
    """A claim: what was published stands here, and its code in the rooms of its package.

    The rooms are modules of the package ``module``, which are imported when they are first needed.
    A small claim may stay one file: then that module is all of its rooms.

    ``measure``
        ``cells(profile)`` and ``measure(cell, context)``; where they are needed ``alone(cell)``,
        whether nothing else may run beside a cell because it measures time, and ``DATASETS``,
        digests of the data used, by name.
    ``judge``
        ``CRITERIA``; where there are any ``caveats(df)`` and ``flips(df)``.
    ``show``
        ``figure(df)`` and ``table(df)``; where there is one ``animation(df)``.

    Attributes:
        slug: its name in commands and paths, and the name of its folder or file.
        title: a heading.
        statement: what is claimed, in one line.
        source: where it was published.
        ledger: what the paper, its code and replications report.
        deviations: how this experiment differs from the published set-up.
        columns: the columns of the CSV beside the common ones, parameters first.
        module: the package or module that holds the rooms: ``__name__`` where the claim is made.

    Raises:
        ValueError: for a column of its own with the name of a common one; and, when a room is first
            needed, for a module that cannot be imported or lacks what it should hold.
    """

    slug: str
    title: str
    statement: str
    source: str
    ledger: Sequence[Evidence]
    deviations: Sequence[str]
    columns: Mapping[str, Column]
    module: str

    def __post_init__(self) -> None:
        clash = set(self.columns) & set(COMMON_COLUMNS)
        if clash:
            raise ValueError(f"claim {self.slug} redefines the common columns {sorted(clash)}")

    @property
    def all_columns(self) -> dict[str, Column]:
        """The columns of its CSV in their order."""
        return {**self.columns, **COMMON_COLUMNS}

    @property
    def description(self) -> str:
        """What the claim says about itself: the docstring of its package or module."""
        return inspect.getdoc(self._import(self.module)) or ""

    def _room(self, name: str) -> ModuleType:
        # A process that was handed the claim may not have imported its package yet.
        whole = self._import(self.module)
        return self._import(f"{self.module}.{name}") if hasattr(whole, "__path__") else whole

    def _import(self, module: str) -> ModuleType:
        try:
            return import_module(module)
        except ImportError as error:
            raise ValueError(
                f"claim {self.slug} needs the module {module}, which cannot be imported: {error}"
            ) from error

    def _part(self, room: str, name: str) -> Any:
        """What a room has to hold."""
        module = self._room(room)
        if not hasattr(module, name):
            raise ValueError(
                f"claim {self.slug} needs {name} in {module.__name__}, where it is not"
            )
        return getattr(module, name)

    # --- measuring

    def cells(self, profile: Profile) -> list[Cell]:
        """What is run under a profile.

        Raises:
            ValueError: where its room gives something else than cells.
        """
        cells = self._part("measure", "cells")(profile)
        if not isinstance(cells, Iterable):
            raise ValueError(f"cells of claim {self.slug} gives {type(cells).__name__}, no cells")
        listed = list(cells)
        for each in listed:
            if not isinstance(each, Cell):
                raise ValueError(f"cells of claim {self.slug} gives {each!r}, expected a Cell")
        return listed

    @property
    def measure(self) -> Measure:
        """From a cell, and what the run lends to it, to a row for each observation.

        A run adds the parameters, the seed and, where it is missing, the status.
        """
        return self._part("measure", "measure")

    def alone(self, cell: Cell) -> bool:
        """Whether nothing else may run beside the cell."""
        return getattr(self._room("measure"), "alone", lambda cell: False)(cell)

    @property
    def datasets(self) -> Mapping[str, str]:
        """Digests of the data used, by name."""
        return getattr(self._room("measure"), "DATASETS", {})

    # --- judging

    @property
    def criteria(self) -> Sequence[Criterion]:
        """How the rows are judged.

        Raises:
            ValueError: where none of them decides, or something else stands there.
        """
        criteria = self._part("judge", "CRITERIA")
        if not isinstance(criteria, Sequence) or not all(
            isinstance(c, Criterion) for c in criteria
        ):
            raise ValueError(f"CRITERIA of claim {self.slug} is no sequence of Criterion")
        if not any(criterion.decides for criterion in criteria):
            raise ValueError(f"claim {self.slug} has no criterion that decides")
        return criteria

    def judge(self, df: pd.DataFrame) -> Verdict:
        """The verdict that follows from these rows.

        Raises:
            ValueError: for rows without a status.
        """
        if "status" not in df:
            raise ValueError(f"the rows of claim {self.slug} have no column 'status'")
        judgements = tuple(criterion.judge(df) for criterion in self.criteria)
        caveats = list(getattr(self._room("judge"), "caveats", lambda df: [])(df))
        failed = df[df["status"] != "ok"]["status"].value_counts()
        caveats += [f"{n} of {len(df)} rows have the status {s}." for s, n in failed.items()]
        return Verdict(self.slug, self.title, judgements, tuple(caveats))

    @property
    def flips(self) -> Callable[[pd.DataFrame], FlipMap] | None:
        """Over which settings the verdict changes, from the rows alone, where it hangs on any."""
        return getattr(self._room("judge"), "flips", None)

    # --- showing

    @property
    def figure(self) -> Figure:
        """The picture, drawn from the rows alone."""
        return self._part("show", "figure")

    @property
    def table(self) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """The table, made from the rows alone."""
        return self._part("show", "table")

    @property
    def animation(self) -> Animation | None:
        """A short moving picture, drawn from the rows alone, where there is one."""
        return getattr(self._room("show"), "animation", None)
