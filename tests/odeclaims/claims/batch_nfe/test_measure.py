"""The oscillator against SciPy, joint and single solves, and the rows of a small run."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from neural_ode.delegate import solve_with
from odeclaims.backends import find_backends
from odeclaims.cell import Cell, Profile
from odeclaims.claims.batch_nfe import CLAIM, measure
from odeclaims.claims.batch_nfe.settings import MUS, PERIODS, SLUG
from tests.odeclaims.claims.small_runs import measure_rows


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mu", MUS)
def test_a_state_on_the_cycle_is_back_after_a_period(mu):
    (start,) = measure.on_the_cycle(mu, 1, generator()).tolist()

    def field(t, y):
        return [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]

    solved = solve_ivp(field, (0, PERIODS[mu]), start, method="LSODA", rtol=1e-10, atol=1e-10)
    assert solved.y[:, -1] == pytest.approx(np.array(start), rel=1e-4, abs=1e-4)


def test_the_phases_are_spread_over_the_cycle_in_random_order():
    states = measure.on_the_cycle(2.0, 64, generator())
    assert float(states[:, 0].min()) < -1.5
    assert float(states[:, 0].max()) > 1.5
    steps = states[1:] - states[:-1]
    assert float(steps.norm(dim=1).median()) > 0.5


def test_a_batch_of_equal_samples_takes_the_evaluations_of_one():
    y0 = torch.ones(3, 2, dtype=torch.float64)
    batch = measure.Batch(lambda t, y: -y, y0, 1.0, singles=2)
    (row,) = batch.compare([3], 1e-5, "rms")
    assert row["ratio"] == row["ratio_own"] == 1
    assert row["nfe_hardest"] == row["nfe_single"]
    assert row["error_joint"] == pytest.approx(row["error_single"], rel=1e-6)


@pytest.mark.slow(reason="a batch and each of its samples are solved")
def test_steps_of_each_sample_take_as_many_evaluations_as_the_hardest():
    states = measure.on_the_cycle(10.0, 6, generator(2))
    field, end = partial(measure.van_der_pol, 10.0), PERIODS[10.0]
    (row,) = measure.Batch(field, states, end, 6).compare([6], 1e-5, "rms")
    assert row["nfe_own"] == row["nfe_hardest"]
    assert float(row["nfe_own"] or 0) < float(row["nfe_joint"] or 0) / 1.5
    assert row["error_own"] == pytest.approx(row["error_single"], rel=1e-2)


def test_a_solver_without_steps_of_each_sample_leaves_its_columns_blank():
    batch = measure.Batch(lambda t, y: -y, torch.ones(3, 2, dtype=torch.float64), 1.0, singles=2)
    with solve_with(find_backends()["torchdiffeq"].solve):
        (row,) = batch.compare([3], 1e-5, "rms")
    assert row["nfe_joint"]
    assert row["nfe_own"] is row["ratio_own"] is row["error_own"] is None


def test_the_maximum_norm_takes_no_fewer_evaluations_than_the_root_mean_square():
    states = measure.on_the_cycle(2.0, 8, generator(1))
    batch = measure.Batch(lambda t, y: measure.van_der_pol(2.0, t, y), states, PERIODS[2.0], 2)
    rms, largest = (
        int(batch.compare([8], 1e-4, norm)[0]["nfe_joint"] or 0) for norm in ("rms", "max")
    )
    assert largest >= rms > 0


def test_the_worst_error_is_that_of_the_worst_sample():
    exact = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    states = exact + torch.tensor([[0.1, 0.0], [0.0, 0.1]])
    assert measure.worst_error(states, exact) == pytest.approx(0.1)


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_smoke_walks_through_oscillators_and_nets():
    rows = {c.params.get("trained"): measure_rows(CLAIM, c) for c in CLAIM.cells(Profile("smoke"))}
    oscillators, trained, untrained = rows[None], rows[True], rows[False]
    for df in (oscillators, trained, untrained):
        assert set(df["status"]) == {"ok"}
        assert (df["ratio"] == df["nfe_joint"] / df["nfe_single"]).all()
        assert (df["nfe_hardest"] >= df["nfe_single"]).all()
    assert set(trained["role"]) == {"loose", "checked"}


def test_a_solve_that_fails_is_a_row(monkeypatch):
    monkeypatch.setattr(measure, "STEP_LIMIT", 3)
    params = {"draws": 1, "largest": 4, "singles": 1}
    cell = Cell(SLUG, {"task": "vdp", "mu": 2.0, "role": "checked", **params})
    assert {row["status"] for row in CLAIM.measure(cell, measure.Context())} == {"max_steps"}


def test_quick_solves_batches_of_every_published_net(monkeypatch):
    pair = (measure.Specification("toys", "spheres_node", 0, measure.SMALLEST), "digest")
    other = (measure.Specification("toys", "crossing_node", 0, measure.SMALLEST), "digest")
    monkeypatch.setattr(
        measure, "published", lambda recipe: [pair, other] if recipe == "toys" else []
    )
    nets = [c.params for c in CLAIM.cells(Profile("quick")) if c.params["task"] == "net"]
    assert [(p["net"], p["trained"]) for p in nets] == [
        ("spheres_node", True),
        ("spheres_node", False),
    ]
