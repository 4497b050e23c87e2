"""The results that are kept in the repository: what is written beside rows follows from them."""

import re
from functools import cache
from pathlib import Path

import pytest

from odeclaims.claims import find_claims
from odeclaims.record.judged import Judged, find_named_cells
from odeclaims.record.manuscript import check_citations, read_citations
from odeclaims.record.registry import read_registry, unregistered
from odeclaims.record.results import read_results
from odeclaims.record.solvers import FOLDER, compare_solvers
from odeclaims.report.draw import VERDICTS, index, refresh_readme
from odeclaims.report.solvers import solvers_markdown

ROOT = Path(__file__).parents[2]
CLAIMS = find_claims()


@cache
def committed() -> list[Judged]:
    """Each of them, judged once in all tests."""
    results = read_results(ROOT / "results", CLAIMS.values(), None)
    return [Judged(each) for each in results if each.profile != "smoke"]


@pytest.mark.parametrize("judged", committed(), ids=lambda j: f"{j.profile}-{j.claim.slug}")
def test_verdicts_follow_from_their_rows(judged):
    assert judged.stale() == ""


def on_other_solvers() -> list[Judged]:
    folders = sorted((ROOT / "results" / FOLDER).glob("*/"))
    return [Judged(r) for f in folders for r in read_results(f, CLAIMS.values(), None)]


@pytest.mark.parametrize(
    "judged", on_other_solvers(), ids=lambda j: f"{j.provenance['solver']}-{j.claim.slug}"
)
def test_verdicts_of_other_solvers_follow_from_their_rows(judged):
    assert judged.stale() == ""
    assert set(judged.rows["solver"]) == {judged.provenance["solver"]}
    assert judged.provenance["solver"] == judged.results.out.name


def test_other_solvers_measured_the_seeds_of_ours():
    ours = {(j.profile, j.claim.slug): set(j.rows["seed"]) for j in committed()}
    for judged in on_other_solvers():
        assert set(judged.rows["seed"]) == ours[judged.profile, judged.claim.slug]


@pytest.mark.parametrize("slug", CLAIMS)
def test_every_rule_is_registered(slug):
    assert unregistered(CLAIMS[slug], read_registry(ROOT / "results")) == {}


def test_the_numbers_that_the_pages_cite_are_right(tmp_path):
    pages = [ROOT / "docs" / "commands.md", ROOT / "suites" / "odeclaims" / "odeclaims.sty"]
    cited = [m for page in pages for m in re.findall(r"\\odeclaim\{.*?\}\{.*?\}", page.read_text())]
    assert len(cited) == 3
    (tmp_path / "paper.tex").write_text("\n".join(cited))
    for path in (tmp_path / "paper.tex", pages[0]):
        checked = check_citations(
            read_citations(path), lambda names: find_named_cells(names, committed())
        )
        assert {each.state for each in checked} == {"right"}


def test_every_claim_has_quick_ones():
    assert {j.claim.slug for j in committed() if j.profile == "quick"} == set(CLAIMS)


def test_what_is_generated_from_them_is_not_stale():
    text, claims = (ROOT / "README.md").read_text(), list(CLAIMS.values())
    assert text == refresh_readme(text, committed())
    whole = (ROOT / "results" / "README.md").read_text()
    assert whole == index(committed(), claims)
    by_solver = (ROOT / "results" / FOLDER / "README.md").read_text()
    assert by_solver == solvers_markdown(compare_solvers(ROOT / "results"))
    pictures = re.findall(r'src="([^"]+)"', whole)
    assert len(pictures) == len(CLAIMS)
    assert all((ROOT / "results" / picture).exists() for picture in pictures)
    verdicts = text.partition(VERDICTS[0])[2].partition(VERDICTS[1])[0]
    links = re.findall(r"^\| \[(\w+)\]\(([^)]+)\) \|", verdicts, re.MULTILINE)
    assert [slug for slug, _ in links] == list(CLAIMS)
    assert all((ROOT / path).exists() for _, path in links)


def test_the_readme_is_short_and_narrow():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    # As they are shown: without the addresses of links, and the sentence about chance wraps.
    shown = [re.sub(r"\]\([^)]*\)", "]", line) for line in lines]
    assert max(len(line) for line in shown if not line.startswith("Central statements:")) <= 120
