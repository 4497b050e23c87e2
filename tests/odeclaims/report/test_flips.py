import math
from pathlib import Path

import matplotlib.colors as colours
import pandas as pd
import pytest

from odeclaims.claim import FlipMap
from odeclaims.claims import find_claims
from odeclaims.record.results import Results
from odeclaims.report.flips import flip_figure
from odeclaims.report.style import style
from odeclaims.rules import Bounds

RESULTS = Path(__file__).parents[3] / "results"


def a_map(values: list[float]) -> FlipMap:
    frame = pd.DataFrame(
        {
            "panel": ["one", "one", "two", "two"],
            "row": ["a", "a", "a", "a"],
            "column": ["x", "y", "x", "y"],
            "value": values,
        }
    )
    return FlipMap("ratio", frame, "solver", "tolerance", Bounds(0.4, 0.6))


def test_each_number_stands_in_its_cell_with_the_mark_of_its_outcome():
    with style():
        figure = flip_figure(a_map([0.5, 0.9, 1.2, math.nan]))
    texts = {
        (ax.get_title(loc="left"), text.get_position()): text.get_text()
        for ax in figure.axes
        for text in ax.texts
    }
    assert texts == {
        ("one", (0, 0)): "0.50 ✓",
        ("one", (1, 0)): "0.90 ×",
        ("two", (0, 0)): "1.2 ×",
    }


def test_outcomes_have_colours_that_black_text_is_readable_on():
    with style():
        figure = flip_figure(a_map([0.5, 0.9, 1.2, 0.5]))
    for patch in figure.legends[0].get_patches():
        red, green, blue, _ = colours.to_rgba(patch.get_facecolor())
        # The relative luminance and contrast of WCAG 2, black being 0; all parts are bright.
        parts = [((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
        luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
        assert (luminance + 0.05) / 0.05 > 7


@pytest.mark.parametrize("slug", [slug for slug, claim in find_claims().items() if claim.flips])
def test_a_claim_maps_its_committed_rows(slug):
    claim = find_claims()[slug]
    assert claim.flips
    flips = claim.flips(Results(RESULTS, "quick", claim).read())
    assert list(flips.values.columns) == ["panel", "row", "column", "value"]
    assert not flips.values.duplicated(["panel", "row", "column"]).any()
    with style():
        figure = flip_figure(flips)
    shown = sum(len(ax.texts) for ax in figure.axes)
    assert shown == flips.values["value"].notna().sum() > 0


def test_the_verdict_of_backward_nfe_flips_with_the_tolerance_of_the_adjoint():
    claim = find_claims()["backward_nfe"]
    assert claim.flips
    rows = Results(RESULTS, "quick", claim).read()
    loose = rows[
        (rows["method"] == "adams")
        & (rows["adjoint_factor"] == 10)
        & (rows["tolerance"] == 1e-3)
        & (rows["norm"] == "rms")
        & (rows["loss"] == "mean")
        & (rows["epochs"] > 0)
    ]
    values = claim.flips(rows).values.set_index(["panel", "row", "column"])["value"]
    expected = (loose["nfe_backward"] / loose["nfe_forward"]).median()
    assert values["adjoint tol. × 10", "adams", "1e-3"] == pytest.approx(expected, rel=1e-12)
