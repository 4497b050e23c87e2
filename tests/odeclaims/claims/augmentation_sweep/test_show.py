"""The figure and the table of a made-up sweep."""

from odeclaims.claims.augmentation_sweep import CLAIM
from odeclaims.claims.augmentation_sweep.settings import SWEEP, TASKS
from odeclaims.claims.augmentation_sweep.show import LOOKS
from tests.odeclaims.claims.augmentation_sweep.examples import make_rows


def test_figure_and_table_show_every_model():
    df = make_rows()
    fig = CLAIM.figure(df)
    assert len(fig.axes) == 6
    assert len(fig.axes[0].lines) == len(LOOKS)
    table = CLAIM.table(df)
    assert len(table) == len(TASKS) * (len(SWEEP) + 3)
    # 30 evaluations in training at 0.1 ms each.
    assert set(table["ms an update"]) == {"3.00"}
    assert set(table["us an evaluation"]) == {"100"}
