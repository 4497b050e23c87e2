"""The judgements of invented pairs and nets."""

import pytest

from odeclaims.claims.reversible_solvers import CLAIM
from odeclaims.claims.reversible_solvers.judge import extra_orders, passes
from odeclaims.claims.reversible_solvers.settings import BASES, DEFAULT, ORDERS
from tests.odeclaims.claims.reversible_solvers.examples import RATIOS, make_rows

CENTRAL = (
    "order_of_base",
    "gradient_exact",
    "held_constant",
    "real_edge",
    "trained_nets_stay",
)
STAYS = {**RATIOS, DEFAULT: (1.0, 2.0)}


def outcomes(**changed) -> dict[str, str]:
    verdict = CLAIM.judge(make_rows(**changed))
    return {each.statement.name: each.outcome for each in verdict.judgements}


def test_pairs_that_are_stable_reproduce_everything():
    verdict = CLAIM.judge(make_rows(ratios=STAYS))
    assert verdict.summary == "5 of 5 reproduced"
    assert tuple(each.statement.name for each in verdict.central) == CENTRAL
    assert {each.outcome for each in verdict.judgements} == {"reproduced"}
    assert verdict.scale == "reduced"


@pytest.mark.slow(reason="every statement is judged again and again")
@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"extra": {("dopri5", DEFAULT): -0.3}}, {"order_of_base"}),
        ({"extra": {("euler", DEFAULT): 0.3}}, {"order_of_base"}),
        ({"extra": {("euler", 0.9): 0.6}}, set()),
        ({"gradient": 1e-9}, {"gradient_exact"}),
        ({"gradient_float32": 1e-3}, {"gradient_exact_float32"}),
        ({"growth": 0.2}, {"held_constant"}),
        ({"edge": 1.1}, {"real_edge", "edge_is_that_of_shrinking"}),
        ({"edge": 1.01}, {"edge_is_that_of_shrinking"}),
        ({"ratios": RATIOS}, {"trained_nets_stay"}),
        ({"ratios": {**STAYS, 0.8: (1.0, 20.0)}}, {"small_coupling_stays"}),
    ],
)
def test_what_is_otherwise_is_not_reproduced(changed, names):
    found = outcomes(**{"ratios": STAYS, **changed})
    assert {name for name, each in found.items() if each == "not reproduced"} == names


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"seeds": 6}, {"order_of_base", "trained_nets_stay", "small_coupling_stays"}),
        ({"base_orders": {**ORDERS, "dopri5": 5.4}}, {"order_of_base"}),
        ({"fit_error": 0.1}, {"trained_nets_stay", "small_coupling_stays"}),
        ({"contraction": -0.1}, {"trained_nets_stay", "small_coupling_stays"}),
        ({"status": "nonfinite"}, {"gradient_exact", "gradient_exact_float32"}),
    ],
)
def test_what_lacks_evidence_is_insufficient(changed, names):
    found = outcomes(**changed)
    assert {name for name, each in found.items() if each == "insufficient"} == names


def test_a_base_that_is_missing_is_insufficient():
    df = make_rows()
    df = df[df["method"] != "rk4"]
    found = {each.statement.name: each.lacking for each in CLAIM.judge(df).judgements}
    for name in CENTRAL:
        assert "3 of 4 base methods" in found[name]


def test_another_step_or_another_net_is_invalid():
    for column, part, value, names in (
        ("trace_error", "edge", 1e-6, ("order_of_base", "real_edge", "trained_nets_stay")),
        ("seed", "gradient", 8, ("gradient_exact", "held_constant")),
    ):
        df = make_rows()
        df.loc[df.index[df["part"] == part][0], column] = value
        found = {each.statement.name: each.outcome for each in CLAIM.judge(df).judgements}
        assert {found[name] for name in names} == {"invalid"}


def test_orders_are_compared_seed_by_seed():
    rows = extra_orders(make_rows(extra={("rk4", 0.9): 0.05}))
    assert len(rows) == 8 * 4 * 6
    found = rows.set_index(["method", "coupling", "repetition"])["extra"]
    assert found["rk4", 0.9, 3] == pytest.approx(0.05)
    assert found.drop(("rk4", 0.9)).abs().max() < 1e-9


def test_the_time_at_which_a_net_is_left_is_the_first_above_ten():
    assert passes(make_rows(), DEFAULT).to_dict() == dict.fromkeys(BASES, 10.0)
    assert passes(make_rows(), 0.99).to_dict() == dict.fromkeys(BASES, 20.0)
    assert passes(make_rows(), 0.8).isna().all()


def test_the_caveats_say_what_fails_where():
    df = make_rows(extra={("euler", 0.9): 0.6})
    df.loc[(df["coupling"] == 0.5) & (df["steps"] == 1000), "status"] = "nonfinite"
    text = "\n".join(CLAIM.judge(df).caveats)
    assert "In 1 of 24 pairs of base and coupling the order differs" in text
    assert "at most by 0.60 (euler at 0.9)" in text
    assert "At a coupling of 0.5 and 1000 steps 4 of 4 gradients are not finite." in text
    assert "At a coupling of 0.99 and 1000 steps the relative error of a gradient is 0.50." in text
    assert "10 (euler), 10 (midpoint), 10 (rk4), 10 (dopri5)" in text
    few = make_rows()
    few.loc[(few["part"] == "net") & (few["repetition"] == 0), "fit_error"] = 1.0
    assert "1 of 8 nets fit worse than 0.05" in "\n".join(CLAIM.judge(few).caveats)
