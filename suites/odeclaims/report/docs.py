"""The claims' part of the documentation: an index, and a page for each claim.

The pages are Markdown for MyST. Nothing about a claim is written here: what it says comes from its
code, and what was measured comes from the stored rows.
"""

import inspect
import os
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from odeclaims.cell import PROFILES, Profile
from odeclaims.claim import COMMON_COLUMNS, Claim
from odeclaims.record.files import escape_controls, write_text
from odeclaims.record.judged import Judged
from odeclaims.record.results import read_results
from odeclaims.record.speaking import speaking
from odeclaims.record.wording import checks_frame
from odeclaims.report.pictures import caption
from odeclaims.report.tables import column_frame, markdown, registered_sentence
from odeclaims.statement import Check, Statement

# A parameter with more values than this is shown by its first ones and its last.
SHOWN_VALUES = 6
FILES = {
    "data.csv": "every row",
    "table.csv": "the table as CSV",
    "table.tex": "as LaTeX",
    "figure.pdf": "the figure as PDF",
    "figure-column.pdf": "the same for a column",
    "flips.pdf": "the flip map as PDF",
    "flips-column.pdf": "the same for a column",
    "animation.gif": "the animation",
    "verdict.json": "the verdict",
    "provenance.json": "what made it",
}


def write_claim_pages(folder: Path, claims: Sequence[Claim], out: Path) -> list[Path]:
    """Write a ``<slug>.md`` for each claim, ``index.md`` and ``gallery.md`` into their own folder.

    Args:
        folder: where the pages go; other Markdown files there are deleted.
        claims: the claims, those of other distributions included.
        out: the results folder; a claim without results there is called not run.

    Raises:
        CorruptFile: for rows that are not what was written.
    """
    results = {claim.slug: _judge(claim, out) for claim in claims}
    pages = {f"{c.slug}.md": claim_page(c, results[c.slug], folder) for c in claims}
    pages |= {"index.md": _index(claims, results), "gallery.md": _gallery(claims, results, folder)}
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        write_text(folder / name, text)
    return [folder / name for name in pages]


def _gallery(claims: Sequence[Claim], results: dict[str, list[Judged]], folder: Path) -> str:
    """The figures of the results that speak; each leads to the page of its claim."""
    cards = []
    for claim in claims:
        for judged in speaking(results[claim.slug]):
            figure, title = judged.results.folder / "figure.png", _plain(claim.title)
            if figure.exists():
                said = f"Claim: {title}. Here: {judged.verdict.summary}."
                shown = f"[![{title}]({_link(figure, folder)})]({claim.slug}.md)\n\n{said}"
                cards.append(f"```{{container}} card\n{shown}\n```")
    parts = [
        "# Gallery",
        "Every figure is drawn from the rows of a claim, and leads to its page.",
        "\n".join(["````{container} gallery", *cards, "````"]),
    ]
    return "\n\n".join(parts) + "\n"


def _judge(claim: Claim, out: Path) -> list[Judged]:
    return [Judged(r) for r in read_results(out, [claim], None) if r.profile != "smoke"]


def _index(claims: Sequence[Claim], results: dict[str, list[Judged]]) -> str:
    rows = [
        {
            "claim": f"[{_plain(claim.title)}]({claim.slug}.md)",
            "what is claimed": _plain(claim.statement),
            "source": _plain(claim.source),
            "central statements": ", ".join(
                f"{j.verdict.summary} ({j.verdict.scale}, {j.profile})"
                for j in speaking(results[claim.slug])
            )
            or "not run yet",
        }
        for claim in claims
    ]
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *(c.slug for c in claims), "```"])
    return "\n\n".join(["# The claims", markdown(pd.DataFrame(rows)), toctree]) + "\n"


