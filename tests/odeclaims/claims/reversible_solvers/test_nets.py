"""The contracting field, nets that learn it, and how fast they contract."""

import pytest
import torch
from torch import nn

from neural_ode import solve
from odeclaims.claims.reversible_solvers import nets


def test_the_field_contracts_at_least_at_one_half():
    y = nets.draw(200, torch.Generator().manual_seed(0))
    time = torch.zeros(())
    jacobians = torch.func.vmap(torch.func.jacrev(lambda each: nets.field(time, each)))(y)
    rates = torch.linalg.eigvalsh((jacobians + jacobians.mT) / 2)
    assert -1.5 <= float(rates.min()) <= float(rates.max()) <= -0.5
    ends = solve(nets.field, y, torch.tensor([0.0, 3.0]).double(), **nets.TIGHT).ys[-1]
    gaps = [(each[1:] - each[:-1]).norm(dim=1) for each in (y, ends)]
    assert (gaps[1] <= torch.exp(torch.tensor(-1.5)) * gaps[0]).all()


def test_the_contraction_of_a_linear_field_is_known():
    class Linear(nn.Module):
        def forward(self, t, y):
            return y @ torch.tensor([[-1.0, 0.6], [0.0, -1.0]]).double().T

    found = nets.contraction(Linear(), torch.zeros(3, 2, dtype=torch.float64))
    assert found == pytest.approx(0.7)


def test_a_net_learns_the_field():
    short, long = (
        nets.train(8, 40, updates, torch.Generator().manual_seed(1))[1] for updates in (2, 150)
    )
    assert long < 0.2 * short


def test_training_repeats():
    first, again = (nets.train(4, 10, 3, torch.Generator().manual_seed(1))[1] for _ in range(2))
    assert first == again
