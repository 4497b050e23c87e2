"""Rows as a frame, and a frame as CSV: what is written reads back as what was measured."""

import io
from typing import Any

import pandas as pd

from odeclaims.cell import Row, Scalar
from odeclaims.claim import Claim
from odeclaims.record.older_pandas import EXACTLY


def to_csv(df: pd.DataFrame) -> str:
    """The rows as CSV; every gap is an empty field."""
    return df.to_csv(index=False, lineterminator="\n")


def read_csv(text: str) -> pd.DataFrame:
    """The rows of a CSV; only an empty field is a gap, not a text such as NA, and \\r is text."""
    df = pd.read_csv(
        io.StringIO(text),
        lineterminator="\n",
        keep_default_na=False,
        na_values=[""],
        low_memory=False,
        **EXACTLY,
    )
    # As read, each column is a block of its own, so that selecting rows takes twice as long.
    return df.copy()


def _survives(value: Scalar, found: Any) -> bool:
    """Whether what reads back is what was measured: None, NaN and an empty text are all gaps."""
    if value is None or value == "" or value != value:
        return bool(pd.isna(found))
    return isinstance(value, str) == isinstance(found, str) and bool(value == found)


def frame(claim: Claim, rows: list[Row]) -> pd.DataFrame:
    """The rows as a frame with the claim's columns.

    A CSV knows no types: a column of texts that all look like numbers reads back as numbers, whole
    numbers beyond 2^53 beside a gap or a fraction are rounded, and so on.

    Raises:
        ValueError: for a row with a column that the claim does not describe, or with a value that
            would not read back as it is.
    """
    undescribed = sorted({name for row in rows for name in row} - set(claim.all_columns))
    if undescribed:
        raise ValueError(
            f"claim {claim.slug} measures {', '.join(undescribed)}, which its columns do not"
            " describe"
        )
    df = pd.DataFrame(rows, columns=list(claim.all_columns))
    back = read_csv(to_csv(df))
    for name in df.columns:
        for row, found in zip(rows, back[name], strict=True):
            if not _survives(row.get(name), found):
                raise ValueError(
                    f"claim {claim.slug} measures {row[name]!r} in the column {name}, which would"
                    f" read back from the CSV as {found!r}; a column holds one kind of value, and"
                    " text that does not look like numbers alone"
                )
    return df
