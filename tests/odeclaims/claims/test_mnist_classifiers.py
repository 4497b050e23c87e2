"""Table 1: what is judged, on made-up rows, and that each criterion can fail."""

import numpy as np
import pandas as pd
import pytest
import torch

from neural_ode.data import MNIST
from odeclaims.claim import Profile
from odeclaims.claims.mnist_classifiers import (
    ALL_IMAGES,
    CLAIM,
    COMPARED,
    NETS,
    PUBLISHED_EPOCHS,
    Spec,
    caveats,
    cells,
    figure,
    table,
)

ERRORS = {
    "mlp": 1.6,
    "resnet": 0.41,
    "rk_net": 0.47,
    "ode_net": 0.42,
    "one_block": 0.44,
    "no_block": 0.58,
}


def training(errors=ERRORS, *, seeds=3, epochs=PUBLISHED_EPOCHS, images=ALL_IMAGES):
    """The last two epochs of every net; errors in percent."""
    rows = []
    for net, error in errors.items():
        for repetition in range(seeds):
            for epoch in (epochs - 1, epochs):
                flow = net in ("rk_net", "ode_net")
                rows.append(
                    {
                        "kind": "training",
                        "net": net,
                        "downsampling": "conv",
                        "channels": 64,
                        "images": images,
                        "epochs": epochs,
                        "epoch": epoch,
                        "test_error": error / 100 + 1e-4 * (epochs - epoch) + 1e-5 * repetition,
                        "nfe_forward": 26.0 if flow else np.nan,
                        "nfe_backward": 32.0 if net == "ode_net" else np.nan,
                        "parameters": 208_266,
                        "peak_saved_bytes": 2.0**20,
                        "time_s": 3.0,
                        "valid": flow or np.nan,
                        "status": "ok",
                        "repetition": repetition,
                    }
                )
    return rows


def costs(memory=None, duration=None):
    """Bytes and seconds as powers of the size, on top of what stem and head need."""
    memory = {"resnet": 1, "rk_net": 1, "ode_net": 0} | (memory or {})
    duration = {"resnet": 1, "rk_net": 1, "ode_net": 1} | (duration or {})
    common = {"kind": "cost", "downsampling": "conv", "status": "ok", "repetition": 0}
    rows = [{**common, "net": "no_block", "size": 0, "peak_saved_bytes": 500, "time_s": 0.5}]
    for net in COMPARED:
        for size in (1, 2, 4, 8):
            bytes_ = 500 + 100 * size ** memory[net]
            seconds = 0.5 + 0.1 * size ** duration[net]
            own = {"net": net, "size": size, "peak_saved_bytes": bytes_, "time_s": seconds}
            rows.append({**common, **own})
    return rows


def frame(rows):
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(rows):
    return [judgement.outcome for judgement in CLAIM.judge(frame(rows)).judgements]


def test_the_published_numbers_reproduce_the_claim():
    verdict = CLAIM.judge(frame(training() + costs()))
    assert verdict.outcome == "reproduced"
    # The control that the paper lacks does as well as its ODE-Net.
    control = next(j for j in verdict.judgements if not j.criterion.decides)
    assert control.outcome == "not reproduced"
    assert any("not evidence of a benefit" in caveat for caveat in verdict.caveats)


@pytest.mark.parametrize(
    ("change", "index", "outcome"),
    [
        ({"ode_net": 0.65, "no_block": 2.0, "one_block": 2.0}, 0, "partly"),
        ({"ode_net": 0.95}, 0, "not reproduced"),
        ({"resnet": 0.9, "rk_net": 0.9, "ode_net": 0.9}, 1, "partly"),
        ({"rk_net": 1.2}, 1, "not reproduced"),
        ({"one_block": 0.8, "no_block": 0.9}, 2, "reproduced"),
    ],
)
def test_error_rates_decide(change, index, outcome):
    assert outcomes(training(ERRORS | change) + costs())[index] == outcome


