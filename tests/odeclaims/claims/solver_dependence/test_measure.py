"""The data, the nets of all seeds in one, and the rows of a small run."""

import pandas as pd
import pytest
import torch
from torch import nn

from odeclaims.cell import Profile
from odeclaims.claims.solver_dependence import CLAIM, measure, nets
from odeclaims.claims.solver_dependence.settings import FACTORS
from tests.odeclaims.claims.small_runs import measure_rows


def generators(count: int = 2) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_every_point_lies_on_its_shell_and_each_shell_has_its_share():
    points, classes = nets.shells(4000, generators()[0])
    radii, placed = points.norm(dim=1), 0
    for (inner, outer), label, share in nets.SHELLS:
        inside = (radii >= inner - 1e-6) & (radii <= outer + 1e-6)
        assert int(inside.sum()) == 4000 * share
        assert set(classes[inside].tolist()) == {label}
        placed += int(inside.sum())
    assert placed == 4000
    assert points.mean(dim=0).abs().max() < 0.02


def test_the_conv_field_is_that_of_torch_and_has_the_published_parameters():
    field = nets.ConvField(generators())
    assert sum(p.numel() for p in field.parameters()) == 2 * 3201
    for layer in (field.first, field.middle, field.last):
        nn.init.normal_(layer.bias, generator=generators()[0])
    y, t = torch.randn(2, 5, 2, generator=generators()[1]), torch.tensor(0.0)
    derivative = field.derivative()
    for seed in range(2):
        first, last = nn.Conv1d(1, 32, 1), nn.Conv1d(32, 1, 1)
        middle = nn.Conv1d(32, 32, 3, padding=1)
        theirs = nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), last)
        for ours, conv in ((field.first, first), (field.middle, middle), (field.last, last)):
            width = conv.kernel_size[0]
            weight = ours.weight[seed].view(width, -1, conv.out_channels).permute(2, 1, 0)
            conv.load_state_dict({"weight": weight, "bias": ours.bias[seed, 0]})
        torch.testing.assert_close(derivative(t, y)[seed], theirs(y[seed][:, None])[:, 0])


@pytest.mark.parametrize("net", nets.FIELDS)
def test_no_seed_enters_the_numbers_of_another(net):
    x = torch.randn(2, 6, 2, generator=generators()[0])
    both = nets.FlowClassifiers(net, generators())
    alone = nets.FlowClassifiers(net, generators()[1:])
    solver = nets.in_steps("euler", 3)
    torch.testing.assert_close(both(x, **solver)[1:], alone(x[1:], **solver))


def test_a_euler_net_is_a_resnet_of_equal_blocks():
    net, x = nets.FlowClassifiers("mlp", generators()), torch.randn(2, 6, 2)
    h, derivative = x, net.field.derivative()
    for _ in range(4):
        h = h + derivative(torch.tensor(0.0), h) / 4
    torch.testing.assert_close(net(x, **nets.in_steps("euler", 4)), net.head(h))


def test_the_accuracy_the_loss_and_the_margin_are_those_of_the_logits():
    logits = torch.tensor([[[0.0, 2.0], [1.0, 0.0], [0.0, 1.0]]])
    classes = torch.tensor([[1, 0, 0]])
    judged = measure._judge(logits, classes)
    assert judged["accuracy"] == [pytest.approx(2 / 3)]
    assert judged["margin"] == [1.0]
    expected = nn.functional.cross_entropy(logits[0], classes[0])
    assert judged["loss"] == [pytest.approx(float(expected))]


@pytest.fixture(scope="module")
def smoke() -> dict[tuple[str, str], pd.DataFrame]:
    cells = CLAIM.cells(Profile("smoke"))
    return {(c.params["net"], c.params["method"]): measure_rows(CLAIM, c) for c in cells}


def test_a_net_is_tested_by_every_more_accurate_solver(smoke):
    rows = smoke["conv", "euler"]
    tests = rows[rows["kind"] == "test"]
    assert set(tests["status"]) == {"ok"}
    roles = tests[tests["repetition"] == 0]["role"].tolist()
    assert roles == ["training", *["finer"] * (len(FACTORS) + 1), "flow"]
    assert tests["accuracy"].between(0, 1).all()
    euler = tests[(tests["repetition"] == 0) & (tests["test_method"] == "euler")]
    assert euler["test_steps"].tolist() == [4, 8, 16, 128]


def test_all_trainings_have_the_same_seeds_and_a_tolerance_has_no_steps(smoke):
    seeds = {tuple(rows["seed"].drop_duplicates()) for rows in smoke.values()}
    assert len(seeds) == 1
    adaptive = smoke["conv", "dopri5"]
    assert "steps" not in adaptive
    assert set(adaptive.query("kind == 'test'")["role"]) == {"training", "flow"}


def test_a_training_that_fails_is_a_row_for_each_seed(monkeypatch):
    monkeypatch.setattr(nets, "STEP_LIMIT", 1)
    (cell,) = (c for c in CLAIM.cells(Profile("smoke")) if c.params["method"] == "dopri5")
    cell = type(cell)(cell.claim, {**cell.params, "tolerance": 1e-9})
    rows = CLAIM.measure(cell, measure.Context())
    assert [row["status"] for row in rows] == ["max_steps"] * 2


def test_training_learns_the_shells():
    cell = next(c for c in CLAIM.cells(Profile("smoke")) if c.params["net"] == "mlp")
    cell = type(cell)(cell.claim, {**cell.params, "updates": 400, "learning_rate": 5e-3})
    rows = measure_rows(CLAIM, cell)
    own = rows[(rows["kind"] == "test") & (rows["role"] == "training")]
    assert (own["accuracy"] > 0.8).all()
