"""How to cite a claim: its source, this suite at the commit that measured it, and what came out."""

import re
from collections.abc import Iterator
from importlib.resources import files

from odeclaims.claim import Claim, Judgement
from odeclaims.provenance import commit_of
from odeclaims.report.hashes import HashedCell, cells
from odeclaims.report.tables import LABELS, escape_latex, measured
from odeclaims.store import Results, read_json


def bibtex(results: Results) -> str:
    """BibTeX entries: the papers that the claim's source names, then this suite.

    The suite's entry has the commit, the version, the profile and the digest of the rows.

    Raises:
        FileNotFoundError: where nothing was measured.
        CorruptFile: where the provenance cannot be read.
    """
    return "\n\n".join([*_sources(results.claim), _suite(results)]) + "\n"


def sentence(results: Results) -> str:
    """One sentence with every deciding number, its interval, its bound and the name of its cell.

    Raises:
        FileNotFoundError: where nothing was measured.
        CorruptFile: where the rows are not what was written.
    """
    claim = results.claim
    verdict = claim.judge(results.read())
    made = read_json(results.provenance)
    names = {c.row: c for c in cells(results) if c.table == "criteria" and c.column == "measured"}
    found = "; ".join(
        _found(judgement, names[row])
        for row, judgement in enumerate(verdict.judgements)
        if judgement.criterion.decides
    )
    return (
        f'The claim "{claim.statement.rstrip(".")}" ({claim.source}) is judged'
        f' "{LABELS[verdict.outcome]}" by odeclaims {made["odeclaims"]}'
        f" (commit {commit_of(made, short=True)}, profile {results.profile}): {found}."
    )


def _found(judgement: Judgement, cell: HashedCell) -> str:
    criterion = judgement.criterion
    if judgement.value is None:
        return f"{criterion.name}: not judged, {judgement.lacking} [{cell.hash}]"
    spread = " with its 95% interval" if judgement.interval else ""
    return (
        f"{criterion.name}: {measured(judgement)}{spread}, asked for"
        f" {criterion.reproduced} [{cell.hash}]"
    )


def _sources(claim: Claim) -> Iterator[str]:
    """The bibliography's entries that the source names, or the source in its own words."""
    known = (files("odeclaims") / "references.bib").read_text(encoding="utf-8").strip()
    named = [entry for entry in known.split("\n\n") if _names(claim.source, entry)]
    yield from named or [
        f"@misc{{{claim.slug}_source,\n  title = {{{escape_latex(claim.title)}}},\n"
        f"  note = {{{escape_latex(claim.source)}}},\n}}"
    ]


def _names(source: str, entry: str) -> bool:
    """Whether the source names the entry, as in "Chen et al. 2018" or "A and B 2015"."""
    author = re.search(r"author = \{(\w+),", entry)
    year = re.search(r"year = \{(\d{4})\}", entry)
    if not (author and year):
        return False
    return bool(re.search(rf"\b{author[1]}\b( et al\.| and \w+)? {year[1]}\b", source))


def _suite(results: Results) -> str:
    made = read_json(results.provenance)
    return "\n".join(
        [
            f"@software{{odeclaims_{results.claim.slug}_{results.profile},",
            "  title = {odeclaims: the published claims about Neural ODEs, measured again},",
            "  author = {{The odeclaims contributors}},",
            f"  version = {{{made['odeclaims']}}},",
            f"  year = {{{str(made['started'])[:4]}}},",
            f"  note = {{Claim {escape_latex(results.claim.slug)}, profile {results.profile},"
            f" commit {commit_of(made)}, data.csv SHA-256 {made['data_sha256'][:16]}}},",
            "}",
        ]
    )
