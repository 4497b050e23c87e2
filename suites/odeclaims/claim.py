"""What a claim is: what was published, what is measured, and by which statements it is judged.

The rules come first. A statement is written with its rule and its reason before the run, names the
least evidence that it needs to be judged, and is not moved when a result is seen.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pandas as pd

from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.rules import Bounds
from odeclaims.statement import (
    Check,
    Size,
    Statement,
    Verdict,
    judge_statements,
    make_of_the_rest,
)

if TYPE_CHECKING:
    import matplotlib.animation
    import matplotlib.figure

Measure = Callable[[Cell, Context], list[Row]]
Figure = Callable[[pd.DataFrame], "matplotlib.figure.Figure"]
Animation = Callable[[pd.DataFrame], "matplotlib.animation.FuncAnimation"]


@dataclass(frozen=True)
class Evidence:
    """One line of a claim's ledger: who says what, where, and under which setting."""

    who: str
    value: str
    source: str
    setting: str = ""


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
    """

    quantity: str
    values: pd.DataFrame
    row: str
    column: str
    reproduced: Bounds


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
        "ok, or why there is no result: underflow (of the step), max_steps, nonfinite, timeout,"
        " oom, not_offered (by the solver)"
    ),
    "repetition": Column("number of the repetition, from 0"),
    "seed": Column("seed derived from the claim, the cell and the repetition"),
    "device": Column("type of the device: cpu or cuda"),
    "solver": Column("the backend that solved; references come from ours in any case"),
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
        ``STATEMENTS`` and ``SIZE``; where there are any ``CHECKS``, ``caveats(df)`` and
        ``flips(df)``.
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
        revision: of its rules. It enters the seeds, so that a revised rule is judged on rows that
            nobody had seen when it was written.
        earlier: what earlier revisions found, a line each, with the reason of the revision.

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
    revision: int = 1
    earlier: Sequence[str] = ()

    def __post_init__(self) -> None:
        clash = set(self.columns) & set(COMMON_COLUMNS)
        if clash:
            raise ValueError(
                f"claim {self.slug} redefines the common columns {sorted(clash)}: leave them out of"
                " its columns, for the run fills them in; a repeated measurement is a"
                " Cell(..., repetition=n)"
            )

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
        return [replace(cell, revision=self.revision, solver=profile.solver) for cell in listed]

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
    def statements(self) -> Sequence[Statement]:
        """The sentences that are judged.

        Raises:
            ValueError: where none is central, two have one name, one rests on a check that there is
                not, or something else stands there.
        """
        statements = self._sequence("STATEMENTS", Statement)
        if not any(statement.central for statement in statements):
            raise ValueError(f"claim {self.slug} has no central statement")
        names = [each.name for each in (*statements, *self.checks)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"claim {self.slug} has two statements or checks named {twice[0]}")
        checks = {check.name for check in self.checks}
        for statement in statements:
            if unknown := set(statement.rests_on) - checks:
                raise ValueError(
                    f"the statement {statement.name} of claim {self.slug} rests on the check"
                    f" {min(unknown)}, which there is not"
                )
        return statements

    @property
    def checks(self) -> Sequence[Check]:
        """What must hold whether or not the paper is right.

        Raises:
            ValueError: where something else stands there.
        """
        return self._sequence("CHECKS", Check) if hasattr(self._room("judge"), "CHECKS") else ()

    @property
    def size(self) -> Size:
        """The published size.

        Raises:
            ValueError: where something else stands there.
        """
        size = self._part("judge", "SIZE")
        if not isinstance(size, Size):
            raise ValueError(f"SIZE of claim {self.slug} is {size!r}, expected a Size")
        return size

    def _sequence(self, name: str, kind: type) -> Sequence[Any]:
        whole = self._part("judge", name)
        if not isinstance(whole, Sequence) or not all(isinstance(each, kind) for each in whole):
            raise ValueError(f"{name} of claim {self.slug} is not a sequence of {kind.__name__}")
        return whole

    def judge(self, df: pd.DataFrame) -> Verdict:
        """The verdict that follows from these rows.

        Raises:
            ValueError: for rows without a status.
        """
        if "status" not in df:
            raise ValueError(f"the rows of claim {self.slug} have no column 'status'")
        checks = tuple(check.run(df) for check in self.checks)
        scale = self.size.label(df)
        caveats = make_of_the_rest(self._caveats, df, ["No other caveat can be worked out."])
        failed = df[df["status"] != "ok"]["status"].value_counts()
        caveats += [f"{n} of {len(df)} rows have the status {s}." for s, n in failed.items()]
        return Verdict(
            self.slug,
            self.title,
            self.revision,
            scale,
            self.size.words(df),
            judge_statements(df, self.statements, checks, scale),
            checks,
            tuple(caveats),
        )

    def _caveats(self, df: pd.DataFrame) -> list[str]:
        return list(getattr(self._room("judge"), "caveats", lambda df: [])(df))

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
