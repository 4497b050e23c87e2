"""The statements on made-up rows."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from odeclaims.claims.change_of_variables import CLAIM
from odeclaims.claims.change_of_variables.judge import DRAWS, NORMALISED, PRINTED, times
from odeclaims.claims.change_of_variables.measure import (
    FIELDS,
    LARGEST_DIMS,
    LINEAR_DIMS,
    SQUARE_DIMS,
    TOLERANCES,
)
from odeclaims.claims.change_of_variables.settings import CONVERGED, JUDGED, LARGEST_SQUARE
from odeclaims.claims.change_of_variables.show import READINGS
from odeclaims.record.registry import rules_of

SLIP: dict[str, float] = dict.fromkeys(PRINTED, 1.0)
EXPONENTS = {"determinant": 2.8, "exact": 1.8, "estimate": 0.9, "closed": 1.0}
# The seconds of a call that has nothing to do, and of one dimension.
OVERHEAD, UNIT = 1e-6, 3e-9
COSTS = {"trace_is_linear", "determinant_is_cubic", "trace_by_autograd_is_not_linear"}


def made_up(seeds: int = 6, **changes: Any) -> pd.DataFrame:
    """Rows as the theory has them; what is given replaces it for the last seed."""
    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    for seed in range(seeds):
        new = changes if seed == seeds - 1 else {}

        def add(part: str, seed: int = seed, **row: Any) -> None:
            rows.append({"part": part, "repetition": seed, "status": "ok", **row})

        for field in FIELDS:
            common = {"field": field, "dim": 2, "size": new.get("size", 1.0)}
            for tolerance in TOLERANCES:
                error = new.get("error", 1e-9) if tolerance == JUDGED else 1e-3
                closed = new.get("closed_error", 1e-9) if field == "linear" else None
                add("determinant", **common, tolerance=tolerance, error=error, closed_error=closed)
            for spacing, mass in ((0.4, 1.5), (0.2, new.get("mass", 1.0))):
                change = new.get("mass_change", 1e-5)
                add("mass", field=field, dim=2, spacing=spacing, mass=mass, mass_change=change)
        for reading in READINGS:
            error = new.get(reading, SLIP.get(reading, 1e-9))
            mass = 1.0 + (0.3 if reading in PRINTED else 0.0)
            mass = new.get("printed_mass", mass) if reading.startswith("integral") else None
            slope_error = new.get("slope_error", 1e-9)
            add("printed", reading=reading, error=error, mass=mass, reference_error=slope_error)
        for noise in ("rademacher", "gaussian"):
            for quantity in ("trace", "log_density"):
                spread = {"standard_error": 0.1, "variance": new.get("variance", 2.0)}
                error = 0.1 * (new.get("score") or rng.standard_normal())
                error += 0.1 * changes.get("bias", 0.0)
                row = {"noise": noise, "dim": 2, "draws": DRAWS, **spread, "mean_error": error}
                theory = 2.0 if quantity == "trace" else None
                add("estimate", quantity=quantity, theory_variance=theory, **row)
        for arm, nfe in (("exact", 50), ("fixed", 60), ("renewed", 700)):
            stamp = {"reconstruction_error": changes.get("reconstruction", 1e-4)}
            row = {"arm": arm, "tolerance": 1e-5, "nfe_forward": changes.get(arm, nfe), **stamp}
            add("noise", **row)
            if changes.get(f"lost_{arm}"):
                rows[-1]["status"] = "max_steps"
    return pd.DataFrame(rows + costs(**changes), columns=list(CLAIM.all_columns))


def costs(**changes: Any) -> list[dict[str, Any]]:
    """Times of every dimension of the quick profile: an overhead, and a power of the dimension."""
    rows = []
    for dim in changes.get("dims", (*SQUARE_DIMS, *LINEAR_DIMS)):
        for i, (quantity, exponent) in enumerate(EXPONENTS.items()):
            if dim > LARGEST_SQUARE and quantity in ("determinant", "exact"):
                continue
            exponent = changes.get(f"exponent_{quantity}", exponent)
            vjps = {"exact": changes.get("products", 1) * dim, "estimate": 1}.get(quantity, 0)
            # A little noise, as a clock has.
            seconds = (OVERHEAD + UNIT * dim**exponent) * (1 + 0.02 * math.sin(dim + i))
            row = {"part": "cost", "quantity": quantity, "dim": dim, "repetition": 0}
            rows.append({**row, "status": "ok", "vjps": vjps, "time_s": seconds})
    return rows


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def named(df: pd.DataFrame, outcome: str) -> set[str]:
    return {name for name, each in outcomes(df).items() if each == outcome}


def test_the_theory_is_reproduced():
    df = made_up()
    assert named(df, "reproduced") == {s.name for s in CLAIM.statements}
    verdict = CLAIM.judge(df)
    assert verdict.summary == "5 of 5 reproduced"
    assert verdict.scale == "published size"
    assert all(check.passed for check in verdict.checks)


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"error": 1e-6}, {"trace_is_log_determinant"}),
        ({"total": 1e-5}, {"log_density_falls_by_the_trace"}),
        ({"mass": 1.01}, {"mass_is_kept"}),
        ({"exponent_closed": 1.5}, {"trace_is_linear"}),
        ({"exponent_estimate": 1.5}, {"estimate_is_linear"}),
        ({"exponent_determinant": 1.5}, {"determinant_is_cubic"}),
        ({"exponent_exact": 3.0}, {"trace_by_autograd_is_not_linear"}),
        ({"fixed": 90, "renewed": 1000}, {"fixed_noise_is_cheap"}),
        ({"renewed": 500}, {"renewed_noise_explodes"}),
        ({"partial_printed": 1e-9}, {"tutorial_partial_fails"}),
        ({"partial_corrected": 1e-5}, {"corrected_partial_holds"}),
        ({"integral_slope": 1e-9}, {"tutorial_integral_fails"}),
        ({"integral_corrected": 1e-5}, {"corrected_integral_holds"}),
        ({"printed_mass": 1.0}, {"tutorial_integral_loses_mass"}),
    ],
)
def test_a_statement_that_fails_is_not_reproduced(changed, refuted):
    assert named(made_up(**changed), "not reproduced") == refuted


def test_a_solve_that_does_not_end_explodes():
    df = made_up(renewed=None, lost_renewed=True)
    assert outcomes(df)["renewed_noise_explodes"] == "reproduced"


@pytest.mark.parametrize(
    ("changed", "check", "invalid"),
    [
        ({"closed_error": 1e-6}, "closed_form_agrees", {"trace_is_log_determinant"}),
        ({"products": 2}, "products_are_counted", {*COSTS, "estimate_is_linear"}),
        (
            {"score": -8.0},
            "estimates_are_unbiased",
            {"fixed_noise_is_cheap", "renewed_noise_explodes"},
        ),
        (
            {"bias": 1.5},
            "estimates_are_unbiased",
            {"fixed_noise_is_cheap", "renewed_noise_explodes"},
        ),
        ({"variance": 1.0}, "variances_are_right", set()),
    ],
)
def test_a_failed_check_makes_what_rests_on_it_invalid(changed, check, invalid):
    verdict = CLAIM.judge(made_up(**changed))
    assert [c.check.name for c in verdict.checks if not c.passed] == [check]
    assert named(made_up(**changed), "invalid") == invalid


def test_the_largest_of_many_scores_is_no_bias():
    """Four standard errors among 160: once in 16,000 alone, and once in a hundred among so many."""
    df = made_up(seeds=40)
    last = df.index[df["part"] == "estimate"][-1]
    df.loc[last, "mean_error"] = 0.4
    assert {check.check.name for check in CLAIM.judge(df).checks if not check.passed} == set()


@pytest.mark.parametrize(
    ("changed", "silent"),
    [
        ({"mass_change": 1e-3}, {"mass_is_kept"}),
        ({"slope_error": 1e-5}, {"log_density_falls_by_the_trace", "corrected_partial_holds"}),
        ({"dims": (16, 64, 256, 1024)}, {*COSTS, "estimate_is_linear"}),
        ({"reconstruction": math.nan}, {"fixed_noise_is_cheap", "renewed_noise_explodes"}),
    ],
)
def test_what_was_not_measured_well_does_not_speak(changed, silent):
    assert named(made_up(**changed), "insufficient") == silent


def test_flows_that_change_no_volume_say_nothing():
    df = made_up()
    df.loc[df["field"] == "planar", "size"] = 0.01
    assert outcomes(df)["trace_is_log_determinant"] == "insufficient"


def test_few_seeds_are_insufficient():
    assert named(made_up(seeds=3), "insufficient") == {
        "fixed_noise_is_cheap",
        "renewed_noise_explodes",
    }


def test_an_exponent_is_not_taken_from_overhead():
    """It is that of the power, where the whole curve would give less."""
    df = made_up()
    assert set(times(df, "closed").x) == set(LINEAR_DIMS)
    assert min(times(df, "determinant").x) > SQUARE_DIMS[0]
    value = next(j for j in CLAIM.judge(df).judgements if j.statement.name == "trace_is_linear")
    assert value.decision
    assert value.decision.value == pytest.approx(1.0, abs=0.06)


def test_scattered_times_are_undecided():
    df = made_up()
    closed = df.index[df["quantity"].eq("closed") & df["dim"].gt(LARGEST_SQUARE)]
    df.loc[closed, "time_s"] *= [1, 3, 1, 3, 1, 3, 1, 3, 1]
    assert outcomes(df)["trace_is_linear"] == "undecided"


def test_the_dimensions_are_those_that_can_be_measured():
    assert max(SQUARE_DIMS, default=0) <= LARGEST_SQUARE < min(LINEAR_DIMS)
    assert max(LARGEST_DIMS) <= LARGEST_SQUARE


def test_the_rules_can_be_registered():
    assert len(set(rules_of(CLAIM).values())) == len(CLAIM.statements) + len(CLAIM.checks) + 1


def test_the_grids_are_refined_as_far_as_the_rule_needs():
    assert CONVERGED == NORMALISED / 2
