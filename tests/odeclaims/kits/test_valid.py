"""How rows that fail a validity check are left out, and how they are drawn."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from odeclaims.kits import marks
from odeclaims.kits.rows import valid


@pytest.mark.parametrize("values", [[True, False, True], [True, np.nan, True], [1.0, 0.0, 1.0]])
def test_only_rows_that_pass_every_check_are_valid(values):
    df = pd.DataFrame({"valid": values, "repetition": [0, 1, 2]})
    assert valid(df)["repetition"].tolist() == [0, 2]


def test_a_path_joins_all_marks_and_those_that_fail_are_hollow():
    ax = Figure().add_subplot()
    x, y = pd.Series([1.0, 2.0, 3.0]), pd.Series([5.0, 6.0, 7.0])
    look = {"color": "red", "marker": "s"}
    marks.path(ax, x, y, look, pd.Series([False, True, False]), linewidth=1)
    whole, hollow = ax.lines
    assert list(np.asarray(whole.get_ydata())) == [5, 6, 7]
    assert list(np.asarray(hollow.get_xdata())) == [2]
    assert (whole.get_linewidth(), hollow.get_linestyle()) == (1, "None")
    assert (whole.get_markerfacecolor(), hollow.get_markerfacecolor()) == ("red", "white")
    assert {line.get_color() for line in ax.lines} == {"red"}
