"""The figure and the table of made-up curves."""

import numpy as np
import pandas as pd
import pytest

from odeclaims.claims.nfe_growth.settings import TOLERANCES, TOY_TOLERANCES
from odeclaims.claims.nfe_growth.show import figure, table
from odeclaims.kits.constants import RECONSTRUCTION_LIMIT
from tests.odeclaims.claims.nfe_growth.examples import curve, made_up, toys


def test_figure_and_table_show_every_curve_and_the_limit():
    digits = made_up([curve(1.9), curve(1.5), curve(1.0)])
    df = pd.concat([digits, toys(), toys(task="sines")], ignore_index=True)
    evaluations, reconstruction, _, spheres, sines, _ = figure(df).axes
    assert len(spheres.lines) == len(sines.lines)
    limits = [
        np.asarray(line.get_ydata())[0]
        for line in reconstruction.lines
        if line.get_linestyle() == ":"
    ]
    assert limits == [RECONSTRUCTION_LIMIT]
    thin = [line for line in evaluations.lines if line.get_linewidth() < 1]
    assert len(thin) == 3 * len(TOLERANCES)
    rows = table(df)
    assert len(rows) == 3 * len(TOLERANCES) + 2 * 2 * len(TOY_TOLERANCES)
    node = rows[(rows["task"] == "sines") & (rows["model"] == "NODE")]
    assert node["last / first"].tolist() == ["2.08"] * len(TOY_TOLERANCES)
    checked = rows[(rows["task"] == "mnist") & (rows["tolerance"] == "1e-07")]
    assert checked["last / first"].astype(float).tolist() == pytest.approx(
        [1.9, 1.5, 1.0], rel=0.02
    )
    assert checked["valid"].tolist() == ["9 of 9"] * 3


def test_without_digits_there_is_one_row_of_panels():
    df = pd.concat([toys(), toys(task="sines")], ignore_index=True)
    assert len(figure(df).axes) == 3
    assert set(table(df)["task"]) == {"spheres", "sines"}
