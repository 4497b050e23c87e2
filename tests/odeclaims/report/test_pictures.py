"""Figures as data URIs."""

import io
from urllib.parse import unquote

import numpy as np

from odeclaims.report.pictures import SVG_BYTES, drawing
from odeclaims.report.style import panels, style


def test_what_is_heavy_becomes_pixels_and_letters_do_not():
    with style():
        fig, axes = panels(1, 1)
        axes[0, 0].pcolormesh(np.add.outer(range(30), range(30)), shading="gouraud")
        axes[0, 0].set_xlabel("a label")
        buffer = io.BytesIO()
        fig.savefig(buffer, format="svg")
        picture = drawing(fig, "a mesh")
    svg = unquote(picture.src.partition(",")[2])
    assert len(svg) < SVG_BYTES < len(buffer.getvalue())
    assert svg.count("<image") == 1
    assert "<!-- a label -->" in svg
    assert (picture.width, picture.height) == (662, 250)
