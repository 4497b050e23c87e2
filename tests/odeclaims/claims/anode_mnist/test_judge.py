"""The outcomes of made-up accuracies."""

import math

import pandas as pd
import pytest

from odeclaims.claims.anode_mnist import CLAIM
from odeclaims.claims.anode_mnist.settings import ALL_IMAGES
from tests.odeclaims.claims.anode_mnist.examples import TABLE_1, count_rows, make_rows

ABOUT_NETS = ["anode_is_better", "node_level", "anode_level", "fewer_evaluations"]
WITH_TIME = [f"{name}_with_time" for name in ABOUT_NETS]
COUNTED = "published_counts_are_without_time"


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def broken(df: pd.DataFrame) -> dict[str, str]:
    """The outcomes that are not "reproduced"."""
    return {name: outcome for name, outcome in outcomes(df).items() if outcome != "reproduced"}


def both(names: dict[str, str]) -> dict[str, str]:
    """The same outcomes for both variants."""
    return names | {f"{name}_with_time": outcome for name, outcome in names.items()}


def test_the_published_table_is_reproduced():
    verdict = CLAIM.judge(make_rows())
    assert [j.statement.name for j in verdict.judgements] == [*ABOUT_NETS, *WITH_TIME, COUNTED]
    assert {j.outcome for j in verdict.judgements} == {"reproduced"}
    assert (verdict.summary, verdict.scale) == ("3 of 3 reproduced", "published size")
    values = [j.decision.value for j in verdict.judgements[:4] if j.decision]
    assert values == pytest.approx([1.8, 96.4, 98.2, math.log(1.9)])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # The two are alike; the NODE is better; levels that were not published.
        (
            {"anode": (96.9, 95.9, 96.5, 96.3, 96.1, 96.7)},
            {"anode_is_better": "undecided", "anode_level": "not reproduced"},
        ),
        (
            {"anode": (95.0, 95.1, 95.2, 95.2, 95.3, 95.4)},
            {"anode_is_better": "not reproduced", "anode_level": "not reproduced"},
        ),
        ({"node": (94.1, 94.2, 94.2, 94.3, 94.3, 94.4)}, {"node_level": "not reproduced"}),
        ({"anode": (99.6, 99.7, 99.7, 99.7, 99.8, 99.8)}, {"anode_level": "not reproduced"}),
        # The published number lies in an interval that holds almost any.
        ({"node": (94.4, 95.2, 96.0, 96.8, 97.6, 98.0)}, {"node_level": "undecided"}),
    ],
)
def test_accuracies_decide(change, expected):
    assert broken(make_rows(TABLE_1 | change)) == both(expected)


def test_evaluations_and_the_variant_with_time_are_not_central():
    df = make_rows(nfe=(110, 100))
    assert broken(df) == both({"fewer_evaluations": "not reproduced"})
    assert CLAIM.judge(df).summary == "3 of 3 reproduced"
    swapped = {"node": TABLE_1["anode"], "anode": TABLE_1["node"]}
    mixed = pd.concat([make_rows(variants=(False,)), make_rows(swapped, variants=(True,))])
    assert broken(mixed) == dict.fromkeys(WITH_TIME[:3], "not reproduced")
    assert CLAIM.judge(mixed).summary == "3 of 3 reproduced"


def test_evaluations_of_flows_that_fail_their_checks_do_not_speak():
    df = make_rows(nfe=(50, 100), invalid=(("node", 0), ("node", 2)))
    assert broken(df) == both({"fewer_evaluations": "insufficient"})


def test_few_seeds_decide_levels_and_no_difference():
    five = make_rows({arm: values[:5] for arm, values in TABLE_1.items()})
    assert broken(five) == both(
        dict.fromkeys(("anode_is_better", "fewer_evaluations"), "insufficient")
    )
    two = make_rows({arm: values[:2] for arm, values in TABLE_1.items()})
    assert broken(two) == both(dict.fromkeys(ABOUT_NETS, "insufficient"))


