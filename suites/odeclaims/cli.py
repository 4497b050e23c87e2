"""The command line: what a user types, each command a few lines over the module that does it."""

import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from joblib import Parallel, delayed
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from odeclaims import __version__
from odeclaims.cite import bibtex
from odeclaims.cite import sentence as cited_sentence
from odeclaims.claim import PROFILES, Claim, Profile, ProfileName
from odeclaims.claims import find_claims
from odeclaims.compare import compare as compare_folders
from odeclaims.provenance import commit_of
from odeclaims.report.draw import draw_figure, refresh_readme, write_index, write_tables
from odeclaims.report.figure3 import draw_figure3
from odeclaims.report.hashes import find as find_cells
from odeclaims.report.page import write_page
from odeclaims.run import run as run_claims
from odeclaims.store import CorruptFile, Results, read_json, stored

app = typer.Typer(
    help="Measure the claims of the Neural ODE papers, judge them, and draw the papers' figures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# In a file or a pipe there is no width to respect, and 80 columns would cut the tables to pieces.
console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)

# All cells are listed before the first is run, so that a slip of the finger has to be refused.
MOST_SEEDS = 10_000

STYLES = {
    "reproduced": "green",
    "partly": "yellow",
    "not reproduced": "red",
    "insufficient": "dim",
}

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CLAIM]...", help="Claims by name; all where none is named."),
]
Out = Annotated[Path, typer.Option(help="The results folder.")]
AnyProfile = Annotated[
    ProfileName | None, typer.Option(help="Only this profile; by default all that have results.")
]


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)
    ] = False,
) -> None:
    """Print the version where it is asked for."""
    if show:
        console.print(f"odeclaims {__version__}")
        raise typer.Exit


@app.command("list")
def list_claims(out: Out = Path("results")) -> None:
    """List the claims with the verdicts found in the results folder."""
    table = Table("claim", "what is claimed", "source", "verdict (profile)")
    for claim in find_claims().values():
        verdicts = [f"{_stored_outcome(r)} ({r.profile})" for r in stored(out, [claim], None)]
        table.add_row(
            claim.slug,
            escape(claim.statement),
            escape(claim.source),
            "\n".join(verdicts) or "not run yet",
        )
    console.print(table)


@app.command()
def run(
    claims: Names = None,
    profile: Annotated[
        ProfileName,
        typer.Option(
            help="smoke: every code path. quick: minutes. hour: what two cores do in an hour,"
            " a claim. paper: published sizes."
        ),
    ] = "quick",
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_SEEDS, help="Repetitions of every seeded cell."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cells side by side; by default one a core, or as many as the cluster takes.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="A torch device: cpu, cuda, cuda:1, ...")] = "cpu",
    out: Out = Path("results"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again what is finished already.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Measure on the Dask cluster of this scheduler."),
    ] = None,
) -> None:
    """Measure claims and judge them; a run that was stopped goes on where it was.

    Writes data.csv, verdict.json and provenance.json for each claim. Exit code 1 where a cell
    failed with an error; a solve that fails is not an error but a row with its status.
    """
    chosen = _choose(claims)
    _check_device(device, here=scheduler is None)
    try:
        summary = run_claims(
            chosen,
            Profile(profile, seeds, device),
            out,
            jobs=jobs,
            fresh=fresh,
            scheduler=scheduler,
            console=console,
        )
    except KeyboardInterrupt:
        sys.stderr.write("odeclaims: stopped; finished cells are kept, run again to go on\n")
        raise typer.Exit(130) from None
    for sentence in summary.failures[:5]:
        console.print(sentence, style="red", markup=False, highlight=False)
    if len(summary.failures) > 5:
        console.print(f"... and {len(summary.failures) - 5} more cells failed.", style="red")
    _print_verdicts(stored(out, chosen, profile))
    console.print(f"{summary.computed} cells measured, {summary.reused} taken from before.")
    if summary.failures:
        raise typer.Exit(1)


