"""The training loop of flows: what a step is, runs beside each other, and being stopped."""

import time

import pytest
import torch
from torch import nn

from neural_ode.flows.fitting import Training, fit


class Quadratics(nn.Module):
    """Independent noisy parabolas, one a run."""

    def __init__(self, starts) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(starts))


def generators(seeds) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def training_of(seeds=(0, 1), steps=25, stop=None, adam=True, starts=(1.0, 2.0), **settings):
    model, own = Quadratics(starts), generators(seeds)
    kind = torch.optim.Adam if adam else torch.optim.SGD
    optimiser = kind(model.parameters(), lr=0.1)

    def loss(step):
        if step == stop:
            raise Stopped
        noise = torch.cat([torch.randn(1, generator=g) for g in own])
        return (model.at - 0.1 * noise).square()

    settings = {"record_every": 10, **settings}
    return Training(model, loss, steps=steps, optimiser=optimiser, generators=own, **settings)


def found(training):
    return training.model.at.detach(), [r._replace(seconds=0.0) for r in training.records]


def trained(*, checkpoint=None, checkpoint_every_s=60.0, **settings):
    training = training_of(**settings)
    fit(training, checkpoint=checkpoint, checkpoint_every_s=checkpoint_every_s)
    return found(training)


def test_time_that_the_process_sleeps_is_not_of_the_training():
    model = Quadratics((1.0,))

    def loss(step):
        time.sleep(0.05)
        return model.at.square()

    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    training = Training(model, loss, steps=10, optimiser=optimiser, generators=[], record_every=10)
    fit(training)
    assert 0 < training.records[-1].seconds < 0.4


class Stopped(Exception):
    pass


def test_a_step_is_the_optimisers():
    at, records = trained(steps=1, adam=False)
    start = torch.tensor([1.0, 2.0])
    noise = torch.cat([torch.randn(1, generator=g) for g in generators((0, 1))])
    torch.testing.assert_close(at, start - 0.1 * 2 * (start - 0.1 * noise))
    assert records[0].losses == pytest.approx((start - 0.1 * noise).square().tolist())


def test_records_are_means_of_their_stretch():
    every, tens = trained(record_every=1)[1], trained()[1]
    assert [r.step for r in tens] == [10, 20, 25]
    for record, (low, high) in zip(tens, [(0, 10), (10, 20), (20, 25)], strict=True):
        losses = torch.tensor([r.losses for r in every[low:high]])
        assert record.losses == pytest.approx(losses.mean(0).tolist(), rel=1e-5)
    assert tens[-1].losses[1] < tens[0].losses[1]


def test_a_run_trains_as_it_would_alone():
    both = trained()[0]
    for run, start in enumerate((1.0, 2.0)):
        assert trained(seeds=(run,), starts=(start,))[0] == both[run]


@pytest.mark.parametrize("stop", [1, 10, 13, 24])
def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, stop):
    whole = trained(observe=lambda: {"seen": 1})
    kept = {"checkpoint": tmp_path / "state", "checkpoint_every_s": 0.0}
    with pytest.raises(Stopped):
        trained(stop=stop, observe=lambda: {"seen": 1}, **kept)
    # Other seeds, since all that matters comes from the file.
    resumed = trained(seeds=(5, 6), observe=lambda: {"seen": 1}, **kept)
    assert torch.equal(resumed[0], whole[0])
    assert resumed[1] == whole[1]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_broken_checkpoint_is_set_aside(tmp_path):
    path = tmp_path / "state"
    whole = trained(checkpoint=path, checkpoint_every_s=0.0)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="checkpoint state cannot be used .* set aside as state"):
        anew = trained(checkpoint=path)
    assert torch.equal(anew[0], whole[0])
    assert len(list(tmp_path.glob("state.corrupt-*"))) == 1


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(ValueError, match="steps and record_every are 0 and 10, expected at least"):
        trained(steps=0)
    path = tmp_path / "state"
    trained(checkpoint=path, checkpoint_every_s=0.0)
    with pytest.raises(ValueError, match=r"state is of a training with .*expected"):
        trained(steps=26, checkpoint=path)
    with pytest.raises(ValueError, match=r"state is of a training with .*expected"):
        fit(training_of(), training_of(), checkpoint=path)
    with pytest.raises(ValueError, match="turns is 0, expected at least 1"):
        fit(training_of(), turns=0)


def test_trainings_in_turns_take_their_share_of_steps_in_each():
    order = []

    def noting(name, loss):
        def noted(step):
            order.append(name)
            return loss(step)

        return noted

    trainings = {"a": training_of(steps=3), "b": training_of(steps=7)}
    for name, training in trainings.items():
        training.loss = noting(name, training.loss)
    fit(*trainings.values(), turns=3)
    assert "".join(order) == "abb" + "abb" + "abbb"


@pytest.mark.parametrize("turns", [1, 4, 60])
def test_what_trains_in_turns_ends_as_it_would_alone(turns):
    settings = [{"steps": 25}, {"steps": 52, "seeds": (5, 6), "adam": False}]
    trainings = [training_of(**each) for each in settings]
    fit(*trainings, turns=turns)
    for training, each in zip(trainings, settings, strict=True):
        at, records = trained(**each)
        assert torch.equal(found(training)[0], at)
        assert found(training)[1] == records


@pytest.mark.parametrize("stop", [0, 1, 13, 24])
def test_interrupted_turns_go_on_in_their_order(tmp_path, stop):
    def run(stop=None):
        trainings = training_of(steps=25, stop=stop), training_of(steps=50, seeds=(5, 6))
        kept = {"checkpoint": tmp_path / f"state-{stop}", "checkpoint_every_s": 0.0}
        return trainings, kept

    whole, _ = run()
    fit(*whole, turns=5)
    stopped, kept = run(stop)
    with pytest.raises(Stopped):
        fit(*stopped, turns=5, **kept)
    resumed, _ = run()
    fit(*resumed, turns=5, **kept)
    for one, other in zip(resumed, whole, strict=True):
        assert torch.equal(found(one)[0], found(other)[0])
        assert found(one)[1] == found(other)[1]


def test_the_default_device_does_not_matter():
    own = [torch.Generator("cpu").manual_seed(seed) for seed in (0, 1)]
    with torch.device("cpu"):
        model = Quadratics((1.0, 2.0))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.device("meta"):
        training = Training(
            model,
            lambda step: model.at.square(),
            steps=3,
            optimiser=optimiser,
            generators=own,
            record_every=2,
        )
        fit(training)
    assert [record.losses[0] > 0 for record in training.records] == [True, True]
