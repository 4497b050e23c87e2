"""The statements on made-up divergences."""

from itertools import product

import pandas as pd
import pytest

from odeclaims.claims.density_matching import CLAIM
from odeclaims.claims.density_matching.settings import TARGETS, WIDTHS
from odeclaims.record.registry import rules_of

GOOD = {"nf": 0.3, "nf_adam": 0.3, "nf_adam_long": 0.25, "cnf": 0.1, "cnf_constant": 0.2}
PUBLISHED = {"nf": 500_000, "nf_adam_long": 250_000}
SIDE = {
    "equal_parameters_as_low",
    *(f"equal_parameters_nearer_at_width_{width}" for width in WIDTHS),
    "equal_parameters_and_steps_as_low",
}


def made_up(
    changed: dict[tuple[str, int], float] | None = None,
    seeds: int = 3,
    spread: float = 0.0,
    **columns,
) -> pd.DataFrame:
    """Rows alike but for the divergences given by arm and width.

    ``spread`` is added to and taken from the CNF's in turns; ``columns`` are those of the last row.
    """
    rows = []
    for arm, target, width, repetition in product(GOOD, TARGETS, WIDTHS, range(seeds)):
        shift = spread * (-1) ** repetition if arm == "cnf" else 0.0
        row = {
            "kind": "result",
            "status": "ok",
            "arm": arm,
            "target": target,
            "width": width,
            "repetition": repetition,
            "steps": PUBLISHED.get(arm, 10_000),
            "kl": (changed or {}).get((arm, width), GOOD[arm]) + shift,
            "kl_se": 0.01,
            "late_gain": 0.001,
            "parameters": 300 if arm == "cnf" else 10,
            "train_s": 95.0 if arm == "nf_adam_long" else 100.0,
            "reconstruction_error": 1e-4,
        }
        rows.append(row)
    df = pd.DataFrame(rows).reindex(columns=list(CLAIM.all_columns))
    for column, value in columns.items():
        df.loc[df.index[-1], column] = value
    return df


def at_all(arm: str, value: float) -> dict[tuple[str, int], float]:
    return {(arm, width): value for width in WIDTHS}


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def named(df: pd.DataFrame, outcome: str) -> set[str]:
    return {name for name, each in outcomes(df).items() if each == outcome}


def test_every_statement_holds_where_the_cnf_is_nearer_throughout():
    assert named(made_up(), "reproduced") == {s.name for s in CLAIM.statements}
    verdict = CLAIM.judge(made_up())
    assert verdict.summary == "4 of 4 reproduced"
    assert verdict.scale == "published size"
    assert all(check.passed for check in verdict.checks)


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({("nf", 2): 0.05, ("cnf_constant", 2): 0.01}, {"nearer_at_width_2"}),
        ({("nf", 32): 0.09, ("cnf_constant", 32): 0.01}, {"nearer_at_width_32"}),
        (
            {("nf", 2): 0.05, ("nf", 8): 0.05, ("cnf_constant", 2): 0, ("cnf_constant", 8): 0},
            {"generally_as_low", "nearer_at_width_2", "nearer_at_width_8"},
        ),
        (at_all("nf_adam_long", 0.01), {"as_low_in_equal_time"}),
        (
            {**at_all("nf_adam", 0.01), **at_all("cnf_constant", 0.01)},
            {"as_low_in_equal_steps"},
        ),
        (at_all("cnf_constant", 0.9), SIDE),
    ],
    ids=["width 2", "width 32 by little", "two widths", "equal time", "equal steps", "parameters"],
)
def test_a_statement_that_fails_is_not_reproduced(changed, refuted):
    assert named(made_up(changed), "not reproduced") == refuted


def test_the_margin_is_no_difference_in_a_share():
    df = made_up({("nf", 32): 0.09})
    assert outcomes(df)["generally_as_low"] == "reproduced"
    assert CLAIM.judge(df).summary == "3 of 4 reproduced, 1 not reproduced"


def test_a_spread_around_the_bound_is_undecided():
    df = made_up(at_all("nf", 0.11), seeds=4, spread=0.1)
    wanted = {f"nearer_at_width_{width}" for width in WIDTHS}
    assert wanted <= named(df, "undecided")


