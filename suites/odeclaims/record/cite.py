"""How to cite a claim: its source, this suite at the commit that measured it, and what came out."""

import re
from collections.abc import Iterator
from importlib.resources import files

from odeclaims.claim import Claim
from odeclaims.record.doi import read_doi
from odeclaims.record.judged import HashedCell, Judged
from odeclaims.record.provenance import commit_of
from odeclaims.record.wording import describe_outcome, escape_bibtex, format_value
from odeclaims.statement import Judgement


def bibtex(judged: Judged) -> str:
    """BibTeX entries: the papers that the claim's source names, then this suite.

    The suite's entry has the commit, the version, the profile and the digest of the rows, and the
    DOI of the record if it has one.

    Raises:
        FileNotFoundError: where nothing was measured.
        CorruptFile: where the provenance cannot be read.
    """
    return "\n\n".join([*_sources(judged.claim), _suite(judged)]) + "\n"


def cited_sentence(judged: Judged) -> str:
    """One sentence with the outcome of every central statement, its number and its cell's name.

    Raises:
        FileNotFoundError: where nothing was measured.
        CorruptFile: where the rows are not what was written.
    """
    claim, verdict, provenance = judged.claim, judged.verdict, judged.provenance
    names = {cell.row: cell for cell in judged.statement_cells if cell.column == "measured"}
    statements = "; ".join(
        _statement(judgement, names[row])
        for row, judgement in enumerate(verdict.judgements)
        if judgement.statement.central
    )
    why_not = judged.unregistered
    registered = (
        f"not registered before the measurement: {why_not}"
        if why_not
        else ("registered before the measurement")
    )
    return (
        f'Of the claim "{claim.statement.rstrip(".")}" ({claim.source}), {verdict.summary} at'
        f" {verdict.scale} ({verdict.size}) by odeclaims {provenance['odeclaims']} (commit"
        f" {commit_of(provenance, short=True)}, profile {judged.profile}; rules of revision"
        f" {verdict.revision}, {registered}): {statements}."
    )


def _statement(judgement: Judgement, cell: HashedCell) -> str:
    return (
        f'"{judgement.statement.text}": {describe_outcome(judgement)}, {format_value(judgement)}'
        f" [{cell.hash}]"
    )


def _sources(claim: Claim) -> Iterator[str]:
    """The bibliography's entries that the source names, or the source in its own words."""
    known = (files("odeclaims") / "references.bib").read_text(encoding="utf-8").strip()
    named = [entry for entry in known.split("\n\n") if _names(claim.source, entry)]
    yield from named or [
        f"@misc{{{claim.slug}_source,\n  title = {{{escape_bibtex(claim.title)}}},\n"
        f"  note = {{{escape_bibtex(claim.source)}}},\n}}"
    ]


def _names(source: str, entry: str) -> bool:
    """Whether the source names the entry, as in "Chen et al. 2018" or "A and B 2015"."""
    author = re.search(r"author = \{(\w+),", entry)
    year = re.search(r"year = \{(\d{4})\}", entry)
    if not (author and year):
        return False
    return bool(re.search(rf"\b{author[1]}\b( et al\.| and \w+)? {year[1]}\b", source))


def _suite(judged: Judged) -> str:
    made, doi = judged.provenance, read_doi(judged.results.out)
    return "\n".join(
        [
            f"@software{{odeclaims_{judged.claim.slug}_{judged.profile},",
            "  title = {odeclaims: the published claims about Neural ODEs, measured again},",
            "  author = {{The odeclaims contributors}},",
            f"  version = {{{escape_bibtex(made['odeclaims'])}}},",
            f"  year = {{{str(made['started'])[:4]}}},",
            *([f"  doi = {{{doi}}},"] if doi else []),
            f"  note = {{Claim {escape_bibtex(judged.claim.slug)}, profile {judged.profile},"
            f" commit {commit_of(made)}, data.csv SHA-256 {made['data_sha256'][:16]}}},",
            "}",
        ]
    )
