"""Numbers in a manuscript that carry the name of a table cell, held against that cell.

In LaTeX a number is written ``\\odeclaim{0f2ebefa83}{0.998}``, and in Markdown it is written as
``odeclaims cite`` prints it, ``0.998 [0f2ebefa83]``. A LaTeX file may hold both.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from odeclaims.record.judged import DIGITS, HashedCell, Judged

State = Literal["right", "changed", "unknown"]
Cells = dict[str, tuple[Judged, HashedCell]]

SUFFIXES = (".tex", ".md")


@dataclass(frozen=True)
class Citation:
    """A number in a manuscript, or what stands in its place, with the name that it carries.

    Attributes:
        line: where the name stands, from 1.
        name: the name of a cell, or what stands in the place of one.
        written: what the manuscript has.
        before: all of its paragraph before the name, where the form does not say where the number
            begins.
    """

    line: int
    name: str
    written: str
    before: str = ""


@dataclass(frozen=True)
class Checked:
    """What came of a citation.

    Attributes:
        citation: the citation.
        state: whether the record still has what is written.
        says: what the record has, or why nothing is known, as the end of a sentence.
    """

    citation: Citation
    state: State
    says: str


def read_citations(path: Path) -> list[Citation]:
    """Every number in the file that carries a name, in the order of the lines.

    Comments are left out, in LaTeX and in Markdown.

    Raises:
        OSError: where the file cannot be read.
        ValueError: where it is not text.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8: expected a manuscript, such as a .tex or .md file"
        ) from error
    if path.suffix != ".tex":
        return list(_bracketed(re.sub(r"<!--.*?-->", _keep_lines, text, flags=re.DOTALL)))
    # A percent sign opens a comment unless an odd number of backslashes stands before it.
    text = re.sub(r"(?<!\\)((?:\\\\)*)%.*", r"\1", text)
    found = [*_macros(text), *_bracketed(text)]
    return sorted(found, key=lambda citation: citation.line)


def _keep_lines(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _macros(text: str) -> Iterator[Citation]:
    for match in re.finditer(r"\\odeclaim\s*\{([^{}]*)\}\s*", text):
        written, end = _argument(text, match.end())
        # A unit may stand outside of the macro.
        percent = re.match(r"(?:\\[,;: ]|~|\s)*\\%", text[end:])
        line = text.count("\n", 0, match.start()) + 1
        yield Citation(line, match[1].strip(), written + (r"\%" if percent else ""))


def _argument(text: str, start: int) -> tuple[str, int]:
    """What stands in the braces that open at ``start``, and where they end; "" where none open."""
    if not text.startswith("{", start):
        return "", start
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0) if text[place - 1] != "\\" else 0
        if depth == 0:
            return text[start + 1 : place], place + 1
    return "", start


def _bracketed(text: str) -> Iterator[Citation]:
    end = 0
    for match in re.finditer(rf"\[([0-9a-f]{{{DIGITS}}})\]", text):
        # A name belongs to a number of its own paragraph.
        before = re.split(r"\n\s*\n", text[end : match.start()])[-1]
        value = _LAST_VALUE.search(before[-_LONGEST_VALUE:])
        line = text.count("\n", 0, match.start()) + 1
        yield Citation(line, match[1], value[1] if value else "", " ".join(before.split()))
        end = match.end()


def check_citations(
    citations: Sequence[Citation], find: Callable[[Iterable[str]], Cells]
) -> list[Checked]:
    """Hold each citation against the cell that it names.

    Args:
        citations: those of a manuscript.
        find: from names to the cells that have them today.
    """
    cells = find({citation.name for citation in citations if _is_name(citation.name)})
    return [_check(citation, cells) for citation in citations]


def _is_name(name: str) -> bool:
    return bool(re.fullmatch(rf"[0-9a-f]{{{DIGITS}}}", name))


