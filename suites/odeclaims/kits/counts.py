"""Counts of evaluations, held against what whole steps take."""

import pandas as pd

# What dopri5 takes in a step, whose last stage is the first of the next one.
STEP = 6
# What it takes here before its first step: a slope, and a trial for the size of the step.
BEFORE = 2
OURS = {"ours", "ours_compiled"}
WHOLE_STEPS = (
    "dopri5 takes as many evaluations before every first step, here two, and six in each step,"
    " accepted or rejected"
)


def beyond_whole_steps(
    rows: pd.DataFrame, column: str = "nfe_forward", starts: str | None = None
) -> list[float]:
    """The evaluations of each solve by dopri5 that whole steps do not explain.

    Other solvers may take another number before the first step. It has to be the same in all rows,
    so that number is taken of which the fewest rows have something left.

    Args:
        rows: solves by dopri5, all by one solver.
        column: their evaluations.
        starts: the column with how often a solve started anew; once where none is named.
    """
    counts = rows[column].astype(float)
    began = rows[starts].astype(float) if starts else 1.0
    ours = set(rows["solver"]) <= OURS
    candidates = [
        (counts - before * began) % STEP for before in ([BEFORE] if ours else range(STEP))
    ]
    return list(min(candidates, key=lambda left: int((left != 0).sum())))
