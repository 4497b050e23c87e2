"""The figure and the table, from invented rows."""

import pytest

from odeclaims.claims.identity_residual import CLAIM
from tests.odeclaims.claims.identity_residual.examples import make_rows


def test_the_table_has_the_best_of_each_kind():
    lines = CLAIM.table(make_rows(scatter=0.0)).to_dict("records")
    assert len(lines) == 3 * 2
    assert lines[0]["target"] == "the identity"
    assert float(lines[0]["plain over residual"]) == pytest.approx(5, rel=0.01)
    assert lines[0]["seeds"] == "9"


def test_the_figure_has_a_panel_for_each_target_and_one_for_the_branches():
    axes = CLAIM.figure(make_rows()).axes
    assert len(axes) == 4
    assert all(ax.lines for ax in axes)
