"""The statements on made-up trainings."""

from collections.abc import Mapping

import pandas as pd
import pytest

from odeclaims.claims.maximum_likelihood import CLAIM
from odeclaims.claims.maximum_likelihood.judge import LOOKED_AT, NAMES, caveats
from odeclaims.claims.maximum_likelihood.settings import CHECKED_TOLERANCE, DATA
from odeclaims.record.registry import rules_of

# By how much the losses of the arms lie above the CNF's, over the iterations of the CNF: so that
# the lead falls from 0.8 to 0.3 nats with equal iterations.
BEHIND = {"cnf": 0.0, "cnf_constant": 0.2, "nf": 0.3, "nf_long": 0.3}
GAPS = {"cnf": 0.1, "cnf_constant": 0.2, "nf": 0.4, "nf_long": 0.4}
SPREAD = 0.01


def made_up(
    gaps: Mapping[tuple[str, str], float] = {},
    behind: Mapping[str, float] = {},
    *,
    shrinking: float = 0.5,
    seeds: int = 8,
    spread: float = SPREAD,
    error: float = 1e-5,
    checked_error: float = 1e-6,
    iterations: int = 10_000,
    status: str = "ok",
    bad: int = 0,
    time_share: float = 1.0,
) -> pd.DataFrame:
    """Results and trainings of seeds that differ by a little.

    ``status`` is that of one model of the CNF, and so many results, ``bad``, fail the
    reconstruction check. The planar flow of equal time has a share of the CNF's time.
    """
    rows = []
    for repetition in range(seeds):
        shift = spread * ((-1) ** repetition) * (1 + repetition / seeds)
        for arm in NAMES:
            for data in DATA:
                steps = iterations * (14 if arm == "nf_long" else 1)
                common = {"arm": arm, "data": data, "repetition": repetition, "status": "ok"}
                common |= {"iterations": steps, "batch_size": 512}
                seconds = time_share * 100.0 if arm == "nf_long" else 100.0
                result = {
                    "kind": "result",
                    "gap": gaps.get((arm, data), GAPS[arm]) + abs(shift) / 10,
                    "gap_se": 0.01,
                    "reconstruction_error": error if arm == "cnf" else 1e-9,
                    "tolerance": 1e-5 if arm.startswith("cnf") else None,
                    "train_s": seconds,
                    "floor": 0.7,
                }
                failed = (arm, data, repetition) == ("cnf", "moons", 0)
                rows.append({**common, **result, "status": status if failed else "ok"})
                if arm.startswith("cnf"):
                    again = {"tolerance": CHECKED_TOLERANCE, "reconstruction_error": checked_error}
                    rows.append({**common, "kind": "round_trip", **again})
                for done in range(100, iterations + 1, 100):
                    nll = 1.0 + behind.get(arm, BEHIND[arm])
                    if arm != "cnf":
                        nll += shift + shrinking * (1000 / done) * (arm == "nf")
                    share = done / iterations
                    row = {"iteration": share * steps, "train_s": share * seconds, "nll": nll}
                    rows.append({**common, "kind": "training", **row})
    df = pd.DataFrame(rows, columns=list(CLAIM.all_columns))
    results = df.index[df["kind"] == "result"]
    df.loc[results[:bad], "reconstruction_error"] = 0.1
    df.loc[df.index[df["kind"] == "round_trip"][:bad], "reconstruction_error"] = 0.1
    return df


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def named(df: pd.DataFrame, outcome: str) -> set[str]:
    return {name for name, each in outcomes(df).items() if each == outcome}


def test_every_statement_holds_where_the_cnf_is_ahead_throughout():
    df = made_up(behind={"nf": 0.3, "cnf_constant": 0.1})
    assert named(df, "reproduced") == {s.name for s in CLAIM.statements}
    verdict = CLAIM.judge(df)
    assert verdict.summary == "6 of 6 reproduced"
    assert verdict.scale == "published size"
    assert all(check.passed for check in verdict.checks)


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"gaps": {("cnf", "circles"): 0.2}, "seeds": 10}, {"cnf_fits_circles"}),
        ({"gaps": {("cnf", "moons"): 0.2}, "seeds": 10}, {"cnf_fits_moons"}),
        ({"behind": {"nf": 0.02, "cnf_constant": -0.1}}, {"nf_lags_at_10000"}),
        ({"behind": {"nf_long": 0.03}}, {"nf_lags_at_equal_time"}),
        (
            {"behind": {"nf_long": -0.05}},
            {"nf_lags_at_equal_time", "cnf_ahead_at_equal_time"},
        ),
        (
            {"behind": {"cnf_constant": 1.5}},
            {"equal_parameters_ahead", "equal_parameters_ahead_in_the_end"},
        ),
        (
            {"shrinking": -0.2, "behind": {"nf": 0.6, "cnf_constant": 0.05}},
            {"lead_shrinks"},
        ),
        ({"checked_error": 2e-3}, {"cnf_returns"}),
        ({"error": 2e-3}, {"cnf_returns_in_training"}),
    ],
)
def test_a_statement_that_fails_is_not_reproduced(changed, refuted):
    assert named(made_up(**changed), "not reproduced") == refuted


