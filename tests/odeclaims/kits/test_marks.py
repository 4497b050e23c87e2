"""What the shared marks put on the axes and into the legends."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.kits import marks

LOOKS = {"node": ("#112233", "o"), "anode": ("#445566", "s")}


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def test_a_legend_has_the_named_arms_in_the_order_of_the_names():
    handles = marks.arms(LOOKS, {"anode": "ANODE", "node": "NODE"}, linewidth=1)
    assert [handle.get_label() for handle in handles] == ["ANODE", "NODE"]
    looks = [(handle.get_color(), handle.get_marker()) for handle in handles]
    assert looks == [LOOKS["anode"], LOOKS["node"]]
    assert all(handle.get_linewidth() == 1 for handle in handles)


def test_seeds_stand_side_by_side_and_those_that_fail_are_hollow(ax):
    marks.per_seed(ax, 2, [10, 20], LOOKS["node"], hollow=[False, True], width=0.4)
    places = [(float(line.get_xdata()[0]), line.get_ydata()[0]) for line in ax.lines]
    assert places == [(pytest.approx(1.9), 10), (pytest.approx(2.1), 20)]
    assert [line.get_markerfacecolor() for line in ax.lines] == ["#112233", "white"]
    assert {line.get_markeredgecolor() for line in ax.lines} == {"#112233"}


def test_marks_are_filled_unless_said_otherwise_and_every_seed_has_its_own(ax):
    marks.per_seed(ax, 0, pd.Series([1, 2, 3]), LOOKS["anode"])
    assert [line.get_markerfacecolor() for line in ax.lines] == ["#445566"] * 3
    with pytest.raises(ValueError, match="zip"):
        marks.per_seed(ax, 0, [1, 2, 3], LOOKS["anode"], hollow=[True])


def test_things_abreast_share_the_width_around_their_middle():
    assert [marks.abreast(1, k, 4, 0.8) for k in range(4)] == pytest.approx([0.7, 0.9, 1.1, 1.3])
    assert marks.abreast(1, 0, 1, 0.8) == 1


def test_the_reconstruction_check_fails_at_its_limit():
    failing = marks.irreversible(pd.DataFrame({"reconstruction_error": [0.0099, 0.01, None]}))
    assert failing.tolist() == [False, True, False]


def test_a_line_for_each_seed_and_one_through_their_medians(ax):
    rows = pd.DataFrame(
        {"repetition": [0, 0, 1, 1, 2, 2], "epoch": [1, 2] * 3, "loss": [1, 2, 3, 4, 8, 9]}
    )
    marks.seed_lines(ax, rows, "epoch", "loss", "--", color="0.1")
    marks.median_line(ax, rows, "epoch", "loss", color="0.2", marker="o")
    *seeds, middle = ax.lines
    assert [list(line.get_ydata()) for line in seeds] == [[1, 2], [3, 4], [8, 9]]
    assert {(line.get_linestyle(), line.get_linewidth()) for line in seeds} == {("--", 0.6)}
    assert list(middle.get_ydata()) == [3, 4]
    assert (middle.get_marker(), middle.get_alpha()) == ("o", None)


def test_a_loss_is_dashed_where_the_training_was_loose(ax):
    arms: list[dict[str, Any]] = [
        {"arm": "node", "training": "loose", "loss": 3.0},
        {"arm": "node", "training": "checked", "loss": 2.0},
        {"arm": "anode", "training": None, "loss": 1.0},
    ]
    epochs = pd.DataFrame([{**arm, "epoch": epoch} for arm in arms for epoch in (1, 2)])
    marks.losses(ax, epochs, LOOKS)
    drawn = {
        (line.get_color(), line.get_linestyle(), float(line.get_ydata()[0])) for line in ax.lines
    }
    assert drawn == {("#112233", "--", 3.0), ("#112233", "-", 2.0), ("#445566", "-", 1.0)}


def test_a_limit_looks_as_its_entry_in_the_legend(ax):
    marks.limit(ax, 0.5)
    (line,), entry = ax.lines, marks.dotted("floor")
    assert set(line.get_ydata()) == {0.5}
    for look in ("get_color", "get_linestyle", "get_linewidth"):
        assert getattr(line, look)() == getattr(entry, look)()


def test_a_path_joins_all_marks_and_those_that_fail_are_hollow(ax):
    x, y = pd.Series([1.0, 2.0, 3.0]), pd.Series([5.0, 6.0, 7.0])
    look = {"color": "red", "marker": "s"}
    marks.path(ax, x, y, look, pd.Series([False, True, False]), linewidth=1)
    whole, hollow = ax.lines
    assert list(np.asarray(whole.get_ydata())) == [5, 6, 7]
    assert list(np.asarray(hollow.get_xdata())) == [2]
    assert (whole.get_linewidth(), hollow.get_linestyle()) == (1, "None")
    assert (whole.get_markerfacecolor(), hollow.get_markerfacecolor()) == ("red", "white")
    assert {line.get_color() for line in ax.lines} == {"red"}
