"""Results of one claim on several solvers, side by side.

The results of another solver lie in ``solvers/<backend>`` of the results folder, laid out as the
folder itself is.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from odeclaims.cell import OWN_SOLVER
from odeclaims.record.compare import DECIDED, Verdicts, name_claim, read_verdicts
from odeclaims.record.files import CorruptFile
from odeclaims.record.schema import read_provenance
from odeclaims.record.wording import count_of

FOLDER = "solvers"
NOT_FOR_WANT = ("not offered", "insufficient")


def folder_of(out: Path, solver: str) -> Path:
    """The results folder of a solver."""
    return out if solver == OWN_SOLVER else out / FOLDER / solver


@dataclass(frozen=True)
class BySolver:
    """The outcomes of statements on several solvers.

    Attributes:
        statements: a row for each statement of each claim that another solver has run too: claim
            (and profile), statement, central, and a column with the outcome for each solver, ""
            where that solver has not run the claim.
        lacking: for each solver other than ours what it does not offer, a sentence each.
    """

    statements: pd.DataFrame
    lacking: dict[str, list[str]]

    @property
    def solvers(self) -> list[str]:
        """The other solvers."""
        return list(self.lacking)

    def differing(self, solver: str) -> pd.DataFrame:
        """The statements that this solver and ours decide otherwise."""
        both = self.statements[[OWN_SOLVER, solver]].isin(DECIDED).all(axis=1)
        return self.statements[both & (self.statements[OWN_SOLVER] != self.statements[solver])]

    def summary(self, solver: str) -> str:
        """The line of a solver: "torchdiffeq: 20 of 23 central statements judged, 3 not offered;
        19 come out as on ours; 1 is decided otherwise: ..."."""
        central = self.statements[self.statements["central"] & (self.statements[solver] != "")]
        outcomes, ours = central[solver], central[OWN_SOLVER]
        judged = ~outcomes.isin(["not offered", "insufficient", "invalid"])
        text = f"{solver}: {judged.sum()} of {count_of(len(central), 'central statement')} judged"
        for outcome in ("not offered", "insufficient", "invalid"):
            count = (outcomes == outcome).sum()
            text += f", {count} {outcome}" if count else ""
        same = int((judged & (outcomes == ours)).sum())
        text += f"; {count_of(same, 'comes', 'come')} out as on ours"
        differing = self.differing(solver)
        differing = differing[differing["central"]]
        names = [f"{row.claim} {row.statement}" for row in differing.itertuples()]
        if names:
            text += f"; {count_of(len(names), 'is', 'are')} decided otherwise: {', '.join(names)}"
        return f"{text}."


def compare_solvers(out: Path, profile: str | None = None) -> BySolver:
    """The outcomes of all solvers whose results lie in a results folder.

    Args:
        out: the results folder, with our results.
        profile: only this profile.

    Raises:
        FileNotFoundError: where no other solver has results that ours has too.
        CorruptFile: where a file is not a verdict or not a provenance, or that of another solver.
        ValueError: where another solver has the name of ours.
    """
    folders = {each.name: each for each in sorted((out / FOLDER).glob("*")) if each.is_dir()}
    if OWN_SOLVER in folders:
        raise ValueError(f"{folders[OWN_SOLVER]} has the name of our solver, expected another's")
    ours = _of_profile(out, profile)
    others = {name: _of_profile(folder, profile) for name, folder in folders.items()}
    others = {name: verdicts for name, verdicts in others.items() if verdicts}
    shared = sorted(key for key in ours if any(key in verdicts for verdicts in others.values()))
    if not shared:
        raise FileNotFoundError(
            f"{out / FOLDER} has no results of another solver of claims that {out} has too;"
            " `odeclaims run CLAIM --solver BACKEND` makes them"
        )
    every = {OWN_SOLVER: ours, **others}
    rows = [row for key in shared for row in _statements(key, every)]
    lacking = {name: _lacking(name, set(ran) & set(ours), out) for name, ran in others.items()}
    return BySolver(pd.DataFrame(rows), lacking)


def _of_profile(folder: Path, profile: str | None) -> Verdicts:
    # A run that was stopped leaves cells and no verdict.
    with suppress(FileNotFoundError):
        verdicts = read_verdicts(folder)
        return {key: each for key, each in verdicts.items() if profile in (None, key[0])}
    return {}


def _statements(key: tuple[str, str], every: dict[str, Verdicts]) -> list[dict[str, object]]:
    """A row for each of our statements, with its outcome on every solver."""
    outcomes = {
        solver: {s["name"]: s["outcome"] for s in verdicts[key]["statements"]}
        for solver, verdicts in every.items()
        if key in verdicts
    }
    return [
        {
            "claim": name_claim(*key),
            "statement": statement["name"],
            "text": statement["text"],
            "central": statement["central"],
            **{s: _outcome(statement, outcomes.get(s, {})) for s in every},
        }
        for statement in every[OWN_SOLVER][key]["statements"]
    ]


def _outcome(ours: dict[str, Any], outcomes: dict[str, str]) -> str:
    """The outcome of one of our statements on a solver; "" where that has not run the claim.

    What our own rows cannot decide either is not for want of something that the solver lacks.
    """
    outcome = outcomes.get(ours["name"], "")
    return ours["outcome"] if (outcome, ours["outcome"]) == NOT_FOR_WANT else outcome


def _lacking(solver: str, keys: set[tuple[str, str]], out: Path) -> list[str]:
    """What the runs of a solver asked for and did not get, and where their seeds are not ours."""
    sentences: set[str] = set()
    for key in keys:
        made = _provenance(folder_of(out, solver), key)
        if made.get("solver", OWN_SOLVER) != solver:
            raise CorruptFile(
                f"{folder_of(out, solver).joinpath(*key)} holds results of the solver"
                f" {made.get('solver', OWN_SOLVER)}, expected those of {solver}"
            )
        sentences |= set(made.get("not_offered", []))
        if made["seeds"] != _provenance(out, key)["seeds"]:
            sentences.add(f"{solver} and ours measured different seeds of {name_claim(*key)}")
    return sorted(sentences)


def _provenance(folder: Path, key: tuple[str, str]) -> dict[str, Any]:
    try:
        return read_provenance(folder.joinpath(*key, "provenance.json"))
    except FileNotFoundError as error:
        raise CorruptFile(f"{error.filename} is missing beside its verdict") from None
