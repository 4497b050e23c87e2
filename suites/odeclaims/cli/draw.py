"""The commands that draw and write again what follows from stored rows; nothing is measured."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from odeclaims.cell import PROFILES
from odeclaims.claim import Claim
from odeclaims.cli.choose import (
    AnyProfile,
    Names,
    Out,
    choose_claims,
    existing_results,
    leave_out_smoke,
)
from odeclaims.record.judged import Judged, read_judged
from odeclaims.record.results import Results, read_results
from odeclaims.record.speaking import speaking
from odeclaims.record.wording import describe_overall
from odeclaims.terminal import read_stored_verdict, say, say_written

Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Name every file that is written, too.")
]


def figures(
    claims: Names = None,
    profile: AnyProfile = None,
    out: Out = Path("results"),
    verbose: Verbose = False,
) -> None:
    """Draw figures again from the stored rows, as PNG and PDF; nothing is measured."""
    existing = existing_results(claims, profile, out)
    written = []
    for results, (paths, _) in zip(existing, _draw(existing), strict=True):
        summary = read_stored_verdict(results).get("summary", "no verdict")
        say(f"drew {results.profile}/{results.claim.slug}: {summary}")
        written += paths
    written += _draw_joint_figures(profile, out)
    _say_written(written, verbose)


def tables(
    claims: Names = None,
    profile: AnyProfile = None,
    out: Out = Path("results"),
    verbose: Verbose = False,
) -> None:
    """Write verdicts and tables again from the stored rows; nothing is measured.

    The tables are Markdown, LaTeX and CSV. The README in the results folder, and the lines of the
    claims in the one beside that folder, are written again too.
    """
    chosen = {(r.profile, r.claim.slug) for r in existing_results(claims, profile, out)}
    judged = [Judged(r) for r in read_results(out, choose_claims(None), None)]
    shown = [j for j in judged if (j.profile, j.claim.slug) in chosen]
    written = [*_write_tables(shown), *_write_overviews(out, judged)]
    _say_found(shown)
    _say_written(written, verbose)


def report(
    claims: Names = None,
    profile: AnyProfile = None,
    out: Out = Path("results"),
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page; report.html in the results folder."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Write all results as one self-contained HTML page; nothing is measured.

    Those of the profile smoke mean nothing and are left out unless it is named. Exit code 1 where
    the rows of a claim cannot be read; the page then says so in their place.
    """
    results, problems = read_judged(
        leave_out_smoke(existing_results(claims, profile, out), profile)
    )
    drawn = _draw([each.results for each in results], files=False, pictures=True)
    pictures = (shown for _, shown in drawn)
    page = to or out / "report.html"
    _write_page(results, pictures, problems, choose_claims(claims), page)
    _end(results, [page], problems, verbose)


def redraw(out: Out = Path("results"), verbose: Verbose = False) -> None:
    """Draw every figure, and write every table, verdict, README and the page again.

    It is figures, tables and report in one, over all results: each is read, judged and drawn once.
    Nothing is measured.
    """
    draw_again(existing_results(None, None, out), out, verbose)


def draw_again(existing: list[Results], out: Path, verbose: bool = False) -> None:
    """Draw, judge and tabulate some results of a folder, and write the page of them."""
    results, problems = read_judged(leave_out_smoke(existing, None))
    # Other processes draw while this one judges.
    drawn = _draw([each.results for each in results], pictures=True)
    written = [*_write_tables(results), *_write_overviews(out, results)]
    pictures = []
    for paths, shown in drawn:
        written += paths
        pictures.append(shown)
    page = out / "report.html"
    written += [*_draw_joint_figures(None, out), page]
    _write_page(results, pictures, problems, choose_claims(None), page)
    _end(results, written, problems, verbose)


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


def _write_tables(results: list[Judged]) -> list[Path]:
    from odeclaims.report.draw import write_tables

    return [path for judged in results for path in write_tables(judged)]


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
    if verbose:
        say_written(paths)
    say(f"{len(paths)} files written{'' if verbose else '; --verbose names them'}.")
