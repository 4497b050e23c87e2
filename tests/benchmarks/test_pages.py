"""asv's pages, which take copies in the place of what they load from the network."""

import re
from importlib.resources import files

import pytest

from benchmarks import pages


def test_the_pages_of_asv_load_nothing_from_the_network(tmp_path):
    asv = pytest.importorskip("asv", reason="asv is not installed")
    page = files(asv.__name__) / "www" / "index.html"
    (tmp_path / "index.html").write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    copies = pages.take_copies(tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', text)
    assert not [each for each in loaded if each.startswith("http")]
    assert not re.search("integrity|crossorigin|referrerpolicy", text)
    assert {f"vendor/{copy.name}" for copy in copies} <= set(loaded)
    assert all(copy.stat().st_size > 1000 for copy in copies)
    # Every copy is used.
    assert {p.name for p in pages.VENDOR.iterdir()} - {p.name for p in copies} == {"README.md"}


def test_a_script_without_a_copy_is_named(tmp_path):
    (tmp_path / "index.html").write_text('<script src="https://a.b/c-1.2.min.js"></script>')
    with pytest.raises(FileNotFoundError, match=r"asv's pages load https://a\.b/c-1\.2\.min\.js"):
        pages.take_copies(tmp_path)
