"""The figure, the animation and the table of small runs."""

import pandas as pd
import pytest
from matplotlib.animation import PillowWriter
from PIL import Image

from odeclaims.claims.annulus import CLAIM
from odeclaims.claims.annulus.judge import NAMES
from odeclaims.claims.annulus.measure import DRAWN_TIMES
from odeclaims.claims.annulus.settings import SPACES
from odeclaims.claims.annulus.show import _threshold
from tests.odeclaims.claims.annulus.examples import ARMS, measured


def test_the_threshold_that_is_drawn_is_that_of_the_head():
    """The head is linear in what stands in the rows."""
    df = measured(arm="anode", dim=2, **ARMS["anode"])
    paths = df[df["kind"] == "path"]
    ends = paths[paths["t"] == 1]
    weights, bias = _threshold(ends, ["x", "y", "lift"])
    outputs = ends[["x", "y", "lift"]] @ weights + bias
    assert list(outputs) == pytest.approx(ends["output"].tolist(), abs=1e-4)


@pytest.mark.slow(reason="every arm is drawn")
def test_the_picture_and_the_table_show_every_arm(tmp_path):
    parts = [measured(arm=arm, dim=dim, **ARMS[arm]) for arm in ARMS for dim in (1, 2)]
    parts += [
        measured(arm=arm, dim=dim, **{**ARMS[arm], "training": "loose"})
        for arm in ("node", "anode")
        for dim in SPACES
    ]
    df = pd.concat(parts).reindex(columns=list(CLAIM.all_columns))
    assert len(CLAIM.figure(df).axes) == 20
    table = CLAIM.table(df)
    assert table["model"].drop_duplicates().tolist() == list(NAMES.values())
    assert len(table) == 16
    assert CLAIM.animation
    path = tmp_path / "small.gif"
    CLAIM.animation(df).save(path, writer=PillowWriter(fps=8), dpi=20)
    with Image.open(path) as image:
        # Pillow joins frames that are alike, such as those that stand.
        assert DRAWN_TIMES <= getattr(image, "n_frames", 1) <= 60
