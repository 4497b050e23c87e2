"""The figure and the table, from invented rows and from none that are valid."""

from odeclaims.claims.seminorm_nfe import CLAIM
from odeclaims.claims.seminorm_nfe.settings import LOSSES, TASKS, TOLERANCES
from tests.odeclaims.claims.seminorm_nfe.examples import make_rows


def test_the_figure_has_a_mark_for_each_net_and_a_line_for_each_task_and_loss():
    tasks, tolerances, errors = CLAIM.figure(make_rows(seeds=3, digits=3)).axes
    bounds = 3
    assert len(tasks.lines) == 2 * (5 * 3 + 6) + bounds
    assert len(tolerances.lines) == len(TASKS) * len(LOSSES) + bounds
    assert errors.get_xscale() == "log"


def test_the_table_has_a_line_for_each_task_loss_and_tolerance():
    lines = CLAIM.table(make_rows())
    assert len(lines) == (len(TASKS) + 1) * len(LOSSES) * len(TOLERANCES)
    moons = lines[(lines["task"] == "moons") & (lines["loss"] == "mean")].iloc[0]
    assert moons["saved, flat (%)"].startswith("39") or moons["saved, flat (%)"].startswith("40")
    assert moons["learnt and valid"] == "8 of 8"


def test_rows_without_a_valid_solve_are_drawn_and_tabulated():
    df = make_rows(reference_error=1.0, seeds=1)
    assert len(CLAIM.figure(df).axes) == 3
    assert set(CLAIM.table(df)["saved, flat (%)"]) == {""}
