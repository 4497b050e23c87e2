"""From stored rows to files: a claim's figure and its tables, without running anything."""

from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

import pandas as pd

from odeclaims.cell import PROFILES
from odeclaims.claim import COMMON_COLUMNS, Claim
from odeclaims.record.derive import derive
from odeclaims.record.files import write_bytes, write_text
from odeclaims.record.judged import Judged, hashes_csv
from odeclaims.record.results import Results
from odeclaims.record.solvers import FOLDER, compare_solvers
from odeclaims.record.speaking import first_central, speaking
from odeclaims.record.wording import describe_overall, format_value
from odeclaims.report.flips import flip_caption, flip_figure
from odeclaims.report.pictures import Picture, caption, drawing, moving
from odeclaims.report.reuse import formulas_parsed_once
from odeclaims.report.solvers import solvers_markdown
from odeclaims.report.style import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    animation_bytes,
    save,
    style,
)
from odeclaims.report.tables import (
    claim_markdown,
    column_frame,
    escape_html,
    latex,
    markdown,
)
from odeclaims.rules import OUTCOMES
from odeclaims.statement import make_of_the_rest

# The name of the folder that holds the published record.
PUBLISHED = "results"
# Between these comments the README beside that folder has a line for each claim.
VERDICTS = (
    "<!-- verdicts: written by `odeclaims tables`, do not edit -->",
    "<!-- end of verdicts -->",
)
GALLERY_COLUMNS, GALLERY_WIDTH = 3, 270


def draw(
    results: Results, *, out: Path | None = None, files: bool = True, pictures: bool = False
) -> tuple[list[Path], list[Picture]]:
    """Draw the claim's figure, its flip map and its animation, as far as it has them.

    Args:
        results: whose rows are drawn.
        out: the results folder that is written; by default the one that is read.
        files: write PNG and PDF for a page, PDF for a column, and the animation as GIF.
        pictures: make them for the HTML page, too.

    Returns:
        The files that were written, and the pictures.

    Raises:
        FileNotFoundError: where nothing was measured.
        CorruptFile: where the rows are not what was written, or the claim cannot draw them.
    """
    df = results.read()
    with formulas_parsed_once():
        folder = results.within(out).folder
        return derive(
            lambda: _draw(results.claim, df, folder, files, pictures), "drawn", results.data
        )


def _draw(
    claim: Claim, df: pd.DataFrame, folder: Path, files: bool, pictures: bool
) -> tuple[list[Path], list[Picture]]:
    drawings = [("figure", caption(claim.figure, f"{claim.title}."), lambda: claim.figure(df))]
    flips = make_of_the_rest(claim.flips, df, None) if claim.flips else None
    if flips:
        drawings.append(("flips", flip_caption(flips), lambda: flip_figure(flips)))
    paths, shown = [], []
    for name, text, make in drawings:
        with style():
            figure = make()
            if files:
                paths += save(figure, folder, name)
            if pictures:
                shown.append(drawing(figure, text))
        if files:
            with style(COLUMN_WIDTH):
                figure = make()
                # A claim may have set a width of its own.
                figure.set_figwidth(COLUMN_WIDTH)
                paths += save(figure, folder, f"{name}-column", ["pdf"])
    if claim.animation:
        with style():
            frames = animation_bytes(claim.animation(df))
        if files:
            paths.append(write_bytes(folder / "animation.gif", frames))
        if pictures:
            shown.append(moving(frames, caption(claim.animation, f"{claim.title}.")))
    return paths, shown


def write_tables(judged: Judged, out: Path | None = None) -> list[Path]:
    """Write the verdict, and the claim's table as Markdown (with the ledger), LaTeX and CSV.

    Beside them lie the names of all cells, by which ``odeclaims verify`` finds them again. They are
    written into the results folder ``out``, by default the one that is read.
    """
    results = judged.results.within(out)
    results.write_verdict(judged.verdict)
    contents = {
        "table.md": claim_markdown(judged),
        "table.tex": latex(judged.table, judged.claim),
        "table.csv": judged.table.to_csv(index=False, lineterminator="\n"),
        "hashes.csv": hashes_csv(judged),
    }
    for name, text in contents.items():
        write_text(results.folder / name, text)
    return [results.verdict, *(results.folder / name for name in contents)]


def verdict_table(results: Sequence[Judged]) -> str:
    """The verdicts at a glance, as Markdown: one line a claim, by the result that speaks for it."""
    rows = [
        {
            "claim": f"`{judged.claim.slug}`",
            "what is claimed": judged.claim.statement,
            "central statements": judged.verdict.summary,
            "scale": f"{judged.verdict.scale} ({judged.profile})",
            "the first of them": first_central(judged.verdict),
            "registered before measured": "no" if judged.unregistered else "yes",
        }
        for judged in speaking(results)
    ]
    if not rows:
        return "No results yet."
    overall = describe_overall([judged.verdict for judged in speaking(results)])
    return f"{markdown(pd.DataFrame(rows))}\n\n{overall}"


