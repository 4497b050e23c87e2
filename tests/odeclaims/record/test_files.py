"""A file is written whole or not at all, and set aside under a name of its own."""

import pytest

from odeclaims.record.files import set_aside, write_text


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
