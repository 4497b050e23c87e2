"""The verdict on made-up accuracies."""

import pandas as pd
import pytest

from odeclaims.claims.anode_mnist import CLAIM
from tests.odeclaims.claims.anode_mnist.examples import TABLE_1, make_rows


def outcomes(df: pd.DataFrame) -> list[str]:
    """Separation, distances of NODE and ANODE, and NFE; without and then with time."""
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_table_is_reproduced():
    verdict = CLAIM.judge(make_rows())
    assert [j.outcome for j in verdict.judgements] == ["reproduced"] * 8
    values = [judgement.value for judgement in verdict.judgements[:4]]
    assert values == pytest.approx([1.8 / 0.6, 0, 0, 1.9])
    assert verdict.outcome == "reproduced"


@pytest.mark.parametrize(
    ("change", "index", "outcome", "verdict"),
    [
        # The order alone; no order at all; the order, but far from the published means.
        ({"anode": (96.5, 97.6, 98.3)}, 0, "partly", "partly"),
        ({"anode": (95.8, 96.3, 96.8)}, 0, "not reproduced", "not reproduced"),
        ({"node": (94.1, 94.2, 94.3)}, 1, "partly", "partly"),
        ({"anode": (99.6, 99.7, 99.8)}, 2, "partly", "partly"),
    ],
)
def test_accuracies_decide(change, index, outcome, verdict):
    df = make_rows(TABLE_1 | change)
    assert outcomes(df)[index] == outcomes(df)[4 + index] == outcome
    assert CLAIM.judge(df).outcome == verdict


def test_evaluations_and_the_time_dependent_variant_do_not_decide():
    df = make_rows(nfe=(110, 100))
    assert outcomes(df) == (["reproduced"] * 3 + ["not reproduced"]) * 2
    assert CLAIM.judge(df).outcome == "reproduced"
    swapped = {"node": TABLE_1["anode"], "anode": TABLE_1["node"]}
    mixed = pd.concat([make_rows(variants=(False,)), make_rows(swapped, variants=(True,))])
    assert outcomes(mixed)[4] == "not reproduced"
    assert CLAIM.judge(mixed).outcome == "reproduced"


def test_evaluations_of_a_flow_that_fails_its_checks_do_not_speak():
    df = make_rows(nfe=(50, 100), invalid=(("node", 0), ("anode", 1), ("node", 2)))
    assert outcomes(df)[3] == "insufficient"


@pytest.mark.parametrize(
    "df",
    [
        make_rows(epochs=4),
        make_rows(images=59_999),
        make_rows({arm: values[:2] for arm, values in TABLE_1.items()}),
        make_rows(TABLE_1 | {"node": (96.4,)}),
    ],
)
def test_a_small_budget_is_no_evidence(df):
    assert set(outcomes(df)) == {"insufficient"}


def test_the_budget_is_a_caveat():
    small = CLAIM.judge(make_rows(epochs=4, images=100, invalid=(("node", 0),))).caveats
    assert small[0].startswith("Trained for 4 epochs of 100 images in batches of 4, not for 20 of")
    assert "0 of 12 trained flows pass the validity checks at 0.001." in small
    assert "10 of 12 trained flows pass the validity checks at 1e-06." in small
    assert not any("Trained for" in caveat for caveat in CLAIM.judge(make_rows()).caveats)
