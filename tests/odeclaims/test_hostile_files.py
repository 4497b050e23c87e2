"""Result files that somebody has changed, and what every command then does.

Each is changed at random, and by hand where chance would not find it: there is no traceback and no
more than a sentence, nothing that a terminal would obey, and nothing that is used without a word.
"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from odeclaims.record.cells import _content
from odeclaims.record.files import sha256
from odeclaims.record.judged import Judged
from odeclaims.record.results import Results, provenance_digest
from tests.odeclaims.record.test_schema import mutate
from tests.odeclaims.test_cli_properties import TOY, call, files, folder  # noqa: F401

# Of each file; the commands that draw take a tenth of a second each.
MUTATIONS, SLOW_MUTATIONS = 40, 3
QUICK = [["list"], ["show", "toy"], ["check"], ["cite", "toy"], ["compare", "results", "other"]]
SLOW = [["tables"], ["figures"], ["report"], ["run"]]
HOSTILE = '\x1b[31m[/red] \u202eevil <b>&#8238;</b> \\\\| $\\frac$ }{ % & _ "\n\n# x'


class Folder:
    """Results of the toy, a copy to hold them against, and the command line."""

    def __init__(
        self, path: Path, finished: Path, call: Callable[..., tuple[int, str, str]]
    ) -> None:
        self.path, self.call = path, call
        if not finished.exists():
            assert call("run")[0] == 0
            shutil.copytree(path / "results", finished)
        else:
            shutil.copytree(finished, path / "results")
        self.results = Results(path / "results", "quick", TOY)
        shutil.copytree(path / "results", path / "other")
        measured = next(c for c in Judged(self.results).cells if c.column == "measured")
        self.quick = [*QUICK, ["verify", measured.hash]]

    def restore(self) -> None:
        shutil.rmtree(self.path / "results")
        shutil.copytree(self.path / "other", self.path / "results")

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and all that was said, which must be fit to be shown."""
        code, output, errors = self.call(*arguments)
        said = output + errors
        assert "Traceback" not in said
        assert code in (0, 1, 2)
        assert len(errors.splitlines()) <= 1, errors
        assert all(line.isprintable() for line in said.split("\n")), repr(said)
        return code, said

    def corrupt(self) -> list[str]:
        return sorted(path.name for path in self.path.rglob("results/**/*.corrupt-*"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Where the first test puts the results of a run, for the others to copy."""
    return tmp_path_factory.mktemp("finished") / "results"


@pytest.fixture
def toy(folder, finished, monkeypatch, capsys) -> Folder:  # noqa: F811
    return Folder(folder, finished, lambda *arguments: call(monkeypatch, capsys, *arguments))


@pytest.mark.slow(reason="hundreds of changed files are read")
@pytest.mark.parametrize("name", ["verdict.json", "provenance.json"])
def test_a_changed_record_is_never_used_without_a_word(toy, name):
    path, rng, refused = toy.results.folder / name, random.Random(1), 0
    whole = json.loads(path.read_text())
    for turn in range(MUTATIONS):
        content = mutate(whole, rng)
        commands = toy.quick + (SLOW if turn < SLOW_MUTATIONS else [])
        for command in commands:
            toy.restore()
            path.write_text(json.dumps(content))
            before = files(toy.path)
            code, said = toy(*command)
            aside = toy.corrupt()
            refused += bool(aside)
            if command[0] == "compare":
                assert files(toy.path) == before
            if name == "provenance.json" and command[0] in ("check", "cite", "verify"):
                good = content == whole or (isinstance(content, dict) and "sha256" not in content)
                assert good or (code and aside == ["provenance.json.corrupt-1"])
            if name == "verdict.json" and command[0] == "check":
                assert (code == 0) == (content == whole), said
    assert refused > MUTATIONS


def test_a_changed_cell_is_measured_again_and_never_used(toy):
    rng, before = random.Random(2), toy.results.data.read_text()
    paths = sorted((toy.path / "results" / "cells" / "toy").glob("*.json"))
    for _ in range(MUTATIONS):
        toy.restore()
        path = rng.choice(paths)
        whole = json.loads(path.read_text())
        content = mutate(whole, rng)
        path.write_text(json.dumps(content))
        code, said = toy("run")
        assert code == 0
        assert toy.results.data.read_text() == before
        assert bool(toy.corrupt()) == (content != whole), said


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: cell.pop("started"),
        lambda cell: cell.pop("commit"),
        lambda cell: cell["rows"][0].update(x=[1]),
        lambda cell: cell["rows"][0].update(x={"y": {}}),
        lambda cell: cell.update(seed=3),
        lambda cell: cell.update(started="\x1b"),
        lambda cell: cell["machine"].update(cpu="\x1b"),
        lambda cell: cell["cell"].update(repetition=9),
        lambda cell: cell.update(more=1),
    ],
)
def test_a_cell_that_was_forged_with_its_digest_is_held_against_the_schema(toy, change):
    path = min((toy.path / "results" / "cells" / "toy").glob("*.json"))
    cell = json.loads(path.read_text())
    before = toy.results.data.read_text()
    change(cell)
    path.write_text(json.dumps(cell | {"sha256": _content(cell)}))
    code, said = toy("run")
    assert code == 0
    assert "set aside as" in said
    assert toy.results.data.read_text() == before


def forge(results: Results, df: pd.DataFrame) -> None:
    """Put other rows in the place of a result's, with all digests that belong to them."""
    text = df.to_csv(index=False, lineterminator="\n")
    results.data.write_text(text)
    made = json.loads(results.provenance.read_text())
    made |= {"rows": len(df), "data_sha256": sha256(text)}
    results.provenance.write_text(json.dumps(made | {"sha256": provenance_digest(made)}))


@pytest.mark.slow(reason="thirty changed records go through every command")
@pytest.mark.parametrize("value", [HOSTILE, "", "inf", "1e999", "9" * 5000, "[3]"])
@pytest.mark.parametrize("column", ["x", "repetition", "seed", "size", "device"])
def test_rows_that_no_measurement_gives_are_at_most_a_sentence(toy, column, value):
    df = pd.read_csv(toy.results.data, dtype=str)
    df.loc[0, column] = value
    forge(toy.results, df)
    for command in [*toy.quick, ["tables"], ["figures"], ["report"]]:
        toy(*command)
    for path in toy.results.folder.glob("table.*"):
        assert "\x1b" not in path.read_text()
        assert "\u202e" not in path.read_text()


@pytest.mark.parametrize("field", ["commit", "rows", "cpu", "started", "seeds", "cells", "sha256"])
def test_a_provenance_that_was_changed_by_hand_is_named(toy, field):
    made = json.loads(toy.results.provenance.read_text())
    others = {"commit": "b" * 40, "cpu": "a better one", "started": "2001-01-01T00:00:00Z",
              "seeds": [1], "sha256": "0" * 64}  # fmt: skip
    toy.results.provenance.write_text(json.dumps(made | {field: others.get(field, 7)}))
    code, said = toy("check")
    assert code == 1
    assert "provenance.json was changed after it was written" in said
    assert toy.corrupt() == ["provenance.json.corrupt-1"]


def test_a_provenance_without_a_digest_is_read_and_check_says_so(toy):
    made = json.loads(toy.results.provenance.read_text())
    del made["sha256"]
    toy.results.provenance.write_text(json.dumps(made))
    assert toy("cite", "toy")[0] == 0
    code, said = toy("check")
    assert code == 0
    assert "provenance.json has no digest, so may have been changed" in said


def test_results_of_another_profile_or_claim_are_not_taken_for_these(toy):
    quick = toy.results.folder
    shutil.copytree(quick, quick.parents[1] / "paper" / "toy")
    code, said = toy("check", "--profile", "paper")
    assert code == 1
    assert "is that of the profile quick" in said
    path = quick / "verdict.json"
    path.write_text(path.read_text().replace('"claim": "toy"', '"claim": "other"'))
    assert "is that of the claim other" in toy("list")[1]
    path.write_text((toy.path / "other" / "quick" / "toy" / "verdict.json").read_text())
    path.parent.rename(path.parents[1] / "copied")
    code, said = toy("compare", "results", "other")
    assert code == 2
    assert "is that of the claim toy" in said


def test_a_name_that_stands_twice_is_refused(toy):
    text = toy.results.provenance.read_text()
    toy.results.provenance.write_text(text.replace("{", '{"cpu": "a better one",', 1))
    code, said = toy("cite", "toy")
    assert code == 2
    assert "an object names something twice" in said


@pytest.mark.parametrize("depth", [20, 500, 980, 100_000])
@pytest.mark.parametrize("name", ["verdict.json", "provenance.json", "cell"])
def test_what_is_nested_deeply_is_a_sentence(toy, name, depth):
    path = min((toy.path / "results" / "cells" / "toy").glob("*.json"))
    path = path if name == "cell" else toy.results.folder / name
    path.write_text('{"a": ' * depth + "1" + "}" * depth)
    for command in [*toy.quick, ["run"]]:
        toy(*command)
    assert toy.corrupt()


@pytest.mark.parametrize("name", ["verdict.json", "provenance.json", "data.csv"])
def test_a_folder_in_the_place_of_a_file_is_a_sentence(toy, name):
    path = toy.results.folder / name
    path.unlink()
    path.mkdir()
    for command in [*toy.quick, *SLOW]:
        toy(*command)


def test_a_read_only_folder_does_not_hide_which_file_is_corrupt(toy, monkeypatch):
    def refuse(self: Path, target: Path) -> None:
        raise OSError(30, "Read-only file system", str(self))

    toy.results.data.write_text("x")
    monkeypatch.setattr(Path, "rename", refuse)
    code, said = toy("check")
    assert code == 1
    assert "data.csv: its columns are not the claim's" in said
    assert "it cannot be set aside: Read-only file system" in said


def test_rows_with_the_line_ends_of_windows_are_the_same_rows(toy):
    for path in toy.results.folder.glob("*.*"):
        if path.suffix in (".csv", ".json"):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    code, said = toy("check")
    assert (code, toy.corrupt()) == (0, [])
    assert "quick/toy: follows from its rows;" in said
