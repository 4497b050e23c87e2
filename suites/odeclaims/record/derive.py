"""What a claim's own code makes of its rows: texts that can be shown, or one sentence.

Rows may come from anybody, and a claim's code expects those that it measured. What it cannot handle
is a sentence about the rows, and what it copies out of them is printable.
"""

import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from odeclaims.claim import Claim
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.statement import NOT_OF_THE_REST, Verdict, make_of_the_rest

T = TypeVar("T")

NO_TABLE = pd.DataFrame({"note": [f"There is no table: {NOT_OF_THE_REST}."]})


def judge_rows(claim: Claim, df: pd.DataFrame, data: Path) -> Verdict:
    """The claim's verdict on the rows that were read from ``data``.

    Raises:
        CorruptFile: where the claim's rules fail on them.
    """
    verdict = derive(lambda: claim.judge(df), "judged", data)
    judgements = tuple(replace(j, lacking=escape_controls(j.lacking)) for j in verdict.judgements)
    caveats = tuple(escape_controls(caveat) for caveat in verdict.caveats)
    size = escape_controls(verdict.size)
    return replace(verdict, judgements=judgements, size=size, caveats=caveats)


def tabulate_rows(claim: Claim, df: pd.DataFrame, data: Path) -> pd.DataFrame:
    """The claim's table of the rows that were read from ``data``.

    Where nothing is left for it, since rows failed, it says so.

    Raises:
        CorruptFile: where the claim cannot make it of them.
    """
    table = derive(lambda: make_of_the_rest(claim.table, df, NO_TABLE), "tabulated", data)
    if table.empty and (df["status"] != "ok").any():
        table = NO_TABLE
    return table.rename(columns=lambda name: escape_controls(str(name))).map(_escape)


def derive(make: Callable[[], T], how: str, data: Path) -> T:
    """What ``make`` returns, which is a claim's code that works on the rows of ``data``.

    Raises:
        CorruptFile: where it fails; the message says with what and in which line.
        OSError: where what it makes cannot be written.
    """
    try:
        return make()
    except (CorruptFile, OSError):
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise CorruptFile(
            f"{data}: these rows cannot be {how}: {type(error).__name__}: {error}"
            f" ({Path(where.filename).name}, line {where.lineno})"
        ) from error


def _escape(value: Any) -> Any:
    return escape_controls(value) if isinstance(value, str) else value
