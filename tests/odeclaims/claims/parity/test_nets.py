"""The models of all seeds, against their closed forms and against single nets."""

import math

import pytest
import torch
from torch import nn

from neural_ode.networks.mlp import initialise
from odeclaims.claims.parity.nets import (
    Models,
    Stacked,
    at,
    largest_rms,
    layouts,
    matched_width,
    parameters,
)
from odeclaims.claims.parity.settings import ARMS, WIDTH

TIGHT = at(1e-8)


def generators(count: int = 2) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(count)]


def linear(arm: str, dim: int, matrix: torch.Tensor) -> Models:
    """One model whose field is a matrix on what the net sees, without hidden layers."""
    models = Models(arm, dim, generators(1)).double()
    net = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False).double()
    with torch.no_grad():
        net.weight.copy_(matrix)
        net.bias = nn.Parameter(torch.zeros(matrix.shape[0], dtype=torch.float64))
    models.nets["field"] = Stacked([nn.Sequential(net)])
    return models.requires_grad_(False)


def cube(dim: int, count: int = 20) -> torch.Tensor:
    x = torch.rand(1, count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    return 2 * x - 1


def test_stacked_nets_are_the_single_nets():
    nets = []
    for generator in generators(3):
        net = nn.Sequential(nn.Linear(2, 5), nn.ELU(), nn.Linear(5, 3))
        initialise(net, generator)
        nets.append(net)
    x = torch.randn(3, 4, 2)
    expected = torch.stack([net(each) for net, each in zip(nets, x, strict=True)])
    torch.testing.assert_close(Stacked(nets)(x), expected)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_data_control_ends_where_the_closed_form_says(dim):
    theta = 2.5
    eye = torch.eye(dim, dtype=torch.float64)
    models = linear("data_control", dim, -theta * torch.cat([eye, eye], dim=1))
    x = cube(dim)
    y = models(x, **TIGHT)
    torch.testing.assert_close(y, -x + 2 * x * math.exp(-theta), rtol=1e-7, atol=1e-8)
    # On the whole cube the mean square of a coordinate is 1/3.
    grid = torch.linspace(-1, 1, 2001, dtype=torch.float64)[None, :, None]
    if dim == 1:
        error = float((models(grid, **TIGHT) + grid).square().mean())
        assert error == pytest.approx(4 / 3 * math.exp(-2 * theta), rel=2e-3)


@pytest.mark.parametrize("arm", ["anode_1", "anode_d", "second_order_rest"])
def test_augmented_models_can_turn_the_line_around(arm):
    omega = math.pi
    # A rotation of (x, 0), and an oscillation from rest.
    turning = [[0.0, omega], [-omega, 0.0]]
    matrix = [[-(omega**2), 0.0]] if arm == "second_order_rest" else turning
    models = linear(arm, 1, torch.tensor(matrix, dtype=torch.float64))
    x = cube(1)
    torch.testing.assert_close(models(x, **TIGHT), -x, rtol=1e-6, atol=1e-7)


def test_second_order_starts_with_its_velocity():
    models = linear("second_order", 1, torch.zeros(1, 2, dtype=torch.float64))
    net = nn.Linear(1, 1).double()
    with torch.no_grad():
        net.weight.fill_(-2)
        net.bias.zero_()
    models.nets["velocity"] = Stacked([nn.Sequential(net)])
    x = cube(1)
    torch.testing.assert_close(models(x, **TIGHT), -x)
    torch.testing.assert_close(models.start(x), torch.cat([x, -2 * x], dim=-1))
    assert float(models.start(100 * x).detach()[..., 1].abs().max()) == 10


def test_the_field_that_sees_the_time_sees_it():
    models = linear("node_time", 1, torch.tensor([[0.0, 3.0]]).double())
    x = cube(1)
    torch.testing.assert_close(models(x, **TIGHT), x + 1.5)


@pytest.mark.parametrize("arm", ARMS)
def test_a_solve_returns_to_its_start(arm):
    models = Models(arm, 2, generators()).double()
    x = cube(2).expand(2, -1, -1)
    torch.testing.assert_close(models.returned(x, **TIGHT), models.start(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("dim", [1, 3, 6])
def test_parameters_are_those_of_the_module_and_near_the_nodes(arm, dim):
    models = Models(arm, dim, generators(1))
    count = parameters(arm, dim, matched_width(arm, dim))
    assert sum(each.numel() for each in models.parameters()) == count
    assert count == pytest.approx(parameters("node", dim, WIDTH), rel=0.08)


def test_the_published_sizes_have_the_published_parameters():
    assert parameters("node", 1, 20) == 481
    assert layouts("second_order", 3, 20) == {"field": [6, 20, 20, 3], "velocity": [3, 20, 20, 3]}


def test_the_weights_of_a_seed_do_not_depend_on_the_others():
    one, two = (Models("node", 2, generators(count)) for count in (1, 2))
    x = torch.ones(1, 3, 2)
    torch.testing.assert_close(one(x, **at(1e-3)), two(x.expand(2, -1, -1), **at(1e-3))[:1])


def test_the_norm_is_that_of_the_seed_with_the_largest_error():
    x = torch.tensor([[[3.0, 4.0]], [[0.0, 1.0]]])
    assert float(largest_rms(x)) == pytest.approx(math.sqrt(12.5))
