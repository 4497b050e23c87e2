"""The outcomes of made-up rows."""

from typing import Any

import pandas as pd
import pytest

from odeclaims.claims.annulus import CLAIM
from odeclaims.claims.annulus.settings import SPACES, TOLERANCES
from tests.odeclaims.claims.annulus.examples import SMALL

TOLD_APART = {"dense_accuracy": 1.0, "bridge_share": 0.0, "mse": 1e-4, "overhang": -1.9}
SPACE_NODE = {
    "inner_accuracy": 1.0,
    "outer_accuracy": 0.999,
    "overhang": 0.1,
    "sampled_margin": 0.1,
    "searched_margin": -1.0,
    "traced_margin": -0.9,
    "margin": -1.0,
}
SPACE_ANODE = {
    "inner_accuracy": 1.0,
    "outer_accuracy": 1.0,
    "overhang": -1.5,
    "sampled_margin": 0.7,
    "searched_margin": 0.5,
    "margin": 0.5,
}
GOOD: dict[tuple[str, int], dict[str, Any]] = {
    ("node", 1): {
        "dense_accuracy": 0.75,
        "bridge_share": 0.5,
        "mse": 0.67,
        "overhang": 0.01,
        "order_violations": 0,
    },
    ("node", 2): {
        "dense_accuracy": 0.99,
        "bridge_share": 0.01,
        "mse": 0.04,
        "overhang": 0.1,
        "winding_number": 1,
    },
    ("anode", 1): TOLD_APART,
    ("anode", 2): TOLD_APART,
    ("resnet", 1): TOLD_APART,
    ("resnet", 2): {**TOLD_APART, "winding_number": 0},
    ("resnet_relu", 1): TOLD_APART,
    ("resnet_relu", 2): {**TOLD_APART, "winding_number": 0},
    **{("node", dim): SPACE_NODE for dim in SPACES},
    **{("anode", dim): SPACE_ANODE for dim in SPACES},
}
# Evaluations of a batch in the first epoch and in the last.
COSTS = {"node": (30.0, 75.0), "anode": (28.0, 42.0)}
# What a NODE would have to show to refute the claim.
IMPOSSIBLE = {"dense_accuracy": 1.0, "bridge_share": 0.0}


def make_rows(
    changed: dict[tuple[str, int], dict[str, Any]] | None = None,
    reconstruction: float = 1e-4,
    seeds: int = 10,
    every: bool = False,
    tight: dict[int, dict[str, Any]] | None = None,
    costs: dict[str, tuple[float, float]] | None = None,
    **size: float,
) -> pd.DataFrame:
    """Rows of every seed alike, but for what is given, which the last seed alone has.

    Args:
        changed: other values for an arm and a dimension.
        reconstruction: the error of the flows.
        seeds: how many.
        every: whether all seeds have what is given.
        tight: what the NODE of the last seed shows at a third, tighter solve, by dimension.
        costs: evaluations of a batch in the first and in the last epoch, by arm.
        size: other parameters.
    """
    rows = []
    published = {**SMALL, "points": 3000, "epochs": 50, **size}
    for seed in range(seeds):
        last = every or seed == seeds - 1
        for (arm, dim), good in GOOD.items():
            values = {**good, **((changed or {}).get((arm, dim), {}) if last else {})}
            common = {"arm": arm, "dim": dim, "repetition": seed, "status": "ok"}
            cost = {"epoch": [1, 50], "training_nfe": (costs or COSTS).get(arm, (None, None))}
            rows += [
                {**published, **common, "kind": "training", "training": "checked", "loss": 0.1}
                | {column: values[k] for column, values in cost.items()}
                for k in (0, 1)
            ]
            row = {
                **published,
                **common,
                "kind": "result",
                "training_accuracy": 1.0,
                **values,
            }
            if arm.startswith("resnet"):
                rows.append(row)
                continue
            stamp = {"reconstruction_error": reconstruction if last else 1e-4, "valid": True}
            for training in ("loose",) if dim in SPACES else TOLERANCES[dim]:
                solved = {**row, **stamp, "training": training, "training_tolerance": 1e-5}
                rows += [
                    {**solved, "role": role, "tolerance": tolerance}
                    for role, tolerance in TOLERANCES[dim].items()
                ]
            if last and arm == "node" and dim in (tight or {}):
                training = "loose" if dim in SPACES else "checked"
                again = {"training": training, "training_tolerance": 1e-5, "role": "tight"}
                rows.append({**row, **stamp, **again, "tolerance": 1e-9, **(tight or {})[dim]})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def broken(df: pd.DataFrame) -> dict[str, str]:
    """The outcomes that are not "reproduced"."""
    return {name: outcome for name, outcome in outcomes(df).items() if outcome != "reproduced"}


