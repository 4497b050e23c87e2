"""The table of claims on several solvers, as Markdown."""

from collections.abc import Sequence

import pandas as pd

from odeclaims.cell import OWN_SOLVER
from odeclaims.record.files import escape_controls
from odeclaims.record.solvers import BySolver
from odeclaims.report.tables import markdown
from odeclaims.statement import summarise


def solvers_markdown(compared: BySolver) -> str:
    """The text of ``README.md`` in the folder of the other solvers.

    A line for each claim, one for each statement, what each solver lacks, and what differs.
    """
    solvers = [OWN_SOLVER, *compared.solvers]
    summaries = [f"- {compared.summary(solver)}" for solver in compared.solvers]
    parts = [
        "# The claims on other solvers",
        "Written by `odeclaims tables` from the verdicts in this folder and those of this project's"
        " solver beside it. `odeclaims compare --by solver` shows the same in a terminal. The page"
        " [Other solvers](../../docs/solvers.md) says how they are run and why outcomes differ.",
        "\n".join(summaries),
        "## Central statements",
        markdown(_overview(compared.statements, solvers)),
        "## Every statement",
        markdown(_outcomes(compared.statements, solvers)),
    ]
    for solver, sentences in compared.lacking.items():
        if sentences:
            parts += [f"## What {solver} was asked for and does not offer", _listed(sentences)]
    return "\n\n".join(parts) + "\n"


def _overview(statements: pd.DataFrame, solvers: Sequence[str]) -> pd.DataFrame:
    """For each claim how its central statements come out on each solver."""
    central = statements[statements["central"]]
    return pd.DataFrame(
        {"claim": claim, **{solver: _summary(list(rows[solver])) for solver in solvers}}
        for claim, rows in central.groupby("claim", sort=False)
    )


def _summary(outcomes: list) -> str:
    return summarise(outcomes) if all(outcomes) else "not run"


def _outcomes(statements: pd.DataFrame, solvers: Sequence[str]) -> pd.DataFrame:
    central = statements["central"].map({True: "yes", False: "no"})
    shown = statements.assign(statement=statements["text"], central=central)
    return shown[["claim", "statement", "central", *solvers]].replace("", "not run")


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape_controls(sentence)}." for sentence in sentences)
