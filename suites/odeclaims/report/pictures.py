"""Figures and animations as data URIs, for a page that needs no other file."""

import base64
import inspect
import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from PIL import Image

from odeclaims.report.style import freeze_layout

# A drawing that would be larger keeps its lines and letters, and gets its meshes and clouds of
# points as pixels,
SVG_BYTES = 1_000_000
# namely those of more coordinates than this,
HEAVY_ARTIST = 2000
# at so many pixels an inch.
DPI = 200


@dataclass(frozen=True)
class Picture:
    """A figure or an animation as data URIs.

    Attributes:
        src: the picture.
        caption: what it shows.
        width: CSS pixels at its natural size.
        height: CSS pixels at its natural size.
        still: the last frame of an animation, for a reader who wants nothing to move; else "".
    """

    src: str
    caption: str
    width: int
    height: int
    still: str = ""


def caption(draw: Callable, otherwise: str) -> str:
    """The first paragraph of a drawing function's docstring, or ``otherwise`` where it has none."""
    text = (inspect.getdoc(draw) or "") if inspect.isfunction(draw) else ""
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "") or otherwise


def drawing(figure: Figure, caption: str) -> Picture:
    """The figure as SVG; the same figure, the same bytes."""
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    # Percent-encoded it is a fifth smaller than in base64.
    text = quote(" ".join(_svg(figure).split()), safe=" !$()*+,-./:;=?@_~|[]")
    return Picture(f"data:image/svg+xml,{text}", caption, width, height)


def moving(frames: bytes, caption: str) -> Picture:
    """An animation, given as the bytes of a GIF."""
    last = io.BytesIO()
    with Image.open(io.BytesIO(frames)) as image:
        image.seek(getattr(image, "n_frames", 1) - 1)
        image.convert("RGB").save(last, "PNG", optimize=True)
        width, height = image.size
    still = _uri("image/png", last.getvalue())
    return Picture(_uri("image/gif", frames), caption, width, height, still)


class _TooLarge(Exception):
    """A drawing has more than ``SVG_BYTES``."""


class _AtMost(io.StringIO):
    """A text that may not become longer than ``SVG_BYTES``."""

    def write(self, text: str, /) -> int:
        if self.tell() > SVG_BYTES:
            raise _TooLarge
        return super().write(text)


def _svg(figure: Figure) -> str:
    with freeze_layout(figure):
        # A mesh can take ten times the bytes, and each of them takes time: stop where it is clear.
        with suppress(_TooLarge):
            text = _save(figure, _AtMost())
            if len(text) <= SVG_BYTES:
                return text
        for artist in figure.findobj(Collection):
            assert isinstance(artist, Collection)
            artist.set_rasterized(_coordinates(artist) > HEAVY_ARTIST)
        return _save(figure, io.StringIO())


def _coordinates(artist: Collection) -> int:
    paths = artist.get_paths()
    return np.size(artist.get_offsets()) + sum(np.size(path.vertices) for path in paths)


def _save(figure: Figure, file: io.StringIO) -> str:
    # Letters as outlines, since a reader may not have the font; no date and no version.
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "odeclaims"}):
        figure.savefig(file, format="svg", dpi=DPI, metadata=metadata)
    return file.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