@pytest.mark.parametrize("budget", [{"epochs": 5}, {"images": 30_000}])
def test_a_level_is_that_of_the_published_size(budget):
    df = make_rows(**budget)
    assert CLAIM.judge(df).scale == "reduced"
    assert broken(df) == both(dict.fromkeys(("node_level", "anode_level"), "insufficient"))


def test_nets_that_have_not_learnt_are_not_compared():
    verdict = CLAIM.judge(make_rows(TABLE_1 | {"node": (90.0,) * 6}))
    assert verdict.scale == "toy"
    assert "the median test error of NODE is 0.1, at most 0.06 needed" in verdict.size
    insufficient = {j.statement.name for j in verdict.judgements if j.outcome == "insufficient"}
    assert insufficient == {*ABOUT_NETS, *WITH_TIME}
    tiny = CLAIM.judge(make_rows(images=ALL_IMAGES // 200))
    assert tiny.scale == "toy"


def test_nets_that_were_only_counted_tell_of_their_parameters_alone():
    verdict = CLAIM.judge(count_rows())
    assert broken(count_rows()) == dict.fromkeys([*ABOUT_NETS, *WITH_TIME], "insufficient")
    assert verdict.size == "0% of 60,000 images of 28 x 28 pixels x 20 epochs; nothing was trained"
    assert verdict.caveats[0].startswith("There is no trained net among these rows")


def test_other_counts_are_another_net():
    df = count_rows()
    df.loc[df["parameters"] == 84_816, "parameters"] = 84_817
    assert outcomes(df)[COUNTED] == "not reproduced"
    unequal = make_rows()
    unequal.loc[unequal["arm"] == "anode", "parameters"] = 90_000
    assert broken(unequal) == {
        **dict.fromkeys([*ABOUT_NETS, *WITH_TIME], "invalid"),
        COUNTED: "not reproduced",
    }


def test_the_budget_is_a_caveat():
    small = CLAIM.judge(make_rows(epochs=4, images=100, invalid=(("node", 0),))).caveats
    assert small[0].startswith("Trained for 4 epochs of 100 images of 28 x 28 pixels")
    assert "0 of 24 trained flows pass the validity checks at 0.001." in small
    assert "22 of 24 trained flows pass the validity checks at 1e-06." in small
    assert not any("Trained for" in caveat for caveat in CLAIM.judge(make_rows()).caveats)


def test_the_reduced_arm_says_which_net_is_better_and_no_level():
    small = make_rows(
        {"node": (92.0, 93, 92.5, 91, 92, 93), "anode": (95.0, 96, 95, 95, 95, 96)},
        variants=(False,),
        epochs=5,
        images=12_000,
        side=14,
    )
    small["parameters"] = small["arm"].map({"node": 22_040, "anode": 22_039})
    small["filters"] = small["arm"].map({"node": 47, "anode": 33})
    verdict = CLAIM.judge(pd.concat([count_rows(), small]))
    assert verdict.scale == "reduced"
    assert verdict.summary == "1 of 3 reproduced, 2 insufficient"
    found = {j.statement.name: j for j in verdict.judgements}
    assert found["anode_is_better"].outcome == "reproduced"
    assert found["fewer_evaluations"].outcome == "reproduced"
    assert found["node_level"].lacking == "1.25% of the published training"
    assert "12000 images of 14 x 14 pixels" in verdict.caveats[0]


def test_the_reduced_arm_has_a_floor_of_its_own():
    """A linear classifier gets 12% wrong; what gets 8% wrong has learnt more."""
    for error, said in ((8.0, ""), (11.0, "the median test error of NODE is 0.11, at most 0.1")):
        worse = make_rows({"node": (100 - error,) * 6, "anode": (98.0,) * 6}, side=14)
        judged = {j.statement.name: j for j in CLAIM.judge(worse).judgements}
        assert judged["anode_is_better"].lacking.startswith(said)
        assert bool(judged["anode_is_better"].lacking) == bool(said)
