"""The results that are kept in the repository: what is written beside rows follows from them."""

import re
from functools import cache
from pathlib import Path

import pytest

from odeclaims.claims import find_claims
from odeclaims.record.judged import Judged
from odeclaims.record.registry import read_registry, unregistered
from odeclaims.record.results import read_results
from odeclaims.report.draw import GALLERY, VERDICTS, index, refresh_readme

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


@pytest.mark.parametrize("slug", CLAIMS)
def test_every_rule_is_registered(slug):
    assert unregistered(CLAIMS[slug], read_registry(ROOT / "results")) == {}


def test_every_claim_has_quick_ones():
    assert {j.claim.slug for j in committed() if j.profile == "quick"} == set(CLAIMS)


def test_what_is_generated_from_them_is_not_stale():
    text, claims = (ROOT / "README.md").read_text(), list(CLAIMS.values())
    assert text == refresh_readme(text, committed())
    assert (ROOT / "results" / "README.md").read_text() == index(committed(), claims)
    gallery = text.partition(GALLERY[0])[2].partition(GALLERY[1])[0]
    pictures = re.findall(r'src="([^"]+)"', gallery)
    assert len(pictures) == len(CLAIMS)
    assert all((ROOT / picture).exists() for picture in pictures)
    assert f"`{committed()[0].claim.slug}`" in text.partition(VERDICTS[0])[2]
