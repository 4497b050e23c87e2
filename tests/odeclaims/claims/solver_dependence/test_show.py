"""The figure and the table, from invented rows."""

import pandas as pd

from odeclaims.claims.solver_dependence import CLAIM
from tests.odeclaims.claims.solver_dependence.examples import POWERS, make_rows


def test_the_figure_draws_the_trainings_that_there_are():
    tests, drops, _ = CLAIM.figure(make_rows(steps=(2, 16))).axes
    thick = [line for line in tests.lines if line.get_marker() not in ("None", "")]
    assert len(thick) == 2
    assert drops.get_xscale() == "log"


def test_the_table_has_a_line_for_each_training_and_the_critical_steps():
    both = pd.concat([make_rows(critical=64), make_rows(net="mlp", steps=(2, 128))])
    lines = CLAIM.table(both)
    assert len(lines) == len(POWERS) + 2 + 1
    coarse = lines[(lines["net"] == "conv net") & (lines["steps"] == "2")].iloc[0]
    assert coarse["largest loss (points)"] == "40.0"
    assert coarse["learnt"] == "8 of 8"
    # Between 2 and 128 steps nobody looked for the critical number.
    critical = lines[lines["steps"] == "critical"][["net", "accuracy as trained"]]
    assert critical.to_numpy().tolist() == [["conv net", "64 steps (median)"]]
