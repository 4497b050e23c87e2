"""What the commands show on the terminal.

Texts that come from files are shown as they are, never as markup, and without what a terminal would
obey.
"""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from odeclaims.claim import Claim
from odeclaims.record.compare import Comparison
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.record.results import Results

# In a file or a pipe there is no width to respect, and 80 columns would cut the tables to pieces.
console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, soft_wrap=True)

STYLES = {
    "reproduced": "green",
    "partly": "yellow",
    "not reproduced": "red",
    "insufficient": "dim",
}


def claims_table(claims: list[Claim], results: dict[str, list[Results]]) -> Table:
    """The claims with their stored outcomes, a line each."""
    table = Table("claim", "what is claimed", "source", "verdict (profile)")
    for claim in claims:
        verdicts = [f"{outcome(r)} ({r.profile})" for r in results[claim.slug]]
        table.add_row(
            claim.slug,
            escape(claim.statement),
            escape(claim.source),
            "\n".join(verdicts) or "not run yet",
        )
    return table


def outcome(results: Results) -> str:
    """The stored outcome in its colour, or that there is none that can be read."""
    try:
        outcome = results.read_verdict()["outcome"]
    except FileNotFoundError:
        outcome = "not judged"
    except CorruptFile as error:
        err.print(str(error), style="yellow", markup=False, highlight=False)
        outcome = "unreadable"
    return f"[{STYLES.get(outcome, 'dim')}]{outcome}[/]"


def print_verdicts(measured: list[Results]) -> None:
    """The criteria of some results, each with what was measured and its outcome."""
    if not measured:
        return
    table = Table("claim", "criterion", "holds if", "measured", "outcome")
    for results in measured:
        rows: list[dict[str, Any]] = results.read_verdict()["criteria"]
        for i, row in enumerate(rows):
            value = row["lacking"] if row["value"] is None else f"{row['value']:.4g}"
            colour = STYLES[row["outcome"]]
            table.add_row(
                results.claim.slug if i == 0 else "",
                escape(row["name"]),
                row["reproduced_if"],
                escape(value),
                f"[{colour}]{row['outcome']}[/]" + ("" if row["decides"] else " (not deciding)"),
                end_section=i == len(rows) - 1,
            )
    console.print(table)


def print_comparison(comparison: Comparison) -> None:
    """What changed between two results folders, and a last line that counts it."""
    table = Table("claim", "criterion", "before", "after", "what changed")
    for row in comparison.numbers[comparison.numbers["moved"] != ""].to_dict("records"):
        table.add_row(
            *(escape(row[name]) for name in ("claim", "criterion", "before", "after", "moved"))
        )
    if table.row_count:
        console.print(table)
    for line in comparison.alone:
        console.print(line, markup=False, highlight=False)
    changed = comparison.verdicts[comparison.verdicts["changed"]]
    for row in changed.to_dict("records"):
        line = f"{row['claim']}: {row['before']} became {row['after']}"
        console.print(line, markup=False, highlight=False)
    console.print(
        f"{len(comparison.verdicts)} claims compared, {len(changed)} verdicts changed,"
        f" {table.row_count} of {len(comparison.numbers)} numbers moved."
    )


def say_written(paths: list[Path]) -> None:
    """Name the files that were written."""
    for path in paths:
        console.print(f"wrote {path}", markup=False, highlight=False)


def error_sentence(error: Exception) -> str:
    """The error in one line; an operating system's error with its file and its reason."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return escape_controls(f"{where}{error.strerror}")
    return escape_controls(" ".join(str(error).split()))