def test_every_statement_can_hold():
    verdict = CLAIM.judge(make_rows())
    assert {j.outcome for j in verdict.judgements} == {"reproduced"}
    assert all(check.passed for check in verdict.checks)
    assert (verdict.summary, verdict.scale) == ("7 of 7 reproduced", "published size")


@pytest.mark.slow(reason="every statement is judged again and again")
@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({("anode", 2): {"dense_accuracy": 0.9999}}, "anode_can"),
        ({("anode", 2): {"bridge_share": 1e-6}}, "anode_can"),
        ({("anode", 1): {"dense_accuracy": 0.75}}, "anode_can_on_a_line"),
        ({("resnet", 2): {"dense_accuracy": 0.99}}, "resnet_can"),
        ({("resnet", 1): {"bridge_share": 0.5}}, "resnet_can_on_a_line"),
        ({("resnet_relu", 2): {"bridge_share": 0.1}}, "relu_resnet_can"),
        ({("node", 2): {"training_accuracy": 0.999}}, "node_fits_a_sample"),
        ({("anode", 3): {"margin": -0.1}}, "anode_can_in_3_dimensions"),
        ({("anode", 10): {"margin": 0.0}}, "anode_can_in_10_dimensions"),
    ],
)
def test_what_no_seed_of_ten_does_is_refuted(changed, failing):
    assert broken(make_rows(changed)) == {}
    assert broken(make_rows(changed, every=True)) == {failing: "not reproduced"}
    assert broken(make_rows(changed, every=True, seeds=9)) == {failing: "undecided"}


@pytest.mark.parametrize(
    ("dim", "shown", "hidden", "failing"),
    [
        (2, IMPOSSIBLE, {"bridge_share": 1e-6}, "node_cannot"),
        (1, {"mse": 0.6}, {"mse": 0.67}, "node_cannot_on_a_line"),
        (3, {"margin": 0.1}, {"margin": -0.1}, "node_cannot_in_3_dimensions"),
        (10, {"margin": 0.1}, {"margin": -0.1}, "node_cannot_in_10_dimensions"),
    ],
)
def test_one_flow_that_does_it_refutes_when_a_tighter_solve_confirms_it(
    dim, shown, hidden, failing
):
    changed = {("node", dim): shown}
    for tight, outcome in ((None, "undecided"), (hidden, "undecided"), (shown, "not reproduced")):
        df = make_rows(changed, tight={dim: tight} if tight else None)
        assert outcomes(df)[failing] == outcome


def test_a_grid_alone_does_not_refute():
    """The bridge is thinner than the grid, and the refined circle shows it."""
    assert broken(make_rows({("node", 2): {"dense_accuracy": 1.0}})) == {}


def test_at_the_published_tolerance_the_checked_solve_of_the_same_flow_confirms():
    df = make_rows()
    loose = (df["arm"] == "node") & (df["dim"] == 2) & (df["training"] == "loose")
    last = loose & (df["repetition"] == 9)
    df.loc[last & (df["role"] == "loose"), list(IMPOSSIBLE)] = list(IMPOSSIBLE.values())
    assert broken(df) == {"published_tolerance_shows_it": "undecided"}
    df.loc[last, list(IMPOSSIBLE)] = list(IMPOSSIBLE.values())
    assert broken(df) == {"published_tolerance_shows_it": "not reproduced"}


