"""Names of table cells, and what is cited with them, over committed results and changed copies."""

import csv
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from odeclaims.cite import bibtex, sentence
from odeclaims.report.hashes import cells, find
from odeclaims.store import Results, read_json, stored, write_json

from odeclaims.claims import find_claims
from odeclaims.report.tables import latex

RESULTS = Path(__file__).parents[3] / "results"
CLAIMS = find_claims()


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(RESULTS, "quick", CLAIMS["backward_nfe"])


def test_every_cell_of_the_written_table_has_a_name_of_its_own(results):
    named = cells(results)
    table = list(csv.reader((results.folder / "table.csv").open(encoding="utf-8")))
    own = [cell for cell in named if cell.table == "table"]
    assert len(own) == (len(table) - 1) * len(table[0])
    assert {cell.column for cell in own} == set(table[0])
    for cell in own:
        written = table[1 + cell.row][table[0].index(cell.column)]
        assert cell.text == written or float(cell.text) == float(written)
    assert len({cell.hash for cell in named}) == len(named)
    assert all(re.fullmatch("[0-9a-f]{10}", cell.hash) for cell in named)


def test_committed_names_are_those_of_the_committed_rows(results):
    written = list(csv.DictReader((results.folder / "hashes.csv").open(encoding="utf-8")))
    assert [row["hash"] for row in written] == [cell.hash for cell in cells(results)]


def test_a_number_is_found_by_its_name_and_no_longer_once_the_rows_are_others(results, tmp_path):
    cell = next(c for c in cells(results) if (c.table, c.column) == ("criteria", "measured"))
    ((where, found),) = find(cell.hash.upper(), [results])
    assert (where, found) == (results, cell)
    shutil.copytree(results.folder, tmp_path / "quick" / "backward_nfe")
    changed = Results(tmp_path, "quick", results.claim)
    assert [found for _, found in find(cell.hash, [changed])] == [cell]
    df = changed.read()
    df["ratio"] *= 1.5
    made = {"commit": "0" * 40}
    changed.write(df, made)
    assert find(cell.hash, [changed]) == []


@pytest.mark.parametrize("name", ["", "xyz", "54834712e", "54834712ebf", "g" * 10])
def test_what_is_no_name_is_refused(name, results):
    with pytest.raises(ValueError, match="10 hexadecimal digits"):
        find(name, [results])


def test_the_sentence_has_every_deciding_number_with_a_name_that_leads_back(results):
    text = sentence(results)
    names = re.findall(r"\[([0-9a-f]{10})\]", text)
    deciding = [c for c in results.claim.criteria if c.decides]
    assert len(names) == len(deciding)
    for name, criterion in zip(names, deciding, strict=True):
        ((_, cell),) = find(name, [results])
        assert cell.text in text
        assert criterion.name in text
    assert results.claim.statement.rstrip(".") in text


@pytest.mark.parametrize(
    ("slug", "keys"),
    [
        ("backward_nfe", ["chen2018neural"]),
        ("nfe_growth", ["chen2018neural", "dupont2019augmented"]),
        ("annulus", ["dupont2019augmented"]),
    ],
)
def test_bibtex_names_the_papers_of_the_source_and_this_suite(slug, keys):
    entries = bibtex(Results(RESULTS, "quick", CLAIMS[slug]))
    found = re.findall(r"^@\w+\{(\w+),$", entries, re.MULTILINE)
    assert found == [*keys, f"odeclaims_{slug}_quick"]
    assert entries.count("{") == entries.count("}")


def test_a_source_that_is_in_no_bibliography_is_cited_in_its_own_words(results, tmp_path):
    shutil.copytree(results.folder, tmp_path / "quick" / "backward_nfe")
    claim = replace(results.claim, source="A & B 1999, p. 1")
    assert r"note = {A \& B 1999, p. 1}" in bibtex(Results(tmp_path, "quick", claim))


def test_changes_in_the_tree_are_said(results, tmp_path):
    shutil.copytree(results.folder, tmp_path / "quick" / "backward_nfe")
    copy = Results(tmp_path, "quick", results.claim)
    made = {"odeclaims": "1", "commit": "a" * 40, "clean_tree": False, "started": "2031-01-01"}
    made["data_sha256"] = read_json(results.folder / "provenance.json")["data_sha256"]
    write_json(copy.folder / "provenance.json", made)
    assert "with changes" in bibtex(copy)
    assert "2031" in bibtex(copy)
    assert "with changes" in sentence(copy)


def test_every_latex_table_compiles_in_a_minimal_document(tmp_path):
    tables = [
        latex(r.claim.table(r.read()), r.claim) for r in stored(RESULTS, CLAIMS.values(), "quick")
    ]
    assert all(r"\toprule" in table for table in tables)
    if not shutil.which("pdflatex"):
        pytest.skip("there is no pdflatex here")
    body = "\n\\clearpage\n".join(tables)
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs, graphicx}\n\\usepackage[T1]{fontenc}\n"
        "\\begin{document}\n" + body + "\n\\end{document}\n",
        encoding="utf-8",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    # All of them lie on their pages.
    assert "Overfull" not in done.stdout
    assert "too large" not in done.stdout
