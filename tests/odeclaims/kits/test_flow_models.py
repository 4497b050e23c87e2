"""What the claims about flows share."""

import pandas as pd
import pytest
import torch

from neural_ode.flows import CNF, PlanarField, PlanarFlow, StandardNormal
from odeclaims.kits.constants import GRID
from odeclaims.kits.flow_models import (
    centres,
    evaluations,
    mean,
    means_and_errors,
    picture_rows,
    progress,
    round_trip_errors,
)
from odeclaims.kits.pictures import picture


def test_the_centres_fill_the_window_line_by_line():
    places = centres(-1, 3, 0, 2).reshape(GRID, GRID, 2)
    assert places[0, 0].tolist() == pytest.approx([-1 + 2 / GRID, 1 / GRID])
    assert places[-1, 0].tolist() == pytest.approx([-1 + 2 / GRID, 2 - 1 / GRID])
    assert places[0, -1].tolist() == pytest.approx([3 - 2 / GRID, 1 / GRID])


def test_a_picture_comes_back_from_its_rows_in_thousandths():
    log_prob = StandardNormal(2).log_prob(centres(-4, 4, -2, 2))
    rows = pd.DataFrame(picture_rows(log_prob)).sample(frac=1, random_state=0)
    expected = 1000 * log_prob.exp().reshape(GRID, GRID)
    torch.testing.assert_close(torch.from_numpy(picture(rows)), expected, rtol=0, atol=0.5)


def test_a_density_that_is_not_a_number_is_drawn_as_none():
    log_prob = torch.full((GRID**2,), torch.nan, dtype=torch.float64)
    assert picture(pd.DataFrame(picture_rows(log_prob))).sum() == 0


def test_a_picture_without_rows_is_empty():
    assert picture(pd.DataFrame(columns=["line", "densities"])).tolist() == [[0] * GRID] * GRID


def test_only_a_solver_evaluates_and_says_so():
    generator, x = torch.Generator().manual_seed(0), torch.zeros(4, 2)
    planar = PlanarFlow(2, 2, generator=generator)
    continuous = CNF(PlanarField(2, 2, generator=generator), StandardNormal(2))
    assert evaluations(planar) is evaluations(continuous) is None
    continuous.log_prob(x)
    assert continuous.stats is not None
    assert evaluations(continuous) == continuous.stats.nfe_forward > 0
    losses = torch.tensor([1.0, 2.0])
    assert progress(4, 10, losses, planar) == "step 5 of 10, mean loss 1.500 nats"
    count = continuous.stats.nfe_forward
    assert progress(4, 10, losses, continuous).endswith(f"nats, {count} evaluations")


@pytest.mark.parametrize("towards", ["data", "base"])
def test_a_planar_flow_takes_points_of_the_data_to_the_base_and_back(towards):
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    model = PlanarFlow(2, 8, towards=towards, runs=2, generator=generators).double()
    x = torch.randn(2, 20, 2, generator=generators[0], dtype=torch.float64)
    assert max(round_trip_errors(model, x)) < 1e-12


def test_a_cnf_is_solved_to_the_base_and_back():
    field = PlanarField(2, 4, runs=1, generator=[torch.Generator().manual_seed(0)])
    x = torch.randn(1, 20, 2, generator=torch.Generator().manual_seed(1)).double()
    models = (
        CNF(field, StandardNormal(2), method="euler", step_size=0.5),
        CNF(field, StandardNormal(2), rtol=1e-8, atol=1e-8),
    )
    coarse, fine = (round_trip_errors(model.double(), x) for model in models)
    assert coarse[0] > 1e-3
    assert fine[0] < 1e-6


def test_the_mean_and_its_error_are_over_all_parts():
    parts = [torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[3.0, 4.0, 5.0]]).double()]
    (value,), (error,) = means_and_errors(parts)
    assert value == 3
    assert error == pytest.approx((2.5 / 5) ** 0.5)


def test_the_mean_is_of_what_is_known():
    assert mean([2, None, 4]) == 3
    assert mean([None]) is None
