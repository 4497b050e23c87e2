"""What a claim's figures become: files of two widths, in which everything has its place."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from odeclaims.claim import Bounds, Claim, Column, FlipMap
from odeclaims.claims import find_claims
from odeclaims.claims._figure3 import CLAIMS, draw_figure3, figure3
from odeclaims.record.frame import frame
from odeclaims.record.results import Results
from odeclaims.report.draw import draw
from odeclaims.report.flips import flip_figure
from odeclaims.report.style import COLUMN_WIDTH, PAGE_WIDTH, label_panels, panels, style
from tests.odeclaims.toy_claims import PROVENANCE, make_claim

RESULTS = Path(__file__).parents[3] / "results"
# The height of a page's text, and how much of a legend's own margin may lie outside; in inches.
PAGE_HEIGHT, MARGIN = 9.1, 0.04
# The smallest letters that can be read, in points.
SMALLEST = 5.5


def width(path: Path) -> float:
    """The width of the one page of a PDF, in inches."""
    found = re.findall(rb"/MediaBox \[ 0 0 ([0-9.]+) [0-9.]+ \]", path.read_bytes())
    assert len(found) == 1
    return float(found[0]) / 72


def flips(df: pd.DataFrame) -> FlipMap:
    values = pd.DataFrame({"panel": "p", "row": ["a", "b"], "column": 1, "value": [0.0, 5.0]})
    return FlipMap("what is mapped", values, "row", "column", Bounds(at_most=3))


def animation(df: pd.DataFrame) -> FuncAnimation:
    fig, axes = panels(1, 1, width=1, height=1)
    return FuncAnimation(fig, lambda k: axes[0, 0].plot(df["x"] * k), 2)


def reflowing(df: pd.DataFrame) -> Figure:
    fig, axes = panels(1, 2)
    for ax in axes.flat:
        ax.plot(df["x"])
    return fig


def of_its_own_size(df: pd.DataFrame) -> Figure:
    fig = Figure(figsize=(5, 3))
    fig.subplots().plot(df["x"])
    return fig


def stored(out: Path, **rooms: Any) -> Results:
    """Rows on disk of a claim that is drawn in this way."""
    claim = make_claim(columns={"x": Column("a number")}, **rooms)
    row = {"status": "ok", "repetition": 0, "seed": 1, "device": "cpu", "solver": "ours"}
    results = Results(out, "quick", claim)
    results.write(frame(claim, [row | {"x": x} for x in (0.5, 2.0, 1.0)]), PROVENANCE)
    return results


def test_figure_and_flip_map_come_as_pdf_in_both_widths_and_are_the_same_again(tmp_path):
    results = stored(tmp_path, figure=reflowing, flips=flips, animation=animation)
    paths, pictures = draw(results)
    assert pictures == []
    names = [
        f"{name}{end}" for name in ("figure", "flips") for end in (".png", ".pdf", "-column.pdf")
    ]
    assert [path.name for path in paths] == [*names, "animation.gif"]
    found = {path.name: width(path) for path in paths if path.suffix == ".pdf"}
    assert found == pytest.approx(
        {
            "figure.pdf": PAGE_WIDTH,
            "figure-column.pdf": COLUMN_WIDTH,
            "flips.pdf": PAGE_WIDTH,
            "flips-column.pdf": COLUMN_WIDTH,
        }
    )
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw(results)[0]] == first
    written = {"data.csv", "provenance.json", "verdict.json", *(path.name for path in paths)}
    assert {path.name for path in results.folder.iterdir()} == written


def test_a_figure_of_its_own_size_is_squeezed_into_the_column(tmp_path):
    (_, page, column), _ = draw(stored(tmp_path, figure=of_its_own_size))
    assert width(page) == pytest.approx(5)
    assert width(column) == pytest.approx(COLUMN_WIDTH)


def drawn() -> dict[str, Any]:
    """What is drawn of the committed results of profile quick, by name."""
    found: dict[str, Any] = {"figure3": lambda: figure3(*map(rows, CLAIMS))}
    for slug, claim in find_claims().items():
        if Results(RESULTS, "quick", claim).data.exists():
            found[slug] = lambda claim=claim: claim.figure(rows(claim))
            if claim.flips:
                found[f"{slug}, flips"] = partial(flip_map, claim.flips, claim)
    return found


def flip_map(flips: Callable[[pd.DataFrame], FlipMap], claim: Claim) -> Figure:
    return flip_figure(flips(rows(claim)))


def rows(claim: Claim) -> pd.DataFrame:
    return Results(RESULTS, "quick", claim).read()


def flaws(fig: Figure) -> list[str]:
    """What lies outside of a figure, lies on something else or cannot be read."""
    fig.draw_without_rendering()
    (wide, high), box = fig.get_size_inches(), fig.get_tightbbox()
    beyond = max(-box.x0, -box.y0, box.x1 - wide, box.y1 - high)
    found = [f"{beyond:.2f} inches outside"] if beyond > MARGIN else []
    texts = [t for t in fig.findobj(Text) if isinstance(t, Text) and t.get_visible()]
    texts = [t for t in texts if t.get_text().strip()]
    found += [f"small: {t.get_text()}" for t in texts if float(t.get_fontsize()) < SMALLEST]
    boxes = {f"legend {i}": made.get_window_extent() for i, made in enumerate(fig.legends)}
    for i, ax in enumerate(fig.findobj(Axes)):
        assert isinstance(ax, Axes)
        # The box of axes with three dimensions is larger than what is seen of them.
        flat = ax.name != "3d"
        boxes |= {f"axes {i}": ax.get_window_extent()} if flat else {}
        names = [ax.xaxis.label, ax.yaxis.label] if flat else []
        # The last three texts of axes are their titles.
        titles = [child for child in ax.get_children() if isinstance(child, Text)][-3:]
        labels = [t for t in (*names, *titles) if t in texts]
        boxes |= {f"{t.get_text()} of {i}": t.get_window_extent() for t in labels}
    for (name, one), (other, two) in combinations(boxes.items(), 2):
        across = min(one.x1, two.x1) - max(one.x0, two.x0)
        down = min(one.y1, two.y1) - max(one.y0, two.y0)
        found += [f"{name} on {other}"] if min(across, down) > 1 else []
    return found


@pytest.mark.slow(reason="each figure of the record is drawn")
@pytest.mark.parametrize("name", drawn())
def test_everything_has_its_place_in_a_column(name):
    with style(COLUMN_WIDTH):
        fig = drawn()[name]()
        assert flaws(fig) == []
    assert fig.get_figwidth() == COLUMN_WIDTH
    assert fig.get_figheight() < PAGE_HEIGHT


def test_a_flaw_would_be_found():
    with style(COLUMN_WIDTH):
        fig, axes = panels(2, 3)
        axes[0, 0].set_xlabel("fine")
        label_panels(axes.flat)
        assert flaws(fig) == []
        axes[0, 0].set_title("(a) a title that goes on for longer than it should", loc="left")
        axes[1, 2].set_xlabel("a name that goes on for longer than it should", fontsize=5)
        found = flaws(fig)
    assert "outside" in found[0]
    assert found[1] == "small: a name that goes on for longer than it should"
    assert any(flaw.endswith("on (b) of 1") for flaw in found)


def test_figure_3_comes_wide_and_for_a_column(tmp_path):
    for claim in CLAIMS:
        folder = Results(tmp_path, "quick", claim).folder
        shutil.copytree(Results(RESULTS, "quick", claim).folder, folder)
    (_, pdf, column), _ = draw_figure3(tmp_path, "quick", tmp_path)
    assert (width(pdf), width(column)) == pytest.approx((9.2, COLUMN_WIDTH))
