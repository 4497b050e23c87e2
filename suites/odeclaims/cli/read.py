"""The commands that read results, and register the rules by which they are judged."""

import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from odeclaims.cli.choose import (
    AnyProfile,
    Names,
    Out,
    ReadFrom,
    choose_claims,
    existing_results,
    leave_out_smoke,
)
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.record.judged import Judged, find_cells, find_named_cells
from odeclaims.record.manuscript import SUFFIXES, check_citations, read_citations
from odeclaims.record.published import default_results, installed_record
from odeclaims.record.results import Results, possible_results, read_results
from odeclaims.record.wording import count_of
from odeclaims.terminal import (
    claims_table,
    console,
    error_sentence,
    print_comparison,
    print_solvers,
    say,
)


def list_claims(results: ReadFrom = None) -> None:
    """List the claims with the verdicts found in the results folder."""
    claims, read = choose_claims(None), results or default_results()
    console.print(claims_table(claims, {c.slug: read_results(read, [c], None) for c in claims}))
    record = installed_record()
    if read == record:
        say(f"This is the published record, in {record}.")
    else:
        elsewhere = f"; the published record is in {record}" if record else ""
        say(f"These are the results in {read}{elsewhere}.")


def check(
    claims: Names = None,
    profile: AnyProfile = None,
    results: ReadFrom = None,
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

    read = results or default_results()
    revision = find_revision(read, against) if against is not None else None
    checked = existing_results(claims, profile, read)
    if revision:
        possible = possible_results(read, choose_claims(claims), profile)
        checked += [each for each in possible if each not in checked and revision.has(each)]
    bad = 0
    for each in checked:
        problem = _problem(each, read) or (revision.differences(each) if revision else "")
        bad += bool(problem)
        style, state = ("red", problem) if problem else ("green", _praise(each))
        line = Text(f"{each.profile}/{each.claim.slug}: ").append(escape_controls(state), style)
        console.print(line, highlight=False)
    console.print(f"{count_of(len(checked), 'result')} checked, {bad} with a problem.")
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


def _problem(results: Results, folder: Path) -> str:
    """What is wrong with the stored files; "" where nothing is."""
    from odeclaims.record.registry import check_history

    try:
        judged = Judged(results)
        # An installed record may lie in a checkout, whose history is not its own.
        if (stale := judged.stale()) or folder == installed_record():
            return stale
        return check_history(judged.claim, judged.provenance, folder)
    except (CorruptFile, OSError) as error:
        return error_sentence(error)


def register(
    claims: Names = None,
    reason: Annotated[
        str, typer.Option(help="Why a rule is revised, or joins a claim that has others.")
    ] = "",
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where a rule is missing.")
    ] = False,
    out: Out = Path("results"),
) -> None:
    """Register the rules of claims, so that a run can say that they stood before it measured.

    Adds a line to registry.csv in the results folder for each rule that is new or revised. Commit
    the file before the run. A revised rule needs a higher revision of its claim and a reason. A
    rule that joins a claim later needs a reason.
    """
    from odeclaims.record import registry

    chosen = choose_claims(claims)
    if only_check:
        entries = registry.read_registry(out)
        missing = {c.slug: names for c in chosen if (names := registry.unregistered(c, entries))}
        for slug, names in missing.items():
            say(f"{slug}: not registered: {', '.join(names)}", "red")
        console.print(f"{count_of(len(chosen), 'claim')} checked, {len(missing)} with a problem.")
        raise typer.Exit(1 if missing else 0)
    added, stood = registry.register_all(chosen, out, reason)
    say(f"{count_of(added, 'rule')} registered in {out / registry.FILE}, {stood} stood there.")


def _print_package(wanted: bool) -> bool:
    if wanted:
        sys.stdout.write((files("odeclaims") / "odeclaims.sty").read_text(encoding="utf-8"))
        raise typer.Exit
    return wanted


def cite(
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="A claim by its name.")],
    profile: AnyProfile = None,
    results: ReadFrom = None,
    sty: Annotated[
        bool,
        typer.Option(
            "--sty",
            help="Print odeclaims.sty, the LaTeX package of \\odeclaim, and stop.",
            is_eager=True,
            callback=_print_package,
        ),
    ] = False,
) -> None:
    """Print BibTeX for a claim's source and for this suite, and a sentence with the numbers.

    Each number is followed by the name of its table cell, which `odeclaims verify` takes. Results
    of the profile smoke mean nothing and are left out unless it is named.
    """
    from odeclaims.record.cite import bibtex, cited_sentence

    for each in leave_out_smoke(existing_results([claim], profile, results), profile):
        judged = Judged(each)
        sentence = escape_controls(cited_sentence(judged))
        sys.stdout.write(f"{bibtex(judged)}\n{sentence}\n\n")


