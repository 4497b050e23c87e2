"""Fields and classifiers: parameter counts, seeded weights, shapes; and their training."""

import pytest
import torch

from neural_ode import Adjoint
from neural_ode.networks import ConvField, MLPField, OdeClassifier
from neural_ode.training import batches, error_rate, train_classifier


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_ode_net_has_the_parameters_of_the_released_example():
    # torchdiffeq issue 32 gives 208,266 for the conv variant.
    assert parameters(OdeClassifier()) == 208_266


@pytest.mark.parametrize("make", [MLPField, OdeClassifier, ConvField])
def test_weights_come_from_the_generator_alone(make):
    arguments = (2, 8) if make is MLPField else (4,)
    arguments = (4, 2) if make is ConvField else arguments
    first = make(*arguments, generator=generator())
    torch.rand(7)
    second = make(*arguments, generator=generator())
    other = make(*arguments, generator=generator(1))
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    pairs = zip(first.parameters(), other.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_initial_weights_stay_within_torchs_bound():
    field = MLPField(3, 50, generator=generator())
    for layer in field.layers:
        if isinstance(layer, torch.nn.Linear):
            bound = layer.in_features**-0.5
            assert layer.weight.abs().max() <= bound
            assert layer.weight.abs().max() > 0.9 * bound


def test_the_time_enters_every_field():
    t0, t1 = torch.tensor(0.0), torch.tensor(1.0)
    mlp, conv = MLPField(2, 8, generator=generator()), ConvField(4, 2, generator=generator())
    y, x = torch.randn(3, 2), torch.randn(2, 4, 6, 6)
    assert not torch.allclose(mlp(t0, y), mlp(t1, y))
    assert not torch.allclose(conv(t0, x), conv(t1, x))


def test_no_hidden_layer_is_refused():
    with pytest.raises(ValueError, match="depth is 0"):
        MLPField(2, 8, depth=0)


def test_the_classifier_reports_the_cost_of_its_solve():
    model = OdeClassifier(4, generator=generator(), rtol=1e-2, atol=1e-2, gradient=Adjoint())
    logits = model(torch.rand(2, 1, 28, 28))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert model.stats is not None
    assert model.stats.nfe_forward >= 8
    assert model.stats.nfe_backward is not None


def test_batches_cover_an_epoch_without_repeats_and_drop_the_rest():
    chosen = list(batches(10, 3, 6, generator()))
    assert all(len(batch) == 3 for batch in chosen)
    first, second = torch.cat(chosen[:3]), torch.cat(chosen[3:])
    assert len(set(first.tolist())) == len(set(second.tolist())) == 9
    assert first.tolist() != second.tolist()


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="a batch of 5 does not fit into 4"):
        next(batches(4, 5, 1, generator()))


def test_training_lowers_the_loss_the_same_way_twice():
    x = torch.randn(200, 2, generator=generator())
    labels = (x.sum(dim=1) > 0).long()

    def train() -> tuple[list[float], float]:
        model = torch.nn.Linear(2, 2)
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        losses = train_classifier(
            model,
            x,
            labels,
            steps=100,
            batch_size=20,
            optimiser=torch.optim.SGD(model.parameters(), lr=0.5),
            generator=generator(1),
        )
        return losses, error_rate(model, x, labels, batch_size=64)

    losses, wrong = train()
    assert (losses, wrong) == train()
    assert losses[0] == pytest.approx(torch.log(torch.tensor(2.0)).item())
    assert wrong < 0.05
