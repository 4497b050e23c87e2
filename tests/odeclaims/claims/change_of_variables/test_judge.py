"""The verdict on made-up rows."""

import math
from typing import Any

import pandas as pd
import pytest

from odeclaims.claims.change_of_variables import CLAIM
from odeclaims.claims.change_of_variables.judge import NORMALISED, PRINTED
from odeclaims.claims.change_of_variables.measure import FIELDS, TOLERANCES
from odeclaims.claims.change_of_variables.settings import CONVERGED, JUDGED
from odeclaims.claims.change_of_variables.show import READINGS

SLIP: dict[str, float] = dict.fromkeys(PRINTED, 1.0)
EXPONENTS = {"determinant": 2.8, "exact": 1.8, "estimate": 0.9, "closed": 1.0}


def made_up(seeds: int = 3, **changes: Any) -> pd.DataFrame:
    """Rows as the theory has them; what is given replaces it for the last seed."""
    rows: list[dict[str, Any]] = []
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
            spread = {"standard_error": 0.1, "variance": new.get("variance", 2.0)}
            common = {"noise": noise, "dim": 2, **spread, "mean_error": new.get("mean_error", 0.1)}
            add("estimate", quantity="trace", theory_variance=2.0, **common)
            add("estimate", quantity="log_density", **common)
        for arm, nfe in (("exact", 50), ("fixed", 60), ("renewed", 700)):
            stamp = {"reconstruction_error": new.get("reconstruction", 1e-4)}
            add("noise", arm=arm, tolerance=1e-5, nfe_forward=new.get(arm, nfe), **stamp)
    for dim in (256, 512, 1024) if not changes.get("small") else (64, 128):
        for quantity, exponent in EXPONENTS.items():
            exponent = changes.get(f"exponent_{quantity}", exponent)
            vjps = {"exact": changes.get("products", 1) * dim, "estimate": 1}.get(quantity, 0)
            row = {"part": "cost", "quantity": quantity, "dim": dim, "repetition": 0}
            rows.append({**row, "status": "ok", "vjps": vjps, "time_s": 1e-9 * dim**exponent})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_theory_is_reproduced():
    assert set(outcomes(made_up())) == {"reproduced"}


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({"error": 1e-6}, [0]),
        ({"closed_error": 1e-6}, [1]),
        ({"total": 1e-5}, [2]),
        ({"mass": 1.01}, [3]),
        ({"products": 2}, [4]),
        ({"exponent_closed": 1.5}, [5]),
        ({"exponent_determinant": 1.5}, [6]),
        ({"mean_error": -0.5}, [7]),
        ({"variance": 1.0}, [8]),
        ({"fixed": 90}, [9, 10]),
        ({"renewed": 500}, [10]),
        ({"partial_printed": 1e-9}, [11]),
        ({"partial_corrected": 1e-5}, [12]),
        ({"integral_slope": 1e-9}, [13]),
        ({"integral_corrected": 1e-5}, [14]),
        ({"printed_mass": 1.0}, [15]),
        ({"exponent_exact": 3.0}, [16]),
    ],
)
def test_one_seed_is_enough_to_break_a_criterion(changed, failing):
    found = outcomes(made_up(**changed))
    assert [i for i, outcome in enumerate(found) if outcome != "reproduced"] == failing
    deciding = any(CLAIM.criteria[i].decides for i in failing)
    assert CLAIM.judge(made_up(**changed)).outcome == (
        "not reproduced" if deciding else "reproduced"
    )


@pytest.mark.parametrize(
    ("changed", "silent"),
    [
        ({"mass_change": 1e-3}, [3]),
        ({"slope_error": 1e-5}, [2]),
        ({"small": True}, [5, 6, 16]),
        ({"reconstruction": math.nan}, [9, 10]),
    ],
)
def test_what_was_not_measured_well_does_not_speak(changed, silent):
    found = outcomes(made_up(**changed))
    assert [i for i, outcome in enumerate(found) if outcome == "insufficient"] == silent


def test_flows_that_change_no_volume_say_nothing():
    df = made_up()
    df.loc[df["field"] == "planar", "size"] = 0.01
    assert outcomes(df)[0] == "insufficient"


def test_the_grids_are_refined_as_far_as_the_rule_needs():
    assert CONVERGED == NORMALISED / 2


def test_few_seeds_are_insufficient():
    found = outcomes(made_up(seeds=2))
    alone = [4, 5, 6, 16]
    assert [i for i, outcome in enumerate(found) if outcome != "insufficient"] == alone
