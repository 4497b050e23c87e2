"""From stored rows to files: a claim's figure and its tables, without running anything."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from odeclaims.claim import COMMON_COLUMNS, PROFILES, Claim
from odeclaims.report.flips import flip_figure
from odeclaims.report.hashes import hashes_csv
from odeclaims.report.style import COLUMN_WIDTH, PAGE_WIDTH, save, save_animation, style
from odeclaims.report.tables import MARKS, claim_markdown, column_frame, latex, markdown, measured
from odeclaims.store import Results, stored, write_text

# Where in the README what is written, between two comments.
VERDICTS = (
    "<!-- verdicts: written by `odeclaims tables`, do not edit -->",
    "<!-- end of verdicts -->",
)
GALLERY = (
    "<!-- gallery: written by `odeclaims tables`, do not edit -->",
    "<!-- end of gallery -->",
)
GALLERY_COLUMNS, GALLERY_WIDTH = 3, 270


def draw_figure(results: Results) -> list[Path]:
    """Draw the claim's figure and flip map as PNG and PDF, its animation as GIF; the files.

    Figure and flip map are then laid out anew for a column, as PDF.
    """
    df, claim = results.read(), results.claim
    figures = {"figure": lambda: claim.figure(df)}
    if claim.flips:
        flips = claim.flips(df)
        figures["flips"] = lambda: flip_figure(flips)
    paths = []
    for name, draw in figures.items():
        with style():
            paths += save(draw(), results.folder, name)
        with style(COLUMN_WIDTH):
            figure = draw()
            # A claim may have set a width of its own.
            figure.set_figwidth(COLUMN_WIDTH)
            paths += save(figure, results.folder, f"{name}-column", ["pdf"])
    if claim.animation:
        with style():
            paths.append(save_animation(claim.animation(df), results.folder))
    return paths


def write_tables(results: Results) -> list[Path]:
    """Write the claim's table as Markdown (with verdict and ledger), LaTeX and CSV.

    Beside them lie the names of all cells, by which ``odeclaims verify`` finds them again.
    """
    df, claim = results.read(), results.claim
    table = claim.table(df)
    contents = {
        "table.md": claim_markdown(claim, df, claim.judge(df)),
        "table.tex": latex(table, claim),
        "table.csv": table.to_csv(index=False, lineterminator="\n"),
        "hashes.csv": hashes_csv(results),
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
        decisive = verdict.decisive
        rows.append(
            {
                "claim": f"`{results.claim.slug}`",
                "what is claimed": results.claim.statement,
                "profile": results.profile,
                "verdict": MARKS[verdict.outcome],
                "what decided": f"{decisive.criterion.name} {decisive.criterion.reproduced}",
                "measured": measured(decisive),
            }
        )
    return markdown(pd.DataFrame(rows)) if rows else "No results yet."


def gallery(out: Path, claims: Sequence[Claim]) -> str:
    """Every claim's figure of the largest profile that was run, small, as rows of a table in HTML.

    Each leads to the claim's table. The paths are those from the folder that ``out`` lies in.
    """
    largest = {results.claim.slug: results for results in stored(out, claims, None)}
    pictures = [
        f'<td><a href="{folder}/table.md"><img src="{folder}/figure.png" width="{GALLERY_WIDTH}"'
        f' alt="{escape(results.claim.title)}"></a><br>{escape(results.claim.title)}'
        f" ({results.profile})</td>"
        for _, results in sorted(largest.items())
        if results.profile != "smoke"
        for folder in [f"{out.name}/{results.profile}/{results.claim.slug}"]
    ]
    lines = [pictures[i : i + GALLERY_COLUMNS] for i in range(0, len(pictures), GALLERY_COLUMNS)]
    rows = ["\n".join(["<tr>", *line, "</tr>"]) for line in lines]
    return "\n".join(["<table>", *rows, "</table>"])


def refreshed_readme(text: str, out: Path, claims: Sequence[Claim]) -> str:
    """The README's text with the verdicts and the gallery of ``out``, where it has a place."""
    for (start, end), make in ((VERDICTS, verdict_table), (GALLERY, gallery)):
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if found and closed:
            text = f"{before}{start}\n\n{make(out, claims)}\n\n{end}{after}"
    return text


def refresh_readme(out: Path, claims: Sequence[Claim]) -> Path | None:
    """Put verdicts and gallery into the README beside the results folder; ``None`` without one."""
    path = out.resolve().parent / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if VERDICTS[0] not in text:
        return None
    write_text(path, refreshed_readme(text, out, claims))
    return path


def index(out: Path, claims: Sequence[Claim]) -> str:
    """The text of ``README.md`` in the results folder: verdicts, and what every column means."""
    parts = [
        "# Results",
        "Written by `odeclaims tables`; every number follows from the CSV files in this folder.",
        verdict_table(out, claims),
        "## Layout",
        "`<profile>/<claim>/` holds `data.csv` (every row), `verdict.json` (each criterion with its"
        " outcome, value and 95% interval), `figure.png` and `.pdf`, `table.md`, `.tex` and `.csv`,"
        " `hashes.csv` (a name for each cell of a table, for `odeclaims verify`),"
        " `provenance.json` (commit, versions, machine, data digests, seeds), and where the claim"
        " has one `animation.gif` and a flip map, `flips.png` and `.pdf`. Figures are"
        f" {PAGE_WIDTH} inches wide, as a page of a paper, and those that end in `-column.pdf` are"
        f" laid out anew for a column, {COLUMN_WIDTH} inches. The profiles are"
        f" {', '.join(PROFILES)}; `cells/` keeps finished cells so that a stopped run can go on.",
        "## Columns of every data.csv",
        markdown(column_frame(COMMON_COLUMNS)),
    ]
    for claim in claims:
        parts += [f"## Columns of {claim.slug}", markdown(column_frame(claim.columns))]
    return "\n\n".join(parts) + "\n"


def write_index(out: Path, claims: Sequence[Claim]) -> Path:
    """Write ``README.md`` into the results folder."""
    path = out / "README.md"
    write_text(path, index(out, claims))
    return path
