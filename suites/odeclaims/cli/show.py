"""The command that shows what is known of one claim, in the terminal and without drawing."""

import csv
import io
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from odeclaims.cell import ProfileName
from odeclaims.claim import Claim
from odeclaims.cli.choose import ReadFrom, existing_results, leave_out_smoke
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.record.judged import Judged
from odeclaims.record.results import Results
from odeclaims.record.wording import choose_speaker, count_seeds
from odeclaims.terminal import console, print_verdict, say


def show(
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="A claim by its name.")],
    profile: Annotated[
        ProfileName | None,
        typer.Option(help="This profile; by default that of the result that speaks for the claim."),
    ] = None,
    results: ReadFrom = None,
) -> None:
    """Show a claim: statements with outcome, number and rule, failed checks, table, ledger.

    Without --profile, the result that speaks for the claim: of the largest scale, then of the most
    seeds. It shows the stored verdict and table; `odeclaims check` says whether they follow from
    the rows.
    """
    existing = existing_results([claim], profile, results)
    stored = [
        (each, each.read_verdict()) for each in leave_out_smoke(existing, profile) or existing
    ]
    best, verdict = (
        choose_speaker(stored, lambda pair: pair[1]["scale"], lambda pair: count_seeds(pair[1]))
        or stored[0]
    )
    _print_heading(best.claim, best.profile, verdict)
    print_verdict(verdict)
    _print_failed_checks(verdict)
    console.print("\nTable", style="bold")
    console.print(_grid(*_read_table(best)))
    _print_list("Caveats", verdict["caveats"])
    _print_list("Deviations from the published set-up", best.claim.deviations)
    _print_ledger(best.claim)
    others = [each.profile for each, _ in stored if each is not best]
    if others:
        console.print()
        options = " and ".join(f"`--profile {other}`" for other in others)
        say(f"There are results at other profiles too: {options}.")


def _print_heading(claim: Claim, profile: str, verdict: dict[str, Any]) -> None:
    say(claim.title, "bold")
    say(claim.statement)
    say(f"Source: {claim.source}")
    say(f"Central statements: {verdict['summary']}.")
    say(f"Scale: {verdict['scale']}, {verdict['size']}; profile {profile}.")


def _print_failed_checks(verdict: dict[str, Any]) -> None:
    checks = verdict["checks"]
    failed = [check for check in checks if not check["passed"]]
    if checks:
        say(f"{len(checks) - len(failed)} of {len(checks)} checks of the instrument passed.")
    for check in failed:
        say(
            f"failed: {check['text']}: {check['outside']} of {check['values']} values are not"
            f" {check['holds_if']} ({check['because']})",
            "red",
        )


def _read_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """The headings and the rows of the claim's table.

    It is the file that lies beside the rows. Where there is none the table is made from them, which
    imports what draws.
    """
    path = results.folder / "table.csv"
    if path.exists():
        content = path.read_bytes()
    else:
        content = Judged(results).table.to_csv(index=False).encode()
    try:
        headings, *rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    except (ValueError, csv.Error) as error:
        raise CorruptFile(
            f"{path} is not a table: {error}; `odeclaims tables` writes it"
        ) from error
    return headings, rows


def _print_list(heading: str, sentences: Any) -> None:
    if sentences:
        console.print(f"\n{heading}", style="bold")
    for sentence in sentences:
        say(f"- {sentence}")


def _print_ledger(claim: Claim) -> None:
    if claim.ledger:
        rows = [[e.who, e.value, e.source, e.setting] for e in claim.ledger]
        console.print("\nWhat others report", style="bold")
        console.print(_grid(["who", "value", "source", "setting"], rows))


def _grid(headings: list[str], rows: list[list[str]]) -> Table:
    """A table of texts, none of which is markup or anything that a terminal would obey."""
    table = Table()
    for heading in headings:
        table.add_column(Text(escape_controls(heading)))
    for row in rows:
        table.add_row(*(Text(escape_controls(cell)) for cell in row))
    return table
