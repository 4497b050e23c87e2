"""A scorecard as a table on the terminal, as CSV, Markdown and JSON, and as a page."""

import math
from pathlib import Path

import pandas as pd
from rich.markup import escape
from rich.table import Table

from odeclaims.backends import Backend
from odeclaims.conform.check import Finding
from odeclaims.conform.scorecard import Scorecard
from odeclaims.record.files import write_json, write_text
from odeclaims.record.provenance import commit_of
from odeclaims.record.wording import number
from odeclaims.report.html import template
from odeclaims.report.tables import markdown

STYLES = {"pass": "green", "fail": "red", "not offered": "dim", "cannot be asked": "yellow"}


def findings_frame(card: Scorecard) -> pd.DataFrame:
    """One row a check; every number is text."""
    return pd.DataFrame(
        {
            "group": finding.check.group,
            "check": finding.check.name,
            "outcome": finding.outcome,
            "measured": format_value(finding),
            "passes if": str(finding.check.bounds),
            "what is measured": finding.check.value,
            "what was seen": finding.sentence,
            "why this bound": finding.check.because,
        }
        for finding in card.findings
    )


def format_value(finding: Finding) -> str:
    """The value of a finding as text; "" if it has none."""
    if finding.value is None or math.isfinite(finding.value):
        return number(finding.value)
    return str(finding.value)


def summarise(card: Scorecard) -> str:
    """The number of checks with each outcome, in one line."""
    return ", ".join(f"{card.counts.get(outcome, 0)} {outcome}" for outcome in STYLES)


def terminal_table(card: Scorecard) -> Table:
    """The findings as a table on the terminal; passed checks have no sentence there."""
    table = Table("", "check", "outcome", "measured", "passes if", "what was seen")
    table.title = f"{card.backend}: {summarise(card)}"
    group = ""
    for finding in card.findings:
        if finding.check.group != group:
            table.add_section()
        heading = "" if finding.check.group == group else finding.check.group
        group = finding.check.group
        outcome = f"[{STYLES[finding.outcome]}]{finding.outcome}[/]"
        sentence = "" if finding.outcome in ("pass", "not offered") else escape(finding.sentence)
        bounds = str(finding.check.bounds)
        table.add_row(heading, finding.check.name, outcome, format_value(finding), bounds, sentence)
    return table


def backends_table(backends: dict[str, Backend]) -> Table:
    """All backends: which can be asked, and what has to be installed for the others."""
    table = Table("backend", "gradients", "runs claims", "state")
    for backend in backends.values():
        missing = backend.missing()
        state = f"[yellow]needs {', '.join(missing)}[/]" if missing else "[green]can be asked[/]"
        gradients = ", ".join(backend.gradients) or "none"
        table.add_row(backend.name, gradients, "yes" if backend.runs_claims else "no", state)
    return table


def write(card: Scorecard, out: Path) -> list[Path]:
    """Write the scorecard into ``<out>/conform/<backend>/``.

    Returns:
        ``scorecard.csv``, ``.md``, ``.json`` and ``.html`` there.
    """
    folder = out / "conform" / card.backend
    paths = [folder / f"scorecard.{suffix}" for suffix in ("csv", "md", "json", "html")]
    table = findings_frame(card)
    write_text(paths[0], table.to_csv(index=False, lineterminator="\n"))
    write_text(paths[1], _markdown(card, table))
    write_json(paths[2], card.as_dict())
    write_text(paths[3], render_page(card))
    return paths


def _markdown(card: Scorecard, table: pd.DataFrame) -> str:
    parts = [
        f"# How {card.backend} conforms",
        card.what,
        summarise(card) + ".",
        "`docs/conform.md` says how to read this.",
    ]
    for group, rows in table.groupby("group", sort=False):
        columns = rows.drop(columns=["group", "what is measured", "why this bound"])
        parts += [f"## {str(group).capitalize()}", markdown(columns)]
    origin = "\n".join(f"- {name}: {value}" for name, value in provenance_lines(card))
    return "\n\n".join([*parts, "## Made by", origin]) + "\n"


def provenance_lines(card: Scorecard) -> list[tuple[str, str]]:
    """The provenance in a few lines."""
    record = card.provenance
    versions = ", ".join(f"{name} {version}" for name, version in record["packages"].items())
    machine = f"{record['system']}, {record['cpu']}, one thread"
    python = f"Python {record['python']}, odeclaims {record['odeclaims']}, {versions}"
    return [("commit", commit_of(record)), ("versions", python), ("machine", machine)]


def render_page(card: Scorecard) -> str:
    """The scorecard as one HTML page that needs no other file, no network and no script."""
    rows = findings_frame(card)
    groups = {group: part.to_dict("records") for group, part in rows.groupby("group", sort=False)}
    return template("scorecard.html.jinja").render(
        card=card,
        summary=summarise(card),
        groups=groups,
        failures=rows[rows["outcome"] == "fail"].to_dict("records"),
        made_by=provenance_lines(card),
    )
