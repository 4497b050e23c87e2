"""How figures are laid out for a page and for a column, and how animations become files."""

import re
import zlib
from io import BytesIO
from typing import Any

import pytest
from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from odeclaims.report.style import (
    ANIMATION_FPS,
    COLUMN_WIDTH,
    PAGE_WIDTH,
    add_legend,
    animation_bytes,
    in_column,
    label_panels,
    leave_room,
    panels,
    plain_numbers,
    save,
    style,
    wrap,
)


def moving() -> FuncAnimation:
    fig, axes = panels(1, 1, width=1, height=1)

    def draw(k: int) -> None:
        axes[0, 0].clear()
        axes[0, 0].plot([0, 1], [0, k])

    return FuncAnimation(fig, draw, 3)


def test_an_animation_is_a_gif_and_the_same_again():
    with style():
        first = animation_bytes(moving())
        assert animation_bytes(moving()) == first
    with Image.open(BytesIO(first)) as image:
        assert image.format == "GIF"
        assert getattr(image, "n_frames", 1) == 3


def test_a_frame_that_stands_is_rendered_once(monkeypatch):
    fig, axes = panels(1, 1, width=1, height=1)
    line = axes[0, 0].plot([0, 1], [0, 0])[0]
    shown, rendered, savefig = [0], [], Figure.savefig

    def draw(k: int) -> None:
        if k != shown[-1]:
            shown.append(k)
            line.set_ydata([0, k / 4])

    def count(figure: Figure, *args: Any, **options: Any) -> None:
        rendered.append(figure)
        savefig(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", count)
    with style():
        gif = animation_bytes(FuncAnimation(fig, draw, [0, 0, 1, 2, 2, 2]))
    assert len(rendered) == 3
    durations = []
    with Image.open(BytesIO(gif)) as image:
        for k in range(getattr(image, "n_frames", 1)):
            image.seek(k)
            durations.append(image.info["duration"])
    frame = int(1000 / ANIMATION_FPS) // 10 * 10
    assert [round(d / frame) for d in durations] == [2, 1, 3]


def test_each_file_takes_one_draw_and_the_layout_stays_that_of_the_first(tmp_path, monkeypatch):
    drawn, draw = [], Figure.draw

    def count(figure: Figure, renderer: Any) -> None:
        drawn.append([ax.get_position().bounds for ax in figure.axes])
        draw(figure, renderer)

    monkeypatch.setattr(Figure, "draw", count)
    with style():
        fig, axes = panels(1, 2)
        axes[0, 0].set_ylabel("a label")
        before = [ax.get_position().bounds for ax in fig.axes]
        save(fig, tmp_path)
        save(fig, tmp_path, "again")
    assert len(drawn) == 4
    assert drawn[0] != before
    assert all(places == drawn[0] for places in drawn)


def test_a_pdf_has_the_glyphs_of_its_fonts_and_no_tables_for_layout(tmp_path):
    load = subset.load_font
    with style():
        fig, axes = panels(1, 1)
        axes[0, 0].set_title("a title, $x_1$")
        save(fig, tmp_path, kinds=["pdf"])
    assert subset.load_font is load
    pdf = (tmp_path / "figure.pdf").read_bytes()
    streams = re.findall(rb"/Length1 .*?stream\n(.*?)\nendstream", pdf, re.DOTALL)
    fonts = [TTFont(BytesIO(zlib.decompress(stream))) for stream in streams]
    assert fonts
    for font in fonts:
        assert {"glyf", "hmtx", "loca", "fpgm", "prep"} <= set(font.keys())
        assert not {"GDEF", "GPOS", "GSUB", "kern", "MATH"} & set(font.keys())


@pytest.mark.parametrize(
    ("rows", "columns", "abreast"),
    [(1, 1, 1), (2, 1, 1), (1, 2, 1), (3, 2, 1), (1, 3, 1), (2, 3, 2), (1, 4, 2), (3, 4, 2)],
)
def test_in_a_column_fewer_panels_stand_abreast_and_none_is_lost(rows, columns, abreast):
    for width, expected in ((PAGE_WIDTH, columns), (COLUMN_WIDTH, abreast)):
        with style(width):
            fig, axes = panels(rows, columns)
        assert fig.get_figwidth() == width
        assert axes.shape == (rows, columns)
        # Read along the lines, the panels come in the order that they have in the array.
        assert list(axes.flat) == fig.axes
        places = [(-ax.get_position().y0, ax.get_position().x0) for ax in fig.axes]
        assert places == sorted(places)
        assert len({round(x, 6) for _, x in places}) == expected
        assert len({round(y, 6) for y, _ in places}) == rows * columns / expected


def test_a_claim_says_how_its_panels_stand_in_a_column():
    with style():
        _, page = panels(1, 3, narrow="ab;c", width_ratios=(1, 1, 2))
    with style(COLUMN_WIDTH):
        fig, column = panels(1, 3, narrow="ab;c", width_ratios=(1, 1, 2))
    a, b, c = (ax.get_position() for ax in page.flat)
    assert a.y0 == b.y0 == c.y0
    assert c.width == pytest.approx(2 * a.width)
    a, b, c = (ax.get_position() for ax in column.flat)
    assert (a.y0, a.width) == pytest.approx((b.y0, b.width))
    assert c.y1 < a.y0
    assert (c.x0, c.x1) == pytest.approx((a.x0, b.x1))
    assert len(fig.axes) == 3


def test_what_is_drawn_outside_of_the_context_is_meant_for_a_page():
    assert not in_column()
    with style(COLUMN_WIDTH):
        assert in_column()
    assert not in_column()


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_long_text_is_wrapped_between_its_words_and_not_in_a_formula(rotation):
    fig = Figure(figsize=(2, 2), dpi=100)
    words = ["(a)", "A", "rather", "long", "name", "for", "$x + y + z$", "in", "all", "of", "it"]
    text = fig.text(0, 0, " ".join(words), rotation=rotation)
    wrap(text, 110)
    lines = text.get_text().split("\n")
    assert " ".join(lines).split(" ") == " ".join(words).split(" ")
    assert any("$x + y + z$" in line for line in lines)
    assert lines[0].startswith("(a) A")
    extent = text.get_window_extent()
    assert (extent.height if rotation else extent.width) <= 110
    # The lines are even: the last one is no single short word.
    assert len(lines[-1]) > len(max(lines, key=len)) / 3


def test_a_text_that_fits_stays_as_it_is():
    fig = Figure(figsize=(2, 2), dpi=100)
    text = fig.text(0, 0, "two  spaces\nand a line")
    wrap(text, 200)
    assert text.get_text() == "two  spaces\nand a line"


def test_titles_are_wrapped_in_a_column_alone():
    for width, lines in ((PAGE_WIDTH, 1), (COLUMN_WIDTH, 2)):
        with style(width):
            _, axes = panels(2, 3)
            axes[0, 0].set(title="A title of some words", ylabel="$\\alpha$")
            label_panels(axes.flat)
            assert axes[0, 0].get_title(loc="left").count("\n") == lines - 1
            assert axes[1, 2].get_title(loc="left") == "(f)"


def test_a_legend_gets_as_many_columns_as_there_is_room_for():
    handles = [Line2D([], [], label=f"the entry with the number {i}") for i in range(4)]
    found = []
    for width in (PAGE_WIDTH, COLUMN_WIDTH):
        with style(width):
            fig, _ = panels(1, 1)
            made = add_legend(fig, handles, ncols=4)
            fig.draw_without_rendering()
            texts = [text.get_window_extent() for text in made.get_texts()]
            assert min(box.x0 for box in texts) > 0
            assert max(box.x1 for box in texts) <= fig.bbox.width
            found.append((len({round(box.x0) for box in texts}), fig.get_figheight()))
    (page, height), (column, higher) = found
    assert (page, column) == (3, 1)
    # Of four entries three columns make two lines, which is one more than in four columns.
    assert 2.6 < height < higher


@pytest.mark.parametrize(("scale", "limits"), [("linear", (-1, 3)), ("log", (1e-4, 10))])
def test_room_for_a_legend_is_a_share_of_the_height(scale, limits):
    for below in (False, True):
        _, axes = panels(1, 1)
        axes[0, 0].set(yscale=scale, ylim=limits)
        leave_room(axes[0, 0], 0.25, below=below)
        transform = axes[0, 0].yaxis.get_transform()
        low, high = transform.transform(limits)
        bottom, top = transform.transform(axes[0, 0].get_ylim())
        assert (top - high) / (top - bottom) == pytest.approx(0 if below else 0.25)
        assert (low - bottom) / (top - bottom) == pytest.approx(0.25 if below else 0)


def test_a_long_axis_has_fewer_numbers_in_a_column():
    ticks = []
    for width in (PAGE_WIDTH, COLUMN_WIDTH):
        with style(width):
            _, axes = panels(1, 1)
            axes[0, 0].set(yscale="log", ylim=(1e-4, 1))
            plain_numbers(axes[0, 0].yaxis)
            ticks.append([y for y in axes[0, 0].get_yticks() if 1e-4 <= y <= 1])
    assert ticks[1] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert len(ticks[0]) == 13