def test_only_pairs_of_equal_time_are_compared_so():
    df = made_up(at_all("nf_adam_long", 0.01))
    slow = df["arm"].eq("nf_adam_long") & df["width"].ne(8)
    df.loc[slow, "train_s"] = 160.0
    df.loc[df["arm"].eq("nf_adam_long") & ~slow, "kl"] = 0.5
    assert outcomes(df)["as_low_in_equal_time"] == "reproduced"
    assert "12 of 36 pairs were trained for equal times, within 10%" in " ".join(
        CLAIM.judge(df).caveats
    )
    df.loc[df["arm"].eq("nf_adam_long"), "train_s"] = 160.0
    assert outcomes(df)["as_low_in_equal_time"] == "insufficient"


def test_times_are_equal_whichever_is_the_longer():
    for seconds, wanted in ((91.0, True), (109.0, True), (89.0, False), (112.0, False)):
        df = made_up()
        df.loc[df["arm"].eq("nf_adam_long"), "train_s"] = seconds
        assert (outcomes(df)["as_low_in_equal_time"] == "reproduced") == wanted


@pytest.mark.parametrize(
    ("df", "reason"),
    [
        (made_up().assign(steps=400), "cnf had 400 of at least 10000 steps"),
        (made_up().query("target != 'U3'"), "9 of 12 targets and widths"),
        (made_up().query("arm != 'nf'"), "0 of 0 models of nf could be judged"),
        (made_up(seeds=0).query("repetition < 0"), "0 of 0 models of cnf could be judged"),
    ],
    ids=["short", "a target less", "without the published NF", "no rows"],
)
def test_less_than_was_published_is_insufficient(df, reason):
    judgements = CLAIM.judge(df).judgements
    assert judgements[0].lacking == reason


def test_few_pairs_are_insufficient():
    df = made_up(seeds=1)
    assert named(df, "insufficient") == {name for name in outcomes(df) if "nearer_at_width" in name}


def test_equal_steps_are_judged_at_any_number():
    df = made_up().query("arm != 'nf'").copy()
    df["steps"] = 400
    assert outcomes(df)["as_low_in_equal_steps"] == "reproduced"
    df.loc[df["arm"].eq("cnf"), "steps"] = 500
    assert outcomes(df)["as_low_in_equal_steps"] == "insufficient"


def test_a_model_that_fails_is_insufficient():
    df = made_up(status="nonfinite")
    assert "equal_parameters_as_low" in named(df, "insufficient")
    assert outcomes(df)["generally_as_low"] == "reproduced"


@pytest.mark.parametrize(
    ("columns", "spared"),
    [
        ({"kl": -0.06}, set()),
        ({"reconstruction_error": 0.1}, set()),
        ({"parameters": 11}, {s.name for s in CLAIM.statements} - SIDE),
    ],
)
def test_a_failed_check_makes_what_rests_on_it_invalid(columns, spared):
    df = made_up(**columns)
    if "parameters" in columns:
        df.loc[df["arm"].eq("cnf_constant"), "parameters"] = 11
    assert named(df, "invalid") == {s.name for s in CLAIM.statements} - spared


def test_a_divergence_slightly_below_zero_is_chance():
    assert CLAIM.judge(made_up(kl=-0.035)).checks[0].passed


def test_the_rules_can_be_registered():
    assert len(set(rules_of(CLAIM).values())) == len(CLAIM.statements) + len(CLAIM.checks) + 1


def test_caveats_name_where_the_cnf_is_behind():
    text = " ".join(CLAIM.judge(made_up({("nf", 2): 0.05})).caveats)
    assert "higher one for U1 at 2, U2 at 2, U3 at 2, U4 at 2." in text
    assert "NF, published: 500000 steps; in their last tenth the median loss still fell" in text


@pytest.mark.parametrize(("repetition", "said"), [(0, True), (1, False)])
def test_a_picture_of_another_repetition_is_said(repetition, said):
    df = made_up()
    df["kl"] += df["repetition"].map({0: 0.05, 1: 0.0, 2: -0.05})
    picture = df[df["arm"].eq("cnf") & df["repetition"].eq(repetition)].assign(kind="density")
    text = " ".join(CLAIM.judge(pd.concat([df, picture.assign(kl=None)])).caveats)
    assert ("12 of 12 pictures are not of the repetition of the median" in text) == said
