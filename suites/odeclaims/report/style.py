"""The one look of every figure, and how a figure becomes files."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

# Widths of a column and of a page in a two-column paper, in inches.
COLUMN_WIDTH = 3.35
PAGE_WIDTH = 6.9
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
    """Label a logarithmic axis at 1, 2 and 5 times the powers of ten, and not as powers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def solver_look(method: str) -> dict[str, Any]:
    """Colour and marker of a solver, the same in every figure."""
    i = _SOLVERS.index(method)
    return {"color": COLOURS[i], "marker": MARKERS[i]}


@contextmanager
def style() -> Iterator[None]:
    """Draw inside this context to get the common look."""
    settings: Any = {**sns.axes_style("ticks"), **_RC}
    with mpl.rc_context(settings):
        yield


def panels(rows: int, columns: int, *, width: float = PAGE_WIDTH, height: float = 2.6) -> Any:
    """A figure with a grid of axes, ``width`` by ``height * rows`` inches, and those axes.

    Unlike pyplot's it is known to nobody else, so nothing stays behind when it is dropped.
    """
    figure = Figure(figsize=(width, height * rows))
    return figure, figure.subplots(rows, columns, squeeze=False)


def label_panels(axes: Any) -> None:
    """Letter the panels (a), (b), ... in front of their titles."""
    for letter, ax in zip("abcdefghijkl", axes, strict=False):
        title = f"({letter}) {ax.get_title()}"
        ax.set_title(title.rstrip(), loc="left", fontweight="bold")
        if ax.get_title():
            ax.set_title("")


def save(figure: Figure, folder: Path, name: str = "figure") -> list[Path]:
    """Write the figure as PNG and PDF, each put in place whole; the same figure, the same bytes."""
    # No creation date and no version, so that drawing again changes nothing.
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
    # It warns that a font was made long ago, at each one that goes into a PDF.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    paths = []
    for kind, meta in metadata.items():
        path = folder / f"{name}.{kind}"
        beside = path.with_suffix(f".{kind}.part")
        figure.savefig(beside, format=kind, metadata=meta)
        beside.replace(path)
        paths.append(path)
    return paths


def save_animation(animation: FuncAnimation, folder: Path, name: str = "animation") -> Path:
    """Write the animation as GIF, put in place whole; the same rows, the same bytes."""
    path = folder / f"{name}.gif"
    # Pillow takes the format from the ending, so that this one has to stay last.
    beside = folder / f"{name}.part.gif"
    animation.save(beside, writer=PillowWriter(fps=ANIMATION_FPS), dpi=ANIMATION_DPI)
    beside.replace(path)
    return path
