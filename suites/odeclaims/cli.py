"""The command line: what a user types, each command a few lines over the module that does it.

A command imports what it needs when it is called, since torch and matplotlib take seconds that
``list``, ``cite`` and ``--help`` do without.
"""

import difflib
import math
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from odeclaims import __version__
from odeclaims.cell import PROFILES, Profile, ProfileName
from odeclaims.claim import Claim
from odeclaims.claims import find_claims
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.record.judged import Judged, find_cells, read_judged
from odeclaims.record.results import Results, possible_results, read_results
from odeclaims.terminal import (
    claims_table,
    console,
    error_sentence,
    print_comparison,
    print_verdicts,
    say,
    say_written,
)

app = typer.Typer(
    help="Measure the claims of the Neural ODE papers, judge them, and draw the papers' figures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# All cells are listed before the first is run, so that a slip of the finger has to be refused.
MOST_SEEDS = 10_000
# Seconds in which a run that was told to end has ended, and is not told again.
ENDING_S = 5.0

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CLAIM]...", help="Claims by name; all where none is named."),
]
Out = Annotated[Path, typer.Option(help="The results folder.")]
AnyProfile = Annotated[
    ProfileName | None, typer.Option(help="Only this profile; by default all that have results.")
]


class Terminated(KeyboardInterrupt):
    """The system asked this process to end, as a scheduler does before it kills."""