def short_verdicts(results: Sequence[Judged]) -> str:
    """What holds of each claim, as a narrow table in Markdown that leads to the claims' tables.

    The paths are those from the folder in which the results folder lies.
    """
    chosen = speaking(results)
    if not chosen:
        return "No results yet."
    rows = [
        f"| [{slug}]({judged.results.out.name}/{judged.profile}/{slug}/table.md)"
        f" | {judged.verdict.summary} | {judged.verdict.scale} |"
        for judged in chosen
        for slug in [judged.claim.slug]
    ]
    head = ["| claim | central statements | scale |", "|---|---|---|"]
    overall = describe_overall([judged.verdict for judged in chosen])
    return "\n".join([*head, *rows, "", overall])


def open_statements(results: Sequence[Judged]) -> str:
    """Every central statement that was not reproduced, as Markdown, with what was found instead."""
    rows = [
        {
            "claim": f"[{judged.claim.slug}]({judged.profile}/{judged.claim.slug}/table.md)",
            "central statement": escape_html(judgement.statement.text),
            "holds if": escape_html(str(judgement.statement.rule)),
            "measured": escape_html(format_value(judgement)),
            "outcome": judgement.outcome,
        }
        for judged in speaking(results)
        for judgement in judged.verdict.central
        if judgement.outcome != "reproduced"
    ]
    if not rows:
        return "Every central statement that was measured is reproduced."
    # The links are to stay links; all else is escaped above.
    rows.sort(key=lambda row: OUTCOMES.index(row["outcome"]))
    return markdown(pd.DataFrame(rows), escape=str)


def gallery(results: Sequence[Judged]) -> str:
    """Every claim's figure, small, as rows of a table in HTML: that of the result that speaks.

    Each leads to the claim's table. The paths are those from the results folder.
    """
    largest = {judged.claim.slug: judged for judged in speaking(results)}
    pictures = [
        f'<td><a href="{folder}/table.md"><img src="{folder}/figure.png" width="{GALLERY_WIDTH}"'
        f' alt="{escape(each.claim.title)}"></a><br>Claim: {escape(each.claim.title)}.'
        f" Here: {each.verdict.summary} ({each.profile})</td>"
        for _, each in sorted(largest.items())
        for folder in [f"{each.profile}/{each.claim.slug}"]
    ]
    lines = [pictures[i : i + GALLERY_COLUMNS] for i in range(0, len(pictures), GALLERY_COLUMNS)]
    rows = ["\n".join(["<tr>", *line, "</tr>"]) for line in lines]
    return "\n".join(["<table>", *rows, "</table>"])


def refresh_readme(text: str, results: Sequence[Judged]) -> str:
    """The README's text with the verdicts of these results in their place, where it has one."""
    start, end = VERDICTS
    before, opened, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        return text
    return f"{before}{start}\n\n{short_verdicts(results)}\n\n{end}{after}"


def write_overviews(out: Path, results: Sequence[Judged], claims: Sequence[Claim]) -> list[Path]:
    """Write what lists all results: the README in their folder, and the one beside that folder.

    Where other solvers have results in it, a table sets them beside ours.

    The latter is left alone where it has no place for them, where there is none, and where the
    folder has another name than ``results``: a README shows the published record.
    """
    contents = {out / "README.md": index(results, claims)}
    readme = out.resolve().parent / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if VERDICTS[0] in text and out.resolve().name == PUBLISHED:
        contents[readme] = refresh_readme(text, results)
    # Without another solver there is nothing to set side by side.
    with suppress(FileNotFoundError):
        contents[out / FOLDER / "README.md"] = solvers_markdown(compare_solvers(out))
    for path, content in contents.items():
        write_text(path, content)
    return list(contents)


def index(results: Sequence[Judged], claims: Sequence[Claim]) -> str:
    """The text of ``README.md`` in the results folder: verdicts, figures, and the columns."""
    parts = [
        "# Results",
        "Written by `odeclaims tables`; every number follows from the CSV files in this folder.",
        verdict_table(results),
        "## What was not reproduced",
        open_statements(results),
        "## Figures",
        gallery(results),
        "## Layout",
        "`<profile>/<claim>/` holds `data.csv` (every row), `verdict.json` (each statement with its"
        " outcome, value and interval, the checks, the scale), `figure.png` and `.pdf`,"
        " `table.md`, `.tex` and `.csv`,"
        " `hashes.csv` (a name for each cell of a table, for `odeclaims verify`),"
        " `provenance.json` (commit, versions, machine, data digests, seeds), and where the claim"
        " has one `animation.gif` and a flip map, `flips.png` and `.pdf`. Figures are"
        f" {PAGE_WIDTH} inches wide, as a page of a paper, and those that end in `-column.pdf` are"
        f" laid out anew for a column, {COLUMN_WIDTH} inches. The profiles are"
        f" {', '.join(PROFILES)}; `cells/` keeps finished cells so that a stopped run can go on."
        " `registry.csv` says which rule was in force since when, and why it was revised.",
        "## Columns of every data.csv",
        markdown(column_frame(COMMON_COLUMNS)),
    ]
    for claim in claims:
        parts += [f"## Columns of {claim.slug}", markdown(column_frame(claim.columns))]
    return "\n\n".join(parts) + "\n"