@app.command()
def figures(claims: Names = None, profile: AnyProfile = None, out: Out = Path("results")) -> None:
    """Draw figures again from the stored rows, as PNG and PDF; nothing is measured."""
    _for_each(draw_figure, claims, profile, out, jobs=os.cpu_count() or 1)
    for name in [profile] if profile else PROFILES:
        for path in draw_figure3(out, name):
            console.print(f"wrote {path}", markup=False, highlight=False)


@app.command()
def tables(claims: Names = None, profile: AnyProfile = None, out: Out = Path("results")) -> None:
    """Write tables again from the stored rows: Markdown, LaTeX and CSV; nothing is measured."""
    # They are written before other processes would have started.
    _for_each(write_tables, claims, profile, out, jobs=1)
    known = list(find_claims().values())
    for path in (write_index(out, known), refresh_readme(out, known)):
        if path:
            console.print(f"wrote {path}", markup=False, highlight=False)


@app.command()
def report(
    claims: Names = None,
    profile: AnyProfile = None,
    out: Out = Path("results"),
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page; report.html in the results folder."),
    ] = None,
) -> None:
    """Write all results as one self-contained HTML page; nothing is measured.

    Those of the profile smoke mean nothing and are left out unless it is named. Exit code 1 where
    the rows of a claim cannot be read; the page then says so in their place.
    """
    found, path = _existing(claims, profile, out), to or out / "report.html"
    found = [results for results in found if profile or results.profile != "smoke"]
    problems = write_page(found, _choose(claims), path)
    for sentence in problems:
        console.print(sentence, style="red", markup=False, highlight=False)
    console.print(f"wrote {path}", markup=False, highlight=False)
    if problems:
        raise typer.Exit(1)


@app.command()
def check(claims: Names = None, profile: AnyProfile = None, out: Out = Path("results")) -> None:
    """Check that every stored verdict still follows from its CSV; exit code 1 if not."""
    stale = 0
    for results in _existing(claims, profile, out):
        difference = results.stale()
        stale += bool(difference)
        state = f"[red]{difference}" if difference else "[green]follows from its rows"
        console.print(f"{results.profile}/{results.claim.slug}: {state}", highlight=False)
    if stale:
        raise typer.Exit(1)


@app.command()
def cite(
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="A claim by its name.")],
    profile: AnyProfile = None,
    out: Out = Path("results"),
) -> None:
    """Print BibTeX for a claim's source and for this suite, and a sentence with the numbers.

    Each number is followed by the name of its table cell, which `odeclaims verify` takes.
    """
    for results in _existing([claim], profile, out):
        sys.stdout.write(f"{bibtex(results)}\n{cited_sentence(results)}\n\n")


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="HASH", help="The name of a table cell.")],
    out: Out = Path("results"),
) -> None:
    """Derive a cited number again out of the raw rows; exit code 1 where no cell has that name."""
    found = find_cells(name, stored(out, find_claims().values(), None))
    for results, cell in found:
        made = read_json(results.provenance)
        sys.stdout.write(
            f"{results.profile}/{results.claim.slug}, {cell.table}, row {cell.row + 1},"
            f" {cell.column}: {cell.text}\n"
            f"made again from the {made['rows']} rows of {results.data}, measured at commit"
            f" {commit_of(made)}\n"
        )
    if not found:
        console.print(
            f"no cell of the results in {out} has the name {name} any more",
            style="red",
            markup=False,
        )
        raise typer.Exit(1)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A results folder, or that of a profile.")],
    after: Annotated[Path, typer.Argument(help="The other.")],
) -> None:
    """Show which verdicts changed between two results folders, and which numbers moved.

    Exit code 1 where the verdict of a claim changed.
    """
    found = compare_folders(before, after)
    table = Table("claim", "criterion", "before", "after", "what changed")
    for row in found.numbers[found.numbers["moved"] != ""].to_dict("records"):
        table.add_row(
            *(escape(row[name]) for name in ("claim", "criterion", "before", "after", "moved"))
        )
    if table.row_count:
        console.print(table)
    for line in found.alone:
        console.print(line, markup=False, highlight=False)
    changed = found.verdicts[found.verdicts["changed"]]
    for row in changed.to_dict("records"):
        console.print(f"{row['claim']}: {row['before']} became {row['after']}")
    console.print(
        f"{len(found.verdicts)} claims compared, {len(changed)} verdicts changed,"
        f" {table.row_count} of {len(found.numbers)} numbers moved."
    )
    if found.changed:
        raise typer.Exit(1)


