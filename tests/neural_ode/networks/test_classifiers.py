"""Fields and classifiers: parameter counts, seeded weights, shapes."""

import pytest
import torch

from neural_ode import Adjoint
from neural_ode.networks import (
    ConvField,
    ImageClassifier,
    MLPField,
    OdeClassifier,
    mlp_classifier,
    residual_classifier,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("make", "count"),
    [
        # torchdiffeq's issue 32 gives the first; the others follow from the released example.
        (lambda: OdeClassifier(), 208_266),
        (lambda: residual_classifier(6), 576_778),
        (lambda: residual_classifier(1), 206_858),
        (lambda: residual_classifier(0), 132_874),
        (lambda: OdeClassifier(downsampling="res"), 232_970),
        (lambda: residual_classifier(6, downsampling="res"), 601_482),
        (lambda: mlp_classifier(), 238_510),
    ],
)
def test_classifiers_have_the_published_parameters(make, count):
    assert parameters(make()) == count


@pytest.mark.parametrize("downsampling", ["conv", "res"])
def test_classifiers_give_logits_for_either_stem(downsampling):
    images = torch.rand(3, 1, 28, 28, generator=generator())
    models = [
        residual_classifier(2, 8, downsampling=downsampling, generator=generator()),
        OdeClassifier(8, downsampling=downsampling, generator=generator(), rtol=0.1, atol=0.1),
        mlp_classifier(generator=generator()),
    ]
    for model in models:
        assert model(images).shape == (3, 10)


def test_an_unknown_stem_is_refused():
    with pytest.raises(ValueError, match="downsampling is 'pool', expected 'conv' or 'res'"):
        ImageClassifier(torch.nn.Identity(), downsampling="pool")


def test_a_stack_of_residual_blocks_adds_up():
    """With its last convolution at zero a block is the identity, as He et al. have it."""
    model = residual_classifier(2, 4, generator=generator())
    x = torch.randn(2, 4, 6, 6, generator=generator())
    with torch.no_grad():
        assert not torch.allclose(model.middle(x), x)
        for block in model.middle.children():
            block.get_parameter("conv2.weight").zero_()
        torch.testing.assert_close(model.middle(x), x, rtol=0, atol=0)


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


@pytest.mark.parametrize("t", [0.0, 0.3, -2.0])
def test_the_field_is_that_whose_convolutions_see_the_time_as_a_channel(t):
    """The released example concatenates; a map that is added costs less and is the same."""
    field = ConvField(4, 2, generator=generator()).double()
    y = torch.randn(3, 4, 6, 5, dtype=torch.float64, generator=generator(1))

    def conv(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        time = torch.full((3, 1, 6, 5), t, dtype=torch.float64)
        return layer.conv(torch.cat([time, x], dim=1))  # type: ignore[operator]

    x = conv(field.conv1, torch.relu(field.norm1(y)))
    expected = field.norm3(conv(field.conv2, torch.relu(field.norm2(x))))
    got = field(torch.tensor(t, dtype=torch.float64), y)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
