"""The main job: measure the claims here, and say whether that agrees with the published record."""

import os
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from odeclaims.cell import Profile
from odeclaims.claim import Claim
from odeclaims.cli.choose import Names, ReadFrom, choose_claims, existing_results
from odeclaims.cli.draw import draw_again
from odeclaims.cli.ending import ends_in_a_sentence
from odeclaims.record.compare import Comparison, Verdicts, compare_verdicts, read_verdicts
from odeclaims.record.published import default_results
from odeclaims.record.results import read_results
from odeclaims.record.wording import count_of
from odeclaims.terminal import console, say

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
            help="Measure only the quickest claims, as many as take so many minutes by the"
            " durations in the record."
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
    from odeclaims.run.claims import run_claims

    chosen, record = choose_claims(claims), results or default_results()
    took = _minutes_of(chosen, record, jobs or os.cpu_count() or 1)
    left_out: list[Claim] = []
    if minutes is not None:
        if not took:
            raise ValueError(
                f"--minutes goes by the durations in a record, and {record} has none at {PROFILE}:"
                " name one with --results, or leave --minutes out"
            )
        fitting = _fitting(took, minutes)
        left_out = [claim for claim in chosen if claim.slug not in fitting]
        chosen = [claim for claim in chosen if claim.slug in fitting]
    say(_announcement([claim.slug for claim in chosen], took))
    slugs = {claim.slug for claim in chosen}
    published = {k: v for k, v in read_verdicts(record / PROFILE).items() if k[1] in slugs}
    target = record if update else out
    with ends_in_a_sentence("finished cells are kept"):
        summary = run_claims(
            chosen, Profile(PROFILE), target, jobs=jobs, fresh=False, console=console
        )
    failures = [*summary.failures, *summary.empty]
    for sentence in failures:
        say(sentence, "red")
    made = read_results(target, [c for c in chosen if c.slug in summary.written], PROFILE)
    if not made:
        raise typer.Exit(1)
    # What lists the record's results lists those of its other claims and profiles too.
    draw_again(existing_results(None, None, target) if update else made, target, target)
    measured = {("", each.claim.slug): each.read_verdict() for each in made}
    comparison = compare_verdicts(published, measured)
    console.print(_agreement_table(chosen, published, measured, comparison))
    if left_out:
        say(f"Left out: {', '.join(_with_minutes(claim.slug, took) for claim in left_out)}.")
    say(f"The page of all results is {target / 'report.html'}.")
    say(f"Compared with the published record, {comparison.summary}.")
    if failures or len(comparison.differing):
        raise typer.Exit(1)


def _minutes_of(claims: list[Claim], record: Path, jobs: int) -> dict[str, float]:
    """For each claim, the minutes that its cells in the record would take, ``jobs`` side by side.

    A claim that the record lacks is left out.
    """
    made = {
        each.claim.slug: each.read_provenance() for each in read_results(record, claims, PROFILE)
    }
    return {slug: each["duration_s"] / 60 / jobs for slug, each in made.items()}


def _fitting(took: Mapping[str, float], minutes: float) -> set[str]:
    """The quickest claims, as many as the minutes hold.

    Raises:
        ValueError: where not one fits.
    """
    if not minutes > 0:
        raise ValueError(f"--minutes is {minutes:g}, expected more than 0")
    order = sorted(took, key=lambda slug: took[slug])
    fitting = {
        slug
        for slug, end in zip(order, accumulate(took[slug] for slug in order), strict=True)
        if end <= minutes
    }
    if not fitting:
        raise ValueError(
            f"--minutes is {minutes:g}, and the quickest claim, {order[0]}, took"
            f" {took[order[0]]:.2g} minutes: expected as many or more"
        )
    return fitting


def _announcement(slugs: list[str], took: Mapping[str, float]) -> str:
    known = [took[slug] for slug in slugs if slug in took]
    return (
        f"{count_of(len(slugs), 'claim')} to measure, some {sum(known):.0f} minutes by the"
        " durations in the record; --minutes measures what fits."
    )


def _with_minutes(slug: str, took: Mapping[str, float]) -> str:
    return f"{slug} ({took[slug]:.0f} min)" if slug in took else f"{slug} (not in the record)"


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
