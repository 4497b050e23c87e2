"""The commands that measure: claims, and solvers that are put to the test."""

import re
from pathlib import Path
from typing import Annotated

import typer

from odeclaims.cell import OWN_SOLVER, Profile, ProfileName
from odeclaims.cli.choose import Names, Out, choose_claims
from odeclaims.cli.ending import ends_in_a_sentence
from odeclaims.record.results import read_results
from odeclaims.record.schema import DEVICE
from odeclaims.record.solvers import folder_of
from odeclaims.terminal import console, print_verdicts, say, say_written

# All cells are listed before the first is run, so that a slip of the finger has to be refused.
MOST_SEEDS = 10_000


def run(
    claims: Names = None,
    profile: Annotated[
        ProfileName,
        typer.Option(
            help="smoke: every code path. quick: minutes. hour: what two cores do in an hour,"
            " a claim. paper: published sizes."
        ),
    ] = "quick",
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_SEEDS, help="Repetitions of every seeded cell."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cells side by side; by default one a core, or as many as the cluster takes.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="A torch device: cpu, cuda, cuda:1, ...")] = "cpu",
    solver: Annotated[
        str,
        typer.Option(
            metavar="BACKEND",
            help="Solve with another backend; its results go to solvers/BACKEND in the folder.",
        ),
    ] = OWN_SOLVER,
    out: Out = Path("results"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again what is finished already.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Measure on the Dask cluster of this scheduler."),
    ] = None,
) -> None:
    """Measure claims and judge them; a run that was stopped goes on where it was.

    Writes data.csv, verdict.json and provenance.json for each claim. Exit code 1 where a cell
    failed with an error; a solve that fails is not an error but a row with its status.
    """
    chosen = choose_claims(claims)
    _check_device(device, here=scheduler is None)
    out = _choose_folder(out, solver)
    with ends_in_a_sentence("finished cells are kept"):
        from odeclaims.run.claims import run_claims

        summary = run_claims(
            chosen,
            Profile(profile, seeds, device, solver),
            out,
            jobs=jobs,
            fresh=fresh,
            scheduler=scheduler,
            console=console,
        )
    for sentence in summary.failures[:5]:
        say(sentence, "red")
    if len(summary.failures) > 5:
        console.print(f"... and {len(summary.failures) - 5} more cells failed.", style="red")
    for sentence in summary.empty:
        say(sentence, "yellow")
    print_verdicts(read_results(out, [c for c in chosen if c.slug in summary.written], profile))
    console.print(f"{summary.computed} cells measured, {summary.reused} taken from before.")
    if summary.failures or not summary.written:
        raise typer.Exit(1)


def conform(
    backends: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BACKEND]...", help="Solvers by name; lists them where none is."),
    ] = None,
    out: Out = Path("results"),
) -> None:
    """Put registered solvers to the test; exit code 1 where a check failed.

    Writes scorecard.csv, .md, .json and .html for each into conform/<backend>.
    """
    from odeclaims.backends import choose_backends, find_backends
    from odeclaims.conform.scorecard import fill_scorecard
    from odeclaims.conform.show import backends_table, terminal_table, write

    if not backends:
        console.print(backends_table(find_backends()))
    cards = []
    for backend in choose_backends(backends or []):
        cards.append(fill_scorecard(backend))
        console.print(terminal_table(cards[-1]))
        say_written(write(cards[-1], out))
    if any(card.failed for card in cards):
        raise typer.Exit(1)


def _choose_folder(out: Path, solver: str) -> Path:
    """The results folder of a solver, inside of that of ours.

    Raises:
        ValueError: for a solver that cannot run claims here.
    """
    if solver == OWN_SOLVER:
        return out
    from odeclaims.run.solving import choose_solver

    return folder_of(out, choose_solver(solver).name)


def _check_device(device: str, here: bool) -> None:
    """Check that torch and the record know the device and, if it is used ``here``, that it exists.

    Raises:
        ValueError: where it does not.
    """
    if device == "cpu":
        return
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}; expected cpu, cuda or cuda:N") from None
    if not re.fullmatch(DEVICE, device):
        raise ValueError(f"device {device!r} is not supported; expected cpu, cuda or cuda:N")
    if here and kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but torch finds no CUDA GPU here")
