"""Results on disk: whole or absent, never half; corrupt files are named and set aside."""

import json

import pytest
from matplotlib.figure import Figure
from odeclaims.store import CellStore, CorruptFile, Results, frame, set_aside, write_text

from odeclaims.claim import Bounds, Cell, Claim, Column, Criterion

CLAIM = Claim(
    slug="toy",
    title="A toy",
    statement="x is small.",
    source="nowhere",
    ledger=[],
    deviations=[],
    columns={"x": Column("a number"), "word": Column("a word")},
    cells=lambda profile: [Cell("toy", {})],
    measure=lambda cell: [],
    criteria=[Criterion("x", lambda df: df["x"], Bounds(at_most=1), "a test", statistic="max")],
    figure=lambda df: Figure(),
    table=lambda df: df,
)
ROW = {"x": 0.1, "word": "a", "status": "ok", "repetition": 0, "seed": 2**62, "device": "cpu"}


@pytest.fixture
def results(tmp_path) -> Results:
    made = Results(tmp_path, "quick", CLAIM)
    made.write(frame(CLAIM, [ROW, ROW | {"x": 1 / 3}]), {"commit": "abc"})
    return made


def test_rows_read_back_as_they_were(results):
    df = results.read()
    assert list(df["x"]) == [0.1, 1 / 3]
    assert list(df["seed"]) == [2**62] * 2
    verdict = json.loads((results.folder / "verdict.json").read_text())
    assert verdict["outcome"] == "reproduced"


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
        patched.setattr("odeclaims.store.write_json", cut)
        with pytest.raises(KeyboardInterrupt):
            results.write(frame(CLAIM, [ROW | {"x": 0.5}]), {"commit": "def"})
    assert results.read().equals(before)
    assert json.loads(results.provenance.read_text())["commit"] == "abc"
    assert not list(results.folder.glob("*.corrupt*"))


def test_a_write_that_is_cut_off_after_the_provenance_is_finished_by_a_reader(results, monkeypatch):
    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("odeclaims.store.Results._move_on", cut)
        with pytest.raises(KeyboardInterrupt):
            results.write(frame(CLAIM, [ROW | {"x": 0.5}]), {"commit": "def"})
    assert json.loads(results.provenance.read_text())["commit"] == "def"
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


def test_a_column_nobody_described_is_refused():
    with pytest.raises(ValueError, match="measures y, which its columns do not describe"):
        frame(CLAIM, [ROW | {"y": 1}])


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_set_aside_never_overwrites(tmp_path):
    names = []
    for text in ("one", "two"):
        path = tmp_path / "data.csv"
        path.write_text(text)
        names.append(set_aside(path))
    assert [p.read_text() for p in names] == ["one", "two"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 0}',
        '{"format": 2, "key": "k"}',
        '{"format": 2, "key": "k", "rows": []}',
    ],
)
def test_a_spoilt_cell_is_set_aside_and_reported(tmp_path, content):
    store, cell = CellStore(tmp_path), Cell("toy", {})
    store.write(cell, "k", {"rows": []})
    record, problem = store.read(cell, "k")
    assert record is not None
    assert not problem
    store.path(cell, "k").write_text(content)
    record, problem = store.read(cell, "k")
    assert record is None
    assert "set aside as k.json.corrupt-1" in problem
    assert store.read(cell, "k") == (None, "")


def test_a_cell_with_a_single_other_digit_is_set_aside(tmp_path):
    store, cell = CellStore(tmp_path), Cell("toy", {})
    record = {"rows": [{"x": 0.1, "word": "é", "y": float("nan"), "n": 2**62}], "commit": None}
    store.write(cell, "k", record)
    found, _ = store.read(cell, "k")
    assert found is not None
    assert str(found["rows"]) == str(record["rows"])
    path = store.path(cell, "k")
    path.write_text(path.read_text().replace("0.1", "0.2"))
    found, problem = store.read(cell, "k")
    assert found is None
    assert "not the one that was written; set aside as k.json.corrupt-1" in problem
