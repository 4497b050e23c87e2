"""The figure and the table, from invented rows."""

import pytest

from odeclaims.claims.reversible_solvers import CLAIM
from odeclaims.claims.reversible_solvers.settings import BASES, COUPLINGS, DEFAULT
from tests.odeclaims.claims.reversible_solvers.examples import make_rows


def test_the_figure_draws_every_base_and_every_coupling():
    order, gradient, held, edge, decay, net = CLAIM.figure(make_rows(seeds=3)).axes
    assert len(order.lines) == 2 * len(BASES)
    assert [text.get_text() for text in order.texts] == ["1.00", "2.00", "4.00", "5.00"]
    assert len(gradient.lines) == len(BASES) - 1 + len(COUPLINGS) + 2
    assert len(held.lines) == 2 * len(BASES)
    assert len(edge.lines) == 1 + 2 * len(BASES)
    assert len(decay.lines) == len(COUPLINGS) + 2
    assert len(net.lines) == (3 + 2) * len(BASES) + 1


def test_the_table_has_a_line_for_each_method_and_coupling():
    lines = CLAIM.table(make_rows())
    assert len(lines) == 4 * 6 + 4 + 1
    line = lines[(lines["method"] == "rk4") & (lines["coupling"] == f"{DEFAULT:g}")].iloc[0]
    assert line["order"] == "4.00"
    assert line["over the base"] == "10000"
    assert line["gradient error, float64"] == "1.0e-14"
    assert line["edge"] == "0.00100"


@pytest.mark.parametrize("part", ["order", "gradient", "edge", "decay", "net"])
def test_each_part_is_drawn_and_tabulated_alone(part):
    df = make_rows()
    df = df[df["part"] == part]
    assert len(CLAIM.figure(df).axes) == 6
    assert len(CLAIM.table(df)) > 0
