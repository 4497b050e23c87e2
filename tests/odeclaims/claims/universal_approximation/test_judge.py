"""The judgements of invented errors."""

import pandas as pd
import pytest

from odeclaims.claims.universal_approximation import CLAIM
from tests.odeclaims.claims.universal_approximation.examples import ERRORS, make_rows


def others_than_reproduced(df: pd.DataFrame) -> dict[str, str]:
    judgements = CLAIM.judge(df).judgements
    return {j.statement.name: j.outcome for j in judgements if j.outcome != "reproduced"}


def test_every_statement_holds_where_theory_does():
    verdict = CLAIM.judge(make_rows())
    assert not others_than_reproduced(make_rows())
    assert verdict.summary == "3 of 3 reproduced"
    assert verdict.scale == "published size"
    assert len(verdict.caveats) == 1


@pytest.mark.parametrize(
    ("network", "statement"),
    [("linear", "linear_cannot"), ("relu_n", "width_n_cannot"), ("square", "square_cannot")],
)
def test_one_that_is_below_the_floor_on_both_grids_refutes(network, statement):
    below = {network: 0.2}
    assert others_than_reproduced(make_rows(below, below)) == {statement: "not reproduced"}
    assert others_than_reproduced(make_rows(below)) == {statement: "undecided"}


def test_a_square_may_be_below_the_floor_of_the_others():
    assert not others_than_reproduced(make_rows({"square": 0.35}, {"square": 0.35}))


def test_one_network_that_can_is_enough_and_none_of_ten_refutes():
    can = ("one_layer_can", "narrow_can", "width_n1_can")
    assert not set(others_than_reproduced(make_rows(able_from=9))) & set(can)
    found = others_than_reproduced(make_rows(able_from=10))
    # The narrowest is so hard to train that ten failures do not refute it.
    assert [found.get(name) for name in can] == ["not reproduced"] * 2 + ["undecided"]
    many = others_than_reproduced(make_rows(able_from=30, seeds=30))
    assert {name: many.get(name) for name in can} == dict.fromkeys(can, "not reproduced")
    few = others_than_reproduced(make_rows(able_from=6, seeds=6))
    assert {name: few.get(name) for name in can} == dict.fromkeys(can, "undecided")


def test_networks_that_did_not_learn_are_a_caveat():
    caveats = CLAIM.judge(make_rows(able_from=4)).caveats
    assert caveats[1].startswith("4 of 10 networks of 4 x 6 ReLU units did not learn it.")


def test_units_that_do_not_help_are_seen():
    df = make_rows()
    many = df["network"] == "tanh"
    df.loc[many, "mean_error"] = ERRORS["few_tanh"]
    assert others_than_reproduced(df) == {"units_help": "not reproduced"}


def test_few_seeds_and_networks_that_were_not_trained_are_insufficient():
    assert others_than_reproduced(make_rows(seeds=4)) == dict.fromkeys(
        ("linear_cannot", "width_n_cannot", "square_cannot", "units_help"), "insufficient"
    )
    assert others_than_reproduced(make_rows(unexplained=1.2)) == dict.fromkeys(
        ("linear_cannot", "square_cannot"), "insufficient"
    )


def test_narrow_networks_that_have_become_constants_show_nothing():
    dead = make_rows(narrow=1.0)
    assert others_than_reproduced(dead) == {"width_n_cannot": "insufficient"}
    few = dead.copy()
    few.loc[few["repetition"] < 5, "unexplained"] = 0.6
    statement = {j.statement.name: j for j in CLAIM.judge(few).judgements}["width_n_cannot"]
    assert statement.outcome == "reproduced"
    assert statement.decision
    assert statement.decision.count == 5


def test_a_finer_grid_that_sees_less_makes_everything_on_it_invalid():
    found = others_than_reproduced(make_rows(fine={"relu_n4": 0.05}))
    assert set(found.values()) == {"invalid"}
    assert len(found) == len(CLAIM.statements) - 1
