"""How a claim is cited, over committed results and changed copies."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from odeclaims.claims import find_claims
from odeclaims.record.cite import bibtex, cited_sentence
from odeclaims.record.judged import Judged, find_cells
from odeclaims.record.results import Results
from tests.odeclaims.toy_claims import PROVENANCE

RESULTS = Path(__file__).parents[3] / "results"


@pytest.fixture(scope="module")
def judged() -> Judged:
    return Judged(Results(RESULTS, "quick", find_claims()["backward_nfe"]))


def test_the_sentence_has_every_central_number_with_a_name_that_leads_back(judged):
    text = cited_sentence(judged)
    names = re.findall(r"\[([0-9a-f]{10})\]", text)
    central = [s for s in judged.claim.statements if s.central]
    assert len(names) == len(central)
    for name, statement in zip(names, central, strict=True):
        ((_, cell),) = find_cells(name, [judged])
        assert cell.text in text
        assert statement.text in text
    assert judged.verdict.scale in text
    assert judged.verdict.summary in text
    assert judged.claim.statement.rstrip(".") in text


@pytest.mark.parametrize(
    ("slug", "keys"),
    [
        ("backward_nfe", ["chen2018neural"]),
        ("nfe_growth", ["chen2018neural", "dupont2019augmented"]),
        ("annulus", ["dupont2019augmented"]),
    ],
)
def test_bibtex_names_the_papers_of_the_source_and_this_suite(slug, keys):
    entries = bibtex(Judged(Results(RESULTS, "quick", find_claims()[slug])))
    found = re.findall(r"^@\w+\{(\w+),$", entries, re.MULTILINE)
    assert found == [*keys, f"odeclaims_{slug}_quick"]
    assert entries.count("{") == entries.count("}")


def test_a_source_that_is_in_no_bibliography_is_cited_in_its_own_words(judged, tmp_path):
    shutil.copytree(judged.results.folder, tmp_path / "quick" / "backward_nfe")
    claim = replace(judged.claim, source="A & B 1999, p. 1")
    assert r"note = {A \& B 1999, p. 1}" in bibtex(Judged(Results(tmp_path, "quick", claim)))


def test_changes_in_the_tree_are_said(judged, tmp_path):
    shutil.copytree(judged.results.folder, tmp_path / "quick" / "backward_nfe")
    copy = Results(tmp_path, "quick", judged.claim)
    copy.write(judged.rows, PROVENANCE | {"clean_tree": False, "started": "2031-01-01T00:00:00Z"})
    changed = Judged(copy)
    assert "with changes" in bibtex(changed)
    assert "2031" in bibtex(changed)
    assert "with changes" in cited_sentence(changed)
