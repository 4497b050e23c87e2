"""What follows from the rows: efficiency, ratios, and times at an error."""

import math

import pytest

from odeclaims.speed.cases import FIELD, VJP
from odeclaims.speed.ratios import compute_ratios, summarise, time_at_error
from tests.odeclaims.speed.common import make_frame, make_row, make_toy


def test_ratios_are_taken_within_a_pass():
    table = compute_ratios(make_toy())
    assert table["backend"].tolist() == ["ours", "ours"]
    values = dict(zip(table["equal"], table["ratio"], strict=True))
    # At the error 1e-3 ours is half way, in log-log, between 4 and 16 units of time.
    assert values["tolerance"] == pytest.approx(2)
    assert values["error"] == pytest.approx(1)
    assert table["low"].tolist() == pytest.approx(table["high"].tolist())
    assert table["passes"].tolist() == [3, 3]


def test_efficiency_prices_evaluations_by_the_field_in_the_same_pass():
    table = summarise(make_toy()).set_index(["backend", "tol"])
    assert table.loc[("torchdiffeq", 1e-3), "efficiency"] == pytest.approx(20 * 0.1 / 8)
    assert table.loc[("torchdiffeq", 1e-3), "passes"] == 3
    assert table["efficiency"].isna().sum() == 1


def test_efficiency_prices_backward_evaluations_by_the_vjp():
    field = make_row(FIELD, 1e-5, 1.0, math.nan, nfe_forward=None) | {"workload": "mlp_gradient"}
    solver = make_row("ours", 1e-5, 100.0, 1e-5) | {"workload": "mlp_gradient"}
    df = make_frame(
        [
            field,
            field | {"gradient": VJP, "time_s": 3.0},
            solver | {"gradient": "adjoint", "nfe_backward": 10},
            solver | {"gradient": "backprop", "nfe_backward": None},
        ]
    )
    table = summarise(df).set_index(["backend", "gradient"])
    assert table.loc[("ours", "adjoint"), "efficiency"] == pytest.approx((20 + 10 * 3) / 100)
    assert table["efficiency"].notna().sum() == 1


@pytest.mark.parametrize(
    ("errors", "times", "target", "expected"),
    [
        ([1e-1, 1e-3], [1.0, 100.0], 1e-2, 10.0),
        ([1e-1, 1e-3], [1.0, 100.0], 1e-1, 1.0),
        ([1e-1, 1e-3], [1.0, 100.0], 0.5, 1.0),
        ([1e-1, 1e-3], [1.0, 100.0], 1e-3, 100.0),
        ([1e-1, 1e-3], [1.0, 100.0], 1e-4, math.nan),
        ([1e-1, 1e-3, 1e-2, 1e-4], [1.0, 2.0, 4.0, 8.0], 1e-3, 2.0),
        ([1e-1], [1.0], 1e-2, math.nan),
        ([1e-1, 0.0], [1.0, 2.0], 1e-300, pytest.approx(2.0, rel=0.1)),
    ],
)
def test_time_at_an_error(errors, times, target, expected):
    time = time_at_error(errors, times, target)
    assert time == pytest.approx(expected, nan_ok=True)
