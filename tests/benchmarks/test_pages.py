"""asv's pages, which take copies in the place of what they load from the network."""

import re
import shutil
from importlib.resources import files

import pytest

from benchmarks import pages
from tests.odeclaims.report.test_page import browser

__all__ = ["browser"]


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


PAGE = """
<script src="vendor/jquery.min.js"></script>
<script>
const answers = [];
for (const url of ["info.json", "graphs/a%20b/c.json?timestamp=3"])
    $.ajax({ url: url, dataType: "json", cache: false }).done((found) => answers.push(found.n));
</script>
"""


@pytest.fixture
def folder(tmp_path):
    """A page that asks for two files of numbers."""
    shutil.copytree(pages.VENDOR, tmp_path / "vendor")
    (tmp_path / "graphs" / "a b").mkdir(parents=True)
    (tmp_path / "info.json").write_text('{"n": 1}')
    (tmp_path / "graphs" / "a b" / "c.json").write_text('{"n": 2}')
    (tmp_path / "index.html").write_text(PAGE)
    return tmp_path


def test_a_page_has_its_numbers_where_no_server_gives_them(folder, browser):
    pages.bring_numbers(folder)
    page = browser.new_page()
    page.goto((folder / "index.html").as_uri())
    page.wait_for_function("answers.length == 2", timeout=10_000)
    assert sorted(page.evaluate("answers")) == [1, 2]
    page.close()


def test_numbers_are_brought_once_and_in_time(folder):
    pages.bring_numbers(folder)
    before = (folder / "index.html").read_text()
    assert pages.bring_numbers(folder).name == "numbers.js"
    assert (folder / "index.html").read_text() == before
    assert before.index("jquery.min.js") < before.index("numbers.js") < before.index("answers")


def test_a_page_without_jquery_is_not_one_of_asv(tmp_path):
    (tmp_path / "index.html").write_text("<p>Hello</p>")
    with pytest.raises(ValueError, match=r"index\.html loads no jQuery"):
        pages.bring_numbers(tmp_path)
