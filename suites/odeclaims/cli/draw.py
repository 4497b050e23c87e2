"""The commands that draw and write again what follows from stored rows; nothing is measured."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from odeclaims.cell import PROFILES
from odeclaims.claim import Claim
from odeclaims.cli.choose import (
    AnyProfile,
    DrawnInto,
    Names,
    ReadFrom,
    choose_claims,
    choose_folders,
    existing_results,
    leave_out_smoke,
)
from odeclaims.record.judged import Judged, read_judged
from odeclaims.record.results import Results, read_results
from odeclaims.record.speaking import speaking
from odeclaims.record.wording import count_of, describe_overall
from odeclaims.terminal import read_stored_verdict, say, say_written

Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Name every file that is written, too.")
]

# So many results are drawn sooner than other processes have imported what draws.
DRAWN_HERE = 2

T = TypeVar("T")


def figures(
    claims: Names = None,
    profile: AnyProfile = None,
    results: ReadFrom = None,
    out: DrawnInto = None,
    verbose: Verbose = False,
) -> None:
    """Draw figures again from the stored rows, as PNG and PDF; nothing is measured."""
    read, written_to = choose_folders(results, out)
    existing = existing_results(claims, profile, read)
    drawn = _draw(existing, read, out=written_to)
    written = []
    for each, (paths, _) in zip(existing, drawn, strict=False):
        summary = read_stored_verdict(each).get("summary", "no verdict")
        say(f"drew {each.profile}/{each.claim.slug}: {summary}")
        written += paths
    # What several claims show together comes after the results.
    for paths, _ in drawn:
        written += paths
    _say_written(written, verbose)


def tables(
    claims: Names = None,
    profile: AnyProfile = None,
    results: ReadFrom = None,
    out: DrawnInto = None,
    verbose: Verbose = False,
) -> None:
    """Write verdicts and tables again from the stored rows; nothing is measured.

    The tables are Markdown, LaTeX and CSV. The README in the results folder, and the lines of the
    claims in the one beside that folder, are written again too.
    """
    read, written_to = choose_folders(results, out)
    chosen = {(r.profile, r.claim.slug) for r in existing_results(claims, profile, read)}
    judged = [Judged(r) for r in read_results(read, choose_claims(None), None)]
    shown = [j for j in judged if (j.profile, j.claim.slug) in chosen]
    written = [*_write_tables(shown, written_to), *_write_overviews(written_to, judged)]
    _say_found(shown)
    _say_written(written, verbose)


def report(
    claims: Names = None,
    profile: AnyProfile = None,
    claim: Annotated[
        str | None, typer.Option(metavar="CLAIM", help="Write the page of this claim alone.")
    ] = None,
    results: ReadFrom = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page; report.html in the results folder, or report-CLAIM.html.",
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Write all results as one self-contained HTML page; nothing is measured.

    Those of the profile smoke mean nothing and are left out unless it is named. Exit code 1 where
    the rows of a claim cannot be read; the page then says so in their place.
    """
    from odeclaims.report.page import write_claim_page

    if claim and claims:
        raise ValueError("claims are named twice: expected --claim CLAIM or names, not both")
    read, written_to = choose_folders(results, None)
    judged, problems = read_judged(
        leave_out_smoke(existing_results([claim] if claim else claims, profile, read), profile)
    )
    drawn = _draw([each.results for each in judged], read, files=False, pictures=True)
    pictures = (shown for _, shown in drawn)
    page = to or written_to / (f"report-{claim}.html" if claim else "report.html")
    if claim:
        write_claim_page(judged, pictures, problems, choose_claims([claim])[0], page)
    else:
        _write_page(judged, pictures, problems, choose_claims(claims), page)
    _end(judged, [page], problems, verbose)


def redraw(results: ReadFrom = None, out: DrawnInto = None, verbose: Verbose = False) -> None:
    """Draw every figure, and write every table, verdict, README and the page again.

    It is figures, tables and report in one, over all results: each is read, judged and drawn once.
    Nothing is measured.
    """
    read, written_to = choose_folders(results, out)
    draw_again(existing_results(None, None, read), read, written_to, verbose)


