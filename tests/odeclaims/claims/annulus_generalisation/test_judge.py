"""The outcomes of made-up accuracies."""

import pandas as pd
import pytest

from odeclaims.claims.annulus_generalisation import CLAIM
from odeclaims.claims.annulus_generalisation.judge import _gains
from odeclaims.claims.annulus_generalisation.settings import CITED, TOLERANCES, WEDGES
from tests.odeclaims.claims.annulus_generalisation.examples import SMALL

STATEMENTS = [statement.name for statement in CLAIM.statements]


def make_rows(
    right: dict[int, float] | None = None,
    wedge: str = CITED,
    fitted: float = 1.0,
    reconstruction: float = 1e-4,
    seeds: int = 40,
    **size: float,
) -> pd.DataFrame:
    """Rows of seeds of which a share is right in the wedge, and the others have 0.65 of it.

    Args:
        right: the share of seeds that is right, by dimension, at one wedge.
        wedge: which; at the others, and where nothing is given, three NODEs in ten are right and
            every ANODE.
        fitted: the training accuracy of NODE.
        reconstruction: its error.
        seeds: how many.
        size: other parameters.
    """
    rows = []
    good = {0: 0.3, 1: 1.0, 5: 1.0}
    published = {"points": 3000, "epochs": 50}
    for seed in range(seeds):
        for name in WEDGES:
            for p, share in {**good, **(right or {} if name == wedge else {})}.items():
                stamp = {"reconstruction_error": reconstruction if p == 0 else 1e-4, "valid": True}
                common = {
                    **SMALL,
                    **published,
                    **size,
                    "status": "ok",
                    "repetition": seed,
                    "seed": 1000 + seed,
                    "augment_dim": p,
                    "wedge": name,
                    "wedge_rad": WEDGES[name],
                }
                rows.append({**common, "kind": "training", "epoch": 1, "loss": 0.1})
                rows += [
                    {
                        **common,
                        **stamp,
                        "kind": "result",
                        "role": role,
                        "tolerance": tolerance,
                        "held_out_accuracy": 1.0 if seed < share * seeds else 0.65,
                        "training_accuracy": fitted if p == 0 else 1.0,
                        "nfe_forward": 100,
                    }
                    for role, tolerance in TOLERANCES.items()
                ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def changed(df: pd.DataFrame) -> dict[str, str]:
    """The outcomes that are not "reproduced"."""
    return {name: outcome for name, outcome in outcomes(df).items() if outcome != "reproduced"}


def test_every_statement_can_hold():
    verdict = CLAIM.judge(make_rows())
    assert {j.outcome for j in verdict.judgements} == {"reproduced"}
    assert (verdict.summary, verdict.scale) == ("3 of 3 reproduced", "published size")


@pytest.mark.parametrize(
    ("right", "wedge", "expected"),
    [
        # Half of the NODEs: wrong too often to be an accident, and nothing said of the half.
        ({0: 0.5}, CITED, {"most_nodes_do_not": "undecided"}),
        ({0: 0.7}, CITED, {"most_nodes_do_not": "not reproduced"}),
        (
            {0: 1.0},
            CITED,
            {
                "anode_generalises_better": "undecided",
                "node_may_not_continue_them": "undecided",
                "most_nodes_do_not": "not reproduced",
            },
        ),
        ({0: 1.0, 5: 0.75}, CITED, {"anode_generalises_better": "not reproduced"}),
        ({5: 0.85}, CITED, {"anode_continues_the_data": "undecided"}),
        ({5: 0.5}, CITED, {"anode_continues_the_data": "not reproduced"}),
        ({1: 0.5}, CITED, {"one_dimension_is_enough": "not reproduced"}),
        ({0: 1.0}, "pi/8", {"better_at_the_narrow_wedge": "undecided"}),
        ({0: 1.0, 5: 0.5}, "pi/3", {"better_at_the_wide_wedge": "not reproduced"}),
    ],
)
def test_what_breaks_a_statement(right, wedge, expected):
    found = outcomes(make_rows(right, wedge))
    assert {name: found[name] for name in expected} == expected


def test_one_seed_turns_no_outcome():
    """A NODE that is right where it was wrong, and an ANODE that is wrong where it was right."""
    df = make_rows()
    last = (df["repetition"] == 39) & (df["kind"] == "result")
    df.loc[last & (df["augment_dim"] == 0), "held_out_accuracy"] = 1.0
    df.loc[last & (df["augment_dim"] == 5), "held_out_accuracy"] = 0.65
    assert changed(df) == {}


def test_the_gain_is_that_of_the_same_sample():
    """NODEs of 0.5, 1 and 0.5 beside ANODEs that are right, and one seed is missing."""
    df = make_rows({0: 0.0}, seeds=10)
    checked = (df["role"] == "checked") & (df["wedge"] == CITED)
    for seed, node in enumerate((0.5, 1.0, 0.5)):
        one = checked & (df["augment_dim"] == 0) & (df["repetition"] == seed)
        df.loc[one, "held_out_accuracy"] = node
    df.loc[checked & (df["augment_dim"] == 5) & (df["repetition"] == 4), "status"] = "max_steps"
    assert list(_gains(CITED, df)) == pytest.approx([0.5, 0, 0.5] + 6 * [0.35])


def test_a_model_that_does_not_fit_says_nothing_of_generalisation():
    verdict = CLAIM.judge(make_rows(fitted=0.9))
    assert verdict.scale == "toy"
    assert {j.outcome for j in verdict.judgements} == {"insufficient"}
    lacking = verdict.judgements[0].lacking
    assert "augment_dim 0 is right on 0.900 of its training points" in lacking


def test_flows_that_cannot_be_taken_back_never_speak():
    assert set(changed(make_rows(reconstruction=0.1))) == set(STATEMENTS)


def test_few_seeds_are_insufficient():
    """Five decide nothing; nine decide a difference, but no share."""
    assert set(outcomes(make_rows(seeds=5)).values()) == {"insufficient"}
    nine = outcomes(make_rows({0: 0.0}, seeds=9))
    shares = {s.name for s in CLAIM.statements if s.rule.kind == "share"}
    assert {name for name, outcome in nine.items() if outcome == "insufficient"} == shares
    assert nine["anode_generalises_better"] == "reproduced"


def test_a_profile_without_the_other_widths_judges_the_rest():
    df = make_rows()
    found = changed(df[df["wedge"] == CITED])
    assert set(found) == {"better_at_the_narrow_wedge", "better_at_the_wide_wedge"}
    assert set(found.values()) == {"insufficient"}


def test_a_small_sample_is_reduced_and_a_tiny_one_a_toy():
    assert CLAIM.judge(make_rows(points=900, epochs=14)).scale == "reduced"
    tiny = CLAIM.judge(make_rows(points=48, epochs=2))
    assert tiny.scale == "toy"
    assert {j.outcome for j in tiny.judgements} == {"insufficient"}


def test_models_of_different_samples_are_no_pairs():
    df = make_rows()
    df.loc[(df["repetition"] == 3) & (df["augment_dim"] == 5), "seed"] = 7
    invalid = {name for name, outcome in outcomes(df).items() if outcome == "invalid"}
    assert invalid == {
        "anode_generalises_better",
        "better_at_the_narrow_wedge",
        "better_at_the_wide_wedge",
    }


def test_the_caveat_counts_the_bridges_in_the_wedge():
    text = " ".join(CLAIM.judge(make_rows()).caveats)
    assert "At pi/5 28 of 40 NODE seeds are wrong in the wedge; the median of these is" in text
    assert "is right on 0.65 of it" in text
