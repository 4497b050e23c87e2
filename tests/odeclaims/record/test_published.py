"""Rows that are compressed, and the folder that is read where none is named."""

import gzip
import shutil
from pathlib import Path

import pytest

from odeclaims.claims import find_claims
from odeclaims.cli import choose
from odeclaims.record import files, published
from odeclaims.record.files import CorruptFile
from odeclaims.record.results import Results

ROOT = Path(__file__).parents[3]
CLAIM = "universal_approximation"


@pytest.fixture
def packed(tmp_path) -> Results:
    """A result whose rows are compressed, as in an installed record."""
    folder = tmp_path / "quick" / CLAIM
    shutil.copytree(ROOT / "results" / "quick" / CLAIM, folder)
    plain = folder / "data.csv"
    (folder / "data.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return Results(tmp_path, "quick", find_claims()[CLAIM])


def test_compressed_rows_are_the_rows(packed):
    kept = Results(ROOT / "results", "quick", packed.claim)
    assert packed.read().equals(kept.read())
    assert packed.data.name == "data.csv.gz"
    assert choose.existing_results([CLAIM], None, packed.out) == [packed]


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"rows" * 99, mtime=0)[:-9]])
def test_what_cannot_be_decompressed_is_set_aside_with_a_sentence(packed, content):
    packed.data.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"set aside as data\.csv\.gz\.corrupt-1"):
        packed.read()


def test_rows_that_would_fill_the_memory_are_not_decompressed(packed, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    with pytest.raises(CorruptFile, match="more than 1000 bytes when it is decompressed"):
        packed.read()


def test_rows_that_are_measured_take_the_place_of_the_compressed_ones(packed):
    rows, made = packed.read(), packed.read_provenance()
    packed.write(rows, {name: made[name] for name in made if name != "sha256"})
    assert packed.data.name == "data.csv"
    assert packed.read().equals(rows)


def test_rows_here_are_read_before_the_installed_record(tmp_path, monkeypatch):
    record = tmp_path / "site" / "odeclaims_results"
    monkeypatch.chdir(tmp_path)
    assert published.default_results() == Path("results")
    for module in (published, choose):
        monkeypatch.setattr(module, "installed_record", lambda: record)
    # A folder with figures alone holds nothing that could be read.
    Path("results/quick/toy").mkdir(parents=True)
    assert published.default_results() == record
    assert choose.choose_folders(None, None) == (record, Path("results"))
    Path("results/quick/toy/data.csv").touch()
    assert published.default_results() == Path("results")
    assert choose.choose_folders(None, Path("x")) == (Path("results"), Path("x"))
    assert choose.choose_folders(Path("other"), None) == (Path("other"), Path("other"))


def test_who_has_no_results_is_told_where_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="the package odeclaims-results has the published"):
        choose.existing_results(None, None, None)
