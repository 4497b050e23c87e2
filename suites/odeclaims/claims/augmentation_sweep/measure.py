"""Train a model and look at it, frozen and in float64, or time one update of it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from neural_ode.data import Points, crossing
from neural_ode.networks import OdeModel, augmented_model, input_layer_model, second_order_model
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.augmentation_sweep.settings import (
    DIRECTIONS,
    INPUT_LAYER_DIM,
    OBSERVED,
    RINGS,
    SLUG,
    SWEEP,
    TASKS,
    TIMED_REPEATS,
    TIMED_STEPS,
    TOLERANCES,
)
from odeclaims.kits.timers import durations
from odeclaims.kits.toy_models import (
    Frozen,
    accuracies,
    at,
    by_volume,
    circle,
    fit,
    spheres,
    spheres_grid,
)
from odeclaims.kits.validity import at_each


def models(task: str, zeros: tuple[int, ...] = SWEEP) -> list[dict[str, Any]]:
    """The arms of the sweep, as parameters of a cell."""
    return [
        {"arm": "node", "augment_dim": 0},
        *({"arm": "anode", "augment_dim": p} for p in zeros),
        {"arm": "second_order", "augment_dim": TASKS[task].dim},
        {"arm": "input_layer", "augment_dim": INPUT_LAYER_DIM},
    ]


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained model, and one for each model whose update is timed."""
    reference_steps = profile.pick(smoke=8, quick=256, paper=512)
    zeros = profile.pick(smoke=SWEEP[:1], quick=SWEEP, paper=SWEEP)
    sizes = {
        "spheres": {
            "points": profile.pick(smoke=48, quick=3000, paper=3000),
            "epochs": profile.pick(smoke=1, quick=8, paper=50),
            "batch_size": profile.pick(smoke=24, quick=64, paper=64),
            # A training of few epochs needs larger steps to come as far.
            "learning_rate": profile.pick(smoke=3e-3, quick=3e-3, paper=1e-3),
        },
        "crossing": {
            "points": profile.pick(smoke=32, quick=500, paper=500),
            "epochs": profile.pick(smoke=1, quick=8, paper=50),
            "batch_size": profile.pick(smoke=16, quick=32, paper=32),
            "learning_rate": 5e-3,
        },
    }
    # On the spheres models are compared; of the crossing one seed shows what a model can.
    seeds = {
        "spheres": profile.repetitions(smoke=1, quick=8, paper=10),
        "crossing": profile.repetitions(smoke=1, quick=3, paper=10),
    }
    for task, size in sizes.items():
        for repetition in seeds[task]:
            for model in models(task, zeros):
                params = {"task": task, **model, **size, "reference_steps": reference_steps}
                # All models see the same points.
                yield Cell(SLUG, params, repetition, paired=("arm", "augment_dim"))
    for task, size in sizes.items():
        for model in models(task, zeros):
            params = {"kind": "cost", "task": task, **model, "batch_size": size["batch_size"]}
            yield Cell(SLUG, params, paired=("arm", "augment_dim"))


def alone(cell: Cell) -> bool:
    """Whether the cell measures time."""
    return cell.params.get("kind") == "cost"


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train a model and look at it, or time one update of it."""
    return [_cost(cell)] if alone(cell) else _train(cell)


def _model(params: Any, generator: torch.Generator, **solver: Any) -> OdeModel:
    dim, width, outputs = TASKS[params["task"]]
    common = {"outputs": outputs, "generator": generator, **solver}
    if params["arm"] == "second_order":
        return second_order_model(dim, width, **common)
    make = input_layer_model if params["arm"] == "input_layer" else augmented_model
    return make(dim, width, augment_dim=params["augment_dim"], **common)


def _points(task: str, count: int, generator: torch.Generator) -> Points:
    if task == "crossing":
        return crossing(count, generator=generator)
    return spheres(count, generator=generator)


def _train(cell: Cell) -> list[Row]:
    params, generator = cell.params, cell.generator()
    task = str(params["task"])
    data = _points(task, params["points"], generator)
    model = _model(params, generator, **at(TOLERANCES["loose"]))
    history = fit(model, data, params, generator)
    observed = data.inputs[:: max(1, len(data.inputs) // OBSERVED)][:OBSERVED]
    if task == "crossing":
        observed = torch.tensor([[-1.0], [1.0]])
    frozen = Frozen(model, observed, params["reference_steps"])
    common: Row = {
        "kind": "result",
        "loss": history[-1]["loss"],
        "training_nfe": float(pd.DataFrame(history)["training_nfe"].mean()),
        "parameters": _count(model),
    }
    solved = at_each(TOLERANCES, partial(_observe, frozen, task))
    results: list[Row] = [{**common, **row} for row in solved]
    return [{"kind": "training", **row} for row in history] + results


def _count(model: OdeModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _observe(frozen: Frozen, task: str, tolerance: float) -> Row:
    """How well a frozen model does, and what its flow costs."""
    measure_quality = _crossing_error if task == "crossing" else _dense_accuracy
    quality = measure_quality(frozen, tolerance)
    return {**quality, **frozen.observe(tolerance)}


def _crossing_error(frozen: Frozen, tolerance: float) -> Row:
    """The error at the two points, which are to change places."""
    x = torch.tensor([[-1.0], [1.0]])
    return {"mse": float((frozen.outputs(x, tolerance) + x).square().mean())}


def _dense_accuracy(frozen: Frozen, tolerance: float) -> Row:
    """The share of the disc and the ring, by their areas, that is on the right side."""
    grid = spheres_grid(RINGS, circle(DIRECTIONS))
    inner, outer = accuracies(frozen.outputs(grid.inputs, tolerance), grid)
    return {"dense_accuracy": by_volume(inner, outer)}


def _cost(cell: Cell) -> Row:
    """The time of one update by a fixed number of evaluations."""
    params, generator = cell.params, cell.generator()
    data = _points(str(params["task"]), params["batch_size"], generator)
    model = _model(params, generator, method="rk4", step_size=1 / TIMED_STEPS)
    optimiser = torch.optim.Adam(model.parameters())

    def update() -> None:
        loss = nn.functional.smooth_l1_loss(model(data.inputs), data.targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    # The first update is slower, and not counted.
    times = durations(update, least=1 + TIMED_REPEATS)
    return {
        "parameters": _count(model),
        "nfe_forward": model.stats.nfe_forward if model.stats else None,
        "time_s": float(np.median(times[1:])),
    }
