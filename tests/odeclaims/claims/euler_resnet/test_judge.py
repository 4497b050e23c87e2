"""How rows become judgements: invented ones, and the tutorial's table."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest

from neural_ode import METHODS
from odeclaims.claims.euler_resnet import CLAIM
from odeclaims.claims.euler_resnet.judge import (
    OTHER_FIXED,
    _order_distances,
    _wrong_digits,
    exponents,
    order_of,
)
from odeclaims.claims.euler_resnet.settings import ORDERS, PRINTED, PROBLEMS, SCALES
from tests.odeclaims.claims.euler_resnet.example_rows import frame, measure

# ln|gradient| per layer.
PLAIN = {0.1: -2.9, 0.5: -1.3, 1.0: -0.6, 2.0: 0.06}
RESIDUAL = {0.1: -0.005, 0.5: -0.2, 1.0: -0.2, 2.0: 0.2}
LIMITS = {
    ("tied", "error"): -1.0,
    ("smooth", "error"): -1.0,
    ("independent, 1/N", "difference"): -0.5,
    ("independent, 1/sqrt(N)", "difference"): 0.0,
}


def rows(
    seeds: int = 12,
    plain: float = 0.0,
    residual: dict[float, float] | None = None,
    limits: dict[tuple[str, str], float] | None = None,
    order: float = 0.0,
    noise: float = 0.01,
) -> pd.DataFrame:
    """The rows of a run as theory has them; what is given is added to a slope or replaces it."""
    generator = np.random.default_rng(1)
    found = [
        {"part": "table", "t": float(n), "value": h, "slope": d, "printed": h, "printed_slope": d}
        | {"exact": 3 / 5 + 2 / 5 * math.exp(5 * n)}
        for n, (h, d) in enumerate(PRINTED)
    ]
    for method, problem, n in product(("euler", *OTHER_FIXED), PROBLEMS, (64, 128, 256, 512)):
        error = n ** -(ORDERS[method] + order)
        found.append(
            {"part": "order", "arm": method, "problem": problem, "step": 1 / n, "error": error}
        )
    for seed in range(seeds):
        for arm, scale, depth in product(("plain", "residual"), SCALES, (1, 3, 50, 100)):
            expected = (PLAIN if arm == "plain" else RESIDUAL)[scale]
            slope = expected + noise * generator.uniform(-1, 1)
            slope += plain if arm == "plain" else (residual or {}).get(scale, 0.0)
            row = {"part": "gradient", "arm": arm, "scale": scale, "depth": depth, "error": 1e-14}
            found.append(
                {**row, "repetition": seed, "log_gradient": slope * depth}
                | {"expected_slope": expected}
            )
        found += [
            {"part": "equality", "arm": arm, "depth": 10, "error": 1e-16, "repetition": seed}
            for arm in ("tied", "untied")
        ]
        for (arm, column), slope in {**LIMITS, **(limits or {})}.items():
            slope += noise * generator.uniform(-1, 1)
            found += [
                {"part": "limit", "arm": arm, "depth": n, column: n**slope, "repetition": seed}
                for n in (8, 64, 512)
            ]
    return frame(found)


def others_than_reproduced(df: pd.DataFrame) -> dict[str, str]:
    judgements = CLAIM.judge(df).judgements
    return {j.statement.name: j.outcome for j in judgements if j.outcome != "reproduced"}


def test_every_statement_holds_where_theory_does():
    verdict = CLAIM.judge(rows())
    assert not others_than_reproduced(rows())
    assert verdict.summary == "6 of 6 reproduced"
    assert verdict.scale == "published size"


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"limits": {("smooth", "error"): -1.3}}, {"smooth_tends_to_ode"}),
        ({"limits": {("tied", "error"): -0.5}}, {"tied_tends_to_ode"}),
        ({"limits": {("independent, 1/N", "difference"): -1.0}}, {"independent_is_slower"}),
        (
            {"limits": {("independent, 1/sqrt(N)", "difference"): -0.5}},
            {"independent_has_no_limit"},
        ),
        ({"order": 1.0}, {"euler_has_order_one", "orders_are_their_own"}),
    ],
)
def test_each_slope_can_break_its_statement(changed, broken):
    assert others_than_reproduced(rows(**changed)) == dict.fromkeys(broken, "not reproduced")


def test_a_slope_at_its_bound_is_undecided():
    df = rows(limits={("smooth", "error"): -1.1})
    assert others_than_reproduced(df) == {"smooth_tends_to_ode": "undecided"}


def test_chains_that_do_otherwise_break_their_statements():
    df = rows()
    small = (df["part"] == "gradient") & (df["scale"] == 0.1)
    swapped = df["arm"].map({"plain": "residual", "residual": "plain"})
    df.loc[small, "arm"] = swapped[small]
    df.loc[small & (df["arm"] == "plain"), ["log_gradient", "expected_slope"]] *= -1
    assert others_than_reproduced(df) == {
        "plain_vanishes": "not reproduced",
        "residual_survives": "not reproduced",
    }
    df = rows()
    large = (df["arm"] == "residual") & (df["scale"] == 2)
    df.loc[large, ["log_gradient", "expected_slope"]] *= -1
    assert others_than_reproduced(df) == {"residual_explodes": "not reproduced"}


def test_a_network_that_is_not_euler_and_a_digit_that_differs_are_seen():
    df = rows()
    df.loc[(df["part"] == "equality") & (df["repetition"] == 3), "error"] = 1e-9
    df.loc[(df["part"] == "table") & (df["t"] == 2), "value"] = 15.000001
    assert others_than_reproduced(df) == dict.fromkeys(
        ("resnet_is_euler", "euler_table"), "not reproduced"
    )


def test_a_failed_check_makes_what_is_said_of_gradients_invalid():
    chains = dict.fromkeys(("plain_vanishes", "residual_survives", "residual_explodes"), "invalid")
    assert others_than_reproduced(rows(plain=0.1)) == chains
    df = rows()
    df.loc[(df["part"] == "gradient") & (df["depth"] == 3), "error"] = 1e-6
    assert others_than_reproduced(df) == chains


def test_few_seeds_and_small_depths_are_insufficient():
    by_seed = {s.name for s in CLAIM.statements if s.rule.kind in ("better", "scales as")}
    assert others_than_reproduced(rows(seeds=5)) == dict.fromkeys(by_seed, "insufficient")
    df = rows()
    shallow = df[(df["part"] != "limit") | (df["depth"] < 512)]
    assert others_than_reproduced(shallow) == dict.fromkeys(
        (
            "smooth_tends_to_ode",
            "tied_tends_to_ode",
            "independent_is_slower",
            "independent_has_no_limit",
        ),
        "insufficient",
    )


def test_table_is_printed_exactly_and_far_from_the_solution():
    df = measure(part="table")
    assert _wrong_digits(df) == [0]
    assert df["exact"].round(2).tolist() == [1, 59.97, 8811.19]
    df.loc[2, "value"] = 15.000001
    assert _wrong_digits(df) == [1]


def test_an_incomplete_table_is_no_evidence():
    assert _wrong_digits(measure(part="table").head(2)) == []


def test_order_leaves_rounding_out():
    steps = [0.1, 0.01, 0.001]
    errors = [1e-6, 1e-9, 5e-16]
    rows = [
        {"part": "order", "arm": "bosh3", "problem": "tutorial", "step": h, "error": e}
        for h, e in zip(steps, errors, strict=True)
    ]
    assert order_of(frame(rows), "bosh3", "tutorial") == pytest.approx(3)


def test_an_unmeasured_order_is_insufficient_evidence():
    assert np.isnan(_order_distances(frame([]))).all()


def test_rate_of_made_up_distances():
    rows = [
        {"part": "limit", "arm": "tied", "depth": n, "error": n**-1.5, "repetition": r}
        for n in (8, 16, 256)
        for r in range(2)
    ]
    assert exponents("tied", "error")(frame(rows)) == pytest.approx([-1.5, -1.5])


def test_orders_are_those_of_the_solver():
    assert {name: METHODS[name].order for name in ORDERS} == ORDERS
    fixed = [name for name in ORDERS if not METHODS[name].adaptive]
    assert fixed == ["euler", *OTHER_FIXED]
