"""Results as one HTML page that needs nothing else: no network, no other file, no script.

Everything on it is made anew out of the stored rows: verdicts, tables with the names of their
cells, and figures. The same rows give the same bytes.
"""

import base64
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from odeclaims import __version__
from odeclaims.cell import PROFILES
from odeclaims.claim import Claim
from odeclaims.record.cite import bibtex, cited_sentence
from odeclaims.record.files import write_text
from odeclaims.record.judged import HashedCell, Judged
from odeclaims.record.provenance import commit_of
from odeclaims.record.results import Results
from odeclaims.record.wording import (
    LABELS,
    checks_frame,
    choose_speaker,
    describe_overall,
    format_value,
)
from odeclaims.report.html import template
from odeclaims.report.pictures import Picture
from odeclaims.report.tables import ledger_frame, registered_sentence
from odeclaims.rules import OUTCOMES
from odeclaims.statement import SCALES, Verdict

# A column with longer texts than this, in characters, may break them into lines.
LONG = 24
# What a reader of the statements wants to know first.
FIRST = ("outcome", "statement", "measured", "holds if")


@dataclass(frozen=True)
class Grid:
    """A table whose cells have names.

    Attributes:
        columns: the headings.
        kinds: for each column whether it holds a "number" in each cell, "long" texts, or neither.
        rows: the cells, a list a row.
    """

    columns: list[str]
    kinds: list[str]
    rows: list[list[HashedCell]]


@dataclass(frozen=True)
class Content:
    """What follows from the rows of one claim under one profile."""

    verdict: Verdict
    description: list[str]
    summary: str
    registered: str
    ledger: list[dict]
    statements: Grid
    checks: list[dict]
    table: Grid
    pictures: list[Picture]
    made: dict[str, Any]
    provenance: list[tuple[str, str]]
    citation: str
    bibtex: str


@dataclass(frozen=True)
class Section:
    """A claim under one profile: its content, or a sentence that says why there is none."""

    results: Results
    content: Content | None
    problem: str = ""

    @property
    def id(self) -> str:
        """Its name in a link."""
        return f"{self.results.profile}-{self.results.claim.slug}"


@dataclass(frozen=True)
class Line:
    """The line of a claim in the overview: the section that speaks, and the others.

    A claim without results has no section; one whose rows cannot be read has one without content.
    """

    claim: Claim
    section: Section | None
    others: list[Section]

    @property
    def outcomes(self) -> list[str]:
        """The different outcomes of its central statements, by which it is found."""
        if self.section is None:
            return ["not run"]
        if self.section.content is None:
            return ["unreadable"]
        return list(self.section.content.verdict.counts)


def write_page(
    results: Sequence[Judged],
    pictures: Iterable[list[Picture]],
    problems: Sequence[tuple[Results, str]],
    claims: Sequence[Claim],
    path: Path,
) -> None:
    """Write the page of these results to ``path``, in one step.

    Rows that cannot be read do not cost the reader those of the other claims: their section holds
    the sentence that says what is wrong in place of a verdict.

    Args:
        results: the results to show.
        pictures: for each of them, in their order, what was drawn from its rows.
        problems: results that cannot be read, each with a sentence that says why.
        claims: the claims that were asked for; those without results are listed as not run.
        path: the page.

    Raises:
        OSError: where the page cannot be written.
    """
    sections = _sections(results, pictures, problems)
    order = {claim.slug: place for place, claim in enumerate(claims)}
    sections.sort(key=lambda s: (order[s.results.claim.slug], PROFILES.index(s.results.profile)))
    write_text(path, _html(sections, claims))


def write_claim_page(
    results: Sequence[Judged],
    pictures: Iterable[list[Picture]],
    problems: Sequence[tuple[Results, str]],
    claim: Claim,
    path: Path,
) -> None:
    """Write the page of one claim; the result that speaks for it comes first.

    Args:
        results: those of the claim.
        pictures: as in ``write_page``.
        problems: as in ``write_page``.
        claim: the claim.
        path: the page.

    Raises:
        OSError: where the page cannot be written.
    """
    sections = _sections(results, pictures, problems)
    best = _line(claim, sections).section
    sections.sort(key=lambda section: section is not best)
    page = template("claim.html.jinja").render(
        sections=sections, claim=claim, version=__version__, labels=LABELS, **_assets()
    )
    write_text(path, page)


def _sections(
    results: Sequence[Judged],
    pictures: Iterable[list[Picture]],
    problems: Sequence[tuple[Results, str]],
) -> list[Section]:
    sections = [
        Section(judged.results, _content(judged, drawn))
        for judged, drawn in zip(results, pictures, strict=True)
    ]
    # The page says where a file lies among the results, and not where those lie.
    return sections + [
        Section(r, None, text.replace(f"{r.out}{os.sep}", "")) for r, text in problems
    ]


