"""Digits that are picked, and nets held fixed in both ways."""

import pytest
import torch
from torch import nn

from neural_ode import Adjoint, Backprop, Checkpointed, StepLimit
from neural_ode.data import MNIST
from neural_ode.networks import ConvField, ImageOdeModel, OdeClassifier
from odeclaims.kits import digits
from odeclaims.kits.columns import STAMP_COLUMNS
from odeclaims.kits.digits import FrozenBlock, at
from odeclaims.kits.validity import relative_error


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int) -> MNIST:
    images = torch.randint(256, (count, 28, 28), generator=generator(), dtype=torch.uint8)
    return MNIST(images, torch.arange(count) % 10)


def block() -> FrozenBlock:
    """The same float64 block at every call, with a field of its own."""
    torch.manual_seed(1)
    field = ConvField(4, 2, generator=generator()).double()
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 9, 10)).double()
    y0 = torch.randn(3, 4, 3, 3, dtype=torch.float64)
    return FrozenBlock(field, head, y0, torch.tensor([3, 1, 4]))


def test_digits_are_picked_from_the_front_or_at_random_without_repeating():
    data = noise(20)
    front = digits.first(data, 3)
    assert torch.equal(front.images, data.images[:3])
    assert front.labels.tolist() == [0, 1, 2]
    assert len(digits.first(data, 30).images) == 20
    drawn = digits.draw(data, 20, generator(1))
    assert sorted(drawn.labels.tolist()) == sorted(data.labels.tolist())
    assert drawn.labels.tolist() != data.labels.tolist()
    again = digits.draw(data, 5, generator(1))
    assert torch.equal(again.images, drawn.images[:5])


def test_losses_that_share_a_solve_have_the_counts_of_their_own():
    solver = {"rtol": 1e-3, "atol": 1e-3, "gradient": Adjoint()}
    shared, counts = block().forward(**solver), []
    for loss in ("mean", "squares", "mean"):
        alone = block().forward(**solver)
        torch.testing.assert_close(shared.gradient(loss), alone.gradient(loss), rtol=0, atol=0)
        assert shared.solution.stats.nfe_backward == alone.solution.stats.nfe_backward
        counts.append(shared.solution.stats.nfe_backward)
    assert counts[0] == counts[2] < counts[1]


@pytest.mark.parametrize("gradient", [Backprop(), Checkpointed()])
def test_references_are_the_gradients_of_the_flow(gradient):
    losses = ("mean", "sum", "squares")
    references = digits.references(block(), 64, losses, method="midpoint", gradient=gradient)
    solved = block().forward(rtol=1e-6, atol=1e-6)
    assert list(references) == list(losses)
    for loss, reference in references.items():
        assert relative_error(solved.gradient(loss), reference.gradient) < 3e-2
        assert 0 < reference.error < 3e-2
    torch.testing.assert_close(references["sum"].gradient, 3 * references["mean"].gradient)


def test_a_frozen_block_is_that_of_the_net_and_its_double_is_a_copy():
    model = OdeClassifier(4, generator=generator(), **at(1e-3))
    data = noise(3)
    frozen = digits.freeze(model, data)
    with torch.no_grad():
        logits = model(data.images[:, None] / 255)
        torch.testing.assert_close(frozen.head(frozen.flow(**at(1e-3)).ys[-1]), logits)
    assert frozen.field is model.field
    double = frozen.double()
    assert double.y0.dtype == double.ts.dtype == torch.float64
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    errors = [double.reconstruction_error(**at(tolerance)) for tolerance in (1e-2, 1e-6)]
    assert 0 < errors[1] < errors[0]


@pytest.mark.parametrize(
    "model",
    [
        OdeClassifier(4, generator=generator(), **at(0.1)),
        ImageOdeModel(4, augment_dim=1, generator=generator(), **at(0.1)),
    ],
)
def test_the_flow_of_a_net_carries_its_stamp_and_leaves_the_net_alone(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    row = digits.frozen_flow(model, noise(2), 4).observe(1e-3)
    assert set(STAMP_COLUMNS) < set(row)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(StepLimit):
        digits.frozen_flow(model, noise(2), 4, max_num_steps=1).observe(1e-6)
