"""Results on disk: whole or absent, never half; corrupt files are named and set aside."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odeclaims.claim import Column
from odeclaims.record.files import CorruptFile
from odeclaims.record.frame import frame
from odeclaims.record.results import Results
from tests.odeclaims.toy_claims import PROVENANCE, make_claim

CLAIM = make_claim(columns={"x": Column("a number"), "word": Column("a word")})
OTHER = PROVENANCE | {"commit": "b" * 40}
ROW = {
    "x": 0.1,
    "word": "a",
    "status": "ok",
    "repetition": 0,
    "seed": 2**62,
    "device": "cpu",
    "solver": "ours",
}


@pytest.fixture
def results(tmp_path) -> Results:
    made = Results(tmp_path, "quick", CLAIM)
    made.write(frame(CLAIM, [ROW, ROW | {"x": 1 / 3}]), PROVENANCE)
    return made


def test_rows_read_back_as_they_were(results):
    df = results.read()
    assert list(df["x"]) == [0.1, 1 / 3]
    assert list(df["seed"]) == [2**62] * 2
    verdict = json.loads((results.folder / "verdict.json").read_text())
    assert verdict["summary"] == "1 of 1 reproduced"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text[: len(text) // 2], "data.csv"),
        (lambda text: "".join(text.splitlines(keepends=True)[:-1]), r"1 rows .* \(2 rows\)"),
        (lambda text: text.replace("word", "wrod"), "differ in word, wrod"),
        (lambda text: text.replace("0.1,", "0.2,"), "not the content"),
        (lambda text: text.replace("ok", "fine"), "status column holds"),
        (lambda text: "", "empty"),
    ],
)
def test_a_spoilt_csv_is_named_and_set_aside(results, spoil, says):
    spoilt = spoil(results.data.read_text())
    results.data.write_text(spoilt)
    with pytest.raises(CorruptFile, match=says):
        results.read()
    assert not results.data.exists()
    assert results.data.with_name("data.csv.corrupt-1").read_text() == spoilt


def test_a_write_that_is_cut_off_before_the_provenance_leaves_the_old_rows(results, monkeypatch):
    before = results.read()

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("odeclaims.record.results.write_json", cut)
        with pytest.raises(KeyboardInterrupt):
            results.write(frame(CLAIM, [ROW | {"x": 0.5}]), OTHER)
    assert results.read().equals(before)
    assert json.loads(results.provenance.read_text())["commit"] == "a" * 40
    assert not list(results.folder.glob("*.corrupt*"))


def test_a_write_that_is_cut_off_after_the_provenance_is_finished_by_a_reader(results, monkeypatch):
    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("odeclaims.record.results.Results._move_on", cut)
        with pytest.raises(KeyboardInterrupt):
            results.write(frame(CLAIM, [ROW | {"x": 0.5}]), OTHER)
    assert json.loads(results.provenance.read_text())["commit"] == "b" * 40
    assert list(results.read()["x"]) == [0.5]
    assert not list(results.folder.glob("*.corrupt*"))


@pytest.mark.parametrize("when", ["after the provenance is read", "when the rows are read"])
@pytest.mark.parametrize("moved", [True, False])
def test_a_reader_beside_a_run_that_writes_reads_the_new_rows(results, monkeypatch, when, moved):
    """The run writes a pair, or its provenance alone, while the reader holds the old provenance."""
    real, beside = Results.read_provenance, Results(results.out, "quick", CLAIM)
    writes = iter([True])

    def write() -> None:
        if next(writes, False):
            with monkeypatch.context() as patched:
                if not moved:
                    patched.setattr(Results, "_move_on", stop)
                with suppress(KeyboardInterrupt):
                    beside.write(frame(CLAIM, [ROW | {"x": 0.5}]), OTHER)

    def read_provenance(self: Results) -> dict:
        made = real(self)
        if self is results and when == "after the provenance is read":
            write()
        return made

    def read_bytes(path: Path, read=Path.read_bytes) -> bytes:
        if path == results.data and when == "when the rows are read":
            write()
        return read(path)

    monkeypatch.setattr(Results, "read_provenance", read_provenance)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert list(results.read()["x"]) == ([0.5] if moved else [0.1, 1 / 3])
    assert next(writes, None) is None
    assert list(results.read()["x"]) == [0.5]
    assert not list(results.folder.glob("*.corrupt*"))


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_rows_of_before_are_not_set_aside_while_a_run_puts_the_new_ones_in_place(
    results, monkeypatch
):
    """The reader has the new provenance, and the old rows that are there until the run goes on."""
    with monkeypatch.context() as patched:
        patched.setattr(Results, "_move_on", stop)
        with suppress(KeyboardInterrupt):
            results.write(frame(CLAIM, [ROW | {"x": 0.5}]), OTHER)
    real, calls = Results._move_on, iter([True])
    # The reader looked for next rows just before they were there.
    monkeypatch.setattr(Results, "_move_on", lambda self: next(calls, None) or real(self))
    assert list(results.read()["x"]) == [0.5]
    assert not list(results.folder.glob("*.corrupt*"))


def test_a_spoilt_provenance_is_set_aside_and_the_rows_stay(results):
    rows = results.data.read_text()
    results.provenance.write_text("{")
    with pytest.raises(
        CorruptFile, match=r"provenance.json is not JSON.*provenance.json.corrupt-1"
    ):
        results.read()
    with pytest.raises(
        FileNotFoundError, match=r"provenance.json does not exist.*odeclaims run toy"
    ):
        results.read()
    assert results.data.read_text() == rows


def test_missing_results_say_how_to_make_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="odeclaims run toy"):
        Results(tmp_path, "quick", CLAIM).read()


# --- every way in which a file can be spoilt


WHOLE = [
    ROW | {"x": value, "word": word}
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
    made.write(frame(CLAIM, WHOLE), PROVENANCE)
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


@settings(max_examples=4 * settings().max_examples)
@given(place=st.integers(0, 300), removed=st.integers(0, 5), added=st.binary(max_size=5))
def test_any_other_change_is_never_used(whole, place, removed, added):
    folder, content = whole
    spoilt(folder, content, lambda x: x[:place] + added + x[place + removed :])