def _check(citation: Citation, cells: Cells) -> Checked:
    if not _is_name(citation.name):
        return Checked(
            citation, "unknown", f"a name has {DIGITS} digits from 0 to 9 and a to f, in small"
        )
    if citation.name not in cells:
        says = "no cell has this name; it was measured again since, or the name is mistyped"
        return Checked(citation, "unknown", says)
    judged, cell = cells[citation.name]
    place = f"{judged.profile}/{judged.claim.slug}, {cell.table}, row {cell.row + 1}, {cell.column}"
    right = _ends_with(citation.before, cell.text) or agrees(citation.written, cell)
    return Checked(citation, "right" if right else "changed", f"{place}: {cell.text}")


def _ends_with(before: str, text: str) -> bool:
    """Whether a paragraph ends with the whole text of a cell, which nothing continues."""
    plain = " ".join(text.split())
    start = before.removesuffix(plain)
    return bool(plain) and start != before and not re.search(r"[\w.,+^−-]$", start)


def agrees(written: str, cell: HashedCell) -> bool:
    """Whether what is written is what the cell has, at the precision that is written.

    The first number of the cell is its value; what follows, such as an interval, may be left out.
    So the numbers that are written must be the first of the cell, in their order. A text without a
    number must be the cell's text.
    """
    numbers = read_numbers(written)
    if not numbers:
        return bool(cell.text) and " ".join(_plain(written).split()) == " ".join(cell.text.split())
    in_percent = cell.column.endswith(("%", "(%)"))
    known = read_numbers(cell.text)[: len(numbers)]
    return len(known) == len(numbers) and all(
        number.is_rounded(other, in_percent) for number, other in zip(numbers, known, strict=True)
    )


@dataclass(frozen=True)
class Number:
    """A number as it is written: 0.917 is known to a thousandth, and 1.69e-08 to 1e-10."""

    value: Decimal
    percent: bool

    @property
    def unit(self) -> Decimal:
        """What one more in its last digit is worth."""
        exponent = self.value.as_tuple().exponent
        assert isinstance(exponent, int)  # it is finite
        return Decimal(1).scaleb(exponent)

    def is_rounded(self, other: "Number", in_percent: bool) -> bool:
        """Whether it is the other at its own precision; that may be in percent without a sign."""
        factor = Decimal(1)
        if self.percent != other.percent and not in_percent:
            factor = Decimal(100) if self.percent else Decimal("0.01")
        return abs(self.value - factor * other.value) <= self.unit / 2


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_NUMBER = re.compile(rf"(?<![\w.])(-?{_DIGITS}(?:[eE][+-]?\d{{1,4}})?)(?!\w)(\s*%)?")
# At the end of a text: a number or a count such as "11 of 12", then an interval or a unit.
_LAST_VALUE = re.compile(
    r"(?<![\w.])((?:\d+ of )?[-−]?\$?[-−]?\d[\d,]*(?:\{,\}\d+)*(?:\.\d+)?"
    r"(?:[eE][+-]?\d+|\s*(?:\\times|\\cdot|×|·)\s*10\^\{?[-−]?\d+\}?)?"
    r"\$?(?:\s*\\?%)?(?:\s*[\[(][^\[\]()]*[\])])?)(?:[\s~]+[A-Za-zµ/]{1,8})?[\s*_`\"'~$]*$"
)
# No value is longer, with its interval.
_LONGEST_VALUE = 120


def read_numbers(text: str) -> list[Number]:
    """The numbers of a text in LaTeX or Markdown, in their order."""
    return [
        Number(Decimal(match[1].replace(",", "")), bool(match[2]))
        for match in _NUMBER.finditer(_plain(text))
    ]


def _plain(text: str) -> str:
    """The text as it would be typed without LaTeX: 1.7e-8, 10,000, 5%, -3."""
    for pattern, plain in _SPELLINGS:
        text = re.sub(pattern, plain, text)
    return text


_SPELLINGS = [
    (r"[−–]", "-"),
    (r"\{,\}", ","),
    (r"(?<=\d)\\[,;](?=\d{3})", ","),
    (r"\\(?:num|mathrm|text|textbf|mathbf|ensuremath)\b", ""),
    (r"\\%", "%"),
    (r"\\[,;:! ]|~", " "),
    (r"\s*(?:\\times|\\cdot|×|·)\s*10\s*\^\s*\{?\s*([+-]?\d+)\s*\}?", r"e\1"),
    (r"[{}$]", ""),
]