def export(
    claims: Names = None,
    profile: AnyProfile = None,
    results: ReadFrom = None,
    to: Annotated[Path, typer.Option(metavar="FILE", help="The archive that is written.")] = Path(
        "odeclaims-results.zip"
    ),
) -> None:
    """Write results as one zip for an archive, described as a data package and as an RO-Crate.

    The same results give the same bytes. Those of the profile smoke mean nothing and are left out
    unless it is named.
    """
    from odeclaims.record.export import export as write_archive

    read = results or default_results()
    chosen = leave_out_smoke(existing_results(claims, profile, read), profile)
    path = write_archive([Judged(each) for each in chosen], read, to)
    say(f"wrote {path}: {count_of(len(chosen), 'result')}, {path.stat().st_size / 1e6:.1f} MB.")


def verify(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="HASH|FILE", help="Names of table cells, or manuscripts (.tex, .md)."
        ),
    ],
    results: ReadFrom = None,
) -> None:
    """Derive cited numbers again out of the raw rows; exit code 1 where one is not right.

    Given the name of a table cell, print its number. In a manuscript every number that carries a
    name is held against its cell, at the precision that is written: in LaTeX
    `\\odeclaim{0f2ebefa83}{0.998}`, with the package that `odeclaims cite --sty` prints, and
    `0.998 [0f2ebefa83]` elsewhere.
    """
    read = results or default_results()
    known = [Judged(each) for each in read_results(read, choose_claims(None), None)]
    right = [
        _verify_manuscript(Path(each), known)
        if Path(each).suffix in SUFFIXES or Path(each).is_file()
        else _verify_name(each, known, read)
        for each in what
    ]
    if not all(right):
        raise typer.Exit(1)


def _verify_name(name: str, results: list[Judged], out: Path) -> bool:
    """Tell which cells have the name; whether there is one."""
    from odeclaims.record.provenance import commit_of

    cells = find_cells(name, results)
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
        say(
            f"no table cell of the results in {out} has the name {name}: it was measured again"
            " since, or the name is mistyped",
            "red",
        )
    return bool(cells)


def _verify_manuscript(path: Path, results: list[Judged]) -> bool:
    """Tell of every number in the file that carries a name; whether all are right."""
    checked = check_citations(read_citations(path), lambda names: find_named_cells(names, results))
    for each in checked:
        citation = each.citation
        written = citation.written or citation.before[-60:] or "nothing"
        say(
            f"{path}, line {citation.line}: {each.state}: {written} [{citation.name}]; {each.says}",
            {"right": "green", "changed": "red", "unknown": "yellow"}[each.state],
        )
    if not checked:
        say(f"{path}: no number carries a name, as in \\odeclaim{{NAME}}{{0.998}} or 0.998 [NAME].")
        return True
    counts = Counter(each.state for each in checked)
    carriers = count_of(len(checked), "number carries", "numbers carry")
    say(
        f"{path}: {carriers} a name: {counts['right']} right,"
        f" {counts['changed']} changed, {counts['unknown']} unknown."
    )
    return counts["right"] == len(checked)


def compare(
    before: Annotated[
        Path | None, typer.Argument(help="A results folder, or that of a profile.")
    ] = None,
    after: Annotated[Path | None, typer.Argument(help="The other.")] = None,
    by: Annotated[
        Literal["solver"] | None,
        typer.Option(help="Compare the solvers in one results folder, BEFORE, in place of two."),
    ] = None,
    profile: AnyProfile = None,
) -> None:
    """Show which statements differ between two results folders, beyond what chance explains.

    Exit code 1 where one differs. With --by solver it shows what each solver makes of each
    statement, in the folder that is named or in the one that is read without a name.
    """
    if by:
        if after:
            raise ValueError(f"--by solver reads one results folder, and {after} is a second")
        from odeclaims.record.solvers import compare_solvers

        print_solvers(compare_solvers(before or default_results(), profile))
        return
    if not (before and after):
        raise ValueError("expected two results folders to compare, or --by solver")
    if profile:
        raise ValueError("--profile goes with --by solver; name the folders of the profile instead")
    from odeclaims.record.compare import compare as compare_folders

    comparison = compare_folders(before, after)
    print_comparison(comparison)
    if len(comparison.differing):
        raise typer.Exit(1)
