"""The main job: measure the claims here, and say whether that agrees with the published record."""

import os
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import pandas as pd
import typer
from rich.table import Table
from rich.text import Text

from odeclaims.cell import Profile
from odeclaims.claim import Claim
from odeclaims.cli.choose import Names, ReadFrom, choose_claims, existing_results
from odeclaims.cli.draw import draw_again
from odeclaims.cli.ending import ends_in_a_sentence
from odeclaims.record.compare import Comparison, Verdicts, compare_verdicts, read_verdicts
from odeclaims.record.compare_rows import compare_rows
from odeclaims.record.published import default_results
from odeclaims.record.results import Results, read_results
from odeclaims.record.wording import count_of
from odeclaims.terminal import console, say

if TYPE_CHECKING:
    from odeclaims.run.claims import Sample

PROFILE = "quick"


def reproduce(
    claims: Names = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells side by side; by default one a core.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where to write; the record is left as it is.")] = Path(
        "out"
    ),
    results: ReadFrom = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Measure one cell of each claim, and the quickest claims whole: as many as take"
            " so many minutes by the durations in the record."
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Write into the record, as whoever publishes does.")
    ] = False,
) -> None:
    """Measure every claim at the profile quick, and compare with the published record.

    Figures, tables and a page are written as well. Exit code 1 where a statement differs from the
    record, or a cell failed.
    """
    from odeclaims.run.claims import run_claims, run_samples

    chosen, record = choose_claims(claims), results or default_results()
    took = _minutes_of(chosen, record, jobs or os.cpu_count() or 1)
    sampled: list[Claim] = []
    left_out: list[Claim] = []
    if minutes is not None:
        if not took:
            raise ValueError(
                f"--minutes goes by the durations in a record, and {record} has none at {PROFILE}:"
                " name one with --results, or leave --minutes out"
            )
        whole, parts = _plan(took, minutes)
        sampled = sorted(
            (claim for claim in chosen if claim.slug in parts),
            key=lambda claim: -took[claim.slug].cell,
        )
        left_out = [claim for claim in chosen if claim.slug not in whole | parts]
        chosen = [claim for claim in chosen if claim.slug in whole]
    say(_announcement(chosen, sampled, took))
    slugs = {claim.slug for claim in [*chosen, *sampled]}
    published = {k: v for k, v in read_verdicts(record / PROFILE).items() if k[1] in slugs}
    # Read before anything is measured, since it may not be whole.
    rows = {claim.slug: Results(record, PROFILE, claim).read() for claim in sampled}
    target = record if update else out
    how = {"jobs": jobs, "console": console}
    with ends_in_a_sentence("finished cells are kept"):
        samples, of_samples = run_samples(sampled, Profile(PROFILE), target, **how)
        summary = run_claims(chosen, Profile(PROFILE), target, **how)
    failures = [*of_samples.failures, *summary.failures, *summary.empty]
    for sentence in failures:
        say(sentence, "red")
    made = read_results(target, [c for c in chosen if c.slug in summary.written], PROFILE)
    if not made and not samples:
        raise typer.Exit(1)
    if made:
        # What lists the record's results lists those of its other claims and profiles too.
        draw_again(existing_results(None, None, target) if update else made, target, target)
    measured = {("", each.claim.slug): each.read_verdict() for each in made}
    comparison = compare_verdicts(published, measured)
    table = _agreement_table(chosen, published, measured, comparison)
    alike = [_add_sample(table, rows[each.claim.slug], each, published) for each in samples]
    console.print(table)
    if samples:
        say(
            f"Of {count_of(len(samples), 'claim')} one cell was measured;"
            f" {sum(alike)} of {len(alike)} have the rows that are published. Another processor"
            " rounds differently, which moves the numbers of a training."
        )
    if left_out:
        say(f"Left out: {', '.join(_with_minutes(claim.slug, took) for claim in left_out)}.")
    if made:
        say(f"The page of all results is {target / 'report.html'}.")
    say(f"Compared with the published record, {comparison.summary}.")
    if failures or len(comparison.differing):
        raise typer.Exit(1)


class Minutes(NamedTuple):
    """What a claim takes by the record.

    Attributes:
        whole: all of its cells, so many side by side.
        cell: one of them, on average, among others.
    """

    whole: float
    cell: float


