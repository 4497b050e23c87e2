"""The rows of one cell, measured here, beside those that are published of it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from odeclaims.cell import Cell, Row
from odeclaims.claim import Claim
from odeclaims.record.frame import frame, read_csv, to_csv
from odeclaims.record.wording import count_of

# Two processors round differently, and a training makes more of it.
WITHIN = 0.01
# Numbers that differ by less, such as errors of solves in float64, differ by rounding alone.
ROUNDING = 1e-10


@dataclass(frozen=True)
class SameRows:
    """How far the rows of a cell are those that are published.

    Attributes:
        rows: how many were measured.
        published: how many of the cell are published.
        values: how many values were held against published ones.
        differing: how many of them differ: numbers by more than ``WITHIN``, texts in any way.
        column: the column with the most of these.
    """

    rows: int
    published: int
    values: int = 0
    differing: int = 0
    column: str = ""

    @property
    def agree(self) -> bool:
        """Whether all of them do."""
        return self.rows == self.published and not self.differing

    def __str__(self) -> str:
        if not self.published:
            return "the record has no rows of this cell"
        if self.rows != self.published:
            return f"{count_of(self.rows, 'row')}, {self.published:,} published"
        if not self.differing:
            return f"{count_of(self.rows, 'row')} as published"
        return (
            f"{self.differing:,} of {self.values:,} values differ (numbers by more than"
            f" {WITHIN:.0%}), most of them in {self.column}"
        )


def compare_rows(claim: Claim, published: pd.DataFrame, cell: Cell, rows: list[Row]) -> SameRows:
    """Hold the rows of a cell against those that are published of it, in their order.

    Columns that vary from run to run, such as times, are left out.
    """
    # As it would be read from a file, so that gaps and kinds of numbers are alike.
    measured = read_csv(to_csv(frame(claim, rows)))
    # A cell may measure several repetitions, and a row may say better what it is about.
    names = ["repetition", "seed", *cell.params]
    wanted = set(_keys(measured, names))
    same = [key in wanted for key in _keys(published, names)]
    theirs = published[same].reset_index(drop=True)
    if len(theirs) != len(measured):
        return SameRows(len(measured), len(theirs))
    columns = [name for name, column in claim.all_columns.items() if not column.varies]
    differing = {name: int(_differ(measured[name], theirs[name]).sum()) for name in columns}
    most = max(differing, key=lambda name: differing[name])
    values = len(columns) * len(measured)
    return SameRows(len(measured), len(theirs), values, sum(differing.values()), most)


def _keys(df: pd.DataFrame, names: list[str]) -> list[tuple]:
    """What names each row, with ``None`` for gaps."""
    columns = (df[name].astype(object).where(df[name].notna(), None) for name in names)
    return list(zip(*columns, strict=True))


def _differ(one: pd.Series, other: pd.Series) -> pd.Series:
    """Which values of two columns differ, gaps and kinds of values included."""
    numbers = [pd.to_numeric(each, errors="coerce").astype(float) for each in (one, other)]
    as_numbers = numbers[0].notna() & numbers[1].notna()
    close = np.isclose(*numbers, rtol=WITHIN, atol=ROUNDING, equal_nan=True)
    alike = (one == other) | (one.isna() & other.isna())
    return ~alike & ~(as_numbers & close)
