"""How rows become verdicts: invented ones, and the tutorial's table."""

import numpy as np
import pytest

from neural_ode import METHODS
from odeclaims.claims.euler_resnet.judge import (
    OTHER_FIXED,
    _other_orders,
    _wrong_digits,
    exponents,
    order_of,
)
from odeclaims.claims.euler_resnet.settings import ORDERS
from tests.odeclaims.claims.euler_resnet.example_rows import frame, measure


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
    assert np.isnan(_other_orders(frame([]))).all()


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
