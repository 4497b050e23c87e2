"""What the commands show on the terminal.

Texts that come from files are shown as they are, never as markup, and without what a terminal would
obey.
"""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from odeclaims.claim import Claim
from odeclaims.record.compare import Comparison
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.record.results import Results

# In a file or a pipe there is no width to respect, and 80 columns would cut the tables to pieces.
# Without emoji, which would take the place of what stands between two colons.
console = Console(soft_wrap=True, emoji=False, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, soft_wrap=True, emoji=False)

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
        verdicts = [outcome(r) + f" ({r.profile})" for r in results[claim.slug]]
        table.add_row(
            claim.slug,
            Text(claim.statement),
            Text(claim.source),
            Text("\n").join(verdicts) or "not run yet",
        )
    return table


def outcome(results: Results) -> Text:
    """The stored outcome in its colour, or that there is none that can be read."""
    outcome = _read_verdict(results)["outcome"]
    return Text().append(outcome, STYLES.get(outcome, "dim"))


def _read_verdict(results: Results) -> dict[str, Any]:
    """The stored verdict; where there is none or it cannot be read, one without criteria."""
    try:
        return results.read_verdict()
    except FileNotFoundError:
        return {"outcome": "not judged", "criteria": []}
    except (CorruptFile, OSError) as error:
        say(error_sentence(error), "yellow", err)
        return {"outcome": "unreadable", "criteria": []}


def say(sentence: str, style: str = "", to: Console = console) -> None:
    """Print a sentence that may hold texts out of files: what a terminal would obey is escaped."""
    to.print(escape_controls(sentence), style=style, markup=False, highlight=False)


def print_verdicts(measured: list[Results]) -> None:
    """The criteria of some results, each with what was measured and its outcome."""
    table = Table("claim", "criterion", "holds if", "measured", "outcome")
    for results in measured:
        rows: list[dict[str, Any]] = _read_verdict(results)["criteria"]
        for i, row in enumerate(rows):
            value = row["lacking"] if row["value"] is None else f"{row['value']:.4g}"
            judged = Text().append(row["outcome"], STYLES[row["outcome"]])
            table.add_row(
                results.claim.slug if i == 0 else "",
                Text(row["name"]),
                Text(row["reproduced_if"]),
                Text(value),
                judged + ("" if row["decides"] else " (not deciding)"),
                end_section=i == len(rows) - 1,
            )
    if table.row_count:
        console.print(table)


def print_comparison(comparison: Comparison) -> None:
    """What changed between two results folders, and a last line that counts it."""
    table = Table("claim", "criterion", "before", "after", "what changed")
    for row in comparison.numbers[comparison.numbers["moved"] != ""].to_dict("records"):
        table.add_row(
            *(Text(row[name]) for name in ("claim", "criterion", "before", "after", "moved"))
        )
    if table.row_count:
        console.print(table)
    for line in comparison.alone:
        say(line)
    changed = comparison.verdicts[comparison.verdicts["changed"]]
    for row in changed.to_dict("records"):
        say(f"{row['claim']}: {row['before']} became {row['after']}")
    console.print(
        f"{len(comparison.verdicts)} claims compared, {len(changed)} verdicts changed,"
        f" {table.row_count} of {len(comparison.numbers)} numbers moved."
    )


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
