"""What the commands show on the terminal.

Texts that come from files are shown as they are, never as markup, and without what a terminal would
obey.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from odeclaims.cell import OWN_SOLVER
from odeclaims.claim import Claim
from odeclaims.record.compare import Comparison
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.record.results import Results
from odeclaims.record.solvers import BySolver
from odeclaims.record.wording import choose_speaker, count_seeds, describe_value

# In a file or a pipe there is no width to respect, and 80 columns would cut the tables to pieces.
# Without emoji, which would take the place of what stands between two colons.
console = Console(soft_wrap=True, emoji=False, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, soft_wrap=True, emoji=False)

STYLES = {
    "reproduced": "green",
    "not reproduced": "red",
    "undecided": "yellow",
    "insufficient": "dim",
    "invalid": "bold red",
    "not offered": "dim",
}


def claims_table(claims: list[Claim], results: dict[str, list[Results]]) -> Table:
    """The claims, a line each, with the stored result that speaks for each."""
    table = Table("claim", "what is claimed", "source", "central statements", "scale", "profile")
    for claim in claims:
        stored = [(r, v) for r in results[claim.slug] if (v := read_stored_verdict(r))]
        best = choose_speaker(
            stored, lambda pair: pair[1]["scale"], lambda pair: count_seeds(pair[1])
        )
        told = (
            (_summary(best[1]), Text(best[1]["scale"]), Text(best[0].profile))
            if best
            else (Text("not run yet"), "", "")
        )
        table.add_row(claim.slug, Text(claim.statement), Text(claim.source), *told)
    return table


def _summary(verdict: dict[str, Any]) -> Text:
    """The line of a claim, in the colour of its outcomes where they are one."""
    outcomes = {s["outcome"] for s in verdict["statements"] if s["central"]}
    return Text(verdict["summary"], STYLES[min(outcomes)] if len(outcomes) == 1 else "")


def read_stored_verdict(results: Results) -> dict[str, Any]:
    """The stored verdict; nothing where there is none or it cannot be read."""
    try:
        return results.read_verdict()
    except FileNotFoundError:
        return {}
    except (CorruptFile, OSError) as error:
        say(error_sentence(error), "yellow", err)
        return {}


def say(sentence: str, style: str = "", to: Console = console) -> None:
    """Print a sentence that may hold texts out of files: what a terminal would obey is escaped."""
    to.print(escape_controls(sentence), style=style, markup=False, highlight=False)


def print_verdicts(measured: list[Results]) -> None:
    """The statements of some results, each with what was measured and its outcome."""
    table = Table("claim", *_STATEMENT_HEADINGS)
    for results in measured:
        lines = list(_statement_lines(read_stored_verdict(results)))
        for i, line in enumerate(lines):
            slug = results.claim.slug if i == 0 else ""
            table.add_row(slug, *line, end_section=i == len(lines) - 1)
    if table.row_count:
        console.print(table)


def print_verdict(verdict: dict[str, Any]) -> None:
    """The statements of one stored verdict."""
    table = Table(*_STATEMENT_HEADINGS)
    for line in _statement_lines(verdict):
        table.add_row(*line)
    console.print(table)


_STATEMENT_HEADINGS = ("statement", "holds if", "measured", "outcome")


def _statement_lines(verdict: dict[str, Any]) -> Iterator[tuple[Text, ...]]:
    for row in verdict.get("statements", []):
        judged = Text().append(row["outcome"], STYLES[row["outcome"]])
        yield (
            Text(row["text"]),
            Text(row["holds_if"]),
            Text(_measured(row)),
            judged + ("" if row["central"] else " (not central)"),
        )


def _measured(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return row["lacking"]
    return describe_value(row["value"], row["interval"], row["level"], row["words"])


def print_comparison(comparison: Comparison) -> None:
    """What differs between two results folders, and a last line that counts it."""
    table = Table("claim", "statement", "before", "after", "what changed")
    for row in comparison.statements[comparison.statements["says"] != ""].to_dict("records"):
        table.add_row(
            *(Text(row[name]) for name in ("claim", "statement", "before", "after", "says"))
        )
    if table.row_count:
        console.print(table)
    for line in comparison.alone:
        say(line)
    say(f"{comparison.summary}.")


def print_solvers(compared: BySolver) -> None:
    """The outcomes of each statement on several solvers, what these lack, and a line for each."""
    solvers = [OWN_SOLVER, *compared.solvers]
    table = Table("claim", "statement", *solvers)
    for claim, rows in compared.statements.groupby("claim", sort=False):
        records = rows.to_dict("records")
        for i, row in enumerate(records):
            name = row["statement"] + ("" if row["central"] else " (not central)")
            outcomes = [Text(row[s] or "-", STYLES.get(row[s], "dim")) for s in solvers]
            first = Text(str(claim) if i == 0 else "")
            table.add_row(first, Text(name), *outcomes, end_section=i == len(records) - 1)
    console.print(table)
    for sentences in compared.lacking.values():
        for sentence in sentences:
            say(f"{sentence}.")
    for solver in compared.solvers:
        say(compared.summary(solver))


def say_written(paths: list[Path]) -> None:
    """Name the files that were written."""
    for path in paths:
        say(f"wrote {path}")


def error_sentence(error: Exception) -> str:
    """The error in one line; an operating system's error with its file and its reason."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return escape_controls(f"{where}{error.strerror}")
    return escape_controls(" ".join(str(error).split()))