def _html(sections: Sequence[Section], claims: Sequence[Claim]) -> str:
    made = [section.content.made for section in sections if section.content]
    lines = [_line(claim, sections) for claim in claims]
    outcomes = {outcome for line in lines for outcome in line.outcomes}
    verdicts = [
        line.section.content.verdict for line in lines if line.section and line.section.content
    ]
    return template("page.html.jinja").render(
        sections=sections,
        lines=lines,
        overall=describe_overall(verdicts),
        outcomes=[o for o in (*OUTCOMES, "unreadable", "not run") if o in outcomes],
        labels=LABELS,
        scales=[scale for scale in SCALES if scale in {v.scale for v in verdicts}],
        version=__version__,
        commits=sorted({commit_of(m, short=True) for m in made}),
        days=sorted({str(m.get("started"))[:10] for m in made}),
        format_value=format_value,
        **_assets(),
    )


def _line(claim: Claim, sections: Sequence[Section]) -> Line:
    of_claim = [section for section in sections if section.results.claim.slug == claim.slug]
    verdicts = [(s, s.content.verdict) for s in of_claim if s.content]
    best = choose_speaker(verdicts, lambda pair: pair[1].scale, lambda pair: pair[1].seeds)
    speaks = best[0] if best else next(iter(of_claim), None)
    return Line(claim, speaks, [section for section in of_claim if section is not speaks])


def _assets() -> dict[str, str]:
    """The style and the script of every page, with the digests that let them pass."""
    folder = files("odeclaims.report") / "templates"
    css, js = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return {"css": css, "js": js, "css_digest": _digest(css), "js_digest": _digest(js)}


def _digest(text: str) -> str:
    """The digest by which the page's policy admits this style or script, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _content(judged: Judged, pictures: list[Picture]) -> Content:
    verdict = judged.verdict
    return Content(
        verdict=verdict,
        description=[
            " ".join(paragraph.split()).replace("``", "")
            for paragraph in judged.claim.description.split("\n\n")
        ],
        summary=_summary(verdict),
        registered=registered_sentence(judged),
        ledger=ledger_frame(judged.claim, verdict).to_dict("records"),
        statements=_grid(judged.cells, "statements"),
        checks=checks_frame(verdict).to_dict("records"),
        table=_grid(judged.cells, "table"),
        pictures=pictures,
        made=judged.provenance,
        provenance=_provenance(judged.provenance),
        citation=cited_sentence(judged),
        bibtex=bibtex(judged),
    )


def _summary(verdict: Verdict) -> str:
    """How many of the central statements came out how, at which scale."""
    text = f"Central statements: {verdict.summary}. Scale: {verdict.scale}, {verdict.size}."
    if "insufficient" in verdict.counts:
        text += " Where the evidence is insufficient, the run says neither yes nor no."
    return text


def _grid(named: Sequence[HashedCell], table: str) -> Grid:
    of_table = [cell for cell in named if cell.table == table]
    by_row = groupby(sorted(of_table, key=lambda cell: cell.row), key=lambda cell: cell.row)
    rows = [sorted(row, key=_place) for _, row in by_row]
    columns = list(zip(*rows, strict=True))
    kinds = [_kind([cell.text for cell in column]) for column in columns]
    return Grid([column[0].column for column in columns], kinds, rows)


def _place(cell: HashedCell) -> int:
    """Where a cell stands in its row: the columns of ``FIRST``, then the others as they come."""
    first = cell.table == "statements" and cell.column in FIRST
    return FIRST.index(cell.column) if first else len(FIRST)


def _kind(texts: Sequence[str]) -> str:
    if all(_is_number(text) for text in texts):
        return "number"
    return "long" if max(map(len, texts)) > LONG else ""


def _is_number(text: str) -> bool:
    """Whether it is a number or nothing."""
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def _provenance(made: dict[str, Any]) -> list[tuple[str, str]]:
    """The provenance in words, part by part; what the file does not record is named as such."""

    def get(name: str) -> str:
        return str(made.get(name, "not recorded"))

    def pairs(name: str) -> str:
        return ", ".join(f"{k} {v}" for k, v in made.get(name, {}).items())

    others = [
        f"{machine['cells']} cells on {machine['cpu']}, GPU {machine['gpu'] or 'none'}"
        for machine in made.get("machines", [])
    ]
    clean = made.get("clean_tree")
    tree = "tree not recorded" if clean is None else "clean tree" if clean else "tree with changes"
    return [
        ("Commit", f"{get('commit')}, {tree}"),
        ("Cells made at", ", ".join(made.get("cells_made_at_commits", []))),
        ("Versions", f"odeclaims {get('odeclaims')}, Python {get('python')}, {pairs('packages')}"),
        ("Processor", f"{get('cpu')}, {get('cores')} cores, {get('system')}"),
        ("GPU", str(made.get("gpu") or "none")),
        ("Measured on", "; ".join(others) or "this machine"),
        ("Device", f"{get('device')}, threads a cell: {get('threads')}"),
        ("Profile", get("profile")),
        ("Seeds", f"{len(made.get('seeds', []))}, listed in provenance.json"),
        ("Size", f"{get('cells')} cells, {get('rows')} rows"),
        ("Started", get("started")),
        ("Duration", f"{get('duration_s')} s, summed over the cells"),
        ("Data sets", pairs("datasets") or "none"),
        ("SHA-256 of data.csv", get("data_sha256")),
    ]
