"""Points of spheres that a map misses most, and determinants, of maps that are known."""

import math

import pytest
import torch

from odeclaims.claims.parity.spheres import determinants, directions, farthest, misses, sobol

RADII = (0.25, 1.0)


def rotation(angle: float, dim: int) -> torch.Tensor:
    block = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    ).double()
    return torch.block_diag(*[block] * (dim // 2))


@pytest.mark.parametrize("dim", [2, 4, 6])
def test_the_rotation_by_pi_misses_nothing_in_even_dimensions(dim):
    turn = rotation(math.pi, dim)
    far = farthest(lambda x: x @ turn.T, dim, 2, RADII)
    assert far.shape == (2, 2, dim)
    assert float(misses(lambda x: x @ turn.T, far).max()) < 1e-7


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5])
def test_the_largest_miss_of_a_linear_map_is_a_singular_value(dim):
    generator = torch.Generator().manual_seed(dim)
    matrix = torch.randn(2, dim, dim, dtype=torch.float64, generator=generator)
    expected = torch.linalg.svdvals(matrix + torch.eye(dim).double())[:, :1]

    def outputs(x):
        return x @ matrix.mT

    far = farthest(outputs, dim, 2, RADII)
    found = misses(outputs, far)
    torch.testing.assert_close(far.norm(dim=-1), torch.tensor([RADII, RADII]).double())
    torch.testing.assert_close(found, expected.expand(2, 2), rtol=1e-4, atol=0.0)


def test_the_ascent_finds_what_the_grid_passes():
    # A narrow ridge around a direction that is on no grid.
    top = torch.tensor([0.6, -0.48, 0.64]).double()

    def outputs(x):
        unit = x / x.norm(dim=-1, keepdim=True)
        return -x + 3 * x * torch.exp(-50 * (unit - top).square().sum(dim=-1, keepdim=True))

    far = farthest(outputs, 3, 1, (1.0,))
    on_grid = misses(outputs, directions(3)[None]).max()
    found = misses(outputs, far).max()
    assert float(on_grid) < 2.95
    assert float(found) == pytest.approx(3, abs=1e-4)


def test_a_constant_map_misses_by_the_radius_and_by_what_it_is_off():
    far = farthest(torch.zeros_like, 3, 1, RADII)
    torch.testing.assert_close(misses(torch.zeros_like, far), torch.ones(1, 2).double())
    off = torch.tensor([0.1, 0.0, 0.0]).double()
    found = misses(lambda x: 0 * x + off, farthest(lambda x: 0 * x + off, 3, 1, RADII))
    torch.testing.assert_close(found, torch.tensor([[1.4, 1.1]]).double(), rtol=1e-5, atol=0.0)


def test_the_constant_map_of_the_line_has_an_error_of_a_third():
    x = 2 * sobol(2048, 1) - 1
    assert float(x.square().mean()) == pytest.approx(1 / 3, rel=1e-6)
    # The best of all constants, and better than other maps that keep the order.
    for other in (0.1 * x, 0.2 + 0 * x, x.clamp(-0.1, 0.1)):
        assert float((other + x).square().mean()) > 1 / 3


@pytest.mark.parametrize("dim", [1, 3])
def test_determinants_are_those_of_the_derivative(dim):
    matrix = torch.diag(-torch.arange(1, dim + 1).double())
    x = sobol(8, dim)[None]
    found = determinants(lambda each: (each @ matrix).sin(), x)
    expected = torch.tensor([(-1.0) ** dim * math.factorial(dim)]).double()
    torch.testing.assert_close(found, expected * (x @ matrix).cos().prod(dim=-1))


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_directions_are_unit_vectors_on_all_sides(dim):
    found = directions(dim)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)).double())
    assert float(found.mean(dim=0).norm()) < 0.05


def test_the_points_of_the_cube_are_even():
    x = sobol(256, 3)
    assert float(x.min()) > 0
    assert float(x.max()) < 1
    torch.testing.assert_close(x.mean(dim=0), torch.full((3,), 0.5).double(), atol=1e-9, rtol=0.0)
