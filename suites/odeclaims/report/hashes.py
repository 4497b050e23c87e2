"""A short name for each cell of a claim's tables, which only its content gives.

The name holds the claim, the profile, the place in the table and the text, and nothing else. So a
number that is cited with it can be derived again out of the raw rows, today or after the claim has
been measured again: as long as the same text stands in the same place, the name is the same.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from odeclaims.claim import digest
from odeclaims.report.tables import criteria_frame
from odeclaims.store import Results

# Hexadecimal digits: with ten thousand cells two of them share a name once in twenty thousand.
DIGITS = 10


@dataclass(frozen=True)
class HashedCell:
    """A cell of a table with its name.

    Attributes:
        hash: ten hexadecimal digits.
        table: ``criteria`` or ``table``.
        row: the number of its row, from 0.
        column: the heading of its column.
        text: what stands in it.
    """

    hash: str
    table: str
    row: int
    column: str
    text: str


def cells(results: Results) -> list[HashedCell]:
    """Every cell of the claim's criteria and table, made anew out of the raw rows.

    Raises:
        FileNotFoundError: where nothing was measured.
        CorruptFile: where the rows are not what was written.
    """
    df = results.read()
    tables = {
        "criteria": criteria_frame(results.claim.judge(df)),
        "table": results.claim.table(df),
    }
    return [cell for name, table in tables.items() for cell in _cells(results, name, table)]


def _cells(results: Results, name: str, table: pd.DataFrame) -> Iterator[HashedCell]:
    place = (results.profile, results.claim.slug, name)
    for column in table.columns:
        for row, value in enumerate(table[column].astype(str)):
            made = digest(*place, row, str(column), value)[:DIGITS]
            yield HashedCell(made, name, row, str(column), value)


def hashes_csv(results: Results) -> str:
    """The cells as CSV, to lie beside the table."""
    frame = pd.DataFrame(vars(cell) for cell in cells(results))
    return frame.to_csv(index=False, lineterminator="\n")


def find(name: str, among: Iterable[Results]) -> list[tuple[Results, HashedCell]]:
    """The cells of that name, each with the results that it stands in.

    Raises:
        ValueError: where ``name`` is no such name.
    """
    wanted = name.strip().lower()
    if len(wanted) != DIGITS or set(wanted) - set("0123456789abcdef"):
        raise ValueError(
            f"{name!r} is no name of a table cell; expected {DIGITS} hexadecimal digits, as they"
            " stand in hashes.csv and in the report"
        )
    return [(found, cell) for found in among for cell in cells(found) if cell.hash == wanted]
