"""The page with all results: what stands in it, and how a browser shows it."""

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from joblib import parallel_config
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from typer.testing import CliRunner

from odeclaims import cli
from odeclaims.claim import Claim, Column, Evidence, FlipMap
from odeclaims.claims import find_claims
from odeclaims.cli import choose
from odeclaims.record.judged import Judged, read_judged
from odeclaims.record.results import Results
from odeclaims.report.draw import draw
from odeclaims.report.page import write_page
from odeclaims.report.style import panels
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Check, Statement
from tests.odeclaims.toy_claims import PROVENANCE, make_claim, x_of

ROOT = Path(__file__).parents[3]
# Two claims that are drawn in a moment; one of them has insufficient evidence.
LIGHT = ("tolerance_tradeoff", "anode_mnist")
HOSTILE = '<script>alert("a & b")</script>'
VOID = {"meta", "img", "br", "source", "input", "link"}
# What a sort as text, or by the first digits, would put elsewhere.
SIZES = ["10.0", "9.00", "1e-05", "2.50 [2.40, 11.0]", "", "-3.00", "100"]
WIDTHS = (360, 768, 1280)


def figure(df: pd.DataFrame) -> Figure:
    """The rows, one after the other.

    This paragraph is for the reader of the code.
    """
    fig, axes = panels(1, 1, width=3)
    axes[0, 0].plot(df["x"])
    return fig


def animation(df: pd.DataFrame) -> FuncAnimation:
    """The rows, moving."""
    fig, axes = panels(1, 1, width=1, height=1)
    return FuncAnimation(fig, lambda k: axes[0, 0].plot(df["x"] * k), 3)


def flips(df: pd.DataFrame) -> FlipMap:
    values = pd.DataFrame({"panel": "p", "row": ["a", "b"], "column": 1, "value": [0.0, 5.0]})
    return FlipMap("the largest x", values, "row", "column", Bounds(at_most=3))


def claim(slug: str, **changes: Any) -> Claim:
    settings: dict[str, Any] = {
        "title": HOSTILE,
        "statement": "x < 3 & x > 1",
        "source": "nowhere",
        "ledger": (Evidence("paper", '"><img src=x onerror=alert(1)>', HOSTILE),),
        "columns": {"x": Column("a number")},
        "STATEMENTS": [
            Statement("small", "x < 3", x_of, Exact(Bounds(at_most=3)), "because", central=True),
            Statement("tiny", "x < 1", x_of, Exact(Bounds(at_most=1)), HOSTILE, central=True),
            Statement("many", "many x", x_of, Exact(Bounds(1), least=9), "b"),
        ],
        "CHECKS": [Check("positive", "x > 0", x_of, Bounds(at_least=0), HOSTILE)],
        "figure": figure,
        "table": lambda df: pd.DataFrame({"name": list("abcdefg"), "size": SIZES}),
        "animation": animation,
        "flips": flips,
    }
    return make_claim(slug, **(settings | changes))


def results(out: Path, one: Claim) -> Results:
    """Rows of that claim on disk, as a run writes them."""
    df = pd.DataFrame({"x": [0.5, 2.0, 2.25], "status": "ok"})
    df = df.assign(repetition=range(3), seed=range(3), device="cpu", solver="ours")
    Results(out, "quick", one).write(df, PROVENANCE)
    return Results(out, "quick", one)


