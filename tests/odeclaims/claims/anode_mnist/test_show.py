"""The figure and the table of made-up accuracies."""

from odeclaims.claims.anode_mnist import CLAIM
from odeclaims.claims.anode_mnist.settings import TOLERANCES
from odeclaims.claims.anode_mnist.show import VARIANTS
from tests.odeclaims.claims.anode_mnist.examples import make_rows


def test_published_rows_and_ours_stand_in_one_table():
    table = CLAIM.table(make_rows())
    assert table["net"].tolist() == ["NODE"] * 3 + ["ANODE"] * 3
    assert table["test accuracy (%)"].tolist()[:2] == ["96.4 +- 0.5", "96.4 +- 0.50"]
    assert table["field"].tolist()[1:3] == list(VARIANTS.values())
    assert table["NFE at 1e-06"].tolist() == ["", "190", "190", "", "100", "100"]
    assert table["valid at 1e-03"].tolist()[1] == "0 of 3"


def test_the_figure_has_a_line_for_every_seed_and_mean():
    accuracy, evaluations, frozen = CLAIM.figure(make_rows()).axes
    assert len(accuracy.lines) == len(evaluations.lines) == 4 * (3 + 1)
    assert len(frozen.lines) == 4 * 3 * len(TOLERANCES)