def _minutes_of(claims: list[Claim], record: Path, jobs: int) -> dict[str, Minutes]:
    """For each claim, the minutes that its cells in the record would take, ``jobs`` side by side.

    A claim that the record lacks is left out.
    """
    made = {
        each.claim.slug: each.read_provenance() for each in read_results(record, claims, PROFILE)
    }
    whole = {slug: each["duration_s"] / 60 / jobs for slug, each in made.items()}
    return {slug: Minutes(whole[slug], whole[slug] / each["cells"]) for slug, each in made.items()}


def _plan(took: Mapping[str, Minutes], minutes: float) -> tuple[set[str], set[str]]:
    """The claims that are measured whole within the minutes, and those of which one cell is.

    One cell of each comes first, the quickest first. What is left goes to the quickest claims.

    Raises:
        ValueError: where nothing fits.
    """
    if not minutes > 0:
        raise ValueError(f"--minutes is {minutes:g}, expected more than 0")
    by_cell = sorted(took, key=lambda slug: took[slug].cell)
    sums = accumulate(took[slug].cell for slug in by_cell)
    parts = {slug for slug, end in zip(by_cell, sums, strict=True) if end <= minutes}
    if not parts:
        raise ValueError(
            f"--minutes is {minutes:g}, and the quickest cell, one of {by_cell[0]}, took"
            f" {took[by_cell[0]].cell:.2g} minutes: expected as many or more"
        )
    left, whole = minutes - sum(took[slug].cell for slug in parts), set()
    for slug in sorted(parts, key=lambda slug: took[slug].whole):
        left -= took[slug].whole - took[slug].cell
        # Of a claim with a single cell nothing is left; rounding must not leave it out.
        if left < -1e-9:
            break
        whole.add(slug)
    return whole, parts - whole


def _announcement(chosen: list[Claim], sampled: list[Claim], took: Mapping[str, Minutes]) -> str:
    known = [took[claim.slug].whole for claim in chosen if claim.slug in took]
    known += [took[claim.slug].cell for claim in sampled]
    cells = f" and one cell each of {len(sampled)} more" if sampled else ""
    return (
        f"{count_of(len(chosen), 'claim')} to measure{cells}, some {sum(known):.0f} minutes by the"
        " durations in the record; --minutes measures what fits."
    )


def _with_minutes(slug: str, took: Mapping[str, Minutes]) -> str:
    return f"{slug} ({took[slug].whole:.0f} min)" if slug in took else f"{slug} (not in the record)"


def _add_sample(table: Table, rows: pd.DataFrame, sample: "Sample", published: Verdicts) -> bool:
    """Add a line for a claim of which one cell was measured; whether its rows are as published."""
    claim = sample.claim
    found = compare_rows(claim, rows, sample.cell, sample.rows)
    here, summary = f"one of {count_of(sample.cells, 'cell')}", published.get(("", claim.slug))
    colour = "green" if found.agree else "yellow"
    table.add_row(claim.slug, here, Text(_summary(summary)), Text(str(found), colour))
    return found.agree


def _agreement_table(
    claims: list[Claim], published: Verdicts, measured: Verdicts, comparison: Comparison
) -> Table:
    """For each claim what holds here, what was published, and where they differ and why."""
    table = Table("claim", "here", "published", "agreement")
    for claim in claims:
        key = ("", claim.slug)
        rows = comparison.statements[comparison.statements["claim"] == claim.slug]
        states = rows["state"].value_counts().to_dict()
        agree, differ = states.get("agrees", 0), states.get("differs", 0)
        says = [f"{agree} of {agree + differ} statements"] if agree + differ else ["not compared"]
        says += [
            f"{row['statement']}: {row['says']}"
            for row in rows[rows["state"] == "differs"].to_dict("records")
        ]
        table.add_row(
            claim.slug,
            Text(_summary(measured.get(key))),
            Text(_summary(published.get(key))),
            Text("; ".join(says), "red" if differ else "green" if agree else ""),
        )
    return table


def _summary(verdict: dict[str, Any] | None) -> str:
    return verdict["summary"] if verdict else "no result"
