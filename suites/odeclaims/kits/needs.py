"""The least evidence that a statement asks for, each need a function from rows to a sentence.

A need returns "" where the rows meet it, and otherwise says in a few words what they lack. Most
needs look at a part of the rows, which ``among`` picks.
"""

from collections.abc import Callable

import pandas as pd

from odeclaims.statement import Need

Pick = Callable[[pd.DataFrame], pd.DataFrame]


def everything(df: pd.DataFrame) -> pd.DataFrame:
    """All rows."""
    return df


def seeds(least: int, among: Pick = everything) -> Need:
    """At least so many seeds."""

    def need(df: pd.DataFrame) -> str:
        count = among(df)["repetition"].nunique()
        return "" if count >= least else f"{count} of at least {least} seeds"

    return need


def floor(column: str, at_most: float, what: str, among: Pick = everything) -> Need:
    """A quality: the median over the rows of a column is at most so much.

    Args:
        column: the column, such as a loss or a test error.
        at_most: the largest median that is good enough.
        what: what the column holds, as the subject of "<what> is 0.4, at most 0.02 needed".
        among: the rows; there must be some.
    """

    def need(df: pd.DataFrame) -> str:
        middle = among(df)[column].median()
        return "" if middle <= at_most else f"{what} is {middle:.3g}, at most {at_most:g} needed"

    return need


def budget(among: Pick = everything, **least: int) -> Need:
    """A training of at least this size, such as ``epochs=5, images=60_000``.

    Each number is compared with the largest in the column of its name.
    """

    def need(df: pd.DataFrame) -> str:
        rows = among(df)
        spent = {column: float(rows[column].max()) for column in least}
        if all(spent[column] >= number for column, number in least.items()):
            return ""
        had = " of ".join(f"{number:g} {column}" for column, number in spent.items())
        return f"{had}, at least {' of '.join(f'{number:g}' for number in least.values())} needed"

    return need


def share(
    passing: Pick,
    among: Pick,
    what: str,
    *,
    least_share: float = 1.0,
    least: int = 0,
) -> Need:
    """At least this share of the seeds among some rows, and at least so many, pass a check.

    Args:
        passing: the rows that pass, one a seed.
        among: the rows whose seeds are counted.
        what: what the seeds that pass have, as in "3 of 5 seeds <what>".
        least_share: of the seeds.
        least: seeds.
    """

    def need(df: pd.DataFrame) -> str:
        count, total = len(passing(df)), among(df)["repetition"].nunique()
        if count >= max(least, least_share * total):
            return ""
        return f"{count} of {total} seeds {what}"

    return need


def span(column: str, factor: float, what: str, among: Pick = everything) -> Need:
    """The largest value of a column is at least so many times its smallest.

    Args:
        column: the column.
        factor: the least ratio.
        what: what the column holds, as the subject of "<what> a factor of 8".
        among: the rows that are looked at.
    """

    def need(df: pd.DataFrame) -> str:
        values = among(df)[column]
        reached = values.max() / values.min() if len(values) else 0
        return (
            ""
            if reached >= factor
            else f"{what} a factor of {reached:.3g}, at least {factor:g} needed"
        )

    return need


def all_ok(among: Pick, what: str) -> Need:
    """There are such rows, and every one was measured without a failure.

    Args:
        among: the rows.
        what: what a row stands for, as in "3 of 4 <what> could be judged".
    """

    def need(df: pd.DataFrame) -> str:
        rows = among(df)
        count = int((rows["status"] == "ok").sum())
        return (
            "" if count >= max(1, len(rows)) else f"{count} of {len(rows)} {what} could be judged"
        )

    return need


def all_spent(least: int, column: str, who: str, among: Pick) -> Need:
    """Every row has at least so much in a column.

    Args:
        least: the least that is enough.
        column: the column, whose name ends the sentence "<who> had 400 of at least 10000 <column>".
        who: what the rows belong to.
        among: the rows; there must be some.
    """

    def need(df: pd.DataFrame) -> str:
        spent = int(among(df)[column].min())
        return "" if spent >= least else f"{who} had {spent} of at least {least} {column}"

    return need
