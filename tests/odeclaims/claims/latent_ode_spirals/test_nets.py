"""The models against torch's own layers and closed forms."""

import pytest
import torch
from torch import nn

from odeclaims.claims.latent_ode_spirals import nets
from odeclaims.claims.latent_ode_spirals.settings import BEYOND, WINDOW
from odeclaims.claims.latent_ode_spirals.spirals import STEP, draw_windows, stack


def generators(count: int = 2) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def some_windows(observed: int = 12, series: int = 3):
    return stack([draw_windows(series, observed, 0.1, each) for each in generators()])


@pytest.mark.parametrize("gated", [False, True])
def test_a_recurrent_layer_is_torchs(gated):
    layer = nets.Recurrent(3, gated, generators())
    x = torch.randn(7, 2, 4, 3, generator=generators()[0])
    for seed in range(2):
        theirs = (nn.GRU if gated else nn.RNN)(3, nets.UNITS)
        with torch.no_grad():
            for name, part in (("ih", layer.of_input), ("hh", layer.of_state)):
                getattr(theirs, f"weight_{name}_l0").copy_(part.weight[seed].T)
                getattr(theirs, f"bias_{name}_l0").copy_(part.bias[seed, 0])
        expected, _ = theirs(x[:, seed])
        torch.testing.assert_close(layer(x)[:, seed], expected)


def test_models_have_the_published_numbers_of_parameters():
    count = {arm: nets.parameters(nets.make(arm, 0.1, generators())) for arm in ("rnn", "rnn_dt")}
    # One layer more in the field of the released example; a bias and a time more in the encoder.
    for arm, field in (("latent_ode", 184), ("latent_ode_2", 604)):
        model = nets.make(arm, 0.1, generators())
        assert isinstance(model, nets.LatentOde)
        assert nets.parameters(model.net) == field
        assert nets.parameters(model.decoder) == 142
        assert nets.parameters(model) == field + 142 + 908 + 25 + 25
    assert count["rnn_dt"] == count["rnn"] + nets.UNITS
    gated = nets.make("gru_dt", 0.1, generators())
    assert isinstance(gated, nets.Predictor)
    assert gated.layer.gated
    assert gated.sees_time


def test_kl_is_torchs():
    mean, log_variance = torch.randn(2, 2, 15, nets.LATENT_DIM, generator=generators()[0])
    normal = torch.distributions.Normal
    posterior = normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, normal(0.0, 1.0)).sum(dim=-1)
    torch.testing.assert_close(nets.kl(mean, log_variance), expected)


def test_the_loss_is_the_negative_elbo_but_for_its_constant():
    model, windows = nets.make("latent_ode", 0.2, generators()), some_windows()
    assert isinstance(model, nets.LatentOde)
    x, places = windows.observed, windows.places
    draw = torch.randn(2, 3, nets.LATENT_DIM, generator=generators()[0])
    mean, log_variance = model.encode(x, places)
    zs = model.flow(mean + (log_variance / 2).exp() * draw, WINDOW, 1e-6)
    means = torch.stack([zs[:, :, place] for place in range(WINDOW)], dim=2)
    means = torch.stack(
        [
            torch.stack([model.decoder(means)[s, i, places[s, i]] for i in range(3)])
            for s in range(2)
        ]
    )
    likelihood = torch.distributions.Normal(means, 0.2).log_prob(x).sum(dim=(2, 3))
    constant = torch.distributions.Normal(0.0, 0.2).log_prob(torch.zeros(())) * x[0, 0].numel()
    expected = -(likelihood - constant).mean(dim=1) + nets.kl(mean, log_variance).mean(dim=1)
    torch.testing.assert_close(model.losses(x, places, draw, 1e-6), expected, rtol=1e-4, atol=1e-4)


def test_the_latent_state_flows_in_the_time_of_the_curve():
    model = nets.make("latent_ode", 0.1, generators()).double()
    assert isinstance(model, nets.LatentOde)
    z0 = torch.randn(2, 3, nets.LATENT_DIM, generator=generators()[0], dtype=torch.float64)
    zs = model.flow(z0, 3, 1e-10)
    torch.testing.assert_close(zs[:, :, 0], z0)
    slope = (zs[:, :, 2] - zs[:, :, 0]) / (2 * STEP)
    torch.testing.assert_close(slope, model.net(zs[:, :, 1]), rtol=1e-3, atol=1e-3)
    assert model.evaluations > 0


def test_the_encoder_goes_backwards_and_sees_times():
    model, windows = nets.make("latent_ode", 0.1, generators()), some_windows()
    assert isinstance(model, nets.LatentOde)
    x, places = windows.observed, windows.places
    mean, _ = model.encode(x, places)
    h = torch.zeros(2, 3, nets.UNITS)
    for i in reversed(range(places.shape[-1])):
        before = places[..., i - 1] if i else torch.zeros_like(places[..., 0])
        seen = torch.cat([x[..., i, :], ((places[..., i] - before) / 10)[..., None]], dim=-1)
        h = model.encoder.step(model.encoder.of_input(seen), h)
    torch.testing.assert_close(mean, model.posterior(h)[..., : nets.LATENT_DIM])


@pytest.mark.parametrize("arm", ["rnn", "rnn_dt", "gru_dt"])
def test_a_recurrent_net_goes_on_from_its_own_predictions(arm):
    model, windows = nets.make(arm, 0.1, generators()), some_windows()
    x, places = windows.observed, windows.places
    predicted = model.predict(x, places, 0.0)
    assert predicted.shape == (2, 3, BEYOND, 2)
    # Fed with its own first predictions as if they had been observed, it says the same next.
    longer = torch.cat([x, predicted[..., :2, :]], dim=-2)
    beyond = torch.tensor([WINDOW, WINDOW + 1]).expand(2, 3, 2)
    gaps = torch.cat([places, beyond, beyond[..., -1:] + 1], dim=-1).diff(dim=-1).float()
    assert isinstance(model, nets.Predictor)
    states = model.layer(model.inputs(longer, gaps))
    torch.testing.assert_close(model.head(states[-1]), predicted[..., 2, :])


def test_times_matter_to_a_net_that_sees_them_alone():
    windows = some_windows()
    x, places = windows.observed, windows.places
    moved = places.clone()
    moved[..., 1:-1] = (moved[..., :-2] + moved[..., 2:]) // 2
    draw = torch.zeros(2, 3, nets.LATENT_DIM)
    for arm, same in (("rnn", True), ("rnn_dt", False), ("gru_dt", False), ("latent_ode", False)):
        model = nets.make(arm, 0.1, generators())
        losses = [model.losses(x, each, draw, 1e-4) for each in (places, moved)]
        assert torch.equal(*losses) == same


def test_seeds_do_not_see_each_other():
    both, (first, _) = some_windows(), generators()
    for arm in ("latent_ode", "gru_dt"):
        two = nets.make(arm, 0.1, generators())
        one = nets.make(arm, 0.1, [first.manual_seed(0)])
        x, places = both.observed, both.places
        expected = one.predict(x[:1], places[:1], 1e-7)
        found = two.predict(x, places, 1e-7)[:1]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