@pytest.mark.parametrize(
    ("changed", "invalid"),
    [
        ({("node", 2): {"winding_number": 0}}, {"node_cannot", "node_fits_a_sample"}),
        ({("node", 2): {"winding_number": 2}}, {"node_cannot", "node_fits_a_sample"}),
        ({("node", 1): {"order_violations": 1}}, {"node_cannot_on_a_line"}),
        ({("node", 2): {"overhang": -0.1}}, set()),
    ],
)
def test_a_failed_check_makes_what_rests_on_it_invalid(changed, invalid):
    verdict = CLAIM.judge(make_rows(changed))
    assert {j.statement.name for j in verdict.judgements if j.outcome == "invalid"} == invalid
    assert sum(not check.passed for check in verdict.checks) == 1


def test_a_circle_that_was_not_resolved_is_left_out():
    changed: Any = {("node", 2): {"winding_number": None, **IMPOSSIBLE}}
    df = make_rows(changed)
    assert "node_cannot" not in broken(df)
    assert "The circle of 1 checked NODE flows was not resolved" in " ".join(
        CLAIM.judge(df).caveats
    )
    assert broken(make_rows(changed, every=True))["node_cannot"] == "insufficient"


def test_a_flow_that_cannot_be_taken_back_never_speaks():
    df = make_rows({("node", 2): IMPOSSIBLE}, reconstruction=0.1)
    assert "node_cannot" not in broken(df)
    text = " ".join(CLAIM.judge(df).caveats)
    assert "Solved at 1e-07, 4 of 40 flows trained at 1e-05 fail the reconstruction check" in text
    few = broken(make_rows(reconstruction=0.1, every=True))
    assert {few[name] for name in ("node_cannot", "node_cannot_on_a_line", "anode_can")} == {
        "insufficient"
    }


def test_few_seeds_are_insufficient_for_what_cannot_be():
    dearer = ("node_becomes_dearer", "node_becomes_dearer_than_anode")
    cannot = ("node_cannot", "node_cannot_on_a_line", "published_tolerance_shows_it")
    in_space = [f"node_cannot_in_{dim}_dimensions" for dim in SPACES]
    assert broken(make_rows(seeds=6)) == {}
    assert broken(make_rows(seeds=5)) == dict.fromkeys(dearer, "insufficient")
    assert broken(make_rows(seeds=4)) == dict.fromkeys(
        (*cannot, *in_space, *dearer), "insufficient"
    )


def test_what_was_not_learnt_is_not_judged():
    line = broken(make_rows({("node", 1): {"mse": 0.8}}, every=True))
    assert line == {"node_cannot_on_a_line": "insufficient"}
    plane = CLAIM.judge(make_rows({("node", 2): {"dense_accuracy": 0.9}}, every=True))
    assert plane.scale == "toy"
    assert {j.outcome for j in plane.judgements} == {"insufficient"}
    for dim in SPACES:
        # By volume the ball of ten dimensions is nothing.
        space = broken(make_rows({("node", dim): {"inner_accuracy": 0.9}}, every=True))
        assert space == {f"node_cannot_in_{dim}_dimensions": "insufficient"}
    assert CLAIM.judge(make_rows(points=900, epochs=20)).scale == "reduced"
    assert CLAIM.judge(make_rows(points=48, epochs=2)).scale == "toy"


def test_the_caveat_says_that_a_sample_can_be_fitted():
    text = " ".join(CLAIM.judge(make_rows()).caveats)
    assert "A finite sample can be fitted by a Neural ODE" in text
    assert "10 of 10 checked flows are right on every training point" in text


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        (
            {"node": (75.0, 30.0), "anode": (28.0, 42.0)},
            dict.fromkeys(
                ("node_becomes_dearer", "node_becomes_dearer_than_anode"), "not reproduced"
            ),
        ),
        (
            {"node": (30.0, 40.0), "anode": (28.0, 84.0)},
            {"node_becomes_dearer_than_anode": "not reproduced"},
        ),
    ],
)
def test_what_training_costs_is_compared_as_a_factor(costs, expected):
    assert broken(make_rows(costs=costs)) == expected


def test_a_caveat_says_what_each_search_finds_in_space():
    text = " ".join(CLAIM.judge(make_rows()).caveats)
    assert (
        "d = 10: of 10 checked NODEs random points show a wrong one in 0, gradient descent from the"
        " worst of them in 10, and the flow followed back in 10." in text
    )
