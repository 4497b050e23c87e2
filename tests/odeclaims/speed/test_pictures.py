"""The work-precision diagrams: labels, colours and markers."""

import math
from itertools import pairwise

from matplotlib.lines import Line2D

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


def test_a_backend_of_a_stranger_takes_the_next_free_colour():
    shipped = ["diffrax", "ours", "torchode"]
    before = line_colours(shipped)
    after = line_colours(["a_stranger", *shipped, "zeta"])
    assert {name: after[name] for name in shipped} == before
    assert after["a_stranger"] == COLOURS[3]
    assert after["zeta"] == COLOURS[4]
    assert order_backends(["zeta", "torchode", "a_stranger", "diffrax"]) == [
        *("diffrax", "torchode"),
        *("a_stranger", "zeta"),
    ]
