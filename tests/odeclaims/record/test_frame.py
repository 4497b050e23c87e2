"""Whatever the rows are: they read back from the CSV as they were, or are refused."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odeclaims.cell import Scalar
from odeclaims.claim import Column
from odeclaims.record.frame import frame, read_csv
from odeclaims.record.results import Results
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Statement
from tests.odeclaims.record.strategies import finite, texts
from tests.odeclaims.toy_claims import PROVENANCE, make_claim


def count(df: pd.DataFrame) -> list[int]:
    return [len(df)]


CLAIM = make_claim(
    columns={"value": Column("anything"), "word": Column("a word, so that no row is empty")},
    STATEMENTS=[
        Statement("rows", "there are rows", count, Exact(Bounds(1)), "a test", central=True)
    ],
)
COMMON = {
    "word": "a",
    "status": "ok",
    "repetition": 0,
    "seed": 2**62,
    "device": "cpu",
    "solver": "ours",
}


def columns(values, **sizes):
    return st.lists(values, min_size=1, max_size=6, **sizes)


# An older pandas ends a text at a NUL, so that a frame refuses such a text.
KEEPS_NUL = read_csv("text\n\0\n")["text"].tolist() == ["\0"]
kept = texts.filter(lambda text: KEEPS_NUL or "\0" not in text)

# What the values of one column may be, and still survive, all of them at once.
COLUMNS = {
    "whole numbers of 64 bits": columns(st.integers(-(2**63), 2**63 - 1)),
    "larger ones": columns(st.integers(0, 2**64 - 1)),
    "numbers": columns(finite),
    "numbers with gaps": columns(finite | st.none()),
    "whole numbers with gaps, where a float is exact": columns(
        st.integers(-(2**53), 2**53) | st.none()
    ),
    "truth values with gaps": columns(st.booleans() | st.none()),
    # A text alone may look like a number, and a column of such texts is one of numbers.
    "texts with gaps, one of which is a word": columns(kept | st.none()).map(lambda x: [*x, "a"]),
    "infinities": columns(finite | st.sampled_from([math.inf, -math.inf])),
}


def survived(value: Scalar, found: Any) -> bool:
    """A gap is a gap, text stays text, and a number has the same value and sign."""
    if value is None:
        return found is None or found != found
    if isinstance(value, str) or isinstance(found, str):
        return type(value) is type(found) and value == found
    same_sign = math.copysign(1, float(value)) == math.copysign(1, float(found))
    return value == found and same_sign


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.mark.parametrize("kind", COLUMNS)
def test_rows_survive_the_csv(folder, kind):
    @given(values=COLUMNS[kind])
    def check(values):
        made = Results(folder, "quick", CLAIM)
        made.write(frame(CLAIM, [COMMON | {"value": value} for value in values]), PROVENANCE)
        df = made.read()
        found = df["value"].tolist()
        assert all(map(survived, values, found)), found
        assert df["seed"].tolist() == [2**62] * len(values)
        # To write what was read changes nothing.
        text = made.data.read_bytes()
        made.write(df, PROVENANCE)
        assert made.data.read_bytes() == text

    check()


@pytest.mark.parametrize(
    "values",
    [["007", "1"], ["1e5"], ["True"], ["inf"], [1, True], ["a", 1], [2**62 + 1, None], [2**63, -1],
     [2**53 + 1, 0.5]],
)  # fmt: skip
def test_what_would_not_survive_is_refused(values):
    with pytest.raises(ValueError, match=r"in the column value, which would read back .* as"):
        frame(CLAIM, [COMMON | {"value": value} for value in values])


def test_a_column_nobody_described_is_refused():
    with pytest.raises(ValueError, match="measures y, which its columns do not describe"):
        frame(CLAIM, [COMMON | {"value": 1, "y": 1}])
