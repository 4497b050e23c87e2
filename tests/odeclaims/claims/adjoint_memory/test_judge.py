import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from odeclaims.cell import Profile
from odeclaims.claims.adjoint_memory import CLAIM
from odeclaims.claims.adjoint_memory.judge import caveats, flips
from odeclaims.claims.adjoint_memory.measure import cells
from odeclaims.claims.adjoint_memory.settings import FIELDS

# Bytes of a state.
STATE = 1000.0
Change = Callable[[Any], float]


def rows_of(arm: str = "adjoint", sweep: str = "", **changes: Change) -> pd.DataFrame:
    """The rows of quick as theory has them; ``changes`` are columns of an arm's rows, or of a
    sweep of it.
    """
    rows = []
    for cell in cells(Profile("quick")):
        gradient, kind, level = (cell.params[name] for name in ("gradient", "sweep", "level"))
        nfe = {"steps": 4 * level, "tolerance": 10 * level**-0.2, "outputs": 50}[kind]
        outputs = level if kind == "outputs" else 2
        peak = STATE * {"backprop": 4 * nfe, "checkpointed": nfe / 4 + 10}.get(gradient, outputs)
        row = {
            **cell.params,
            "nfe_forward": nfe,
            "nfe_backward": None if gradient == "backprop" else nfe + 10 * outputs,
            "held_bytes": peak,
            "peak_saved_bytes": peak,
            "peak_allocated_bytes": peak + STATE,
            "gradient_error": 1e-4,
            "reference_error": 1e-5,
            "valid": True,
            "status": "ok",
            "repetition": cell.repetition,
        }
        if gradient == arm and sweep in ("", kind):
            row |= {name: change(row) for name, change in changes.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def others_than_reproduced(df: pd.DataFrame) -> dict[str, set[str]]:
    """The names of the statements by outcome, but for those that are reproduced."""
    found: dict[str, set[str]] = {}
    for name, outcome in outcomes(df).items():
        if outcome != "reproduced":
            found.setdefault(outcome, set()).add(name)
    return found


def as_evaluations(row: Any) -> float:
    return STATE * row["nfe_forward"]


def as_their_root(row: Any) -> float:
    return STATE * row["nfe_forward"] ** 0.5


def as_a_tenth(row: Any) -> float:
    return 0.1


def test_every_statement_holds_where_theory_does():
    verdict = CLAIM.judge(rows_of())
    assert not others_than_reproduced(rows_of())
    assert verdict.summary == "5 of 5 reproduced"
    assert verdict.scale == "published size"


@pytest.mark.parametrize(
    ("arm", "sweep", "column", "change", "broken"),
    [
        (
            "adjoint",
            "steps",
            "peak_allocated_bytes",
            as_evaluations,
            {"adjoint_constant_conv", "adjoint_constant_mlp"},
        ),
        (
            "adjoint",
            "steps",
            "peak_saved_bytes",
            as_evaluations,
            {"adjoint_holds_no_more_conv", "adjoint_holds_no_more_mlp"},
        ),
        (
            "adjoint",
            "tolerance",
            "peak_allocated_bytes",
            as_evaluations,
            {"adjoint_constant_adaptive"},
        ),
        (
            "reversible",
            "steps",
            "peak_allocated_bytes",
            as_their_root,
            {"reversible_constant_conv", "reversible_constant_mlp"},
        ),
        (
            "coupled",
            "steps",
            "peak_allocated_bytes",
            as_their_root,
            {"coupled_constant_conv", "coupled_constant_mlp"},
        ),
        (
            "symplectic",
            "steps",
            "peak_allocated_bytes",
            lambda row: 12 * STATE,
            {"stages_hold_less"},
        ),
        (
            "backprop",
            "tolerance",
            "peak_saved_bytes",
            as_their_root,
            {"backprop_grows_adaptive"},
        ),
        ("adjoint", "outputs", "held_bytes", lambda row: STATE, {"outputs_are_stored"}),
        (
            "checkpointed",
            "steps",
            "peak_saved_bytes",
            lambda row: 2 * STATE * row["nfe_forward"],
            {"checkpoints_hold_little"},
        ),
    ],
)
def test_a_memory_that_grows_otherwise_breaks_its_statement_alone(
    arm, sweep, column, change, broken
):
    df = rows_of(arm, sweep, **{column: change})
    assert others_than_reproduced(df) == {"not reproduced": broken}


def test_backprop_that_does_not_grow_in_proportion_is_seen():
    df = rows_of("backprop", "steps", peak_saved_bytes=as_their_root)
    assert others_than_reproduced(df)["not reproduced"] >= {
        "backprop_grows_conv",
        "backprop_grows_mlp",
    }


def test_a_scattered_memory_is_undecided():
    def scattered(row: Any) -> float:
        return STATE * (2 if math.log2(row["level"]) % 2 else 1)

    df = rows_of("adjoint", "steps", peak_allocated_bytes=scattered)
    assert others_than_reproduced(df) == {
        "undecided": {"adjoint_constant_conv", "adjoint_constant_mlp"}
    }


def test_little_memory_with_a_wrong_gradient_is_insufficient():
    df = rows_of("adjoint", "steps", gradient_error=as_a_tenth)
    assert others_than_reproduced(df) == {
        "not reproduced": {"adjoint_is_right"},
        "insufficient": {
            "adjoint_constant_conv",
            "adjoint_constant_mlp",
            "adjoint_constant_adaptive",
        },
    }


def test_too_narrow_a_range_of_evaluations_is_insufficient():
    df = rows_of()
    narrow = df[(df["sweep"] != "steps") | (df["level"] <= 8)]
    found = {j.statement.name: j for j in CLAIM.judge(narrow).judgements}
    assert found["adjoint_constant_conv"].outcome == "insufficient"
    assert found["adjoint_constant_conv"].lacking == ("NFE spans a factor of 4, at least 16 needed")
    narrow = df[(df["sweep"] != "tolerance") | (df["level"] > 1e-4)]
    assert outcomes(narrow)["adjoint_constant_adaptive"] == "insufficient"


@pytest.mark.parametrize(
    ("column", "change", "among"),
    [
        ("nfe_forward", lambda row: row["nfe_forward"] + 1, "backprop_grows_conv"),
        ("reference_error", as_a_tenth, "adjoint_is_right"),
    ],
)
def test_a_failed_check_makes_what_rests_on_it_invalid(column, change, among):
    df = rows_of("adjoint", "steps", **{column: change})
    invalid = others_than_reproduced(df)["invalid"]
    assert {"adjoint_constant_conv", "adjoint_constant_mlp", among} <= invalid


def test_the_flip_map_is_about_the_adjoint_alone():
    table = flips(rows_of()).values
    assert len(table) == len(FIELDS) * 2 * 3
    values = table.set_index(["panel", "row", "column"])["value"]
    assert values["mlp", "bytes held", "more steps"] == pytest.approx(0, abs=1e-12)
    assert values["mlp", "bytes held", "more outputs"] == pytest.approx(1)
    assert values["conv", "allocator's peak", "tighter tolerance"] == pytest.approx(0, abs=1e-12)
    assert math.isnan(values["conv", "bytes held", "more outputs"]), "not measured at this profile"


def test_the_caveats_say_what_more_outputs_cost_and_which_rows_fail():
    df = rows_of()
    df.loc[df.index[:3], "valid"] = False
    growth, failing = caveats(df)
    assert growth == (
        "The adjoint is not constant over output times (mlp): from 2 to 30 of them it holds 15"
        " times the bytes and evaluates the field 5 times as often on its way back."
    )
    assert failing.startswith(f"3 of {len(df)} rows fail a validity check")