@app.command()
def conform(
    backends: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BACKEND]...", help="Solvers by name; lists them where none is."),
    ] = None,
    out: Out = Path("results"),
) -> None:
    """Put registered solvers to the test; exit code 1 where a check failed.

    Writes scorecard.csv, .md, .json and .html for each into conform/<backend>.
    """
    # The checks import torch, which the other commands do not need.
    from odeclaims.backends import choose_backends, find_backends
    from odeclaims.conform.scorecard import fill_scorecard
    from odeclaims.conform.show import backends_table, terminal_table, write

    if not backends:
        console.print(backends_table(find_backends()))
    cards = []
    for backend in choose_backends(backends or []):
        cards.append(fill_scorecard(backend))
        console.print(terminal_table(cards[-1]))
        for path in write(cards[-1], out):
            console.print(f"wrote {path}", markup=False, highlight=False)
    if any(card.failed for card in cards):
        raise typer.Exit(1)


def _for_each(
    work: Callable[[Results], list[Path]],
    claims: list[str] | None,
    profile: str | None,
    out: Path,
    jobs: int,
) -> None:
    """Do the work for each of the results, so many at a time, and name the files, in order."""
    found = _existing(claims, profile, out)
    parallel: Any = Parallel(n_jobs=min(len(found), jobs), return_as="generator")
    for paths in parallel(delayed(work)(results) for results in found):
        for path in paths:
            console.print(f"wrote {path}", markup=False, highlight=False)


def _existing(claims: list[str] | None, profile: str | None, out: Path) -> list[Results]:
    """The results asked for.

    Raises:
        FileNotFoundError: where there are none, or none of a claim that was named.
    """
    chosen = _choose(claims)
    found = stored(out, chosen, profile)
    missing = sorted({c.slug for c in chosen} - {r.claim.slug for r in found})
    if not found or (claims and missing):
        what = ", ".join(missing) if claims else "any claim"
        under = f" under the profile {profile}" if profile else ""
        raise FileNotFoundError(
            f"{out} has no results of {what}{under}; `odeclaims run` makes them"
        )
    return found


def _choose(names: list[str] | None) -> list[Claim]:
    """The claims of these names, or all.

    Raises:
        ValueError: for a name that is no claim's.
    """
    known = find_claims()
    for name in names or []:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the claims are {', '.join(known)}"
            raise ValueError(f"there is no claim {name!r}; {hint}")
    return [known[name] for name in dict.fromkeys(names or known)]


def _check_device(device: str, here: bool) -> None:
    """Refuse what is no device, or where it is to be used ``here`` and there is none."""
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"{device!r} is no torch device; expected cpu, cuda or cuda:N") from None
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported; expected cpu, cuda or cuda:N")
    if here and kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but torch finds no CUDA GPU here")


def _stored_outcome(results: Results) -> str:
    path = results.verdict
    outcome = read_json(path).get("outcome", "unknown") if path.exists() else "not judged"
    return f"[{STYLES.get(outcome, 'dim')}]{outcome}[/]"


def _print_verdicts(found: list[Results]) -> None:
    if not found:
        return
    table = Table("claim", "criterion", "holds if", "measured", "outcome")
    for results in found:
        rows: list[dict[str, Any]] = read_json(results.verdict)["criteria"]
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


def main() -> None:
    """Run the command line; what a user can mend is one sentence and exit code 2."""
    try:
        app()
    except (CorruptFile, ValueError, OSError) as error:
        sys.stderr.write(f"odeclaims: {_sentence(error)}\n")
        sys.exit(2)


def _sentence(error: Exception) -> str:
    """The error in one line; an operating system's error with its file and its reason."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split())
