"""Results on disk: whole or absent, never half; corrupt files are named and set aside."""

import json

import pytest
from matplotlib.figure import Figure

from odeclaims.claim import Bounds, Cell, Claim, Column, Criterion
from odeclaims.store import CellStore, CorruptFile, Results, frame, set_aside, write_text

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


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 0}', '{"format": 1, "key": "k"}'])
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