@contextmanager
def _ends_in_a_sentence() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a run with a sentence and their exit codes, 130 and 143."""

    signals = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN]

    told = -math.inf

    def stop(number: int, _: object) -> None:
        nonlocal told
        # What a signal ends is not to be torn from its end by the next. Python may also drop what
        # is raised here, as in a callback; then a later one counts.
        if time.monotonic() - told > ENDING_S:
            told = time.monotonic()
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    before = [(each, signal.signal(each, stop)) for each in signals]
    try:
        yield
    except KeyboardInterrupt as end:
        before = [(each, signal.SIG_IGN) for each in signals]
        sys.stderr.write("odeclaims: stopped; finished cells are kept, run again to go on\n")
        raise typer.Exit(143 if isinstance(end, Terminated) else 130) from None
    finally:
        for each, handler in before:
            signal.signal(each, handler)


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
    claims = list(find_claims().values())
    console.print(claims_table(claims, {c.slug: read_results(out, [c], None) for c in claims}))


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
    with _ends_in_a_sentence():
        from odeclaims.run.claims import run_claims

        summary = run_claims(
            chosen,
            Profile(profile, seeds, device),
            out,
            jobs=jobs,
            fresh=fresh,
            scheduler=scheduler,
            console=console,
        )
    for sentence in summary.failures[:5]:
        say(sentence, "red")
    if len(summary.failures) > 5:
        console.print(f"... and {len(summary.failures) - 5} more cells failed.", style="red")
    print_verdicts(read_results(out, chosen, profile))
    console.print(f"{summary.computed} cells measured, {summary.reused} taken from before.")
    if summary.failures:
        raise typer.Exit(1)


@app.command()
def figures(claims: Names = None, profile: AnyProfile = None, out: Out = Path("results")) -> None:
    """Draw figures again from the stored rows, as PNG and PDF; nothing is measured."""
    for paths, _ in _draw(_existing(claims, profile, out)):
        say_written(paths)
    say_written(_draw_joint_figures(profile, out))


@app.command()
def tables(claims: Names = None, profile: AnyProfile = None, out: Out = Path("results")) -> None:
    """Write verdicts and tables again from the stored rows; nothing is measured.

    The tables are Markdown, LaTeX and CSV. The README in the results folder, and the verdicts and
    the gallery in the one beside that folder, are written again too.
    """
    chosen = {(r.profile, r.claim.slug) for r in _existing(claims, profile, out)}
    judged = [Judged(r) for r in read_results(out, find_claims().values(), None)]
    _write_tables([j for j in judged if (j.profile, j.claim.slug) in chosen])
    _write_overviews(out, judged)


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
    results, problems = read_judged(_shown(_existing(claims, profile, out), profile))
    drawn = _draw([each.results for each in results], files=False, pictures=True)
    pictures = (shown for _, shown in drawn)
    _write_page(results, pictures, problems, _choose(claims), to or out / "report.html")


@app.command()
def redraw(out: Out = Path("results")) -> None:
    """Draw every figure, and write every table, verdict, README and the page again.

    It is figures, tables and report in one, over all results: each is read, judged and drawn once.
    Nothing is measured.
    """
    results, problems = read_judged(_shown(_existing(None, None, out), None))
    # Other processes draw while this one judges.
    drawn = _draw([each.results for each in results], pictures=True)
    _write_tables(results)
    _write_overviews(out, results)
    pictures = []
    for paths, shown in drawn:
        say_written(paths)
        pictures.append(shown)
    say_written(_draw_joint_figures(None, out))
    _write_page(results, pictures, problems, _choose(None), out / "report.html")


@app.command()
def check(
    claims: Names = None,
    profile: AnyProfile = None,
    out: Out = Path("results"),
    against: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Also compare the files with those of a Git commit."),
    ] = None,
) -> None:
    """Check that every stored verdict still follows from its CSV; exit code 1 if not.

    A digest says that the files of a folder belong together, not who wrote them; --against says
    whether they are those of a commit.
    """
    from odeclaims.record.against import find_revision

    revision = find_revision(out, against) if against is not None else None
    results = _existing(claims, profile, out)
    if revision:
        possible = possible_results(out, _choose(claims), profile)
        results += [each for each in possible if each not in results and revision.has(each)]
    bad = 0
    for each in results:
        problem = _problem(each, out) or (revision.differences(each) if revision else "")
        bad += bool(problem)
        style, state = ("red", problem) if problem else ("green", _praise(each))
        line = Text(f"{each.profile}/{each.claim.slug}: ").append(escape_controls(state), style)
        console.print(line, highlight=False)
    console.print(f"{len(results)} results checked, {bad} of them with a problem.")
    if bad:
        raise typer.Exit(1)


def _praise(results: Results) -> str:
    """What can be said for stored files without a problem."""
    why_not = Judged(results).unregistered
    registered = f"no, {why_not}" if why_not else "yes"
    whole = (
        ""
        if "sha256" in results.read_provenance()
        else ("; its provenance.json has no digest, so may have been changed")
    )
    return f"follows from its rows; registered before measured: {registered}{whole}"


def _problem(results: Results, out: Path) -> str:
    """What is wrong with the stored files; "" where nothing is."""
    from odeclaims.record.registry import check_history

    try:
        judged = Judged(results)
        return judged.stale() or check_history(judged.claim, judged.provenance, out)
    except (CorruptFile, OSError) as error:
        return error_sentence(error)


@app.command()
def register(
    claims: Names = None,
    reason: Annotated[str, typer.Option(help="Why registered rules are revised.")] = "",
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where a rule is missing.")
    ] = False,
    out: Out = Path("results"),
) -> None:
    """Register the rules of claims, so that a run can say that they stood before it measured.

    Adds a line to registry.csv in the results folder for each rule that is new or revised. Commit
    the file before the run. A revised rule needs a higher revision of its claim and a reason.
    """
    from odeclaims.record import registry

    entries = registry.read_registry(out)
    chosen = _choose(claims)
    if only_check:
        missing = {c.slug: names for c in chosen if (names := registry.unregistered(c, entries))}
        for slug, names in missing.items():
            say(f"{slug}: not registered: {', '.join(names)}", "red")
        console.print(f"{len(chosen)} claims checked, {len(missing)} of them with a problem.")
        raise typer.Exit(1 if missing else 0)
    added = [entry for claim in chosen for entry in registry.register(claim, entries, reason)]
    registry.write_registry(out, [*registry.fill_commits(out, entries), *added])
    say(f"{len(added)} rules registered in {out / registry.FILE}, {len(entries)} stood there.")


@app.command()
def cite(
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="A claim by its name.")],
    profile: AnyProfile = None,
    out: Out = Path("results"),
) -> None:
    """Print BibTeX for a claim's source and for this suite, and a sentence with the numbers.

    Each number is followed by the name of its table cell, which `odeclaims verify` takes.
    """
    from odeclaims.record.cite import bibtex, cited_sentence

    for results in _existing([claim], profile, out):
        judged = Judged(results)
        sentence = escape_controls(cited_sentence(judged))
        sys.stdout.write(f"{bibtex(judged)}\n{sentence}\n\n")


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="HASH", help="The name of a table cell.")],
    out: Out = Path("results"),
) -> None:
    """Derive a cited number again out of the raw rows; exit code 1 where no cell has that name."""
    from odeclaims.record.provenance import commit_of

    cells = find_cells(name, map(Judged, read_results(out, find_claims().values(), None)))
    for judged, cell in cells:
        made = judged.provenance
        say(
            f"{judged.profile}/{judged.claim.slug}, {cell.table}, row {cell.row + 1},"
            f" {cell.column}: {cell.text}"
        )
        say(
            f"made again from the {made['rows']} rows of {judged.results.data}, measured at commit"
            f" {commit_of(made)}"
        )
    if not cells:
        say(f"no cell of the results in {out} has the name {name} any more", "red")
        raise typer.Exit(1)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A results folder, or that of a profile.")],
    after: Annotated[Path, typer.Argument(help="The other.")],
) -> None:
    """Show which statements differ between two results folders, beyond what chance explains.

    Exit code 1 where one differs.
    """
    from odeclaims.record.compare import compare as compare_folders

    comparison = compare_folders(before, after)
    print_comparison(comparison)
    if len(comparison.differing):
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
    from odeclaims.backends import choose_backends, find_backends
    from odeclaims.conform.scorecard import fill_scorecard
    from odeclaims.conform.show import backends_table, terminal_table, write

    if not backends:
        console.print(backends_table(find_backends()))
    cards = []
    for backend in choose_backends(backends or []):
        cards.append(fill_scorecard(backend))
        console.print(terminal_table(cards[-1]))
        say_written(write(cards[-1], out))
    if any(card.failed for card in cards):
        raise typer.Exit(1)


def _draw(results: list[Results], **what: bool) -> Iterable[tuple[list[Path], list]]:
    """What ``draw`` gives for each of the results, in their order, drawn side by side."""
    from joblib import Parallel, delayed

    from odeclaims.report.draw import draw

    jobs = max(1, min(len(results), os.cpu_count() or 1))
    parallel: Any = Parallel(n_jobs=jobs, return_as="generator")
    return parallel(delayed(draw)(r, **what) for r in results)


def _draw_joint_figures(profile: str | None, out: Path) -> list[Path]:
    """Draw what several claims show together."""
    from odeclaims.claims._figure3 import draw_figure3

    return [
        path for name in ([profile] if profile else PROFILES) for path in draw_figure3(out, name)
    ]


def _write_tables(results: list[Judged]) -> None:
    from odeclaims.report.draw import write_tables

    for judged in results:
        say_written(write_tables(judged))


def _write_overviews(out: Path, results: list[Judged]) -> None:
    from odeclaims.report.draw import write_overviews

    shown = [judged for judged in results if judged.profile != "smoke"]
    say_written(write_overviews(out, shown, list(find_claims().values())))


def _write_page(
    results: list[Judged],
    pictures: Iterable[list],
    problems: list[tuple[Results, str]],
    claims: list[Claim],
    path: Path,
) -> None:
    """Write the page; exit code 1 where rows cannot be read."""
    from odeclaims.report.page import write_page

    write_page(results, pictures, problems, claims, path)
    for _, sentence in problems:
        say(sentence, "red")
    say_written([path])
    if problems:
        raise typer.Exit(1)


def _shown(results: list[Results], profile: str | None) -> list[Results]:
    """Those that mean something: smoke walks the code, and is shown only where it is named."""
    return [r for r in results if profile or r.profile != "smoke"]


def _existing(claims: list[str] | None, profile: str | None, out: Path) -> list[Results]:
    """The results asked for.

    Raises:
        FileNotFoundError: where there are none, or none of a claim that was named.
    """
    chosen = _choose(claims)
    results = read_results(out, chosen, profile)
    missing = sorted({c.slug for c in chosen} - {r.claim.slug for r in results})
    if not results or (claims and missing):
        what = ", ".join(missing) if claims else "any claim"
        under = f" under the profile {profile}" if profile else ""
        raise FileNotFoundError(
            f"{out} has no results of {what}{under}; `odeclaims run` makes them"
        )
    return results


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
    """Check that torch knows the device and, where it is to be used ``here``, that it exists.

    Raises:
        ValueError: where it does not.
    """
    if device == "cpu":
        return
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}; expected cpu, cuda or cuda:N") from None
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported; expected cpu, cuda or cuda:N")
    if here and kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but torch finds no CUDA GPU here")


def main() -> None:
    """Run the command line; what a user can mend is one sentence and exit code 2."""
    try:
        app()
    except (CorruptFile, ValueError, OSError) as error:
        sys.stderr.write(f"odeclaims: {error_sentence(error)}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        # Before a command began or after it ended.
        sys.stderr.write("odeclaims: stopped\n")
        sys.exit(130)
