"""What takes time in drawing many files, and is not needed or needed once.

No figure changes by it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

# What a font has for laying out words and formulas.
_LAYOUT_TABLES = {"GDEF", "GPOS", "GSUB", "kern", "MATH"}
# What formulas were parsed to.
_FORMULAS: dict[tuple, Any] = {}


@contextmanager
def fonts_without_layout() -> Iterator[None]:
    """Put fonts into files without the tables by which words are laid out: a PDF has its glyphs.

    To shorten these tables takes most of the time that a font takes, and no reader looks at them.
    """
    load = subset.load_font

    def load_font(*args: Any, **options: Any) -> TTFont:
        font = load(*args, **options)
        for table in _LAYOUT_TABLES & set(font.keys()):
            del font[table]
        return font

    subset.load_font = load_font
    try:
        yield
    finally:
        subset.load_font = load


@contextmanager
def formulas_parsed_once() -> Iterator[None]:
    """Parse a formula once for all files, as the label of a tick that stands in most of them.

    Matplotlib has a parser for each file, and remembers its last fifty formulas alone.
    """
    parse = MathTextParser.parse

    def parse_once(
        self: Any, s: str, dpi: float = 72, prop: Any = None, *, antialiased: Any = None
    ) -> Any:
        # Font properties can be changed later, and with them their hash.
        key = (self._output_type, s, dpi, prop and prop.copy(), antialiased)
        if key not in _FORMULAS:
            _FORMULAS[key] = parse(self, s, dpi, prop, antialiased=antialiased)
        return _FORMULAS[key]

    MathTextParser.parse = parse_once
    try:
        yield
    finally:
        MathTextParser.parse = parse


def fix_places(figure: Figure) -> None:
    """Let titles and empty labels stand where the layout has put them.

    Matplotlib places them anew whenever it draws, and measures all labels of ticks for each.
    """
    every: Any = figure.axes
    for ax in every:
        raised = ax.title.get_position()[1] != 1 or ax.yaxis.get_offset_text().get_text()
        if not raised:
            # What set_title does where it is told a height.
            ax._autotitlepos = False
        for axis in (ax.xaxis, ax.yaxis):
            if not axis.label.get_text():
                axis.set_label_coords(0, 0)
