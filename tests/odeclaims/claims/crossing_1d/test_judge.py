"""The verdict on made-up errors."""

from typing import Any

import pandas as pd
import pytest

from odeclaims.claims.crossing_1d import CLAIM
from odeclaims.claims.crossing_1d.settings import CONFIRMING, TOLERANCES
from tests.odeclaims.claims.crossing_1d.examples import SMALL

GOOD: dict[tuple[str, float], float] = {
    ("euler", 1): 1e-6,
    ("euler", 32): 1.2,
    ("euler", 64): 1.2,
    ("resnet", 1): 1e-6,
    ("resnet", 32): 1.3,
    ("resnet", 64): 1.3,
    ("resnet_relu", 1): 2.0,
}


def make_rows(
    node: float = 1.002,
    anode: float = 1e-5,
    tight_node: float | None = None,
    violations: int = 0,
    reconstruction: float = 1e-4,
    seeds: int = 5,
    jumps: dict[tuple[str, float], float] | None = None,
) -> pd.DataFrame:
    """Rows of every seed alike, but for what is given, which the last seed alone has."""
    rows = []
    for seed in range(seeds):
        last = seed == seeds - 1
        common = {"kind": "result", "repetition": seed, "status": "ok", **SMALL}
        errors = {"node": node if last else 1.002, "anode": anode if last else 1e-5}
        roles = [(t, r) for t in TOLERANCES for r in (t, "tight")]
        for arm, role, training in [(a, r, t) for a in errors for t, r in roles]:
            mse = errors[arm]
            if last and (arm, role) == ("node", "tight") and tight_node is not None:
                mse = tight_node
            rows.append(
                {
                    **common,
                    "reconstruction_error": reconstruction if last else 1e-4,
                    "valid": True,
                    "arm": arm,
                    "training": training,
                    "training_tolerance": TOLERANCES[training],
                    "role": role,
                    "tolerance": (TOLERANCES | CONFIRMING)[role],
                    "mse": mse,
                    "order_violations": violations if last else 0,
                    "nfe_forward": 100,
                }
            )
        for (arm, substeps), mse in {**GOOD, **(jumps or {} if last else {})}.items():
            steps = 1 if arm == "euler" else None
            result = {"arm": arm, "steps": steps, "substeps": substeps, "mse": mse}
            rows.append({**common, **result, "order_violations": 0})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def training(epochs: int = 50) -> pd.DataFrame:
    """An epoch of the NODE, by which the scale is judged."""
    row = {"kind": "training", "arm": "node", "points": 500, "epochs": epochs, "status": "ok"}
    return pd.DataFrame([row], columns=list(CLAIM.all_columns))


def judged(**changes: Any) -> dict[str, str]:
    return outcomes(pd.concat([training(), make_rows(**changes)]))


def test_the_published_picture_is_reproduced():
    assert set(judged().values()) == {"reproduced"}
    verdict = CLAIM.judge(pd.concat([training(), make_rows()]))
    assert (verdict.summary, verdict.scale) == ("5 of 5 reproduced", "published size")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        # Below the floor at every tolerance: what cannot be is.
        (
            {"node": 0.9},
            {"node_cannot": "not reproduced", "published_tolerance_shows_it": "not reproduced"},
        ),
        # Solved again it is not below: an error of the solver, so that nothing is decided.
        (
            {"node": 0.9, "tight_node": 1.0},
            {"node_cannot": "undecided", "published_tolerance_shows_it": "undecided"},
        ),
        ({"violations": 1}, {"node_cannot": "invalid"}),
        # One seed that does not learn to pass says nothing of what can be.
        ({"anode": 0.02}, {}),
        ({"jumps": {("euler", 1): 0.02}}, {}),
        ({"jumps": {("resnet", 1): 0.02}}, {}),
        ({"jumps": {("euler", 32): 0.5}}, {"fine_euler_cannot": "undecided"}),
        (
            {"jumps": {("euler", 32): 0.5, ("euler", 64): 0.5}},
            {"fine_euler_cannot": "not reproduced"},
        ),
        (
            {"jumps": {("resnet", 32): 0.5, ("resnet", 64): 0.5}},
            {"fine_resnet_cannot": "not reproduced"},
        ),
        ({"jumps": {("resnet_relu", 1): 1.5}}, {"relu_blocks_cannot": "undecided"}),
    ],
)
def test_what_one_seed_changes(changed, expected):
    others = {name: o for name, o in judged(**changed).items() if o != "reproduced"}
    assert others == expected


def test_a_flow_that_cannot_be_taken_back_never_speaks():
    found = judged(reconstruction=0.1)
    assert found["node_cannot"] == "insufficient"
    assert found["anode_can"] == "reproduced"
    text = " ".join(CLAIM.judge(pd.concat([training(), make_rows(reconstruction=0.1)])).caveats)
    assert "Solved at 0.001, 2 of 10 flows trained at 0.001 fail" in text
    assert "Solved at 1e-06, 2 of 10 flows trained at 1e-06 fail" in text


def test_none_of_ten_refutes_what_can_be_and_none_of_nine_leaves_it_open():
    for seeds, outcome in ((9, "undecided"), (10, "not reproduced")):
        df = make_rows(seeds=seeds)
        df.loc[(df["arm"] == "resnet") & (df["substeps"] == 1), "mse"] = 0.5
        assert outcomes(pd.concat([training(), df]))["resnet_can"] == outcome


def test_few_seeds_are_insufficient_where_something_cannot_be():
    found = judged(seeds=4)
    assert {name for name, o in found.items() if o == "insufficient"} == {
        "node_cannot",
        "fine_euler_cannot",
        "fine_resnet_cannot",
        "published_tolerance_shows_it",
        "relu_blocks_cannot",
    }


def test_an_untrained_node_is_a_toy():
    df = make_rows()
    df.loc[df["arm"] == "node", "mse"] = 1.5
    verdict = CLAIM.judge(pd.concat([training(), df]))
    assert verdict.scale == "toy"
    assert {j.outcome for j in verdict.judgements} == {"insufficient"}
    assert CLAIM.judge(pd.concat([training(epochs=8), make_rows()])).scale == "reduced"
