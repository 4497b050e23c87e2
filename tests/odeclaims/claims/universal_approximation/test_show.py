"""The figure and the table, from invented rows."""

from odeclaims.claims.universal_approximation import CLAIM
from odeclaims.claims.universal_approximation.settings import NETWORKS
from tests.odeclaims.claims.universal_approximation.examples import make_rows


def test_the_table_has_a_line_for_each_network():
    lines = CLAIM.table(make_rows()).set_index("network")
    assert len(lines) == len(NETWORKS)
    assert lines.loc["64 tanh", "approximations"] == "10 of 10"
    assert lines.loc["64 linear", "approximations"] == "0 of 10"


def test_the_figure_has_the_errors_and_the_best_of_each_kind():
    errors, sections = CLAIM.figure(make_rows()).axes
    assert len(errors.get_xticks()) == len(NETWORKS)
    assert len(sections.lines) == len(NETWORKS) + 1
