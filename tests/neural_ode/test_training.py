"""The training loop: what it computes, that it can be stopped anywhere, and what it refuses."""

import time

import pytest
import torch

from neural_ode import Adjoint
from neural_ode.data import MNIST
from neural_ode.networks import OdeClassifier, mlp_classifier
from neural_ode.training import Batch, error_rate, published_rate, random_crop, train_classifier


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stripes(count: int, seed: int = 0) -> MNIST:
    """Digit k is a bright row: easy to learn, and spoilt by no crop along it."""
    labels = torch.randint(10, (count,), generator=generator(seed))
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[torch.arange(count), 2 * labels + 4] = 255
    return MNIST(images, labels)


def trained(model, *, epochs=3, seed=1, **settings):
    history = train_classifier(
        model,
        stripes(50),
        stripes(30, seed=1),
        epochs=epochs,
        batch_size=12,
        optimiser=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        generator=generator(seed),
        **settings,
    )
    return model, [epoch._replace(seconds=0.0) for epoch in history]


class Sleeping(torch.nn.Module):
    """Logits that take half a second of the wall and hardly any of the processor."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(10))

    def forward(self, images):
        time.sleep(0.5)
        return self.logits.expand(len(images), -1)


def test_time_that_the_process_sleeps_is_not_of_the_training():
    model = Sleeping()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    data, how = stripes(12), {"epochs": 2, "batch_size": 12, "generator": generator()}
    left = []
    how |= {"on_batch": lambda batch: left.append(batch.left_s)}
    first, _ = train_classifier(model, data, data, optimiser=optimiser, **how)
    assert 0 < first.seconds < 0.4
    # Who waits for its end waits for the sleep too.
    assert left[0] >= 0.5
    assert left[1] == 0


def same(first, second) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_training_learns_the_same_way_twice():
    first, history = trained(mlp_classifier(generator=generator()), epochs=8)
    second, again = trained(mlp_classifier(generator=generator()), epochs=8)
    assert history == again
    assert same(first, second)
    assert [epoch.number for epoch in history] == list(range(1, 9))
    assert history[-1].loss < history[0].loss
    assert history[-1].test_error == error_rate(first, stripes(30, seed=1)) < 0.05
    assert history[0].nfe_forward is None


def test_the_first_update_is_that_of_the_definition():
    """One batch of all images, without momentum yet: a step down the gradient of the mean loss."""
    model, expected = (mlp_classifier(generator=generator()) for _ in range(2))
    data = stripes(8)
    logits = expected(data.images[:, None].float() / 255)
    torch.nn.functional.cross_entropy(logits, data.labels).backward()
    with torch.no_grad():
        for p in expected.parameters():
            assert p.grad is not None
            p -= 0.5 * p.grad
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    train_classifier(
        model, data, data, epochs=1, batch_size=8, optimiser=optimiser, generator=generator()
    )
    for p, q in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stop", [(1, 1), (1, 4), (2, 2), (3, 4)])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, stop):
    """After the very first batch, at the end of an epoch, in the middle, after the last batch."""
    settings = {"crop_padding": 2, "learning_rate": lambda epoch: 0.1 / (1 + epoch)}
    whole, history = trained(mlp_classifier(generator=generator()), **settings)
    checkpoint = tmp_path / "state"

    def interrupt(batch):
        if (batch.epoch, batch.number) == stop:
            raise Stopped

    with pytest.raises(Stopped):
        trained(
            mlp_classifier(generator=generator()),
            checkpoint=checkpoint,
            checkpoint_every_s=0.0,
            on_batch=interrupt,
            **settings,
        )
    # Other weights and another seed, since all that matters comes from the file.
    seen = []
    resumed, continued = trained(
        mlp_classifier(generator=generator(5)),
        seed=6,
        checkpoint=checkpoint,
        on_batch=lambda batch: seen.append((batch.epoch, batch.number)),
        **settings,
    )
    if stop == (1, 1):
        # Nothing was kept before the first batch was over, so the run began anew.
        assert not same(resumed, whole)
        assert seen[0] == (1, 1)
    else:
        assert same(resumed, whole)
        assert continued == history
        # The batch at which it was stopped had not been kept yet.
        assert seen[0] == stop
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_a_finished_run_is_not_repeated(tmp_path):
    checkpoint = tmp_path / "state"
    first, history = trained(mlp_classifier(generator=generator()), checkpoint=checkpoint)
    seen = []
    second, again = trained(
        mlp_classifier(generator=generator(3)),
        checkpoint=checkpoint,
        on_batch=seen.append,
    )
    assert not seen
    assert again == history
    assert same(first, second)


def test_what_is_observed_stays_with_the_history_of_a_stopped_run(tmp_path):
    looks = []

    def observe():
        looks.append(len(looks))
        if len(looks) == 3:
            raise Stopped
        return [{"look": looks[-1], "name": "x", "missing": None}]

    checkpoint = tmp_path / "state"
    with pytest.raises(Stopped):
        trained(mlp_classifier(generator=generator()), checkpoint=checkpoint, observe=observe)
    _, history = trained(
        mlp_classifier(generator=generator()), checkpoint=checkpoint, observe=observe
    )
    # The first two were kept; the third epoch, in which it was stopped, is observed once more.
    assert [epoch.observed[0]["look"] for epoch in history] == [0, 1, 3]
    assert history[0].observed == [{"look": 0, "name": "x", "missing": None}]


def test_a_broken_checkpoint_is_named_and_set_aside(tmp_path):
    checkpoint = tmp_path / "state"
    whole, history = trained(mlp_classifier(generator=generator()), checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="checkpoint state cannot be used .* set aside as state"):
        anew, again = trained(mlp_classifier(generator=generator()), checkpoint=checkpoint)
    assert same(anew, whole)
    assert again == history
    assert len(list(tmp_path.glob("state.corrupt-*"))) == 1


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    checkpoint = tmp_path / "state"
    trained(mlp_classifier(generator=generator()), checkpoint=checkpoint)
    with pytest.raises(ValueError, match=r"state is of a training with .*'epochs': 3"):
        trained(mlp_classifier(generator=generator()), epochs=4, checkpoint=checkpoint)


def test_evaluations_are_averaged_over_the_batches_of_an_epoch():
    model = OdeClassifier(4, generator=generator(), rtol=0.1, atol=0.1, gradient=Adjoint())
    _, history = trained(model, epochs=1)
    assert (history[0].nfe_forward or 0) >= 8
    assert (history[0].nfe_backward or 0) >= 8


def test_a_batch_larger_than_the_data_is_refused():
    model = mlp_classifier()
    with pytest.raises(ValueError, match="a batch of 9 does not fit into 8 training images"):
        train_classifier(
            model,
            stripes(8),
            stripes(8),
            epochs=1,
            batch_size=9,
            optimiser=torch.optim.SGD(model.parameters(), lr=0.1),
            generator=generator(),
        )


def test_a_crop_is_a_window_of_the_padded_image():
    images = torch.randint(256, (200, 5, 4), generator=generator(), dtype=torch.uint8)
    cropped = random_crop(images, 1, generator(1))
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    found = set()
    for image, crop in zip(padded, cropped, strict=True):
        places = [(i, j) for i in range(3) for j in range(3)]
        matching = [p for p in places if image[p[0] : p[0] + 5, p[1] : p[1] + 4].equal(crop)]
        assert matching
        found.update(matching)
    assert len(found) == 9
    assert random_crop(images, 0, generator()) is images


def test_the_published_rates():
    rates = [published_rate(epoch) for epoch in (0, 59, 60, 99, 100, 139, 140, 159)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])


def test_the_published_rates_pressed_into_four_epochs():
    rates = [published_rate(epoch, epochs=4) for epoch in range(4)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 1e-3])


def test_a_training_says_where_it_stands():
    model = OdeClassifier(4, generator=generator(), gradient=Adjoint(), rtol=1e-2, atol=1e-2)
    seen: list[Batch] = []
    _, history = trained(model, on_batch=seen.append)
    first, last = seen[0], seen[-1]
    assert (first.epoch, first.number, first.test_error) == (1, 1, None)
    assert (last.epoch, last.number) == (last.epochs, last.batches) == (len(history), 4)
    assert last.test_error == history[-2].test_error
    assert None not in (last.nfe_forward, last.nfe_backward)
    assert str(last) == (
        f"epoch 3 of 3, batch 4 of 4, loss {last.loss:.3f}, test error"
        f" {100 * history[-2].test_error:.2f}%, NFE {last.nfe_forward} + {last.nfe_backward} back,"
        " 0 h 00 min left"
    )
