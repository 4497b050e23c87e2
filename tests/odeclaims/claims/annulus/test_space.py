"""The searches for wrong points, on flows that are known."""

from typing import Any

import pytest
import torch
from torch import nn

from neural_ode.data import Points
from neural_ode.networks import OdeModel, augmented_model
from odeclaims.claims.annulus.space import (
    descend,
    examine_space,
    random_points,
    trace,
    unit_vectors,
)
from odeclaims.kits.toy_models import Frozen


class Still(nn.Module):
    """The field that moves nothing."""

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 0 * y


class Turning(nn.Module):
    """A rotation of the first two coordinates."""

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([-y[:, 1:2], y[:, :1], 0 * y[:, 2:]], dim=1)


class Lifting(nn.Module):
    """The last coordinate, which is zero at the start, becomes |x|^2."""

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([0 * y[:, :-1], y[:, :-1].square().sum(dim=1, keepdim=True)], dim=1)


def frozen_model(field: nn.Module, dim: int, augment_dim: int = 0, bias: float = 0.0) -> Frozen:
    """A model whose head takes the first coordinate, or the last augmented one."""
    model = augmented_model(dim, 8, augment_dim=augment_dim, rtol=1e-8, atol=1e-8)
    assert isinstance(model, OdeModel)
    model.block.field = field
    weights = torch.zeros(1, dim + augment_dim)
    weights[0, -1 if augment_dim else 0] = 1
    model.head.weight.data, model.head.bias.data = weights, torch.tensor([bias])
    return Frozen(model, torch.ones(2, dim), 4)


@pytest.mark.parametrize("dim", [3, 10])
@pytest.mark.parametrize("field", [Still(), Turning()])
def test_a_line_is_followed_back_into_the_shell(field, dim):
    frozen = frozen_model(field, dim)
    starts = 0.4 * unit_vectors(5, dim, torch.Generator().manual_seed(1))
    found = trace(frozen, starts, 1e-8)
    assert found.shape == (5, dim)
    radii = found.norm(dim=1)
    assert ((radii >= 1) & (radii <= 1.5)).all()
    # The line runs against the head's weights, and so on the other side of the sphere.
    assert (frozen.outputs(found, 1e-8) < frozen.outputs(starts, 1e-8)).all()


def test_descent_goes_to_the_worst_points_and_stays_in_their_regions():
    frozen = frozen_model(Still(), 3)
    x = 1.2 * unit_vectors(4, 3, torch.Generator().manual_seed(2))
    starts = Points(torch.cat([0.3 * x, x]), torch.tensor([[-1.0]] * 4 + [[1.0]] * 4).double())
    found = descend(frozen, starts)
    radii = found.inputs.norm(dim=1)
    assert (radii[:4] <= 0.5 + 1e-9).all()
    assert ((radii[4:] >= 1 - 1e-9) & (radii[4:] <= 1.5 + 1e-9)).all()
    # The output is the first coordinate, which is at most 1/2 in the ball; around the shell's far
    # side the way is longer than the steps are.
    outputs = frozen.outputs(found.inputs, 1e-8)[:, 0]
    assert outputs[:4].tolist() == pytest.approx([0.5] * 4, abs=0.05)
    assert (outputs[4:] < frozen.outputs(x, 1e-8)[:, 0] - 0.5).all()


@pytest.mark.parametrize("dim", [3, 10])
def test_a_lift_tells_apart_and_a_flow_of_the_space_does_not(dim):
    directions = unit_vectors(50, dim, torch.Generator().manual_seed(3))
    lifted: Any = examine_space(frozen_model(Lifting(), dim, 1, bias=-0.6), directions, 1e-8)
    # |x|^2 - 0.6 is -0.35 on the ball's edge and 0.4 on the shell's.
    assert lifted["margin"] == pytest.approx(0.35, abs=1e-4)
    assert (lifted["dense_accuracy"], lifted["bridge_share"]) == (1, 0)
    assert lifted["traced_margin"] is None
    turned: Any = examine_space(frozen_model(Turning(), dim), directions, 1e-8)
    assert turned["traced_margin"] < -0.5
    assert turned["margin"] < -1
    assert turned["overhang"] > 0
    assert 0.3 < turned["bridge_share"] < 0.7


def test_random_points_fill_both_regions_evenly_in_radius():
    points = random_points(3000, 10, generator=torch.Generator().manual_seed(4))
    radii = points.inputs.norm(dim=1)
    inner = points.targets[:, 0] < 0
    assert int(inner.sum()) == 1000
    assert radii[inner].max() <= 0.5
    assert radii[inner].mean() == pytest.approx(0.25, abs=0.02)
    assert radii[~inner].min() >= 0.9999
    assert radii[~inner].max() <= 1.5001
    assert radii[~inner].mean() == pytest.approx(1.25, abs=0.02)
    assert points.inputs.dtype == torch.float32
