"""The figure and the table, from invented rows."""

from odeclaims.claims.batch_nfe import CLAIM
from odeclaims.claims.batch_nfe.settings import MUS, NORMS, SAMPLES
from tests.odeclaims.claims.batch_nfe.examples import make_rows


def test_the_figure_has_a_line_for_each_oscillator_and_kind_of_steps():
    oscillators, nets, _ = CLAIM.figure(make_rows()).axes
    # Steps of each sample, and the bound of a statement.
    assert len(oscillators.lines) == len(MUS) * (len(NORMS) + 1) + 1
    assert len(nets.lines) > 1


def test_the_table_has_a_line_for_each_kind_of_batch():
    lines = CLAIM.table(make_rows())
    oscillators = lines[lines["net"] == ""]
    assert len(oscillators) == len(MUS) * 2 * len(NORMS) * len(SAMPLES)
    assert set(lines["net"]) == {"", "trained", "untrained"}
    assert set(lines["batches"]) == {"10", "80"}
