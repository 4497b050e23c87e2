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
    made = {
        name: {key: _made(name, key, out) for key in verdicts if key in ours}
        for name, verdicts in others.items()
    }
    rows = [row for key in shared for row in _statements(key, ours[key], others, made)]
    lacking = {
        name: sorted({sentence for key in each for sentence in _lacking(name, key, each[key], out)})
        for name, each in made.items()
    }
    return BySolver(pd.DataFrame(rows), lacking)


def _of_profile(folder: Path, profile: str | None) -> Verdicts:
    # A run that was stopped leaves cells and no verdict.
    with suppress(FileNotFoundError):
        verdicts = read_verdicts(folder)
        return {key: each for key, each in verdicts.items() if profile in (None, key[0])}
    return {}


def _statements(
    key: tuple[str, str],
    ours: dict[str, Any],
    others: dict[str, Verdicts],
    made: dict[str, dict[tuple[str, str], dict[str, Any]]],
) -> list[dict[str, object]]:
    """A row for each of our statements, with its outcome on every solver."""
    ran = [name for name, verdicts in others.items() if key in verdicts]
    outcomes = {
        name: {s["name"]: s["outcome"] for s in others[name][key]["statements"]} for name in ran
    }
    lacks = {name: bool(made[name][key].get("not_offered")) for name in ran}
    return [
        {
            "claim": name_claim(*key),
            "statement": s["name"],
            "text": s["text"],
            "central": s["central"],
            OWN_SOLVER: s["outcome"],
            **{
                name: _outcome(s["outcome"], outcomes[name].get(s["name"], ""), lacks[name])
                if name in ran
                else ""
                for name in others
            },
        }
        for s in ours["statements"]
    ]


def _outcome(ours: str, theirs: str, lacks: bool) -> str:
    """The outcome of a statement on another solver, beside ours on the same seeds.

    What our own rows cannot decide either is not for want of something that the solver lacks. What
    they can decide, and those of a solver that lacks something cannot, is.
    """
    if theirs == "not offered" and ours == "insufficient":
        return ours
    if theirs == "insufficient" and ours != "insufficient" and lacks:
        return "not offered"
    return theirs


def _made(solver: str, key: tuple[str, str], out: Path) -> dict[str, Any]:
    """What made a result of a solver."""
    folder = folder_of(out, solver)
    made = _provenance(folder, key)
    there = made.get("solver", OWN_SOLVER)
    if there != solver:
        raise CorruptFile(
            f"{folder.joinpath(*key)} holds results of the solver {there}, expected those of"
            f" {solver}"
        )
    return made


def _lacking(solver: str, key: tuple[str, str], made: dict[str, Any], out: Path) -> list[str]:
    """What a run of a solver asked for and did not get, and whether its seeds are not ours."""
    sentences = list(made.get("not_offered", []))
    if made["seeds"] != _provenance(out, key)["seeds"]:
        sentences.append(f"{solver} and ours measured different seeds of {name_claim(*key)}")
    return sentences


def _provenance(folder: Path, key: tuple[str, str]) -> dict[str, Any]:
    try:
        return read_provenance(folder.joinpath(*key, "provenance.json"))
    except FileNotFoundError as error:
        raise CorruptFile(f"{error.filename} is missing beside its verdict") from None
