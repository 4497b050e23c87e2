"""The work-precision diagrams: labels, colours and markers."""

import math
from itertools import pairwise

from matplotlib.lines import Line2D

from odeclaims.backends import GRADIENTS, find_backends
from odeclaims.report.style import COLOURS
from odeclaims.speed.cases import FIELD
from odeclaims.speed.pictures import order_backends, work_precision
from tests.odeclaims.speed.common import make_frame, make_row


def test_errors_that_are_nearly_the_same_leave_room_for_labels_side_by_side():
    solvers = [make_row("torchdiffeq", 1e-3, 8.0, 2.65e-3), make_row("ours", 1e-3, 4.0, 2.58e-3)]
    field = make_row(FIELD, 1e-3, 0.1, math.nan, nfe_forward=None)
    figure = work_precision(make_frame([*solvers, field]), differentiated=False)
    figure.canvas.draw()
    axis = figure.axes[0].xaxis
    low, high = axis.get_view_interval()
    texts = [*axis.get_majorticklabels(), *axis.get_minorticklabels()]
    inside = [t for t in texts if t.get_text() and low <= t.get_position()[0] <= high]
    boxes = sorted((t.get_window_extent() for t in inside), key=lambda box: box.x0)
    assert boxes
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def line_colours(backends: list[str]) -> dict[str, str]:
    rows = [make_row(name, tol, 1.0, tol) for name in backends for tol in (1e-3, 1e-4)]
    field = make_row(FIELD, 1e-3, 0.1, math.nan, nfe_forward=None)
    figure = work_precision(make_frame([*rows, field]), differentiated=False)
    lines = [each for each in figure.legends[0].legend_handles if isinstance(each, Line2D)]
    colours = {str(line.get_label()): str(line.get_color()) for line in lines}
    return {name: colours[name] for name in backends}


def test_a_backend_has_its_colour_in_every_figure_and_a_stranger_takes_the_next():
    shipped = ["diffrax", "ours", "torchode"]
    before = line_colours(shipped)
    assert before == {"diffrax": COLOURS[0], "ours": COLOURS[1], "torchode": COLOURS[4]}
    after = line_colours(["a_stranger", *shipped, "zeta"])
    assert {name: after[name] for name in shipped} == before
    assert line_colours(["torchode"]) == {"torchode": before["torchode"]}
    assert after["a_stranger"] == COLOURS[5]
    assert after["zeta"] == COLOURS[6]
    assert order_backends(["zeta", "torchode", "a_stranger", "diffrax"])[5:] == [
        "a_stranger",
        "zeta",
    ]


def test_every_registered_backend_has_a_look_of_its_own_and_a_new_one_changes_none():
    rows = [make_row(name, 1e-3, 1.0, 1e-3) for name in [*find_backends(), "a_newcomer"]]
    field = make_row(FIELD, 1e-3, 0.1, math.nan, nfe_forward=None)
    figure = work_precision(make_frame([*rows, field]), differentiated=False)
    *lines, _ = [each for each in figure.legends[0].legend_handles if isinstance(each, Line2D)]
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == len(lines) == len(rows)
    first = ["diffrax", "ours", "ours_compiled", "torchdiffeq", "torchode"]
    assert [str(line.get_label()) for line in lines][: len(first)] == first


def test_a_backend_has_one_colour_in_both_figures_of_a_run():
    forward = [make_row(name, 1e-3, 1.0, 1e-3) for name in ("a_forward_one", "zeta")]
    gradient = make_row("zeta", 1e-3, 1.0, 1e-3, gradient="adjoint", gradient_error=1e-3)
    field = make_row(FIELD, 1e-3, 0.1, math.nan, nfe_forward=None)
    df = make_frame([*forward, gradient, field])
    for differentiated in (False, True):
        legend = work_precision(df, differentiated=differentiated).legends[0]
        lines = [each for each in legend.legend_handles if isinstance(each, Line2D)]
        assert {str(line.get_label()): line.get_color() for line in lines}["zeta"] == COLOURS[6]


def test_each_way_to_the_gradient_has_a_column_and_the_panels_of_a_row_one_pair_of_axes():
    rows = [
        make_row(name, tol, 1.0 + k, tol, gradient=way, gradient_error=tol * (k + 1))
        for k, name in enumerate(("ours", "torchdiffeq"))
        for way in ("adjoint", "backprop")
        for tol in (1e-3, 1e-4)
    ]
    field = make_row(FIELD, 1e-3, 0.1, math.nan, nfe_forward=None)
    figure = work_precision(make_frame([*rows, field]), differentiated=True)
    first, second = figure.axes
    titles = [ax.get_title() for ax in (first, second)]
    assert titles == [way for way in GRADIENTS if way in ("adjoint", "backprop")]
    assert (first.get_xlim(), first.get_ylim()) == (second.get_xlim(), second.get_ylim())
    for ax in (first, second):
        colours = {str(line.get_color()) for line in ax.get_lines()}
        assert colours == {COLOURS[1], COLOURS[3]}