def claim_page(claim: Claim, results: Sequence[Judged], folder: Path) -> str:
    """The page of a claim that is to lie in ``folder``: what holds, then what is claimed, then how.

    What holds is told by the result that speaks for the claim; those of the other profiles follow.
    """
    module = import_module(claim.module)
    place = f"It is the claim `{claim.slug}`, in {_source(module, folder)}."
    answers = speaking(results)
    findings = [
        part for judged in results for part in _finding(judged, folder, judged not in answers)
    ]
    parts = [
        f"# {_plain(claim.title)}",
        f"> {_plain(claim.statement)}",
        f"Claimed in {_plain(claim.source)}. {place}",
        *(part for judged in answers for part in ("## What holds", *_answer(judged, folder))),
        "## What was published",
        claim.description,
        _table(pd.DataFrame([vars(evidence) for evidence in claim.ledger]))
        if claim.ledger
        else "Nothing is recorded.",
        "## How it is judged",
        "The rules are written into the claim, and registered by their digests, before anything is"
        f" run. These are those of revision {claim.revision}.",
        _table(pd.DataFrame(_describe_rule(statement) for statement in claim.statements)),
        *_describe_checks(claim.checks),
        _list(claim.earlier),
        "## What was found",
        *(findings or ["Nothing was run yet."]),
        "## How this differs from the published set-up",
        _list(claim.deviations) or "In nothing known.",
        "## What is run",
        f"```sh\nodeclaims run {claim.slug} --profile quick\nodeclaims figures {claim.slug}\n"
        f"odeclaims tables {claim.slug}\n```",
        _table(size_frame(claim)),
        _measured_again(module),
        "## What is measured",
        "The columns of `data.csv`:",
        _table(column_frame({**claim.columns, **COMMON_COLUMNS})),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table whose texts are prose: nothing but `code` is markup."""
    return markdown(frame, _plain)


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(text)}" for text in texts)


def _plain(text: str) -> str:
    """The text with what Markdown would take for markup escaped, but for `code`."""
    parts = re.split(r"((?<!`)`[^`]+`(?!`))", escape_controls(text))
    parts[::2] = [re.sub(r"([\\`*_\[\]<&$])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _source(module: ModuleType, folder: Path) -> str:
    """The folder or file of a claim, with a link where it lies in the same tree as the pages."""
    path = Path(inspect.getsourcefile(module) or "").resolve()
    if folder.parent.parent.resolve() not in path.parents:
        return f"the module `{module.__name__}`"
    if _has_rooms(module):
        return f"the folder [{path.parent.name}]({_link(path.parent, folder)})"
    return f"[{path.name}]({_link(path, folder)})"


def _has_rooms(module: ModuleType) -> bool:
    """Whether the claim is a package, with modules that measure, judge and show."""
    return hasattr(module, "__path__")


def _measured_again(module: ModuleType) -> str:
    """Which changes of the code make the stored results of a claim stale."""
    if _has_rooms(module):
        return (
            "A change of `measure.py`, or of a module of this project that it imports, measures"
            " again. A change of a rule, a figure or a table does not."
        )
    return (
        "The claim is one file, so any change of its code measures again, also that of a rule or a"
        " figure."
    )


def _link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _describe_rule(statement: Statement) -> dict[str, str]:
    return {
        "statement": statement.text,
        "kind": statement.rule.kind,
        "holds if": str(statement.rule),
        "central": "yes" if statement.central else "no",
        "why this rule": statement.because,
    }


def _describe_checks(checks: Sequence[Check]) -> list[str]:
    if not checks:
        return []
    rows = [{"check": c.text, "holds if": str(c.bounds), "why": c.because} for c in checks]
    return [
        "These must hold whether or not the paper is right. Where one fails, what rests on it is"
        " invalid.",
        _table(pd.DataFrame(rows)),
    ]


def _answer(judged: Judged, folder: Path) -> list[str]:
    """What a result says of the claim: how many statements hold, each of them, and the figure."""
    claim, verdict, place = judged.claim, judged.verdict, judged.results.folder
    said = f"{verdict.summary}. Scale: {verdict.scale}, {verdict.size}; profile {judged.profile}."
    parts = [
        _plain(f"Central statements: {said}"),
        _table(judged.statements[["outcome", "statement", "measured", "holds if"]]),
    ]
    for draw, picture in ((claim.figure, "figure.png"), (claim.flips, "flips.png")):
        if draw and (place / picture).exists():
            shown = _plain(caption(draw, f"{claim.title}."))
            parts += [f"![{shown}]({_link(place / picture, folder)})", f"*{shown}*"]
    return parts


def _finding(judged: Judged, folder: Path, with_answer: bool) -> list[str]:
    """The section of a profile: the answer where it does not lead the page, and what made it."""
    verdict, place = judged.verdict, judged.results.folder
    files = [(place / file, what) for file, what in FILES.items()]
    links = [f"[{what}]({_link(path, folder)})" for path, what in files if path.exists()]
    parts = [
        f"### Profile {judged.profile}: {verdict.summary}",
        *(_answer(judged, folder) if with_answer else []),
        _plain(registered_sentence(judged)),
    ]
    if verdict.checks:
        parts.append(_table(checks_frame(verdict)[["check", "holds if", "passed"]]))
    parts += [_table(judged.table)]
    if verdict.caveats:
        parts += [_list(verdict.caveats)]
    made = judged.provenance
    commit, day = (str(made.get(key, "unknown"))[:10] for key in ("commit", "started"))
    machine = made.get("gpu") or made.get("cpu", "an unknown processor")
    return [
        *parts,
        f"Measured on {day} at commit `{commit}` on {machine}: {len(judged.rows)} rows.",
        f"Files: {', '.join(links)}.",
    ]


def size_frame(claim: Claim) -> pd.DataFrame:
    """How large each profile is: a row for the cells and each parameter, a column a profile."""
    sizes: dict[str, dict[str, str]] = {}
    for profile in PROFILES:
        cells = list(claim.cells(Profile(profile)))
        names = dict.fromkeys(name for cell in cells for name in cell.params)
        sizes[profile] = {
            "cells": str(len(cells)),
            "repetitions": str(len({cell.repetition for cell in cells})),
            **{
                f"`{name}`": _some(cell.params[name] for cell in cells if name in cell.params)
                for name in names
            },
        }
    frame = pd.DataFrame(sizes).fillna("")
    return frame.rename_axis("what").reset_index()


def _some(values: Iterable[Any]) -> str:
    """The distinct values in their order, or the first and the last where there are many."""
    texts = list(dict.fromkeys("" if v is None else str(v) for v in values))
    if len(texts) > SHOWN_VALUES:
        texts = [*texts[: SHOWN_VALUES - 2], f"... ({len(texts)} values)", texts[-1]]
    return ", ".join(texts)
