"""The claims' part of the documentation: an index, and a page for each, drawn from its own file.

The pages are Markdown for MyST. Nothing about a claim is written here: what it says comes from its
file, what was found from the stored rows.
"""

import inspect
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from odeclaims.claim import COMMON_COLUMNS, PROFILES, Claim, Criterion, Profile, Verdict
from odeclaims.report.pictures import caption
from odeclaims.report.tables import MARKS, column_frame, criteria_frame, markdown
from odeclaims.store import Results, read_json, stored, write_text

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


@dataclass(frozen=True)
class Found:
    """What is known of a claim under one profile."""

    results: Results
    rows: pd.DataFrame
    verdict: Verdict


def write_claim_pages(folder: Path, claims: Sequence[Claim], out: Path) -> list[Path]:
    """Write ``index.md`` and a ``<slug>.md`` for each claim into a folder that holds nothing else.

    Args:
        folder: where the pages go; Markdown files there that are none of them are deleted.
        claims: the claims, those of other distributions included.
        out: the results folder; what it does not hold is said to be not run.

    Raises:
        CorruptFile: for rows that are not what was written.
    """
    found = {claim.slug: _found(claim, out) for claim in claims}
    pages = {f"{claim.slug}.md": claim_page(claim, found[claim.slug], folder) for claim in claims}
    pages["index.md"] = _index(claims, found)
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        write_text(folder / name, text)
    return [folder / name for name in pages]


def _found(claim: Claim, out: Path) -> list[Found]:
    found = []
    for results in stored(out, [claim], None):
        if results.profile != "smoke":
            rows = results.read()
            found.append(Found(results, rows, claim.judge(rows)))
    return found


def _index(claims: Sequence[Claim], found: dict[str, list[Found]]) -> str:
    rows = [
        {
            "claim": f"[{_plain(claim.title)}]({claim.slug}.md)",
            "what is claimed": _plain(claim.statement),
            "source": _plain(claim.source),
            "verdict (profile)": ", ".join(
                f"{MARKS[f.verdict.outcome]} ({f.results.profile})" for f in found[claim.slug]
            )
            or "not run yet",
        }
        for claim in claims
    ]
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *(c.slug for c in claims), "```"])
    return "\n\n".join(["# The claims", markdown(pd.DataFrame(rows)), toctree]) + "\n"


def claim_page(claim: Claim, found: Sequence[Found], folder: Path) -> str:
    """The page of a claim that is to lie in ``folder``, with what was found under each profile."""
    module = sys.modules[claim.measure.__module__]
    place = f"It is the claim `{claim.slug}`, from {_source(module, folder)}."
    findings = [part for each in found for part in _finding(each, folder)]
    parts = [
        f"# {_plain(claim.title)}",
        f"> {_plain(claim.statement)}",
        f"Claimed in {_plain(claim.source)}. {place}",
        inspect.getdoc(module) or "",
        "## What was published",
        _table(pd.DataFrame([vars(evidence) for evidence in claim.ledger]))
        if claim.ledger
        else "Nothing is recorded.",
        "## How it is judged",
        "The rules stand in the claim's file before anything is run.",
        _table(pd.DataFrame(_rule(criterion) for criterion in claim.criteria)),
        "## What was found",
        *(findings or ["Nothing was run yet."]),
        "## How this differs from the published set-up",
        _list(claim.deviations) or "In nothing known.",
        "## What is run",
        f"```sh\nodeclaims run {claim.slug} --profile quick\nodeclaims figures {claim.slug}\n"
        f"odeclaims tables {claim.slug}\n```",
        _table(size_frame(claim)),
        "## What is measured",
        "The columns of `data.csv`:",
        _table(column_frame({**claim.columns, **COMMON_COLUMNS})),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table whose texts are prose: nothing but `code` is markup."""
    return markdown(frame.astype(str).map(_plain))


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(text)}" for text in texts)


def _plain(text: str) -> str:
    """The text with what Markdown would take for markup outside of backticks escaped."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([\\*_\[\]<$])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _source(module: Any, folder: Path) -> str:
    """The module of a claim, with a link where its file lies in the same tree as the pages."""
    path = Path(inspect.getsourcefile(module) or "")
    if folder.parent.parent.resolve() in path.resolve().parents:
        return f"[{path.name}]({_link(path.resolve(), folder)})"
    return f"the module `{module.__name__}`"


def _link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _rule(criterion: Criterion) -> dict[str, str]:
    seeds = f" of at least {criterion.least_seeds}" if criterion.least_seeds > 1 else ""
    return {
        "criterion": criterion.name,
        "holds if": str(criterion.reproduced),
        "holds in part if": str(criterion.partly or ""),
        "of the seeds": f"{criterion.statistic}{seeds}",
        "decides": "yes" if criterion.decides else "no",
        "why this bound": criterion.because,
    }


def _finding(found: Found, folder: Path) -> list[str]:
    """The section of a profile: verdict, figure, table, caveats, and what made them."""
    results, verdict = found.results, found.verdict
    claim, name = results.claim, results.profile
    criteria = criteria_frame(verdict)[["criterion", "holds if", "measured", "outcome"]]
    files = [(results.folder / file, what) for file, what in FILES.items()]
    links = [f"[{what}]({_link(path, folder)})" for path, what in files if path.exists()]
    parts = [f"### Profile {name}: {MARKS[verdict.outcome]}", _table(criteria)]
    for draw, picture in ((claim.figure, "figure.png"), (claim.flips, "flips.png")):
        if draw and (results.folder / picture).exists():
            shown = _plain(caption(draw, f"{claim.title}."))
            parts += [f"![{shown}]({_link(results.folder / picture, folder)})", f"*{shown}*"]
    parts += [_table(claim.table(found.rows))]
    if verdict.caveats:
        parts += [_list(verdict.caveats)]
    made = read_json(results.folder / "provenance.json")
    commit, day = (str(made.get(key, "unknown"))[:10] for key in ("commit", "started"))
    machine = made.get("gpu") or made.get("cpu", "an unknown processor")
    return [
        *parts,
        f"Measured on {day} at commit `{commit}` on {machine}: {len(found.rows)} rows.",
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
