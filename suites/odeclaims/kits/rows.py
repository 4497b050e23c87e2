"""Which of a claim's rows are meant: filters that judging and showing share."""

from typing import Any

import pandas as pd

from odeclaims.kits.constants import RECONSTRUCTION_LIMIT


def of(df: pd.DataFrame, **equal: Any) -> pd.DataFrame:
    """The rows with these values in these columns; a list means one of its values.

    Example: ``of(df, kind="result", arm=["node", "anode"])``.
    """
    for column, value in equal.items():
        keep = df[column].isin(value) if isinstance(value, list | tuple) else df[column] == value
        df = df[keep]
    return df


def ok(df: pd.DataFrame, **equal: Any) -> pd.DataFrame:
    """The rows that were measured without a failure, with these values in these columns."""
    return of(df, status="ok", **equal)


def reversible(df: pd.DataFrame) -> pd.DataFrame:
    """The rows whose flow passes the reconstruction check: solved back, it ends at the start."""
    return df[df["reconstruction_error"] < RECONSTRUCTION_LIMIT]


def irreversible(df: pd.DataFrame) -> pd.DataFrame:
    """The rows whose flow fails the reconstruction check; a row without the check is not one."""
    return df[df["reconstruction_error"] >= RECONSTRUCTION_LIMIT]


def repetitions(df: pd.DataFrame) -> int:
    """How many different seeds the rows come from."""
    return int(df["repetition"].nunique())


def valid(df: pd.DataFrame) -> pd.DataFrame:
    """The rows whose solve passes all of the validity checks."""
    return df[df["valid"].eq(True)]
