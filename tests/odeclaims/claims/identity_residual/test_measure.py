"""What is trained: lanes beside one another, as if each were alone."""

import pytest
import torch
from torch import nn

from odeclaims.cell import Cell, Profile
from odeclaims.claims.identity_residual import CLAIM
from odeclaims.claims.identity_residual.measure import DIM, LANES, Lanes, cells, make_target
from odeclaims.claims.identity_residual.settings import ARMS, DISTANCE, SLUG
from tests.odeclaims.claims.small_runs import measure_rows


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_targets_and_depths_of_a_repetition_share_its_seed():
    quick = list(cells(Profile("quick")))
    assert len({cell.seed for cell in quick}) == len({cell.repetition for cell in quick}) >= 8


def test_residual_and_plain_start_from_the_same_weights():
    lanes = Lanes(2, generator())
    residual, plain = (LANES.index((arm, LANES[0][1])) for arm in ("residual", "plain"))
    for weight in lanes.weights:
        assert torch.equal(weight[:, residual], weight[:, plain])
    x = torch.randn(5, DIM, generator=generator())
    first = lanes.states(x)[1]
    torch.testing.assert_close(first[residual], first[plain] + x)


@pytest.mark.parametrize("lane", [0, len(LANES) - 1])
def test_a_lane_is_trained_as_if_it_were_alone(lane):
    """Against torch's own layers and its own Adam."""
    lanes, x = Lanes(2, generator()), torch.randn(16, DIM, generator=generator())
    arm, rate = LANES[lane]
    blocks = []
    for w1, b1, w2, b2 in zip(*(w[:, lane].detach() for w in lanes.weights), strict=True):
        block = nn.Sequential(nn.Linear(DIM, 32), nn.ReLU(), nn.Linear(32, DIM))
        for layer, weight, bias in ((block[0], w1, b1), (block[2], w2, b2)):
            layer.load_state_dict({"weight": weight.T, "bias": bias[0]})
        blocks.append(block)
    parameters = [p for block in blocks for p in block.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=rate)

    def output() -> torch.Tensor:
        state = x
        for block in blocks:
            state = block(state) + (state if arm == "residual" else 0)
        return state

    for _ in range(3):
        lanes.step(x, x)
        optimiser.zero_grad()
        (output() - x).square().mean().backward()
        optimiser.step()
    torch.testing.assert_close(lanes.states(x)[-1][lane], output(), rtol=1e-4, atol=1e-5)


def test_targets_are_as_far_as_they_say():
    x = torch.randn(4000, DIM, generator=generator())
    identity, near, zero = (
        make_target(name, generator()) for name in ("identity", "near_identity", "near_zero")
    )
    assert torch.equal(identity(x), x)
    torch.testing.assert_close(near(x) - x, zero(x), rtol=1e-4, atol=1e-5)
    assert float(zero(x).square().mean().sqrt()) == pytest.approx(DISTANCE, rel=0.05)


def test_a_cell_gives_a_row_for_each_lane_at_each_look():
    params = {"target": "identity", "blocks": 1, "iterations": 30}
    rows = measure_rows(CLAIM, Cell(SLUG, params))
    assert set(rows["arm"]) == set(ARMS)
    assert {0, 1, 30} <= set(rows["iteration"])
    assert len(rows) == len(LANES) * rows["iteration"].nunique()
    assert (rows["distance"] == 0).all()
    residual = rows[rows["arm"] == "residual"].set_index("iteration")["error"]
    assert residual.loc[30].min() < residual.loc[0].min() / 2