def test_the_number_of_iterations_decides_by_itself():
    found = outcomes(made_up(behind={"nf": 0.0}))
    assert found["nf_lags_at_1000"] == "reproduced"
    assert found["nf_lags_at_10000"] == "not reproduced"
    assert found["lead_shrinks"] == "reproduced"


def test_a_lead_near_the_margin_is_undecided():
    df = made_up(behind={"nf_long": 0.1}, spread=0.05)
    assert "nf_lags_at_equal_time" in named(df, "undecided")


def test_one_fitted_model_shows_that_it_can():
    df = made_up({("cnf", "moons"): 0.2})
    df.loc[df["arm"].eq("cnf") & df["repetition"].eq(0), "gap"] = 0.1
    assert outcomes(df)["cnf_fits_moons"] == "reproduced"


def test_few_seeds_are_insufficient_but_show_what_is_possible():
    df = made_up(seeds=3)
    assert named(df, "reproduced") == {"cnf_fits_circles", "cnf_fits_moons", "lead_shrinks"}
    assert set(outcomes(df).values()) == {"reproduced", "insufficient"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iterations": 1000}, "cnf had 1000 of at least 10000 iterations"),
        ({"status": "max_steps"}, "15 of 16 models of cnf could be judged"),
    ],
)
def test_less_than_the_sentence_says_is_insufficient(changed, reason):
    judgements = {j.statement.name: j for j in CLAIM.judge(made_up(**changed)).judgements}
    assert judgements["nf_lags_at_10000"].outcome == "insufficient"
    assert judgements["nf_lags_at_10000"].lacking == reason


def test_a_planar_flow_with_much_less_time_is_no_comparison():
    df = made_up(time_share=0.5)
    reason = "the planar flow had 50% of the CNF's time"
    lacking = {j.lacking for j in CLAIM.judge(df).judgements if j.outcome == "insufficient"}
    assert lacking == {reason}
    assert named(df, "insufficient") == {"nf_lags_at_equal_time", "cnf_ahead_at_equal_time"}


@pytest.mark.parametrize(
    "changed", [{"gaps": {("nf_long", "circles"): -0.1}}, {"bad": 1}], ids=["a gap below 0", "lost"]
)
def test_a_failed_check_makes_what_rests_on_it_invalid(changed):
    found = outcomes(made_up(**changed))
    assert found["nf_lags_at_1000"] == found["cnf_fits_moons"] == "invalid"


def test_a_gap_slightly_below_zero_is_chance_among_many():
    df = made_up()
    df.loc[0, "gap"] = -0.035
    assert CLAIM.judge(df).checks[0].passed


def test_a_short_training_is_a_toy_or_reduced():
    assert CLAIM.judge(made_up(iterations=900)).scale == "reduced"
    df = made_up(iterations=1000)
    assert CLAIM.judge(df.assign(batch_size=5)).scale == "toy"


def test_the_rules_can_be_registered():
    assert len(set(rules_of(CLAIM).values())) == len(CLAIM.statements) + len(CLAIM.checks) + 1


def test_the_curve_leads_from_the_examples_number_to_the_last():
    assert (LOOKED_AT[0], LOOKED_AT[-1]) == (1000, 10_000)


def test_a_short_training_is_a_caveat():
    short, full = (" ".join(caveats(made_up(iterations=n))) for n in (1000, 10_000))
    assert "The CNF had 1000 of the 10000 iterations" in short
    assert "may be that of a short training" not in full
    assert "1 of 64 models fail the reconstruction check" in " ".join(
        caveats(made_up(iterations=1000, bad=1))
    )
