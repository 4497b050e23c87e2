"""A solver's scorecard as a table on the terminal, as CSV, Markdown and JSON, and as a page."""

import math
from pathlib import Path

import pandas as pd
from rich.markup import escape
from rich.table import Table

from odeclaims.backends import Backend
from odeclaims.conform import Finding, Scorecard
from odeclaims.provenance import commit_of
from odeclaims.report.html import template
from odeclaims.report.tables import markdown, number
from odeclaims.store import write_json, write_text

STYLES = {"pass": "green", "fail": "red", "not offered": "dim", "cannot be asked": "yellow"}


def frame(card: Scorecard) -> pd.DataFrame:
    """One row for each check, every number as text."""
    return pd.DataFrame(
        {
            "group": finding.check.group,
            "check": finding.check.name,
            "outcome": finding.outcome,
            "measured": measured(finding),
            "passes if": str(finding.check.bounds),
            "what is measured": finding.check.value,
            "what was seen": finding.sentence,
            "why this bound": finding.check.because,
        }
        for finding in card.findings
    )


def measured(finding: Finding) -> str:
    """The number that was judged; "" where there is none."""
    if finding.value is None or math.isfinite(finding.value):
        return number(finding.value)
    return str(finding.value)


def summary(card: Scorecard) -> str:
    """How many checks came out how, in one line."""
    return ", ".join(f"{card.counts.get(outcome, 0)} {outcome}" for outcome in STYLES)


def terminal(card: Scorecard) -> Table:
    """The findings for the eye, in words only where a check was not passed."""
    table = Table("", "check", "outcome", "measured", "passes if", "what was seen")
    table.title = f"{card.backend}: {summary(card)}"
    group = ""
    for finding in card.findings:
        if finding.check.group != group:
            table.add_section()
        heading = "" if finding.check.group == group else finding.check.group
        group = finding.check.group
        outcome = f"[{STYLES[finding.outcome]}]{finding.outcome}[/]"
        seen = "" if finding.outcome in ("pass", "not offered") else escape(finding.sentence)
        bounds = str(finding.check.bounds)
        table.add_row(heading, finding.check.name, outcome, measured(finding), bounds, seen)
    return table


def registered(backends: dict[str, Backend]) -> Table:
    """The backends that can be asked, and what the others lack."""
    table = Table("backend", "gradients", "state")
    for backend in backends.values():
        missing = backend.missing()
        state = f"[yellow]needs {', '.join(missing)}[/]" if missing else "[green]can be asked[/]"
        table.add_row(backend.name, ", ".join(backend.gradients) or "none", state)
    return table


def write(card: Scorecard, out: Path) -> list[Path]:
    """Write the scorecard into ``<out>/conform/<backend>/``.

    Returns:
        ``scorecard.csv``, ``.md``, ``.json`` and ``.html`` there.
    """
    folder = out / "conform" / card.backend
    paths = [folder / f"scorecard.{suffix}" for suffix in ("csv", "md", "json", "html")]
    table = frame(card)
    write_text(paths[0], table.to_csv(index=False, lineterminator="\n"))
    write_text(paths[1], _markdown(card, table))
    write_json(paths[2], card.as_dict())
    write_text(paths[3], page(card))
    return paths


def _markdown(card: Scorecard, table: pd.DataFrame) -> str:
    parts = [
        f"# How {card.backend} conforms",
        card.what,
        summary(card) + ".",
        "`docs/conform.md` says how to read this.",
    ]
    for group, rows in table.groupby("group", sort=False):
        shown = rows.drop(columns=["group", "what is measured", "why this bound"])
        parts += [f"## {str(group).capitalize()}", markdown(shown)]
    parts += ["## Made by", "\n".join(f"- {name}: {value}" for name, value in made_by(card))]
    return "\n\n".join(parts) + "\n"


def made_by(card: Scorecard) -> list[tuple[str, str]]:
    """The provenance in a few lines."""
    made = card.provenance
    versions = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    machine = f"{made['system']}, {made['cpu']}, one thread"
    python = f"Python {made['python']}, odeclaims {made['odeclaims']}, {versions}"
    return [("commit", commit_of(made)), ("versions", python), ("machine", machine)]


def page(card: Scorecard) -> str:
    """The scorecard as one HTML page that needs no other file, no network and no script."""
    rows = frame(card)
    groups = {group: part.to_dict("records") for group, part in rows.groupby("group", sort=False)}
    return template("conform.html.jinja").render(
        card=card,
        summary=summary(card),
        groups=groups,
        failures=rows[rows["outcome"] == "fail"].to_dict("records"),
        made_by=made_by(card),
    )