def draw_again(existing: list[Results], read: Path, out: Path, verbose: bool = False) -> None:
    """Draw, judge and tabulate some results of a folder into ``out``, and write their page."""
    results, problems = read_judged(leave_out_smoke(existing, None))
    # Other processes draw while this one judges.
    drawn = _draw([each.results for each in results], read, out=out, pictures=True)
    written = [*_write_tables(results, out), *_write_overviews(out, results)]
    pictures = []
    for paths, shown in drawn:
        written += paths
        pictures.append(shown)
    page = out / "report.html"
    written.append(page)
    _write_page(results, pictures[: len(results)], problems, choose_claims(None), page)
    _end(results, written, problems, verbose)


def _draw(
    results: list[Results], read: Path, out: Path | None = None, **what: Any
) -> Iterator[tuple[list[Path], list]]:
    """Draw results, and what several claims show together, side by side.

    Args:
        results: what is drawn, each by ``draw``.
        read: the results folder that they are in. Its joint figures are drawn under each profile
            under which one of their claims is drawn.
        out: the results folder that is written; without one no joint figure is drawn.
        what: further arguments of ``draw``.

    Returns:
        What ``draw`` gives for each of the results, in their order, and then the files of the joint
        figures, without pictures.
    """
    from joblib import Parallel, delayed

    from odeclaims.claims._figure3 import CLAIMS, draw_figure3
    from odeclaims.report.draw import draw

    joint = {each.profile for each in results if each.claim in CLAIMS} if out else set()
    # What takes long must not begin last, when there is nothing left to do beside it: it is what
    # has many rows, and the joint figures, which are read from three claims.
    order = sorted(range(len(results)), key=lambda i: -results[i].data.stat().st_size)
    order = [*range(len(results), len(results) + len(joint)), *order]
    calls = [delayed(draw)(each, out=out, **what) for each in results]
    calls += [delayed(draw_figure3)(read, name, out) for name in PROFILES if name in joint]
    jobs = 1 if len(calls) <= DRAWN_HERE else min(len(calls), os.cpu_count() or 1)
    parallel: Any = Parallel(n_jobs=jobs, return_as="generator")
    return _sort(parallel(calls[i] for i in order), order)


def _sort(drawn: Iterator[T], order: list[int]) -> Iterator[T]:
    """What comes in this order, in the order of the numbers, each as soon as it is there."""
    there: dict[int, T] = {}
    coming = zip(order, drawn, strict=True)
    for i in range(len(order)):
        while i not in there:
            there.update([next(coming)])
        yield there.pop(i)


def _write_tables(results: list[Judged], out: Path) -> list[Path]:
    from odeclaims.report.draw import write_tables

    return [path for judged in results for path in write_tables(judged, out)]


def _write_overviews(out: Path, results: list[Judged]) -> list[Path]:
    from odeclaims.report.draw import write_overviews

    shown = [judged for judged in results if judged.profile != "smoke"]
    return write_overviews(out, shown, choose_claims(None))


def _write_page(
    results: list[Judged],
    pictures: Iterable[list],
    problems: list[tuple[Results, str]],
    claims: list[Claim],
    path: Path,
) -> None:
    from odeclaims.report.page import write_page

    write_page(results, pictures, problems, claims, path)


def _end(
    results: list[Judged],
    written: list[Path],
    problems: list[tuple[Results, str]],
    verbose: bool,
) -> None:
    """Say what was found; exit code 1 where rows cannot be read."""
    _say_found(results)
    for _, sentence in problems:
        say(sentence, "red")
    _say_written(written, verbose)
    if problems:
        raise typer.Exit(1)


def _say_found(results: list[Judged]) -> None:
    """What holds of each claim, and of all together by the results that speak for them."""
    for judged in results:
        say(f"{judged.profile}/{judged.claim.slug}: {judged.verdict.summary}")
    chosen = [judged.verdict for judged in speaking(results)]
    if chosen:
        say(describe_overall(chosen))


def _say_written(paths: list[Path], verbose: bool) -> None:
    if verbose or len(paths) == 1:
        say_written(paths)
    if verbose:
        say(f"{count_of(len(paths), 'file')} written.")
    elif len(paths) > 1:
        say(f"{len(paths)} files written; --verbose names them.")