class Page(HTMLParser):
    """A page by its elements: tag, attributes and text, that of what is inside too.

    The name of a cell is no part of its text but stands under ``name``.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.html = path, path.read_text(encoding="utf-8")
        self.elements: list[dict[str, Any]] = []
        self.open: list[dict[str, Any]] = []
        self.feed(self.html)
        assert not self.open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        element = {"tag": tag, "text": "", "name": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()["tag"] == tag, f"{tag} closes another element"

    def handle_data(self, data: str) -> None:
        key = "name" if self.open and self.open[-1].get("class") == "name" else "text"
        for element in self.open:
            element[key] += data

    def all(self, *tags: str) -> list[dict[str, Any]]:
        return [element for element in self.elements if element["tag"] in tags]

    def by_id(self, name: str) -> dict[str, Any]:
        [found] = [element for element in self.elements if element.get("id") == name]
        return found


def page_of(found: list[Results], claims: list[Claim], path: Path) -> list[str]:
    """Draw these results and write their page; a sentence for each that cannot be read."""
    judged, problems = read_judged(found)
    pictures = [draw(j.results, files=False, pictures=True)[1] for j in judged]
    write_page(judged, pictures, problems, claims, path)
    return [sentence for _, sentence in problems]


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Page:
    """A hostile claim, one that was not run, and one whose rows are not what was written."""
    out = tmp_path_factory.mktemp("toy") / "results"
    claims = [claim("toy"), claim("absent", title="Never run"), claim("broken", title="Cut")]
    found = [results(out, one) for one in (claims[0], claims[2])]
    found[1].data.write_text(found[1].data.read_text()[:-9])
    [problem] = page_of(found, claims, out / "report.html")
    assert "data.csv.corrupt-1" in problem
    return Page(out / "report.html")


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Page:
    path = tmp_path_factory.mktemp("real") / "report.html"
    claims = [find_claims()[slug] for slug in LIGHT]
    assert page_of([Results(ROOT / "results", "quick", c) for c in claims], claims, path) == []
    return Page(path)


@pytest.fixture(params=["toy", "real"])
def page(request) -> Page:
    return request.getfixturevalue(request.param)


# --- what stands in it


def test_it_is_whole_by_itself(page):
    for element in page.elements:
        for name in ("src", "srcset", "href"):
            value = element.get(name, "#")
            assert value.startswith(("#", "data:image/")), (element["tag"], name, value[:60])
    assert [e for e in page.all("script") if "src" in e] == []
    assert page.all("link", "iframe", "object") == []
    assert "url(" not in page.all("style")[0]["text"]


def test_one_who_does_not_see_it_can_read_it(page):
    assert page.all("html")[0]["lang"] == "en"
    assert {e["tag"] for e in page.elements} >= {"header", "main", "footer", "h1"}
    ids = [element["id"] for element in page.elements if "id" in element]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link["href"][1:] in ids
    levels = [int(e["tag"][1]) for e in page.all("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    assert all("scope" in heading for heading in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    regions = [e for e in page.elements if e.get("role") == "region"]
    assert all(region["tabindex"] == "0" for region in regions)
    labels = [region["aria-label"] for region in regions]
    assert len(labels) == len(set(labels))
    assert page.all("a")[0]["href"][1:] == "overview"


@pytest.mark.parametrize("slug", LIGHT)
def test_every_number_of_the_verdict_stands_in_its_section(real, slug):
    verdict = json.loads((ROOT / "results" / "quick" / slug / "verdict.json").read_text())
    shown = Judged(Results(ROOT / "results", "quick", find_claims()[slug]))
    assert real.by_id(f"quick-{slug}")["text"] == verdict["title"]
    names = {(c.column, c.row): c.hash for c in shown.cells if c.table == "statements"}
    for row, statement in enumerate(verdict["statements"]):
        text = {
            column: real.by_id(f"quick-{slug}-{names[column, row]}")["text"]
            for column in ("statement", "holds if", "measured", "outcome", "why this rule")
        }
        assert statement["text"] in text["statement"]
        assert statement["holds_if"] in text["holds if"]
        assert statement["because"] in text["why this rule"]
        assert text["outcome"].startswith(statement["outcome"])
        assert ("not central" in text["outcome"]) == (not statement["central"])
        if statement["value"] is None:
            assert statement["lacking"] in text["measured"]
            continue
        if " [" in statement["words"]:
            assert statement["words"] in text["measured"]
            continue
        numbers = [statement["value"], *(statement["interval"] or [])]
        without_level = re.sub(r"\d+% ", "", text["measured"])
        found = re.findall(r"-?\d+\.?\d*(?:e[-+]\d+)?", without_level)[: len(numbers)]
        if statement["interval"] and len(set(numbers[1:])) == 1:
            # An interval without width is not shown.
            numbers = numbers[:1]
        assert [float(number) for number in found] == pytest.approx(numbers, rel=0.005)
    for caveat in verdict["caveats"]:
        assert caveat in [item["text"] for item in real.all("li")]


def test_insufficient_evidence_is_no_verdict_either_way(real):
    assert "insufficient" in " ".join(real.all("main")[0]["text"].split())
    assert "Where the evidence is insufficient, the run says neither yes nor no." in real.html


def test_every_cell_has_its_name(real):
    shown = Judged(Results(ROOT / "results", "quick", find_claims()["tolerance_tradeoff"]))
    for cell in shown.cells:
        element = real.by_id(f"quick-tolerance_tradeoff-{cell.hash}")
        assert element["text"].startswith(cell.text)
        assert element["name"] == cell.hash


def test_provenance_command_and_citation_are_there(real):
    made = json.loads((ROOT / "results/quick/tolerance_tradeoff/provenance.json").read_text())
    values = " ".join(element["text"] for element in real.all("dd"))
    for value in (made["commit"], made["data_sha256"], made["cpu"], made["started"]):
        assert value in values
    assert f"{made['duration_s']} s" in values
    code = [element["text"] for element in real.all("code")]
    assert any("odeclaims run tolerance_tradeoff --profile quick\n" in text for text in code)
    assert any(text.count("@") >= 2 and "Neural Ordinary" in text for text in code)


def test_a_hostile_text_is_only_text(toy):
    assert len(toy.all("script")) == 1
    assert all("onerror" not in element for element in toy.elements)
    assert toy.by_id("quick-toy")["text"] == HOSTILE
    assert toy.all("blockquote")[0]["text"].strip().startswith("x < 3 & x > 1")


def test_what_was_not_run_or_cannot_be_read_is_said(toy):
    rows = {e["data-outcomes"]: e["text"] for e in toy.all("tr") if "data-outcomes" in e}
    assert "Never run" in rows["not run"]
    assert "Cut" in rows["unreadable"]
    [problem] = [e["text"] for e in toy.elements if e.get("class") == "problem"]
    assert "quick/broken/data.csv: it has" in problem
    assert str(toy.path.parent) not in toy.html


def test_captions_are_the_docstrings(toy):
    captions = [element["text"] for element in toy.all("figcaption")]
    assert captions[0] == "The rows, one after the other."
    assert captions[1].startswith("Over which settings the verdict changes: the largest x")
    assert captions[2] == "The rows, moving."
    # The third statement is not central.
    said = "Central statements: 1 of 2 reproduced, 1 not reproduced. Scale: published size"
    assert toy.all("img")[0]["alt"].startswith(f"{captions[0]} {said}")


def test_the_same_rows_give_the_same_bytes(toy, tmp_path):
    claims = [claim("toy")]
    kept = Results(toy.path.parent, "quick", claims[0])
    pages = [tmp_path / name for name in ("a.html", "b.html")]
    for path in pages:
        page_of([kept], claims, path)
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.html", "b.html"]


@pytest.fixture
def in_this_process() -> Iterator[None]:
    """Figures are drawn here: a toy claim has no file that another process could import."""
    with parallel_config("sequential"):
        yield


@pytest.mark.usefixtures("in_this_process")
def test_the_command_writes_it_and_fails_for_rows_that_cannot_be_read(tmp_path, monkeypatch):
    known = {slug: claim(slug, animation=None, flips=None) for slug in ("toy", "broken")}
    monkeypatch.setattr(choose, "find_claims", lambda: known)
    out = tmp_path / "results"
    for one in known.values():
        results(out, one)
    run = CliRunner().invoke
    good = run(cli.app, ["report", "toy", "--results", str(out), "--to", str(tmp_path / "p.html")])
    assert good.exit_code == 0, good.output
    assert Page(tmp_path / "p.html").by_id("quick-toy")
    known["broken"] = claim("broken", columns={"y": Column("another column")})
    bad = run(cli.app, ["report", "--results", str(out)])
    assert bad.exit_code == 1
    assert "its columns are not the claim's" in bad.output
    assert Page(out / "report.html").by_id("quick-toy")
    assert isinstance(run(cli.app, ["report", "--results", "nowhere"]).exception, FileNotFoundError)


# --- how a browser shows it


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    switches = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
    switches += ["disable-background-networking", "disable-component-update", "disable-sync"]
    with playwright.sync_playwright() as driver:
        arguments = [f"--{switch}" for switch in switches]
        chromium = driver.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser) -> Iterator[Any]:
    """Open a page; its ``seen`` are the requests and ``said`` what is wrong with it."""
    contexts = []

    def opened(page: Page, **settings: Any) -> Any:
        context = browser.new_context(**settings)
        contexts.append(context)
        tab = context.new_page()
        tab.seen, tab.said = [], []
        tab.on("request", lambda request: tab.seen.append(request.url))
        tab.on("console", lambda message: tab.said.append(message.text))
        tab.on("pageerror", lambda error: tab.said.append(str(error)))
        tab.goto(page.path.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()


def test_it_loads_without_errors_and_asks_for_nothing(show, page):
    tab = show(page)
    tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    tab.wait_for_function("[...document.images].every((image) => image.complete)")
    sizes = tab.evaluate("[...document.images].map((i) => [i.alt, i.naturalWidth, i.width])")
    assert len(sizes) == len(page.all("img")) >= 2
    assert all(alt and natural > 0 and shown > 0 for alt, natural, shown in sizes)
    assert tab.said == []
    assert {url for url in tab.seen if not url.startswith("data:")} == {page.path.as_uri()}


@pytest.mark.parametrize("width", WIDTHS)
def test_it_never_scrolls_sideways(show, page, width):
    tab = show(page, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") == width


def test_a_column_is_sorted_by_its_numbers(show, toy):
    tab = show(toy)
    table = tab.locator("table.data")
    heading = table.get_by_role("columnheader", name="size")
    button = heading.get_by_role("button")
    names = table.locator("tbody th")

    def order() -> str:
        return "".join(text[0] for text in names.all_inner_texts())

    button.focus()
    tab.keyboard.press("Enter")
    assert order() == "fcdbage"
    assert heading.get_attribute("aria-sort") == "ascending"
    button.click()
    assert order() == "gabdcfe"
    assert heading.get_attribute("aria-sort") == "descending"
    table.get_by_role("columnheader", name="name").get_by_role("button").click()
    assert order() == "abcdefg"
    assert heading.get_attribute("aria-sort") is None


def test_filters_hide_what_does_not_match(show, toy):
    tab = show(toy)
    rows, sections = tab.locator(".overview tbody tr"), tab.locator("section.claim")

    def visible() -> tuple[int, int]:
        shown = [sum(one.is_visible() for one in many.all()) for many in (rows, sections)]
        return shown[0], shown[1]

    assert visible() == (3, 2)
    tab.get_by_role("combobox", name="Outcome").select_option("unreadable")
    assert visible() == (1, 1)
    assert tab.locator("#shown").inner_text() == "1 of 3 shown"
    tab.evaluate("location.hash = 'quick-toy'")
    tab.wait_for_function("document.querySelector('#shown').value === '3 of 3 shown'")
    tab.get_by_role("combobox", name="Scale").select_option("published size")
    assert visible() == (1, 1)
    tab.get_by_role("combobox", name="Scale").select_option("")
    tab.get_by_role("searchbox", name="Words").fill("CUT x")
    assert visible() == (1, 1)


def test_it_is_read_without_script(show, toy):
    tab = show(toy, java_script_enabled=False)
    assert not tab.locator("#controls").is_visible()
    assert tab.locator("table button").count() == 0
    for text in ("Provenance", "x < 3 & x > 1", "Cite it"):
        assert tab.get_by_text(text).first.is_visible()


def test_a_cell_shows_its_name(show, toy):
    shown = Judged(Results(toy.path.parent, "quick", claim("toy")))
    first, second = [cell for cell in shown.cells if cell.table == "table"][:2]
    tab = show(toy, java_script_enabled=False)
    names = [tab.locator(f"#quick-toy-{cell.hash} .name") for cell in (first, second)]
    assert not names[0].is_visible()
    names[0].locator("..").hover()
    names[0].click()
    # Under :target the digits stand beside the #.
    assert names[0].bounding_box()["width"] > 40
    assert not names[1].is_visible()
    tab.get_by_label("show the names of the cells").check()
    assert names[1].bounding_box()["width"] > 40


# The least contrast between a text and what lies behind it, after WCAG 2.
CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const ratios = [...document.querySelectorAll("body *")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => e.checkVisibility({ visibilityProperty: true }))
    .map((e) => [luminance(channels(getComputedStyle(e).color)), luminance(behind(e))])
    .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  return [ratios.length, Math.min(...ratios)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(show, page, scheme):
    tab = show(page, color_scheme=scheme)
    count, least = tab.evaluate(CONTRAST)
    assert count > 50
    assert least >= 4.5
    background = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_nothing_moves_for_one_who_wants_it_still(show, toy):
    kinds = {}
    for motion in ("reduce", "no-preference"):
        tab = show(toy, reduced_motion=motion)
        tab.locator("summary").click()
        image = tab.locator("details img")
        image.evaluate("(i) => i.decode()")
        kinds[motion] = image.evaluate("(i) => i.currentSrc").partition(";")[0]
    assert kinds == {"reduce": "data:image/png", "no-preference": "data:image/gif"}


def test_print_has_no_controls_and_everything_open(show, toy):
    tab = show(toy)
    tab.emulate_media(media="print")
    assert not tab.locator("#controls").is_visible()
    assert not tab.get_by_text("All verdicts").first.is_visible()
    assert tab.locator("details img").is_visible()
    clipped = "[...document.querySelectorAll('.scroll')].map((e) => getComputedStyle(e).overflowX)"
    assert set(tab.evaluate(clipped)) == {"visible"}
