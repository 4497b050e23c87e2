"""The figure and the table of made-up accuracies."""

from odeclaims.claims.anode_mnist import CLAIM
from odeclaims.claims.anode_mnist.settings import TOLERANCES
from odeclaims.claims.anode_mnist.show import VARIANTS
from tests.odeclaims.claims.anode_mnist.examples import count_rows, make_rows


def test_published_rows_and_ours_stand_in_one_table():
    table = CLAIM.table(make_rows())
    assert table["net"].tolist() == ["NODE"] * 3 + ["ANODE"] * 3
    assert table["test accuracy (%)"].tolist()[:2] == ["96.4 +- 0.5", "96.4 +- 0.37"]
    assert table["field"].tolist()[1:3] == list(VARIANTS.values())
    assert table["NFE at 1e-06"].tolist() == ["", "190", "190", "", "100", "100"]
    assert table["valid at 1e-03"].tolist()[1] == "0 of 6"


def test_the_figure_has_a_line_for_every_seed_and_mean():
    accuracy, evaluations, frozen = CLAIM.figure(make_rows()).axes
    assert len(accuracy.lines) == len(evaluations.lines) == 4 * (6 + 1)
    assert len(frozen.lines) == 4 * 6 * len(TOLERANCES)


def test_nets_that_were_only_counted_stand_beside_the_published_ones():
    table = CLAIM.table(count_rows())
    assert table["from"].tolist() == 2 * ["published", *2 * ["ours, not trained"]]
    assert table["parameters"].tolist()[:3] == ["84,395", "84,395", "85,316"]
    assert [len(ax.lines) for ax in CLAIM.figure(count_rows()).axes[1:]] == [0, 0]
