"""How flows are trained by maximum likelihood: in turns, with a history, and being stopped."""

from functools import partial
from itertools import count

import pytest
import torch

from neural_ode.flows import CNF
from neural_ode.flows.fitting import Training
from odeclaims.cell import Context
from odeclaims.trained.recipes import likelihood_flows
from odeclaims.trained.recipes.likelihood_flows import (
    DENSITIES,
    NETS,
    RECIPE,
    SIZE,
    Runs,
    flow_of,
    freeze,
    iterations_of,
)
from odeclaims.trained.specification import Specification

SMALL = {
    **SIZE,
    "repetitions": 1,
    "iterations": 3,
    "even_time": 2,
    "batch_size": 32,
    "compiled": False,
}


def specification(net: str, **size) -> Specification:
    return Specification(likelihood_flows.NAME, net, 0, {**SMALL, **size})


def trained(chosen: Specification, context: Context | None = None):
    """The weights, the history without its times, and the losses that were told."""
    model, told = RECIPE.build(chosen), []
    rows = RECIPE.train(chosen, model, context or Context(), lambda n, loss: told.append((n, loss)))
    return model.state_dict(), [{**row, "seconds": None} for row in rows], told


@pytest.mark.parametrize("net", NETS)
def test_the_history_has_the_losses_of_every_flow(net):
    _, rows, told = trained(specification(net))
    assert [row["arm"] for row in rows if row["iteration"] == 0] == list(NETS[net])
    for arm in NETS[net]:
        own = [row for row in rows if row["arm"] == arm]
        assert [row["iteration"] for row in own] == list(range(iterations_of(arm, SMALL) + 1))
        assert all(len(row["losses"].split()) == len(DENSITIES) for row in own)
    assert [number for number, _ in told] == [1, 2, 3]
    first = [row for row in rows if row["arm"] == NETS[net][0]]
    for (_, loss), row in zip(told, first[1:], strict=True):
        assert loss == pytest.approx(sum(map(float, row["losses"].split())) / 2, rel=1e-6)


def test_trainings_of_equal_time_take_turns(monkeypatch):
    """In each turn either takes its share of its steps."""
    seen: list[str] = []
    take_step = Training.take_step

    def noted(training):
        seen.append("cnf" if isinstance(training.model, CNF) else "nf_long")
        take_step(training)

    monkeypatch.setattr(Training, "take_step", noted)
    trained(specification("even_time"))
    assert seen == 3 * ["nf_long", "cnf", "nf_long"]


@pytest.mark.parametrize(
    ("chosen", "stop"),
    [(specification("nf"), 2), (specification("even_time"), 4)],
    ids=["alone", "in turns"],
)
def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, monkeypatch, chosen, stop):
    whole = trained(chosen)
    fit, steps = likelihood_flows.fit, count()

    class Stopped(Exception):
        pass

    def stopping(*trainings, **settings):
        for training in trainings:
            monkeypatch.setattr(training, "take_step", partial(until, training.take_step))
        return fit(*trainings, checkpoint_every_s=0.0, **settings)

    def until(take_step):
        if next(steps) == stop:
            raise Stopped
        take_step()

    context = Context(checkpoint=tmp_path / "state")
    with monkeypatch.context() as patched:
        patched.setattr(likelihood_flows, "fit", stopping)
        with pytest.raises(Stopped):
            trained(chosen, context)
    assert (tmp_path / "state").exists()
    weights, rows, _ = trained(chosen, context)
    assert all(torch.equal(weights[name], value) for name, value in whole[0].items())
    assert rows == whole[1]


def test_the_planar_flow_of_equal_time_is_that_of_equal_iterations_for_longer():
    """The same weights at first, and the same samples."""
    weights = [trained(specification(net, even_time=1))[0] for net in ("even_time", "nf")]
    for name in ("u", "w", "b"):
        assert torch.equal(weights[0][f"nf_long.{name}"], weights[1][f"nf.{name}"])


def test_flows_draw_their_data_after_their_weights():
    """So that a training gives the same bits whether its weights were drawn before or with it."""
    runs = Runs(1)
    generators = runs.generators("training")
    with torch.no_grad():
        nll = -flow_of("nf", generators).log_prob(runs.sample(32, generators))
    _, _, told = trained(specification("nf"))
    assert told[0][1] == pytest.approx(float(nll.mean()), rel=1e-6)


def test_the_revision_enters_the_seeds():
    assert not set(Runs(2).seeds("training")) & set(Runs(2, 1).seeds("training"))


@pytest.mark.parametrize("arm", ["nf", "cnf", "cnf_constant"])
def test_some_flows_are_taken_out_of_a_batch(arm):
    generators = [torch.Generator().manual_seed(i) for i in range(3)]
    model = flow_of(arm, generators)
    x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = model.log_prob(x)[2]
    found = freeze(arm, model, [2]).log_prob(x[2:].double())[0]
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-3)


def test_another_model_is_refused():
    with pytest.raises(TypeError, match="model is Linear, expected a ModuleDict of flows"):
        RECIPE.train(specification("nf"), torch.nn.Linear(1, 1), Context(), lambda n, loss: None)
