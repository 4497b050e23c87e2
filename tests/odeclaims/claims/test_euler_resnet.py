"""The claim's own numbers against Monte Carlo, hand calculation and made-up rows."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from odeclaims.claim import Cell
from odeclaims.claims import euler_resnet
from odeclaims.claims.euler_resnet import CLAIM, SLUG


def frame(rows: list[dict]) -> pd.DataFrame:
    common = {"status": "ok", "repetition": 0}
    return pd.DataFrame([common | row for row in rows], columns=list(CLAIM.all_columns))


def measured(**params) -> pd.DataFrame:
    cell = Cell(SLUG, params, paired=("arm", "depth"))
    return frame([{**params, **row} for row in CLAIM.measure(cell)])


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0])
def test_expected_log_is_the_mean_of_many_draws(shift, scale):
    w = scale * np.random.default_rng(0).standard_normal(1_000_000)
    sample = np.log(np.abs(shift + w))
    standard_error = sample.std() / math.sqrt(len(sample))
    distance = abs(euler_resnet.expected_log(scale, shift) - sample.mean())
    assert distance < 4 * standard_error


def test_gradient_of_three_layers_is_the_tutorials():
    w = torch.tensor([[0.3], [-0.7], [1.9]], dtype=torch.float64)
    x0, (w2, w3) = torch.tensor([2.0], dtype=torch.float64), w[1:]
    plain = euler_resnet._chain_gradient(w, x0, skip=0.0)
    torch.testing.assert_close(plain, w3 * w2 * x0)
    residual = euler_resnet._chain_gradient(w, x0, skip=1.0)
    torch.testing.assert_close(residual, w3 * w2 * x0 + w3 * x0 + w2 * x0 + x0)


def test_table_is_printed_exactly_and_far_from_the_solution():
    df = measured(part="table")
    assert euler_resnet._wrong_digits(df) == [0]
    assert df["exact"].round(2).tolist() == [1, 59.97, 8811.19]
    df.loc[2, "value"] = 15.000001
    assert euler_resnet._wrong_digits(df) == [1]


def test_an_incomplete_table_is_no_evidence():
    assert euler_resnet._wrong_digits(measured(part="table").head(2)) == []


def test_order_leaves_rounding_out():
    steps = [0.1, 0.01, 0.001]
    errors = [1e-6, 1e-9, 5e-16]
    rows = [
        {"part": "order", "arm": "bosh3", "problem": "tutorial", "step": h, "error": e}
        for h, e in zip(steps, errors, strict=True)
    ]
    assert euler_resnet.order_of(frame(rows), "bosh3", "tutorial") == pytest.approx(3)


def test_an_unmeasured_order_is_insufficient_evidence():
    assert np.isnan(euler_resnet._other_orders(frame([]))).all()


def test_residual_network_is_a_sum_of_its_layers():
    layers = [lambda x: x**2, torch.sin]
    x = torch.tensor([0.5], dtype=torch.float64)
    first = x + x**2
    found = euler_resnet.residual_network(layers.__getitem__, 2, 1.0, x)
    torch.testing.assert_close(found, first + torch.sin(first))


def test_tied_layers_approach_the_ode_at_the_rate_of_euler():
    errors = [measured(part="limit", arm="tied", depth=n)["error"].item() for n in (32, 64)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_rate_of_made_up_distances():
    rows = [
        {"part": "limit", "arm": "tied", "depth": n, "error": n**-1.5, "repetition": r}
        for n in (8, 16, 256)
        for r in range(2)
    ]
    assert euler_resnet._rates("tied", "error")(frame(rows)) == pytest.approx([-1.5, -1.5])


def test_ode_network_is_looked_at_on_its_own_trajectory():
    df = measured(part="portrait")
    ode = df[(df["part"] == "trajectory") & (df["arm"] == "ODE network") & (df["chain"] == 0)]
    seen, smooth = ode[ode["evaluated"] == True], ode[ode["evaluated"] == False]  # noqa: E712
    at = np.interp(seen["t"], smooth["t"], smooth["value"])
    np.testing.assert_allclose(seen["value"], at, atol=0.02)
