"""The one look of every figure, and how a figure becomes files."""

import io
import logging
import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from PIL import Image

from odeclaims.record.files import write_bytes
from odeclaims.report.reuse import fix_places, fonts_without_layout

# Widths of a column and of a page in a two-column paper, in inches.
COLUMN_WIDTH = 3.35
PAGE_WIDTH = 6.9
# In a column the panels stand in more lines than on a page, each at most so high, and all of them
# together at most as high as a page's text with a legend below; in inches.
_LINE_HEIGHT, _HIGHEST = 2.1, 8.4
# What axes leave of a panel's width, and of its height, to what is written beside them; in inches.
_BESIDE, _ABOVE_AND_BELOW = 0.6, 0.6
# The end of a logarithmic axis over its start from where on it is long in a column.
_LONG_AXIS = 300
# Of an animation: pixels an inch, and frames a second.
ANIMATION_DPI, ANIMATION_FPS = 110, 8

# seaborn's palette for the colour-blind; the arms of a comparison also differ in marker and dash.
COLOURS = [to_hex(c) for c in sns.color_palette("colorblind")]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
_SOLVERS = ("adaptive_heun", "bosh3", "dopri5", "dopri8", "adams")

_RC: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.dpi": 300,
    # Text stays text in the vector file.
    "pdf.fonttype": 42,
    "pdf.compression": 6,
    "mathtext.fontset": "dejavusans",
}


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 times the powers of ten, and not as powers.

    In a column, where panels are low, a long axis has labels at the powers of ten alone.
    """
    low, high = sorted(axis.get_view_interval())
    long = in_column() and high > low * _LONG_AXIS
    axis.set_major_locator(LogLocator(subs=(1,) if long else (1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def solver_look(method: str) -> dict[str, Any]:
    """Colour and marker of a solver, the same in every figure."""
    i = _SOLVERS.index(method)
    return {"color": COLOURS[i], "marker": MARKERS[i]}


@contextmanager
def style(width: float = PAGE_WIDTH) -> Iterator[None]:
    """Draw inside this context to get the common look, in figures ``width`` inches wide."""
    size = width, mpl.rcParams["figure.figsize"][1]
    settings: Any = {**sns.axes_style("ticks"), **_RC, "figure.figsize": size}
    with mpl.rc_context(settings):
        yield


def drawing_width() -> float:
    """How wide a figure is to be, in inches: what ``style`` was given."""
    return float(mpl.rcParams["figure.figsize"][0])


def in_column() -> bool:
    """Whether figures are to be nearer to a column's width than to a page's."""
    return drawing_width() < (COLUMN_WIDTH + PAGE_WIDTH) / 2


def panels(
    rows: int,
    columns: int,
    *,
    width: float | None = None,
    height: float = 2.6,
    width_ratios: Sequence[float] | None = None,
    narrow: str = "",
) -> Any:
    """A figure with a grid of axes, and those axes as an array of this many rows and columns.

    Where it is narrower than a page, fewer axes stand abreast: in a column two of three or four,
    one of two, and never so that a place stays empty. Unlike pyplot's the figure is known to nobody
    else, so nothing stays behind when it is dropped.

    Args:
        rows: of axes, on a page.
        columns: of axes, on a page.
        width: of the figure, in inches; that of ``style`` where it is not given.
        height: of a row, in inches, on a page; in a column it may be less.
        width_ratios: of the columns, on a page; in a column all are as wide.
        narrow: how the axes stand where it is narrower, if not so: a letter for each and a line
            of letters for each line of axes, so that in ``"ab;c"`` the third has a line to itself.
    """
    width = width or drawing_width()
    count = rows * columns
    most = min(columns, math.ceil(columns * width / PAGE_WIDTH))
    if narrow and most < columns:
        lines = narrow.split(";")
        figure = Figure(figsize=(width, _line_height(height, len(lines)) * len(lines)))
        axes = _in_lines(figure, lines)
    else:
        abreast = next(n for n in range(most, 0, -1) if count % n == 0)
        lines = count // abreast
        if lines > rows:
            height, width_ratios = _line_height(height, lines), None
        figure = Figure(figsize=(width, height * lines))
        axes = figure.subplots(lines, abreast, squeeze=False, width_ratios=width_ratios)
    return figure, axes.reshape(rows, columns)


def _line_height(height: float, lines: int) -> float:
    return min(height, _LINE_HEIGHT, _HIGHEST / lines)


def _in_lines(figure: Figure, lines: Sequence[str]) -> Any:
    """Axes in the order of their letters, where the axes of each line share its whole width."""
    grid = figure.add_gridspec(len(lines), 1)
    named = {}
    for i, line in enumerate(lines):
        places = grid[i].subgridspec(1, len(line))
        named |= {letter: figure.add_subplot(places[k]) for k, letter in enumerate(line)}
    return np.array([named[letter] for letter in sorted(named)])


def leave_room(ax: Axes, share: float, *, below: bool = False) -> None:
    """Extend the vertical axis so that a legend has a share of its height, above or below all."""
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(ax.get_ylim())
    more = (high - low) * share / (1 - share)
    limits = (low - more, high) if below else (low, high + more)
    ax.set_ylim(*scale.inverted().transform(limits))


def add_legend(
    figure: Figure,
    handles: Sequence[Artist],
    ncols: int,
    *,
    loc: Any = "outside lower center",
    **look: Any,
) -> Legend:
    """A legend beside all panels, in ``ncols`` columns, or in as many as the figure has room for.

    By what the legend becomes higher, so does the figure.
    """
    legend = figure.legend(handles=handles, loc=loc, ncols=ncols, **look)
    planned = legend.get_window_extent().height
    # The margins of a legend may lie outside.
    margins = 2 * legend.borderpad * legend.prop.get_size_in_points() * figure.dpi / 72
    while ncols > 1 and legend.get_window_extent().width - margins > figure.bbox.width:
        legend.remove()
        ncols -= 1
        legend = figure.legend(handles=handles, loc=loc, ncols=ncols, **look)
    more = legend.get_window_extent().height - planned
    if more:
        figure.set_figheight(figure.get_figheight() + more / figure.dpi)
    return legend


def label_panels(axes: Any, letters: str = "abcdefghijkl") -> None:
    """Letter the panels (a), (b), ... in front of their titles; in a column, wrap what is long."""
    for letter, ax in zip(letters, axes, strict=False):
        text = f"({letter}) {ax.get_title()}"
        title = ax.set_title(text.rstrip(), loc="left", fontweight="bold")
        if ax.get_title():
            ax.set_title("")
        if in_column():
            _wrap_labels(ax, title)


def _wrap_labels(ax: Axes, title: Text) -> None:
    """Wrap the title and the names of both axes to the room that the panel has for them."""
    place = ax.get_subplotspec()
    if place is None:
        return
    whole, dpi, line = ax.figure.bbox, ax.figure.dpi, place.get_topmost_subplotspec()
    across = len(place.colspan) / place.get_gridspec().ncols
    down = len(line.rowspan) / line.get_gridspec().nrows
    for text in (title, ax.xaxis.label):
        wrap(text, across * whole.width - _BESIDE * dpi)
    wrap(ax.yaxis.label, down * whole.height - _ABOVE_AND_BELOW * dpi)


def wrap(text: Text, room: float) -> None:
    """Break a text between its words into even lines of at most ``room`` pixels, if they can be."""
    if _length(text) <= room:
        return
    # What stands between dollars is a formula, and no place to break.
    words = re.findall(r"(?:\$[^$]*\$|\S)+", text.get_text())
    lines = _filled(text, words, room)
    while len(shorter := _filled(text, words, room)) == len(lines) and room > 0:
        lines, room = shorter, room - 2
    text.set_text("\n".join(lines))


def _filled(text: Text, words: Sequence[str], room: float) -> list[str]:
    """Lines of words, each as long as there is room, but a panel's letter never by itself."""
    lines: list[str] = []
    for word in words:
        text.set_text(" ".join([*lines[-1:], word]))
        if lines and (len(lines[-1]) <= len("(a)") or _length(text) <= room):
            lines[-1] = text.get_text()
        else:
            lines.append(word)
    return lines


