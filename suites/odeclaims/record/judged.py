"""A result with all that follows from its rows, each part worked out once.

The cells of its two tables have names. A name is short, and only its content gives it: it holds the
claim, the profile, the place in the table and the text, and nothing else. So a number that is cited
with it can be derived again out of the raw rows, today or after the claim has been measured again:
as long as the same text stands in the same place, the name is the same.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from odeclaims.cell import digest
from odeclaims.claim import Claim
from odeclaims.record.derive import judge_rows, tabulate_rows
from odeclaims.record.files import CorruptFile
from odeclaims.record.registry import why_not_registered
from odeclaims.record.results import Results
from odeclaims.record.wording import statements_frame
from odeclaims.statement import Verdict

# Hexadecimal digits: with ten thousand cells two of them share a name once in twenty thousand.
DIGITS = 10

# Of what is worked out again from the same rows, the last digits differ between processors and
# between releases of SciPy. The interval of a slope through points on a line takes the root of such
# digits. What is left where numbers of about one cancel has few digits, and may be one of them.
ROUNDING, ROUNDED_ZERO = 1e-7, 1e-15
CANCELLED, CANCELLED_ROUNDING = 1e-8, 1e-2


@dataclass(frozen=True)
class HashedCell:
    """A cell of a table with its name.

    Attributes:
        hash: ten hexadecimal digits.
        table: ``statements`` or ``table``.
        row: the number of its row, from 0.
        column: the heading of its column.
        text: what stands in it.
    """

    hash: str
    table: str
    row: int
    column: str
    text: str


@dataclass(frozen=True)
class Judged:
    """The rows of a result, the verdict and the table that follow from them, and the provenance.

    Whoever reads an attribute first pays for it, and may see the errors of ``Results.read``.
    """

    results: Results

    @property
    def claim(self) -> Claim:
        """Whose result it is."""
        return self.results.claim

    @property
    def profile(self) -> str:
        """Under which profile it was measured."""
        return self.results.profile

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows as they were measured; nobody may change them.

        Raises:
            FileNotFoundError: where nothing was measured.
            CorruptFile: where the rows are not what was written.
        """
        return self.results.read()

    @cached_property
    def verdict(self) -> Verdict:
        """What the claim's statements make of the rows.

        Raises:
            CorruptFile: where they cannot judge them.
        """
        return judge_rows(self.claim, self.rows, self.results.data)

    @cached_property
    def statements(self) -> pd.DataFrame:
        """The verdict as a table, a line for each statement."""
        return statements_frame(self.verdict)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The claim's own table.

        Raises:
            CorruptFile: where it cannot be made of the rows.
        """
        return tabulate_rows(self.claim, self.rows, self.results.data)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made the rows.

        Raises:
            CorruptFile: where the file is not a provenance.
        """
        return self.results.read_provenance()

    @cached_property
    def unregistered(self) -> str:
        """Why the rules do not count as registered before the rows were measured; "" if they do."""
        return why_not_registered(self.claim, self.provenance)

    @cached_property
    def cells(self) -> list[HashedCell]:
        """Every cell of the two tables, with its name."""
        return [*self.statement_cells, *self._named("table", self.table)]

    @cached_property
    def statement_cells(self) -> list[HashedCell]:
        """Every cell of the verdict's table alone, for which nothing that draws is imported."""
        return list(self._named("statements", self.statements))

    def _named(self, name: str, table: pd.DataFrame) -> Iterator[HashedCell]:
        place = (self.profile, self.claim.slug, name)
        for column in table.columns:
            for row, value in enumerate(table[column].astype(str)):
                hashed = digest(*place, row, str(column), value)[:DIGITS]
                # After astype(str) a gap may still be one.
                yield HashedCell(hashed, name, row, str(column), str(value))

    def stores_one_of(self, names: Iterable[str]) -> bool:
        """Whether a cell of one of these names stood in the tables when they were last written."""
        try:
            stored = (self.results.folder / "hashes.csv").read_bytes()
        except OSError:
            return False
        return any(name.encode() in stored for name in names)

    def stale(self) -> str:
        """What is wrong with the files; "" where the verdict follows from the rows as recorded."""
        if not self.results.verdict.exists():
            return "there are rows but no verdict.json"
        kept = self.results.read_verdict()
        now = json.loads(json.dumps(self.verdict.as_dict()))
        parts = [name for name in now if not _agree(now[name], kept.get(name))]
        return f"the stored verdict differs from its rows in {', '.join(parts)}" if parts else ""

    def write_verdict(self) -> None:
        """Write the verdict that follows from the rows."""
        self.results.write_verdict(self.verdict)


def _agree(one: Any, other: Any) -> bool:
    """Whether two values out of JSON are the same, but for what rounding does to them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_agree(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_agree, one, other))
    if isinstance(one, float) and isinstance(other, float):
        few_digits = max(abs(one), abs(other)) < CANCELLED
        rounding = CANCELLED_ROUNDING if few_digits else ROUNDING
        return math.isclose(one, other, rel_tol=rounding, abs_tol=ROUNDED_ZERO)
    return one == other


def read_judged(results: Iterable[Results]) -> tuple[list[Judged], list[tuple[Results, str]]]:
    """Read the rows of these results.

    Returns:
        The results whose rows could be read, and the others, each with a sentence that says why
        not.
    """
    readable, problems = [], []
    for each in results:
        judged = Judged(each)
        try:
            _ = judged.rows  # what is read is kept
        except (CorruptFile, OSError) as error:
            problems.append((each, str(error)))
        else:
            readable.append(judged)
    return readable, problems


def hashes_csv(judged: Judged) -> str:
    """The named cells as CSV, to lie beside the table."""
    frame = pd.DataFrame(vars(cell) for cell in judged.cells)
    return frame.to_csv(index=False, lineterminator="\n")


def find_cells(name: str, among: Iterable[Judged]) -> list[tuple[Judged, HashedCell]]:
    """The cell of that name with the result that it stands in, as a list; none where there is none.

    Raises:
        ValueError: where ``name`` cannot be the name of a cell.
    """
    wanted = name.strip().lower()
    if len(wanted) != DIGITS or set(wanted) - set("0123456789abcdef"):
        raise ValueError(
            f"{name!r} is not the name of a table cell; expected {DIGITS} hexadecimal digits, as"
            " they stand in hashes.csv and in the report"
        )
    return list(find_named_cells({wanted}, among).values())


def find_named_cells(
    names: Iterable[str], among: Iterable[Judged]
) -> dict[str, tuple[Judged, HashedCell]]:
    """The first cell of each name that one has.

    Results whose stored names have one of them are derived first, then all others: what is stored
    says where to look, and no more. Tables are made only where a name is not that of a statement's
    cell: that imports what draws.
    """
    results, missing, found = list(among), set(names), {}
    likely = [judged for judged in results if judged.stores_one_of(missing)]
    for group in (likely, [judged for judged in results if judged not in likely]):
        for kind in ("statement_cells", "cells"):
            for judged in group:
                if not missing:
                    return found
                for cell in getattr(judged, kind):
                    if cell.hash in missing:
                        found[cell.hash] = (judged, cell)
                        missing.remove(cell.hash)
    return found
