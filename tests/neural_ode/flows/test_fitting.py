"""The training loop of flows: what a step is, runs beside each other, and being stopped."""

import time

import pytest
import torch
from torch import nn

from neural_ode.flows.fitting import fit


class Quadratics(nn.Module):
    """Independent noisy parabolas, one a run."""

    def __init__(self, starts) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(starts))


def generators(seeds) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def trained(seeds=(0, 1), steps=25, stop=None, adam=True, starts=(1.0, 2.0), **settings):
    model, own = Quadratics(starts), generators(seeds)
    kind = torch.optim.Adam if adam else torch.optim.SGD
    optimiser = kind(model.parameters(), lr=0.1)

    def loss(step):
        if step == stop:
            raise Stopped
        noise = torch.cat([torch.randn(1, generator=g) for g in own])
        return (model.at - 0.1 * noise).square()

    settings = {"record_every": 10, **settings}
    records = fit(model, loss, steps=steps, optimiser=optimiser, generators=own, **settings)
    return model.at.detach(), [r._replace(seconds=0.0) for r in records]


def test_time_that_the_process_sleeps_is_not_of_the_training():
    model = Quadratics((1.0,))

    def loss(step):
        time.sleep(0.05)
        return model.at.square()

    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    records = fit(model, loss, steps=10, optimiser=optimiser, generators=[], record_every=10)
    assert 0 < records[-1].seconds < 0.4


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
        assert trained((run,), starts=(start,))[0] == both[run]


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


def test_the_default_device_does_not_matter():
    own = [torch.Generator("cpu").manual_seed(seed) for seed in (0, 1)]
    with torch.device("cpu"):
        model = Quadratics((1.0, 2.0))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.device("meta"):
        records = fit(
            model,
            lambda step: model.at.square(),
            steps=3,
            optimiser=optimiser,
            generators=own,
            record_every=2,
        )
    assert [record.losses[0] > 0 for record in records] == [True, True]
