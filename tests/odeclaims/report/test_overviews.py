"""What lists all results: the statements that were not reproduced, and the pictures."""

from pathlib import Path

import pytest

from odeclaims.claims import find_claims
from odeclaims.record.judged import Judged
from odeclaims.record.results import read_results
from odeclaims.report.draw import gallery, open_statements

RESULTS = Path(__file__).parents[3] / "results"


def judged(*slugs: str) -> list[Judged]:
    chosen = [claim for slug, claim in find_claims().items() if slug in slugs]
    assert len(chosen) == len(slugs)
    return [Judged(each) for each in read_results(RESULTS, chosen, "quick")]


@pytest.fixture(scope="module")
def two() -> list[Judged]:
    return judged("equations", "euler_resnet")


def test_every_central_statement_that_was_not_reproduced_is_listed(two):
    lines = open_statements(two).splitlines()[2:]
    expected = [
        each.statement.text for each in two[0].verdict.central if each.outcome == "not reproduced"
    ]
    assert len(lines) == len(expected) > 0
    assert all(line.startswith("| [equations](quick/equations/table.md)") for line in lines)
    assert all(line.rstrip(" |").endswith("not reproduced") for line in lines)


def test_where_all_are_reproduced_it_is_said(two):
    assert open_statements(two[1:]) == "Every central statement that was measured is reproduced."


def test_a_picture_says_what_became_of_its_claim(two):
    text = gallery(two)
    for each in two:
        assert f"Here: {each.verdict.summary} (quick)</td>" in text
    assert text.count("<br>Claim: ") == 2
