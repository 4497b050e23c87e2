"""What saves time in drawing changes no figure, and leaves nothing behind."""

import io

import pytest
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from odeclaims.report.reuse import fix_places, formulas_parsed_once
from odeclaims.report.style import freeze_layout, panels, style


def test_a_formula_is_parsed_once_for_all_files():
    parse = MathTextParser.parse
    with formulas_parsed_once():
        first, again = (MathTextParser("path").parse("$10^{-3}$", 72) for _ in range(2))
        larger = MathTextParser("path").parse("$10^{-3}$", 144)
        pixels = MathTextParser("agg").parse("$10^{-3}$", 72)
    assert MathTextParser.parse is parse
    assert again is first
    assert larger.width == pytest.approx(2 * first.width, rel=0.05)
    assert type(pixels) is not type(first)
    # What Matplotlib itself makes of it.
    assert MathTextParser("path").parse("$10^{-3}$", 72)[:3] == first[:3]


def figure(largest: float) -> Figure:
    """Two panels with one name between them, the numbers up to the largest in the first."""
    fig, axes = panels(1, 2)
    for ax, top in zip(axes[0], (largest, 1.0), strict=True):
        ax.plot([0, 1], [0, top])
        ax.set_title("a title over all of its panel, from the left on", loc="left")
    axes[0, 0].set_ylabel("a name")
    return fig


def pixels(fig: Figure) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="rgba")
    return buffer.getvalue()


@pytest.mark.parametrize("largest", [1.0, 1e9])
def test_what_is_not_placed_again_stands_where_it_would(largest):
    with style():
        fixed, free = figure(largest), figure(largest)
        engine = free.get_layout_engine()
        assert engine is not None
        engine.execute(free)
        free.set_layout_engine("none")
        with freeze_layout(fixed):
            assert pixels(fixed) == pixels(free)


def test_a_title_above_a_factor_of_an_axis_is_still_placed():
    with style():
        fig = figure(1e9)
        fig.draw_without_rendering()
        left, right = (ax.title.get_position()[1] for ax in fig.axes)
        assert left > right == 1
        fix_places(fig)
        for ax in fig.axes:
            ax.title.set_position((0, 0.5))
        fig.draw_without_rendering()
        left, right = (ax.title.get_position()[1] for ax in fig.axes)
    assert (left > 1, right) == (True, 0.5)
