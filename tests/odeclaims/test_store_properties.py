"""Whatever the rows are: they read back as they were, and a spoilt file is never used."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from odeclaims.store import CellStore, CorruptFile, Results, frame

from odeclaims.claim import Bounds, Cell, Claim, Column, Criterion, Scalar

CLAIM = Claim(
    slug="toy",
    title="A toy",
    statement="There are rows.",
    source="nowhere",
    ledger=[],
    deviations=[],
    columns={"value": Column("anything"), "word": Column("a word, so that no row is empty")},
    cells=lambda profile: [Cell("toy", {})],
    measure=lambda cell: [],
    criteria=[Criterion("rows", lambda df: [len(df)], Bounds(at_least=1), "a test")],
    figure=lambda df: Figure(),
    table=lambda df: df,
)
COMMON = {"word": "a", "status": "ok", "repetition": 0, "seed": 2**62, "device": "cpu"}
MANY = settings(max_examples=4 * settings().max_examples)

finite = st.floats(allow_nan=False, allow_infinity=False)
# What a surrogate alone stands for is no text, and cannot be written as UTF-8.
letters = st.characters(exclude_categories=["Cs"])
tricky = st.sampled_from(
    ["007", "1e5", "+1", " 1", "nan", "NA", "N/A", "None", "NULL", "<NA>", "inf", "True", "-", "\\",
     "\r", "\n", "\r\n", ",", '"', '""', "'", "\0", "\ufeff", "#", " ", "é\u2028", "=1+1", "\x1a"]
)  # fmt: skip
texts = st.text(letters, min_size=1, max_size=8) | tricky | st.tuples(tricky, tricky).map("".join)


def columns(values, **sizes):
    return st.lists(values, min_size=1, max_size=6, **sizes)


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
    "texts with gaps, one of which is a word": columns(texts | st.none()).map(lambda x: [*x, "a"]),
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
        made.write(frame(CLAIM, [COMMON | {"value": value} for value in values]), {})
        df = made.read()
        found = df["value"].tolist()
        assert all(map(survived, values, found)), found
        assert df["seed"].tolist() == [2**62] * len(values)
        # To write what was read changes nothing.
        text = made.data.read_bytes()
        made.write(df, {})
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


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.just("")
)


@given(
    rows=st.lists(st.dictionaries(texts, scalars, max_size=4), max_size=4),
    params=st.dictionaries(texts, scalars, max_size=3),
)
def test_cells_survive_their_files(folder, rows, params):
    """Every type as it was, empty and numeric texts too, since JSON tells them apart."""
    store, cell = CellStore(folder), Cell("toy", params)
    key = cell.key("source")
    store.write(cell, key, {"rows": rows})
    record, problem = store.read(cell, key)
    assert record is not None
    assert problem == ""
    assert repr(record["rows"]) == repr(rows)


WHOLE = [
    COMMON | {"value": value, "word": word}
    for value, word in [(0.1, 'q"q'), (None, "a,b"), (-1e-300, "two\nlines"), (1 / 3, "é\r")]
]


def spoilt(folder: Path, content: bytes, spoil) -> None:
    """What is not what was written is named, never used, and kept under another name."""
    made = Results(folder, "quick", CLAIM)
    made.data.write_bytes(content)
    made.read()
    changed = spoil(content)
    if changed == content:
        return
    made.data.write_bytes(changed)
    with pytest.raises(CorruptFile, match=r"data\.csv") as caught:
        made.read()
    assert not made.data.exists()
    (aside,) = made.folder.glob("data.csv.corrupt-*")
    assert aside.name in str(caught.value)
    assert aside.read_bytes() == changed
    aside.unlink()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, bytes]:
    """A folder with results, and the bytes of its CSV."""
    made = Results(tmp_path_factory.mktemp("whole"), "quick", CLAIM)
    made.write(frame(CLAIM, WHOLE), {})
    return made.out, made.data.read_bytes()


def test_a_changed_byte_is_never_used(whole):
    """Of every byte one bit, and of every line's end each."""
    folder, content = whole
    for place, byte in enumerate(content):
        bits = range(8) if byte in b"\r\n" else [place % 8]
        for bit in bits:
            flipped = bytes([byte ^ (1 << bit)])
            spoilt(folder, content, lambda x, p=place, f=flipped: x[:p] + f + x[p + 1 :])


def test_half_a_file_is_never_used(whole):
    folder, content = whole
    for length in range(len(content)):
        spoilt(folder, content, lambda x, n=length: x[:n])


@MANY
@given(place=st.integers(0, 300), removed=st.integers(0, 5), added=st.binary(max_size=5))
def test_any_other_change_is_never_used(whole, place, removed, added):
    folder, content = whole
    spoilt(folder, content, lambda x: x[:place] + added + x[place + removed :])


@given(length=st.integers(0, 300))
def test_a_cut_cell_is_measured_again(folder, length):
    store, cell = CellStore(folder), Cell("toy", {})
    store.write(cell, "key", {"rows": WHOLE})
    path = store.path(cell, "key")
    content = path.read_bytes()
    assume(length < len(content) - 1)
    path.write_bytes(content[:length])
    record, problem = store.read(cell, "key")
    assert record is None
    (aside,) = path.parent.glob("key.json.corrupt-*")
    assert aside.name in problem
    aside.unlink()
