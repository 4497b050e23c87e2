"""From stored rows to files: a claim's figure and its tables, without running anything."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from odeclaims.claim import COMMON_COLUMNS, PROFILES, Claim
from odeclaims.report.style import save, save_animation, style
from odeclaims.report.tables import MARKS, claim_markdown, latex, markdown, measured
from odeclaims.store import Results, stored, write_text

README_START = "<!-- verdicts: written by `odeclaims tables`, do not edit -->"
README_END = "<!-- end of verdicts -->"


def draw_figure(results: Results) -> list[Path]:
    """Draw the claim's figure as PNG and PDF, and its animation as GIF; the paths of the files."""
    df, claim = results.read(), results.claim
    with style():
        paths = save(claim.figure(df), results.folder)
        if claim.animation:
            paths.append(save_animation(claim.animation(df), results.folder))
    return paths


def write_tables(results: Results) -> list[Path]:
    """Write the claim's table as Markdown (with verdict and ledger), LaTeX and CSV."""
    df, claim = results.read(), results.claim
    table = claim.table(df)
    contents = {
        "table.md": claim_markdown(claim, df, claim.judge(df)),
        "table.tex": latex(table, claim),
        "table.csv": table.to_csv(index=False, lineterminator="\n"),
    }
    for name, text in contents.items():
        write_text(results.folder / name, text)
    return [results.folder / name for name in contents]


def verdict_table(out: Path, claims: Sequence[Claim]) -> str:
    """The verdicts of all claims at a glance, as Markdown; each profile that was run is a row."""
    rows = []
    for results in stored(out, claims, None):
        if results.profile == "smoke":
            continue
        verdict = results.claim.judge(results.read())
        first = verdict.judgements[0]
        rows.append(
            {
                "claim": f"`{results.claim.slug}`",
                "what is claimed": results.claim.statement,
                "profile": results.profile,
                "verdict": MARKS[verdict.outcome],
                "first criterion": f"{first.criterion.name} {first.criterion.reproduced}",
                "measured": measured(first),
            }
        )
    return markdown(pd.DataFrame(rows)) if rows else "No results yet."


def refresh_readme(out: Path, claims: Sequence[Claim]) -> Path | None:
    """Put the verdicts into the README beside the results folder, if it has a place for them."""
    path = out.resolve().parent / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, start, rest = text.partition(README_START)
    _, end, after = rest.partition(README_END)
    if not (start and end):
        return None
    table = verdict_table(out, claims)
    write_text(path, f"{before}{start}\n\n{table}\n\n{end}{after}")
    return path


def write_index(out: Path, claims: Sequence[Claim]) -> Path:
    """Write ``README.md`` into the results folder: the verdicts and what every column means."""
    parts = [
        "# Results",
        "Written by `odeclaims tables`; every number follows from the CSV files in this folder.",
        verdict_table(out, claims),
        "## Layout",
        "`<profile>/<claim>/` holds `data.csv` (every row), `verdict.json` (each criterion with its"
        " outcome, value and 95% interval), `figure.png` and `.pdf`, `table.md`, `.tex` and `.csv`,"
        " `provenance.json` (commit, versions, machine, data digests, seeds), and where the claim"
        " has one `animation.gif`. The profiles are"
        f" {', '.join(PROFILES)}; `cells/` keeps finished cells so that a stopped run can go on.",
        "## Columns of every data.csv",
        _dictionary(COMMON_COLUMNS),
    ]
    for claim in claims:
        parts += [f"## Columns of {claim.slug}", _dictionary(claim.columns)]
    path = out / "README.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def _dictionary(columns) -> str:
    return markdown(
        pd.DataFrame(
            {
                "column": f"`{name}`",
                "meaning": column.meaning,
                "differs between runs": "yes" if column.varies else "no",
            }
            for name, column in columns.items()
        )
    )
