"""Numbers in manuscripts: how they are found, and which are those of a cell."""

from pathlib import Path

import pytest

from odeclaims.record.judged import HashedCell, Judged
from odeclaims.record.manuscript import agrees, check_citations, read_citations
from odeclaims.record.results import Results
from tests.odeclaims.toy_claims import make_claim

NAME, OTHER = "8c18fac977", "0123456789"


def cell(text: str, column: str = "measured") -> HashedCell:
    return HashedCell(NAME, "statements", 0, column, text)


def states(tmp_path: Path, name: str, manuscript: str, known: str) -> list[tuple[int, str]]:
    """The line and the state of every citation, where one cell has that text."""
    path = tmp_path / name
    path.write_text(manuscript, encoding="utf-8")
    result = Judged(Results(tmp_path, "quick", make_claim(columns={})))
    checked = check_citations(read_citations(path), lambda names: {NAME: (result, cell(known))})
    return [(each.citation.line, each.state) for each in checked]


VALUE = "0.917 [0.850, 0.960], 11 of 12 beyond the bound"


@pytest.mark.parametrize(
    ("written", "known", "right"),
    [
        ("0.917", VALUE, True),
        ("0.92", VALUE, True),
        ("0.9", VALUE, True),
        ("0.91", VALUE, False),
        ("0.918", VALUE, False),
        # The record does not have this digit.
        ("0.9172", VALUE, False),
        ("0.917 [0.85, 0.96]", VALUE, True),
        ("0.917 [0.84, 0.96]", VALUE, False),
        # The value comes first.
        ("0.850", VALUE, False),
        ("11", VALUE, False),
        ("-0.917", VALUE, False),
        ("91.7%", VALUE, True),
        (r"92\,\%", VALUE, True),
        (r"91.6\%", VALUE, False),
        ("0.917%", VALUE, False),
        ("0.982", "98.2%", True),
        ("98.2%", "98.2%", True),
        ("98.2", "98.2%", False),
        ("11 of 12", "11 of 12 [0.62, 1.00]", True),
        ("10 of 12", "11 of 12 [0.62, 1.00]", False),
        ("1.69e-08", "1.69e-08 (range 4.96e-11, 1.69e-08)", True),
        ("1.7e-8", "1.69e-08", True),
        (r"$1.69 \times 10^{-8}$", "1.69e-08", True),
        (r"$1.7\cdot 10^{-8}$", "1.69e-08", True),
        (r"\num{1.69e-8}", "1.69e-08", True),
        ("1.69 × 10^-8", "1.69e-08", True),
        ("1.69e-07", "1.69e-08", False),
        ("1.6e-8", "1.69e-08", False),
        ("0.00000002", "1.69e-08", True),
        ("-2.94", "-2.94 [-2.94, -2.93]", True),
        ("$-2.94$", "-2.94 [-2.94, -2.93]", True),
        ("$-$2.9", "-2.94", True),
        ("−2.94", "-2.94", True),
        ("2.94", "-2.94", False),
        ("10{,}000", "10000", True),
        (r"10\,000", "10000", True),
        ("10,000", "10000.0", True),
        ("0.9167", "0.9166666666666666", True),
        ("reproduced", "reproduced", True),
        ("reproduced", "not reproduced", False),
        ("0.917", "1 of at least 6 seeds", False),
        ("0.917", "nan", False),
        ("1e99999999999", "0.917", False),
        ("", "0.917", False),
        ("", "", False),
    ],
)
def test_a_number_is_compared_at_the_precision_that_is_written(written, known, right):
    assert agrees(written, cell(known)) == right


def test_a_column_in_percent_needs_no_sign():
    for written in ("1.83", r"1.83\%", "1.8"):
        assert agrees(written, cell("1.83", "test error (%)"))
    assert not agrees("0.0183", cell("1.83", "test error (%)"))
    assert not agrees(r"1.83\%", cell("1.83", "95% interval"))


def test_a_latex_manuscript(tmp_path):
    text = rf"""\documentclass{{article}}\usepackage{{odeclaims}}
\newcommand{{\odeclaim}}[2]{{#2}} % not a citation, and neither is \odeclaim{{{OTHER}}}{{1}}
An error of \odeclaim{{{NAME}}}{{0.917}} is 100\% of \odeclaim{{{NAME}}}{{0.5}}.
% \odeclaim{{{OTHER}}}{{7}}
It is \odeclaim{{{NAME}}}{{91.7}}\,\% of \odeclaim{{{OTHER}}}{{0.917}} \\% \odeclaim{{{OTHER}}}{{1}}
\odeclaim {{{NAME}}}
  {{$\mathbf{{0.92}}$}} or \odeclaim{{8C18}}{{0.917}}, \odeclaim{{{NAME}}}, \odeclaim{{{NAME}}}{{0.9
or 0.917 [{NAME}].
"""
    assert states(tmp_path, "paper.tex", text, VALUE) == [
        (3, "right"),
        (3, "changed"),
        (5, "right"),
        (5, "unknown"),
        (6, "right"),
        (7, "unknown"),
        (7, "changed"),
        (7, "changed"),
        (8, "right"),
    ]


def test_a_markdown_manuscript(tmp_path):
    text = f"""# Notes
It is **0.917** [{NAME}], or 0.92 [0.85, 0.96] [{NAME}], not 0.5 [{NAME}]; {VALUE} [{NAME}].
<!-- 7 [{OTHER}]
-->
| `0.917` [{NAME}] | 91.7% [{NAME}] | 0.917 [{OTHER}] | 0.917 nats [{NAME}] | so [{NAME}] |

[{NAME}] has no number, 10.917 [{NAME}] another, and neither has [a link](0.917) or 0.917 [4].
"""
    assert states(tmp_path, "notes.md", text, VALUE) == [
        (2, "right"),
        (2, "right"),
        (2, "changed"),
        (2, "right"),
        *[(5, state) for state in ("right", "right", "unknown", "right", "changed")],
        (7, "changed"),
        (7, "changed"),
    ]


def test_a_text_in_a_sentence_is_the_whole_text(tmp_path):
    assert states(tmp_path, "a.md", f"is reproduced [{NAME}]", "reproduced") == [(1, "right")]
    assert states(tmp_path, "a.md", f"unreproduced [{NAME}]", "reproduced") == [(1, "changed")]
    assert states(tmp_path, "a.md", f"it is -7 [{NAME}]", "7") == [(1, "changed")]


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "paper.tex").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"paper\.tex is not text in UTF-8"):
        read_citations(tmp_path / "paper.tex")
