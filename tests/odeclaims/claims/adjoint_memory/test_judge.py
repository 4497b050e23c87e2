import math
from typing import Any

import pandas as pd
import pytest

from odeclaims.cell import Profile
from odeclaims.claims.adjoint_memory.judge import CRITERIA, caveats, flips
from odeclaims.claims.adjoint_memory.measure import cells
from odeclaims.claims.adjoint_memory.settings import ARMS, FIELDS

# Bytes of a state.
STATE = 1000.0


def rows_of(**changes: Any) -> pd.DataFrame:
    """The rows of quick as theory has them; ``changes`` are columns of the adjoint's rows."""
    rows = []
    for cell in cells(Profile("quick")):
        arm, sweep, level = (cell.params[name] for name in ("gradient", "sweep", "level"))
        nfe = 4 * level if sweep == "steps" else 100 / level if sweep == "tolerance" else 50
        outputs = level if sweep == "outputs" else 2
        peak = STATE * {"backprop": 4 * nfe, "checkpointed": nfe / 4 + 10}.get(arm, outputs)
        row = {
            **cell.params,
            "nfe_forward": nfe,
            "nfe_backward": None if arm == "backprop" else nfe + 10 * outputs,
            "held_bytes": peak,
            "peak_saved_bytes": peak,
            "peak_allocated_bytes": peak + STATE,
            "gradient_error": 1e-4,
            "valid": True,
            "status": "ok",
            "repetition": cell.repetition,
        }
        if arm == "adjoint":
            row |= {name: change(row) for name, change in changes.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def outcomes(df: pd.DataFrame) -> list[str]:
    return [criterion.judge(df).outcome for criterion in CRITERIA]


def test_the_criteria_hold_where_theory_does():
    assert outcomes(rows_of()) == ["reproduced"] * len(CRITERIA)


@pytest.mark.parametrize(
    ("broken", "column", "change"),
    [
        (0, "peak_saved_bytes", lambda row: STATE * row["nfe_forward"]),
        (1, "peak_allocated_bytes", lambda row: STATE * row["nfe_forward"]),
        (3, "gradient_error", lambda row: 0.1),
    ],
)
def test_an_adjoint_that_grows_or_errs_does_not_hold(broken, column, change):
    judged = outcomes(rows_of(**{column: change}))
    assert judged[broken] == "not reproduced"
    assert judged.count("reproduced") == len(CRITERIA) - 1


@pytest.mark.parametrize(("broken", "arm"), [(2, "backprop"), (4, "reversible")])
def test_the_other_arms_are_judged_by_their_growth(broken, arm):
    df = rows_of()
    mine = df["gradient"] == arm
    df.loc[mine, "peak_saved_bytes"] = STATE * df.loc[mine, "nfe_forward"] ** 0.5
    assert outcomes(df)[broken] == "not reproduced"


def test_a_checkpointed_arm_that_keeps_half_of_the_bytes_does_not_hold():
    df = rows_of()
    mine = df["gradient"] == "checkpointed"
    df.loc[mine, "peak_saved_bytes"] = STATE * 2 * df.loc[mine, "nfe_forward"]
    assert outcomes(df)[5] == "not reproduced"


def test_too_narrow_a_range_of_evaluations_is_insufficient():
    df = rows_of()
    narrow = df[(df["sweep"] != "steps") | (df["level"] <= 8)]
    assert outcomes(narrow) == ["insufficient"] * len(CRITERIA)
    assert CRITERIA[0].judge(narrow).lacking == "NFE spans a factor of 8, at least 16 needed"


def test_the_flip_map_has_a_value_for_each_field_arm_and_sweep():
    table = flips(rows_of()).values
    assert len(table) == len(FIELDS) * len(ARMS) * 3
    values = table.set_index(["panel", "row", "column"])["value"]
    assert values["mlp", "adjoint", "more steps"] == pytest.approx(0, abs=1e-12)
    assert values["mlp", "adjoint", "more outputs"] == pytest.approx(1)
    assert values["conv", "backprop", "tighter tolerance"] == pytest.approx(1)
    assert math.isnan(values["conv", "adjoint", "more outputs"]), "not measured at this profile"


def test_the_caveats_say_what_more_outputs_cost_and_which_rows_fail():
    df = rows_of()
    df.loc[df.index[:3], "valid"] = False
    growth, failing = caveats(df)
    assert growth == (
        "The adjoint is not constant over output times (mlp): from 2 to 30 of them it holds 15"
        " times the bytes and evaluates the field 5 times as often on its way back."
    )
    assert failing.startswith(f"3 of {len(df)} rows fail a validity check")
