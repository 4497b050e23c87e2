"""The rows of the speed suite: what their columns mean, and how they are read back."""

from pathlib import Path

import pandas as pd

from odeclaims.backends import GRADIENTS
from odeclaims.claim import Column
from odeclaims.record.older_pandas import EXACTLY
from odeclaims.speed.cases import FIELD, NO_GRADIENT, VJP
from odeclaims.workloads import WORKLOADS

FOLDER = Path("results/speed")
FILE = "data.csv"

COLUMNS = {
    "pass": Column("number of the pass over all cases, from 0"),
    "position": Column("place of the case in the shuffled order of its pass, from 0"),
    "workload": Column("name of the workload"),
    "backend": Column("name of the backend; `field` is the torch field alone, without a solver"),
    "gradient": Column(
        "way to the gradient; `none` is the forward solve, and for `field` one evaluation; `vjp` is"
        " one evaluation with its vector-Jacobian product"
    ),
    "tol": Column("relative and absolute tolerance"),
    "own": Column("whether it is the workload's own tolerance"),
    "time_s": Column("median over the rounds of this pass, seconds", varies=True),
    "iqr_s": Column("interquartile range over the rounds of this pass, seconds", varies=True),
    "rounds": Column("rounds in this pass", varies=True),
    "first_s": Column("seconds of the first call, at the workload's own tolerance", varies=True),
    "compile_s": Column("seconds of it spent compiling; empty where nothing is", varies=True),
    "nfe_forward": Column("field evaluations of the forward solve"),
    "nfe_backward": Column(
        "evaluations with their vector-Jacobian product on the way back; empty where nothing is"
        " evaluated again or the backend does not say"
    ),
    "peak_bytes": Column(
        "peak of torch's allocator beyond what was there before, at the workload's own tolerance",
        varies=True,
    ),
    "error": Column("relative L2 error of the states after the first output time"),
    "gradient_error": Column("relative L2 error of the gradient, all parts as one vector"),
    "reference_error": Column(
        "relative L2 distance of the reference from a looser one, the larger of states and gradient"
    ),
}
# What tells cases apart, and what tells the lines of a diagram apart.
KEYS = ["workload", "backend", "gradient", "tol"]
ARM = ["backend", "gradient"]


def read_rows(folder: Path) -> pd.DataFrame:
    """The rows of a run, sorted.

    Raises:
        FileNotFoundError: if nothing was measured.
        ValueError: if the columns are not those of this suite.
    """
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; `tox run -e speed` makes it")
    df = pd.read_csv(path, **EXACTLY)
    if list(df.columns) != list(COLUMNS):
        wrong = sorted(set(df.columns) ^ set(COLUMNS)) or ["their order"]
        raise ValueError(f"{path}: its columns differ from the suite's in {', '.join(wrong)}")
    return sort_rows(df)


def sort_rows(df: pd.DataFrame) -> pd.DataFrame:
    """The rows by workload, backend (the field first), gradient, and tolerance (loosest first)."""
    ranks = {
        "workload": {name: place for place, name in enumerate(WORKLOADS)},
        "gradient": {name: place for place, name in enumerate((NO_GRADIENT, VJP, *GRADIENTS))},
        "backend": {FIELD: ""},
    }

    def rank(column: pd.Series) -> pd.Series:
        known = ranks.get(str(column.name), {})
        return (
            -column if column.name == "tol" else column.map(lambda value: known.get(value, value))
        )

    return df.sort_values([*KEYS, "pass"], key=rank, ignore_index=True)


def solver_rows(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of the solvers, without those of the field alone."""
    return df[df["backend"] != FIELD]
