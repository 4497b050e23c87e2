"""The commands of the pool of trained networks."""

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from odeclaims.cli.choose import Out, ReadFrom
from odeclaims.cli.ending import ends_in_a_sentence
from odeclaims.record.wording import count_of
from odeclaims.terminal import console, say

if TYPE_CHECKING:
    from odeclaims.trained.publish import Standing
    from odeclaims.trained.specification import Specification

Networks = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NETWORK]...", help="Networks by name; all where none is named."),
]


def train(
    networks: Networks = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Networks side by side; by default one a core.")
    ] = None,
    out: Out = Path("results"),
) -> None:
    """Train the networks of the pool that are missing; a training that was stopped goes on.

    They are kept below cells/ in the results folder, and published by `odeclaims publish`. Exit
    code 1 where a training failed.
    """
    with ends_in_a_sentence("trainings are kept"):
        failed = _train(_choose(networks), jobs or os.cpu_count() or 1, out)
    trained(networks, results=out)
    if failed:
        raise typer.Exit(1)


def trained(
    networks: Networks = None,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Train the first updates again and compare their losses."),
    ] = False,
    results: ReadFrom = None,
) -> None:
    """List the networks of the pool: error, epochs, time, commit and digest of the weights.

    With --replay, exit code 1 where today's code does not train as the recorded one did.
    """
    from odeclaims.trained.publish import find_standing

    read = results or Path("results")
    standings = [find_standing(each, read) for each in _choose(networks)]
    if replay:
        _replay([each for each in standings if each.record])
        return
    table = Table("network", "state", "test error", "epochs", "core-hours", "commit", "weights")
    for each in standings:
        record = each.record or {}
        error = record.get("test_error")
        table.add_row(
            each.specification.name,
            each.state,
            "" if error is None else f"{100 * error:.2f}%",
            str(each.specification.size.get("epochs", "")),
            f"{record['core_hours']:.2f}" if record else "",
            _commits(record),
            record.get("weights_sha256", "")[:12],
        )
    console.print(table)
    count = sum(each.state == "published" for each in standings)
    of_all = count_of(len(standings), "network is", "networks are")
    console.print(f"{count} of {of_all} published.")


def publish(networks: Networks = None, out: Out = Path("results")) -> None:
    """Publish trained networks: their weights, history and record go into trained/.

    Without names, all that are trained and not published.
    """
    from odeclaims.trained.publish import find_standing
    from odeclaims.trained.publish import publish as publish_networks

    chosen = _choose(networks)
    if not networks:
        chosen = [each for each in chosen if find_standing(each, out).state == "trained"]
    for place in publish_networks(chosen, out):
        say(f"published {place}")


def _commits(record: dict[str, Any]) -> str:
    """The commits that trained a network; it is said where there were changes."""
    commits = ", ".join(commit[:10] for commit in record.get("commits", []))
    return f"{commits} with changes" if record.get("clean_tree") is False else commits


def _train(specifications: "list[Specification]", jobs: int, out: Path) -> list[str]:
    """Train what is missing, with progress; the names of those that failed."""
    from odeclaims.run.progress import progress_bar, reports_of_cells
    from odeclaims.trained.publish import find_standing
    from odeclaims.trained.work import train_all

    missing = [each for each in specifications if find_standing(each, out).record is None]
    if not missing:
        say("Nothing is left to train.")
    failed = []
    with progress_bar(console, out) as progress, reports_of_cells(console, out):
        bar = progress.add_task("networks", total=len(missing), running=min(jobs, len(missing)))
        for done, (name, sentence) in enumerate(train_all(missing, out, jobs), start=1):
            progress.update(bar, advance=1, running=min(jobs, len(missing) - done))
            say(sentence or f"trained {name}", "red" if sentence else "green")
            failed += [name] if sentence else []
    return failed


def _replay(standings: "list[Standing]") -> None:
    from odeclaims.trained.training import replay

    bad = 0
    for each in standings:
        result = replay(each.specification, each.record["first_losses"] if each.record else [])
        bad += not result.agrees
        say(f"{result}.", "green" if result.agrees else "red")
    console.print(f"{count_of(len(standings), 'training')} repeated, {bad} with a problem.")
    if bad:
        raise typer.Exit(1)


def _choose(names: list[str] | None) -> "list[Specification]":
    from odeclaims.trained.recipes import find_specifications

    known = find_specifications()
    for name in names or []:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; `odeclaims trained` lists them"
            raise ValueError(f"there is no network {name!r}{hint}")
    return [known[name] for name in dict.fromkeys(names or known)]
