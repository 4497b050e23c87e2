"""The verdict on made-up errors."""

import pandas as pd
import pytest

from odeclaims.claims.crossing_1d import CLAIM
from odeclaims.claims.crossing_1d.settings import TOLERANCES
from tests.odeclaims.claims.crossing_1d.examples import SMALL

GOOD: dict[tuple[str, float], float] = {
    ("euler", 1): 1e-6,
    ("euler", 64): 1.2,
    ("resnet", 1): 1e-6,
    ("resnet", 64): 1.3,
    ("resnet_relu", 1): 2.0,
}


def make_rows(
    node: float = 1.002,
    anode: float = 1e-5,
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
        for arm, mse in errors.items():
            for role in TOLERANCES:
                stamp = {"reconstruction_error": reconstruction if last else 1e-4, "valid": True}
                rows.append(
                    {
                        **common,
                        **stamp,
                        "arm": arm,
                        "training": role,
                        "training_tolerance": TOLERANCES[role],
                        "role": role,
                        "tolerance": TOLERANCES[role],
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


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(make_rows())) == {"reproduced"}


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({"node": 0.9}, [0]),
        ({"node": 1.2}, [1]),
        ({"violations": 1}, [2]),
        ({"anode": 0.02}, [3]),
        ({"jumps": {("euler", 1): 0.02}}, [4]),
        ({"jumps": {("resnet", 1): 0.02}}, [5]),
        ({"jumps": {("euler", 64): 0.5}}, [6]),
        ({"jumps": {("resnet", 64): 0.5}}, [7]),
    ],
)
def test_one_seed_is_enough_to_break_a_criterion(changed, failing):
    df = make_rows(**changed)
    assert [i for i, outcome in enumerate(outcomes(df)) if outcome != "reproduced"] == failing
    assert CLAIM.judge(df).outcome == "not reproduced"


def test_a_flow_that_cannot_be_taken_back_never_speaks():
    found = outcomes(make_rows(reconstruction=0.1))
    assert found[:4] == ["insufficient"] * 4
    assert found[4:] == ["reproduced"] * 6
    text = " ".join(CLAIM.judge(make_rows(reconstruction=0.1)).caveats)
    assert "Solved at 0.001, 2 of 10 flows trained at 0.001 fail" in text
    assert "Solved at 1e-06, 2 of 10 flows trained at 1e-06 fail" in text


def test_few_seeds_are_insufficient():
    assert set(outcomes(make_rows(seeds=4))) == {"insufficient"}
