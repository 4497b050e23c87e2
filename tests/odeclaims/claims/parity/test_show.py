"""The figure and the table, from invented rows."""

import pytest

from odeclaims.claims.parity import CLAIM
from odeclaims.claims.parity.settings import ARMS
from tests.odeclaims.claims.parity.examples import make_rows


def test_the_figure_draws_every_model():
    error, sphere, line, plane, determinant, node = CLAIM.figure(make_rows(seeds=3)).axes
    for ax, limits in ((error, 1), (sphere, 1), (determinant, 2)):
        assert len(ax.lines) == len(ARMS) + limits
    assert len(line.lines) == len(ARMS) + 1
    # Of four starts the first is drawn.
    assert len(plane.lines) == 3
    assert len(node.lines) == 5


def test_the_table_has_a_line_for_each_model_and_dimension():
    lines = CLAIM.table(make_rows())
    assert len(lines) == 4 * len(ARMS)
    line = lines[(lines["model"] == "NODE") & (lines["D"] == 3)].iloc[0]
    assert line["seeds <= 0.01"] == "0 of 12"
    assert line["nearest sphere"] == "1.20"


@pytest.mark.parametrize("kind", ["result", "sphere", "map", "path"])
def test_each_kind_of_rows_is_drawn_and_tabulated_alone(kind):
    df = make_rows(seeds=2)
    df = df[df["kind"] == kind]
    assert len(CLAIM.figure(df).axes) == 6
    assert len(CLAIM.table(df)) == (4 * len(ARMS) if kind == "result" else 0)