@pytest.mark.parametrize(
    ("memory", "duration", "index"),
    [
        ({"resnet": 0.5}, {}, 3),
        ({"rk_net": 0}, {}, 4),
        ({"ode_net": 1}, {}, 5),
        ({}, {"resnet": 2}, 6),
        ({}, {"rk_net": 0.5}, 7),
        ({}, {"ode_net": 2}, 8),
    ],
)
def test_orders_decide(memory, duration, index):
    found = outcomes(training() + costs(memory, duration))
    assert found[index] == "not reproduced"
    assert found[3:].count("reproduced") == 5


@pytest.mark.parametrize(
    "rows",
    [
        training(epochs=2),
        training(images=2048),
        training(dict.fromkeys(("resnet", "ode_net"), 0.4)),
        training(seeds=2),
    ],
)
def test_a_short_training_is_no_evidence(rows):
    assert outcomes(rows + costs())[:3] == ["insufficient"] * 3


def test_the_budget_is_a_caveat():
    (first, *_) = caveats(frame(training(epochs=5) + costs()))
    assert first.startswith("Trained for 5 epochs of 60000 images at 64 channels, not for 160")
    assert not any("Trained for" in caveat for caveat in caveats(frame(training() + costs())))


def test_published_rows_and_ours_stand_in_one_table():
    rows = table(frame(training() + costs()))
    assert list(rows["net"].unique()) == list(NETS.values())
    odenet = rows[rows["net"] == "ODE-Net"].set_index("from")
    assert odenet.loc["published", "test error (%)"] == "0.42"
    ours = odenet.loc["ours, 3 seeds"]
    assert str(ours["test error (%)"]).startswith("0.421 [")
    assert (ours["memory"], ours["time"], ours["NFE"]) == ("L^0.00", "L^1.00", "26 + 32")
    assert list(rows[rows["net"] == "control: no block"]["from"]) == ["ours, 3 seeds"]


def test_the_figure_has_a_line_for_every_net():
    fig = figure(frame(training() + costs()))
    error, memory, duration = fig.axes
    assert len([line for line in error.lines if line.get_linestyle() == "-"]) == len(NETS)
    assert len(memory.lines) == len(duration.lines) == len(COMPARED)


def test_arms_of_one_seed_see_the_same_images_and_paper_has_both_stems():
    paper = [c for c in cells(Profile("paper")) if c.params["kind"] == "training"]
    assert len({c.seed for c in paper if c.repetition == 0}) == 1
    assert {c.params["downsampling"] for c in paper} == {"conv", "res"}
    assert {c.params["epochs"] for c in paper} == {PUBLISHED_EPOCHS}
    assert {c.params["images"] for c in paper} == {ALL_IMAGES}
    assert len({c.repetition for c in paper}) == 3


@pytest.mark.parametrize("net", NETS)
def test_every_net_maps_digits_to_logits(net):
    model = Spec(4, "conv").build(net, torch.Generator().manual_seed(0))
    data = MNIST(torch.zeros(2, 28, 28, dtype=torch.uint8), torch.tensor([0, 1]))
    assert model(data.images[:, None].float()).shape == (2, 10)


@pytest.mark.parametrize(
    ("profile", "together"),
    [
        (Profile("quick"), False),
        (Profile("paper"), False),
        (Profile("hour"), True),
        (Profile("paper", device="cuda"), True),
    ],
)
def test_nets_are_trained_side_by_side_in_an_hour_and_on_a_gpu(profile, together):
    made = list(cells(profile))
    trainings = [cell for cell in made if cell.params["kind"] == "training"]
    assert {cell.alone for cell in trainings} == {not together}
    assert all(cell.alone for cell in made if cell.params["kind"] == "cost")


def test_an_hour_is_the_published_net_with_the_schedule_pressed_into_its_epochs():
    trainings = [c.params for c in cells(Profile("hour")) if c.params["kind"] == "training"]
    assert {params["net"] for params in trainings} == set(NETS)
    for params in trainings:
        assert (params["channels"], params["images"]) == (64, ALL_IMAGES)
        assert params["schedule"] == params["epochs"]
    assert all("schedule" not in c.params for c in cells(Profile("paper")))
