"""The verdict on made-up accuracies."""

import pandas as pd
import pytest

from odeclaims.claims.annulus_generalisation import CLAIM
from odeclaims.claims.annulus_generalisation.judge import _gap
from odeclaims.claims.annulus_generalisation.settings import CITED, TOLERANCES, WEDGES
from tests.odeclaims.claims.annulus_generalisation.examples import SMALL


def make_rows(
    accuracies: dict[int, float] | None = None,
    wedge: str = CITED,
    fitted: float = 1.0,
    reconstruction: float = 1e-4,
    seeds: int = 10,
) -> pd.DataFrame:
    """Rows of every seed alike: accuracies at one wedge, fit and reconstruction of NODE."""
    rows = []
    good = {0: 0.65, 1: 1.0, 2: 1.0, 5: 1.0}
    for seed in range(seeds):
        for name in WEDGES:
            for p, accuracy in {**good, **(accuracies or {} if name == wedge else {})}.items():
                stamp = {"reconstruction_error": reconstruction if p == 0 else 1e-4, "valid": True}
                rows += [
                    {
                        **SMALL,
                        **stamp,
                        "kind": "result",
                        "status": "ok",
                        "repetition": seed,
                        "augment_dim": p,
                        "wedge": name,
                        "wedge_rad": WEDGES[name],
                        "role": role,
                        "tolerance": tolerance,
                        "held_out_accuracy": accuracy,
                        "training_accuracy": fitted if p == 0 else 1.0,
                        "nfe_forward": 100,
                    }
                    for role, tolerance in TOLERANCES.items()
                ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(make_rows())) == {"reproduced"}


@pytest.mark.parametrize(
    ("accuracies", "wedge", "expected"),
    [
        ({0: 0.95}, CITED, {0: "partly", 2: "not reproduced", 4: "not reproduced"}),
        ({0: 0.99}, CITED, {0: "not reproduced", 2: "not reproduced", 4: "not reproduced"}),
        ({5: 0.96}, CITED, {1: "partly"}),
        ({5: 0.8}, CITED, {1: "not reproduced"}),
        ({1: 0.7}, CITED, {4: "not reproduced"}),
        ({0: 1.0, 5: 0.9}, "pi/10", {3: "not reproduced"}),
    ],
)
def test_what_breaks_a_criterion(accuracies, wedge, expected):
    wanted = ["reproduced"] * len(CLAIM.criteria)
    for i, outcome in expected.items():
        wanted[i] = outcome
    assert outcomes(make_rows(accuracies, wedge)) == wanted


def test_the_gap_is_that_of_the_same_sample():
    """Medians of 1 and 0.5 whose gaps are 0.5, 0 and 0.5 seed by seed, and one seed is missing."""
    df = make_rows()
    checked = (df["role"] == "checked") & (df["wedge"] == CITED)
    for seed, node in enumerate((0.5, 1.0, 0.5)):
        chosen = checked & (df["augment_dim"] == 0) & (df["repetition"] == seed)
        df.loc[chosen, "held_out_accuracy"] = node
    df.loc[checked & (df["augment_dim"] == 5) & (df["repetition"] == 4), "status"] = "max_steps"
    assert _gap(5, CITED, df).tolist() == pytest.approx([0.5, 0, 0.5] + 6 * [0.35])


def test_a_model_that_does_not_fit_says_nothing_of_generalisation():
    judgement = CLAIM.judge(make_rows(fitted=0.9)).judgements[0]
    assert judgement.outcome == "insufficient"
    assert "augment_dim 0 is right on 0.900 of its training points" in judgement.lacking


def test_flows_that_cannot_be_taken_back_never_speak():
    assert set(outcomes(make_rows(reconstruction=0.1))) == {"insufficient"}


@pytest.mark.parametrize(("seeds", "speaking"), [(9, 2), (4, 0)])
def test_few_seeds_are_insufficient(seeds, speaking):
    assert (
        outcomes(make_rows(seeds=seeds))
        == ["insufficient"] * (5 - speaking) + ["reproduced"] * speaking
    )


def test_the_caveat_counts_the_bridges_in_the_wedge():
    text = " ".join(CLAIM.judge(make_rows()).caveats)
    assert "At pi/5 10 of 10 NODE seeds are below 0.9 in the wedge" in text
