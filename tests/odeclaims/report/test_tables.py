"""The claims' tables as LaTeX, over all committed results, and texts that are markup in a table."""

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from odeclaims.claims import find_claims
from odeclaims.record.results import read_results
from odeclaims.record.wording import escape_bibtex
from odeclaims.report.docs import _plain
from odeclaims.report.tables import escape_html, latex, markdown
from tests.odeclaims.toy_claims import make_claim

RESULTS = Path(__file__).parents[3] / "results"


@pytest.mark.slow(reason="LaTeX runs on every table")
def test_every_latex_table_compiles_in_a_minimal_document(tmp_path):
    tables = [
        latex(r.claim.table(r.read()), r.claim)
        for r in read_results(RESULTS, find_claims().values(), "quick")
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


# Pieces of markup, of which a text is put together at random.
PIECES = ["<b>", "</b>", "<script>", "<!--", "<?x", "&#8238;", "&lt;", "|", "\\", "\\|", "`", "``",
          "```", "[a](b)", "![a](b)", "](", "<http://a.b>", "\n", "\n\n# x", "\r", "\x1b", "\u202e",
          "a", " ", "{", "}", "$x$", "[", "*", "%", "@misc{"]  # fmt: skip
hostile = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


def rendered(table: str) -> list[str]:
    """The cells of a table of one line as a reader of Markdown makes HTML of them."""
    markdown_it = pytest.importorskip("markdown_it")
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(table)
    assert html.count("<table>") == 1
    assert html.count("<tr>") == 2
    return re.findall(r"<td[^>]*>(.*?)</td>", html, re.DOTALL)


@pytest.mark.parametrize("escape", [escape_html, _plain])
@given(one=hostile, two=hostile)
@example(one="\\|", two="```<img src=x>`")
@example(one="\\`<img>\\`", two="`a``<b>`")
def test_no_text_is_more_than_its_cell(escape, one, two):
    cells = rendered(markdown(pd.DataFrame({"a": [one], "b": [two], "c": ["last"]}), escape))
    assert len(cells) == 3
    assert cells[2] == "last"
    for cell in cells:
        tags = set(re.findall(r"<(/?[a-z!?]\w*)", cell))
        assert tags <= {"code", "/code", "em", "/em", "strong", "/strong"}
        assert unescape(cell).isprintable()


@pytest.mark.parametrize("text", ["<= 0.5", "1 < 2 & 3", "A & B", "0.1 [0.0, 0.2]", "x^2"])
def test_what_is_no_markup_stays_as_it_is(text):
    assert escape_html(text) == text


@given(hostile)
def test_bibtex_counts_no_brace_of_a_text(text):
    escaped = escape_bibtex(text)
    depth = 0
    for character in escaped:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert escaped.isprintable()


@given(hostile)
def test_a_line_of_a_latex_table_stays_one(text):
    claim = make_claim(columns={})
    table = latex(pd.DataFrame({"a": [text, "x"], "b": ["y", "z"]}), claim)
    (line,) = re.findall(r"\\midrule\n(.*?) & y \\\\\n", table, re.DOTALL)
    assert line.isprintable()
    assert not line.startswith(("[", "*"))
    assert not re.search(r"(?<!\\)[&%$#_]", line)
