"""The table and the figure of made-up rows."""

from odeclaims.claims.mnist_classifiers.judge import NAMES
from odeclaims.claims.mnist_classifiers.settings import COMPARED, NETS
from odeclaims.claims.mnist_classifiers.show import figure, table
from tests.odeclaims.claims.mnist_classifiers.examples import costs, frame, training


def test_published_rows_and_ours_stand_in_one_table():
    rows = table(frame(training() + costs()))
    assert list(rows["net"].unique()) == list(NAMES.values())
    odenet = rows[rows["net"] == "ODE-Net"].set_index("from")
    assert odenet.loc["published", "test error (%)"] == "0.42"
    ours = odenet.loc["ours, 8 seeds"]
    assert str(ours["test error (%)"]).startswith("0.425 [0.42")
    assert (ours["memory"], ours["time"], ours["NFE in training"]) == (
        "L^0.00",
        "L^1.00",
        "26 + 32",
    )
    assert list(rows[rows["net"] == "control: no block"]["from"]) == ["ours, 8 seeds"]


def test_the_figure_has_a_line_for_every_net():
    fig = figure(frame(training() + costs()))
    error, memory, duration = fig.axes
    assert len([line for line in error.lines if line.get_linestyle() == "-"]) == len(NETS)
    assert len(memory.lines) == len(duration.lines) == len(COMPARED)


def test_costs_alone_are_shown_without_a_training():
    rows = table(frame(costs()))
    ours = rows[rows["from"] == "ours, one update"].set_index("net")
    assert ours.loc["ODE-Net", "memory"] == "L^0.00"
    assert len(ours) == len(COMPARED)
    assert len(figure(frame(costs())).axes) == 3
