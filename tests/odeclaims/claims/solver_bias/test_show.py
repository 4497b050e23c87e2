"""The figure and the table, from invented rows and from those of a small run."""

import pytest

from odeclaims.claims.solver_bias import CLAIM
from tests.odeclaims.claims.solver_bias.examples import STEPS, make_rows


def filled(ax) -> int:
    return sum(line.get_marker() not in ("None", "", "*") for line in ax.lines)


def test_the_figure_draws_the_methods_that_there_are():
    errors, plane, finer = CLAIM.figure(make_rows()).axes
    assert filled(errors) == 4
    assert filled(plane) == 6
    assert filled(finer) == 2
    with_rk4 = CLAIM.figure(make_rows(steps={**STEPS, "rk4": (0.16, 0.24)})).axes
    assert filled(with_rk4[0]) == 6
    assert filled(with_rk4[2]) == 3


def test_the_table_has_a_line_for_each_net_and_each_linear_field():
    lines = CLAIM.table(make_rows(unsolved=1))
    assert len(lines) == 7 + 6
    net = lines[(lines["trained by"] == "midpoint") & (lines["step"] == "0.08")].iloc[0]
    assert net["ratio"] == "0.030"
    assert net["finest / as trained"] == "40.0"
    assert net["used"] == "8 of 8"
    damped = lines[lines["field"] == "y' = (-0.1 + 2i) y"]
    fit = damped[damped["trained by"] == "rk4"].iloc[0]
    assert fit["used"] == "11 of 12"
    assert "0.105 + 1.927i (2)" in fit["learnt eigenvalues (fits)"]
    assert "0.002 - 2.787i (3)" in fit["learnt eigenvalues (fits)"]


@pytest.mark.parametrize("kind", ["fit", "field"])
def test_either_half_is_drawn_and_tabulated_alone(kind):
    df = make_rows()
    df = df[df["kind"] == kind]
    assert len(CLAIM.figure(df).axes) == 3
    assert len(CLAIM.table(df)) in (6, 7)
