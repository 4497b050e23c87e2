"""The page of one claim: it leads with the answer, and reads well on a phone."""

import itertools
import re
from typing import Any

import pytest
from joblib import parallel_config
from typer.testing import CliRunner

from odeclaims import cli
from odeclaims.cli import choose
from odeclaims.record.judged import read_judged
from odeclaims.record.results import Results
from odeclaims.report.draw import draw
from odeclaims.report.page import write_claim_page
from tests.odeclaims.report.test_page import (
    CONTRAST,
    HOSTILE,
    WIDTHS,
    Page,
    browser,
    claim,
    results,
    show,
)
from tests.odeclaims.toy_claims import PROVENANCE

__all__ = ["browser", "show"]

# As long as what claims have, so that it does not fit on a phone in one line.
LONG = "This statement has as many words as those of the claims, " * 3


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    """A claim with results of two profiles, and a third that cannot be read."""
    out = tmp_path_factory.mktemp("one") / "results"
    one = claim("toy", statement=LONG)
    found = [results(out, one)]
    rows = found[0].read()
    for profile in ("hour", "paper"):
        other = Results(out, profile, one)
        other.write(rows, PROVENANCE | {"profile": profile})
        found.append(other)
    found[1].data.write_text("x\n")
    judged, problems = read_judged(found)
    pictures = [draw(each.results, files=False, pictures=True)[1] for each in judged]
    write_claim_page(judged, pictures, problems, one, out / "report-toy.html")
    return Page(out / "report-toy.html")


def test_it_leads_with_the_answer(page):
    assert page.all("h1")[0]["text"] == HOSTILE
    sections = [each["text"] for each in page.all("h2")]
    # The result that speaks, then the others, and how to read it.
    assert sections == ["Profile paper", "Profile quick", "Profile hour", "How to read this"]
    parts = [each["text"] for each in page.all("h3")]
    assert parts[:5] == [
        "What holds",
        "Figure",
        "What the paper says",
        "Published numbers",
        "How it is judged",
    ]
    headings = [each["text"].strip() for each in page.all("th") if each.get("scope") == "col"]
    assert headings[:4] == ["outcome", "statement", "measured", "holds if"]
    assert "hour/toy/data.csv" in page.all("main")[0]["text"]


def test_it_is_whole_by_itself(page):
    for element in page.elements:
        for name in ("src", "srcset", "href"):
            assert element.get(name, "#").startswith(("#", "data:image/"))
    ids = [element["id"] for element in page.elements if "id" in element]
    assert len(ids) == len(set(ids))
    assert all(link["href"][1:] in ids for link in page.all("a"))
    labels = [e["aria-label"] for e in page.elements if e.get("role") == "region"]
    assert len(labels) == len(set(labels))


def test_the_command_writes_it(tmp_path, monkeypatch):
    known = {slug: claim(slug, animation=None, flips=None) for slug in ("toy", "other")}
    monkeypatch.setattr(choose, "find_claims", lambda: known)
    out = tmp_path / "results"
    for one in known.values():
        results(out, one)
    with parallel_config("sequential"):
        done = CliRunner().invoke(cli.app, ["report", "--claim", "toy", "--results", str(out)])
    assert done.exit_code == 0, done.output
    written = Page(out / "report-toy.html")
    assert {each["data-claim"] for each in written.all("section") if "data-claim" in each} == {
        "toy"
    }
    twice = CliRunner().invoke(cli.app, ["report", "other", "--claim", "toy"])
    assert re.fullmatch("claims are named twice: .*", str(twice.exception))


# --- how a browser shows it


@pytest.mark.parametrize("width", WIDTHS)
def test_it_asks_for_nothing_and_never_scrolls_sideways(show, page, width):
    tab = show(page, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.said == []
    assert {url for url in tab.seen if not url.startswith("data:")} == {page.path.as_uri()}


def boxes(tab: Any, *selectors: str) -> list[dict[str, float]]:
    return [tab.locator(selector).first.bounding_box() for selector in selectors]


def test_on_a_phone_a_row_is_a_card(show, page):
    tab = show(page, viewport={"width": 360, "height": 800})
    cells = tab.locator(".statements").first.locator("tbody tr").first.locator("th, td")
    found = [cell.bounding_box() for cell in cells.all()]
    assert len(found) == 6
    assert all(a["y"] + a["height"] <= b["y"] + 1 for a, b in itertools.pairwise(found))
    assert all(box["x"] + box["width"] <= 360 for box in found)
    assert not tab.locator(".statements thead").first.is_visible()
    label = "(e) => getComputedStyle(e, '::before').content"
    assert cells.nth(2).evaluate(label) == '"measured: "'


def test_on_a_wide_screen_the_figure_stands_beside_what_the_paper_says(show, page):
    wide = show(page, viewport={"width": 1280, "height": 800})
    figure, words = boxes(wide, ".beside figure", ".beside blockquote")
    assert words["x"] >= figure["x"] + figure["width"]
    assert wide.locator(".statements thead").first.is_visible()
    narrow = show(page, viewport={"width": 768, "height": 800})
    figure, words = boxes(narrow, ".beside figure", ".beside blockquote")
    assert words["y"] >= figure["y"] + figure["height"]


def test_the_keyboard_reaches_everything_and_shows_where_it_is(show, page):
    tab = show(page)
    tab.keyboard.press("Tab")
    skip = tab.locator(".skip")
    assert skip.evaluate("(e) => e === document.activeElement")
    assert skip.bounding_box()["x"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    seen = []
    for _ in range(12):
        tab.keyboard.press("Tab")
        seen.append(
            tab.evaluate(
                "[document.activeElement.tagName, document.activeElement.className,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    assert all(outline != "none" for _, _, outline in seen)
    # A table that may scroll, then the headings by which it is sorted.
    assert seen[0][1] == "scroll"
    assert seen[1][0] == "BUTTON"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_text_stands_out_from_its_background(show, page, scheme, width):
    tab = show(page, color_scheme=scheme, viewport={"width": width, "height": 800})
    count, least = tab.evaluate(CONTRAST)
    assert count > 50
    assert least >= 4.5