def _length(text: Text) -> float:
    extent = text.get_window_extent()
    return extent.height if text.get_rotation() == 90 else extent.width


@contextmanager
def freeze_layout(figure: Figure) -> Iterator[None]:
    """Lay the figure out, and write its files inside this context: none lays it out again.

    Without an engine Matplotlib also draws once a file; with one, and be it "none", it draws twice.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        if isinstance(engine, ConstrainedLayoutEngine):
            fix_places(figure)
    # After each file Matplotlib sets the engine anew, to that of the settings where it was None.
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
        yield


def save(
    figure: Figure, folder: Path, name: str = "figure", kinds: Sequence[str] = ("png", "pdf")
) -> list[Path]:
    """Write the figure as PNG and PDF, each put in place whole; the same figure, the same bytes."""
    # No creation date and no version, so that drawing again changes nothing.
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
    # It warns that a font was made long ago, at each one that goes into a PDF.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    paths = []
    with freeze_layout(figure), fonts_without_layout():
        for kind in kinds:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata=metadata[kind])
            paths.append(write_bytes(folder / f"{name}.{kind}", buffer.getvalue()))
    return paths


class _GifWriter(PillowWriter):
    """Writes frames as a GIF, and renders no frame again that stands for a while.

    A frame stands where nothing in the figure has changed since the one before.
    """

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)
        self.frames: list[Image.Image] = []

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        if self.frames and not self.fig.stale:
            self.frames.append(self.frames[-1])
            return
        buffer = io.BytesIO()
        with freeze_layout(self.fig):
            self.fig.savefig(buffer, **savefig_kwargs, format="rgba", dpi=self.dpi)
        image = Image.frombytes("RGBA", self.frame_size, buffer.getvalue())
        self.frames.append(image.convert("RGB"))
        self.fig.stale = False

    def finish(self) -> None:
        first, *others = self.frames
        duration = int(1000 / self.fps)
        first.save(self.outfile, save_all=True, append_images=others, duration=duration, loop=0)


def animation_bytes(animation: FuncAnimation) -> bytes:
    """The animation as GIF; the same rows, the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "animation.gif"
        animation.save(path, writer=_GifWriter(fps=ANIMATION_FPS), dpi=ANIMATION_DPI)
        return path.read_bytes()
