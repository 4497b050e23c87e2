"""The verdict on made-up divergences."""

from itertools import product

import pandas as pd
import pytest

from odeclaims.claims.density_matching import CLAIM
from odeclaims.claims.density_matching.settings import TARGETS, WIDTHS

GOOD = {"nf": 0.3, "nf_adam": 0.3, "nf_adam_long": 0.25, "cnf": 0.1, "cnf_constant": 0.2}
PUBLISHED = {"nf": 500_000, "nf_adam_long": 250_000}


def made_up(
    changed: dict[tuple[str, int], float] | None = None, seeds: int = 3, **columns
) -> pd.DataFrame:
    """Rows alike but for the divergences given by arm and width."""
    rows = []
    cells = product(GOOD, TARGETS, WIDTHS, range(seeds))
    for arm, target, width, repetition in cells:
        row = {
            "kind": "result",
            "status": "ok",
            "arm": arm,
            "target": target,
            "width": width,
            "repetition": repetition,
            "steps": PUBLISHED.get(arm, 10_000),
            "kl": (changed or {}).get((arm, width), GOOD[arm]),
            "kl_se": 0.01,
            "late_gain": 0.001,
            "reconstruction_error": 1e-4,
        }
        rows.append(row)
    df = pd.DataFrame(rows).reindex(columns=list(CLAIM.all_columns))
    for column, value in columns.items():
        df.loc[df.index[-1], column] = value
    return df


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(made_up())) == {"reproduced"}
    assert CLAIM.judge(made_up()).outcome == "reproduced"


def at_all(arm: str, value: float) -> dict[tuple[str, int], float]:
    return {(arm, width): value for width in WIDTHS}


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({("nf", 2): 0.05}, "partly"),
        ({("nf", 2): 0.09}, "reproduced"),
        ({("nf", 2): 0.05, ("nf", 8): 0.05}, "not reproduced"),
        (at_all("nf_adam_long", 0.01), "partly"),
        (at_all("nf_adam", 0.01), "reproduced"),
        ({("nf_adam", 8): -0.04}, "not reproduced"),
    ],
    ids=[
        "width 2 lost",
        "within the margin",
        "two widths lost",
        "lost in equal time",
        "lost in equal steps",
        "a negative divergence",
    ],
)
def test_what_is_lost_is_said(changed, outcome):
    assert CLAIM.judge(made_up(changed)).outcome == outcome


def test_the_constant_field_is_judged_apart():
    found = outcomes(made_up(at_all("cnf_constant", 0.9)))
    assert found == ["reproduced"] * 3 + ["not reproduced"] * 2 + ["reproduced"]
    assert CLAIM.judge(made_up(at_all("cnf_constant", 0.9))).outcome == "reproduced"


@pytest.mark.parametrize(
    ("df", "reason"),
    [
        (made_up(seeds=2), "2 of at least 3 values"),
        (made_up().assign(steps=400), "cnf had 400 of at least 10000 steps"),
        (made_up().query("target != 'U3'"), "9 of 12 targets and widths"),
    ],
)
def test_less_than_was_published_is_insufficient(df, reason):
    judgements = CLAIM.judge(df).judgements
    assert judgements[0].lacking == reason
    assert [j.outcome for j in judgements][2] == "reproduced"


@pytest.mark.parametrize("arm", ["cnf", "nf"])
def test_models_that_fail_or_are_not_reversible_are_insufficient(arm):
    df = made_up()
    df = pd.concat([df[df["arm"] != arm], df[df["arm"] == arm]], ignore_index=True)
    failed, bent = df.copy(), df.copy()
    failed.loc[failed.index[-1], "status"] = "nonfinite"
    bent.loc[bent.index[-1], "reconstruction_error"] = 0.1
    reasons = [CLAIM.judge(changed).judgements[0].lacking for changed in (failed, bent)]
    assert reasons == [
        f"35 of 36 models of {arm} could be judged",
        f"1 of 36 models of {arm} fail the reconstruction check",
    ]


def test_caveats_name_where_the_cnf_is_behind():
    text = " ".join(CLAIM.judge(made_up({("nf", 2): 0.05})).caveats)
    assert "higher one for U1 at 2, U2 at 2, U3 at 2, U4 at 2." in text
    assert "NF, published: 500000 steps; in their last tenth the median loss still fell" in text
