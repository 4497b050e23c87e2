"""The table and the figure."""

from odeclaims.claims.equations import CLAIM
from odeclaims.claims.equations.catalogue import EQUATIONS, SECTION_NAMES
from tests.odeclaims.claims.equations.example_rows import rows


def test_table_and_figure_show_every_equation():
    df = rows()
    table = CLAIM.table(df)
    assert len(table) == len(EQUATIONS)
    assert (table["verdict"] == "slips").sum() == sum(bool(e.kind) for e in EQUATIONS)
    labels = [t.get_text() for ax in CLAIM.figure(df).axes for t in ax.get_yticklabels()]
    assert set(labels) == {e.name for e in EQUATIONS} | set(SECTION_NAMES.values())
