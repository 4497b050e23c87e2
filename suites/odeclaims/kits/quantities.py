"""What statements judge, from rows: attempts of seeds, and differences of paired seeds."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from odeclaims.rules import Attempts
from odeclaims.statement import Size

# What dopri5 takes in a step, whose last stage is the first of the next one.
STEP = 6
# What it takes here before its first step: a slope, and a trial for the size of the step.
BEFORE = 2
OURS = {"ours", "ours_compiled"}
WHOLE_STEPS = (
    "dopri5 takes as many evaluations before every first step, two on this project's solver, and"
    " six in each step, accepted or rejected"
)

# From rows to one truth value for each.
Test = Callable[[pd.DataFrame], pd.Series]


def by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the repetition as the index.

    Raises:
        ValueError: where two rows have one repetition.
    """
    indexed = rows.set_index("repetition").sort_index()
    if indexed.index.has_duplicates:
        twice = indexed.index[indexed.index.duplicated()][0]
        raise ValueError(f"repetition {twice} has two rows where one is expected")
    return indexed


def attempts(rows: pd.DataFrame, does: Test, again: pd.DataFrame | None = None) -> Attempts:
    """Which seeds do something.

    Args:
        rows: one a valid seed.
        does: whether a seed's row shows it.
        again: the same seeds solved again at a tighter tolerance; a seed that is not among them is
            not confirmed.
    """
    seeds = by_seed(rows)
    done = tuple(bool(each) for each in does(seeds))
    if again is None:
        return Attempts(done)
    confirmed = does(by_seed(again)).reindex(seeds.index, fill_value=False)
    return Attempts(done, tuple(bool(each) for each in confirmed))


def differences(rows: pd.DataFrame, others: pd.DataFrame, column: str) -> np.ndarray:
    """A column less that of the same seed among the others; a seed that one lacks is left out."""
    pairs = by_seed(rows)[column] - by_seed(others)[column]
    return pairs.dropna().to_numpy(dtype=float)


def log_ratios(rows: pd.DataFrame, others: pd.DataFrame, column: str) -> np.ndarray:
    """As ``differences``, of the natural logarithms, for what is compared by a factor."""
    one, other = (by_seed(each)[column].astype(float) for each in (rows, others))
    return np.log((one / other).dropna().to_numpy(dtype=float))


def beyond_whole_steps(
    rows: pd.DataFrame, column: str = "nfe_forward", starts: str | None = None
) -> list[float]:
    """The evaluations of each solve by dopri5 that whole steps do not explain.

    Another solver may take another number before the first step. It has to be the same in all rows,
    so that number is taken of which the fewest rows have something left. Rows that name no solver
    are held to the number of ours.

    Args:
        rows: solves by dopri5, all by one solver.
        column: their evaluations.
        starts: the column with how often a solve started anew; once where none is named.
    """
    counts = rows[column].astype(float)
    began = rows[starts].astype(float) if starts else 1.0
    others = set(rows["solver"].dropna()) - OURS
    possible = range(STEP) if others else [BEFORE]
    candidates = [(counts - before * began) % STEP for before in possible]
    return list(min(candidates, key=lambda left: int((left != 0).sum())))


def _whole(df: pd.DataFrame) -> float:
    return 1.0


# What holds by proof, and is only computed, has no size that a measurement could fall short of.
MATHEMATICS = Size("a statement of mathematics, of no size", _whole)


def chances_below_zero(values: pd.Series, errors: pd.Series) -> list[float]:
    """For each value that cannot be negative, how likely its error alone makes it so small.

    Args:
        values: means over many points.
        errors: their standard errors.

    Returns:
        The normal p-value of each times how many there are, at most 1: among so many values one
        is far below zero by chance.
    """
    from scipy import stats

    chances = stats.norm.cdf(np.asarray(values, dtype=float) / np.asarray(errors, dtype=float))
    return [min(1.0, len(chances) * float(chance)) for chance in chances]


def chances_of_scores(scores: pd.Series) -> list[float]:
    """How likely the errors of unbiased means are, in units of their standard errors.

    Returns:
        Two p-values: of Kolmogorov's and Smirnov's test against the standard normal, which looks at
        all; and that of the one farthest from zero times how many there are, at most 1.
    """
    from scipy import stats

    values = np.asarray(scores, dtype=float)
    farthest = 2 * float(stats.norm.sf(np.abs(values).max())) * len(values)
    return [float(stats.kstest(values, "norm").pvalue), min(1.0, farthest)]
