"""The models of an arm train as one batch, and each is judged against the density of its data."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from neural_ode import SolverFailure
from neural_ode.flows import CNF, Circles, Moons, PlanarField, PlanarFlow, StandardNormal
from neural_ode.flows.fitting import Record, Training, fit
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.maximum_likelihood.settings import (
    CHECKED_TOLERANCE,
    DATA,
    EVEN_TIME,
    EVEN_TIME_LATE,
    EXAMPLE_BATCH,
    EXAMPLE_ITERATIONS,
    FULL_ITERATIONS,
    RETURNED,
    SHARES,
    SLUG,
    WINDOWS,
)
from odeclaims.kits.flow_models import (
    Flow,
    centres,
    evaluations,
    mean,
    means_and_errors,
    picture_rows,
    progress,
    round_trip_errors,
)

# The circles are the released example's. The moons' noise is not published; with 0.07 they are
# about as sharp as the circles, so that a nat weighs about the same on either.
DENSITIES = {"circles": Circles(noise=0.06, factor=0.5), "moons": Moons(noise=0.07)}
UNITS, HIDDEN = 64, 32
# Of the released example: the variance of the base, the end time, and the solver's tolerance.
BASE_VARIANCE, END, TOLERANCE = 0.1, 10.0, 1e-5
LEARNING_RATE = 1e-3
# No solve of a healthy flow comes near so many steps.
STEP_LIMIT = 1000
RECORDS = 40
# Points that are judged at a time.
CHUNK = 1000


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each arm, the most expensive first, and one for the data.

    The planar flow of equal time has no cell of its own: it trains in turns with the CNF.
    """
    iterations = profile.pick(smoke=6, quick=EXAMPLE_ITERATIONS, paper=FULL_ITERATIONS)
    even_time = profile.pick(smoke=EVEN_TIME, quick=EVEN_TIME, paper=EVEN_TIME_LATE)
    common: dict[str, Any] = {
        "repetitions": len(profile.repetitions(smoke=1, quick=8, hour=8, paper=8)),
        "batch_size": profile.pick(smoke=32, quick=32, hour=128, paper=EXAMPLE_BATCH),
        "evaluation_points": profile.pick(smoke=1000, quick=5000, hour=20_000, paper=50_000),
        "drawn_points": profile.pick(smoke=50, quick=400, paper=400),
    }
    # Compiling takes most of a minute.
    compiled = profile.pick(smoke=False, quick=False, paper=True)
    for arm in ("cnf", "cnf_constant", "nf"):
        params = {
            "arm": arm,
            "iterations": iterations,
            "even_time": even_time if arm == "cnf" else 0,
            "compiled": compiled and arm.startswith("cnf"),
        }
        yield Cell(SLUG, params | common)
    yield Cell(SLUG, {"arm": "data", "drawn_points": common["drawn_points"]})


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train the models of an arm and judge them, or picture the data."""
    return _picture_data(cell) if cell.params["arm"] == "data" else _train(cell, context)


@dataclass(frozen=True)
class Runs:
    """The models of a cell that train as one batch: for each data set every repetition."""

    repetitions: int
    revision: int = 1

    @property
    def names(self) -> list[tuple[str, int]]:
        """The data set and the repetition of each."""
        return [(name, repetition) for name in DATA for repetition in range(self.repetitions)]

    def seeds(self, use: str) -> list[int]:
        """One for each model, the same for every arm, but another for another use."""
        return [
            Cell(SLUG, {"data": data, "use": use}, i, revision=self.revision).seed
            for data, i in self.names
        ]

    def generators(self, use: str) -> list[torch.Generator]:
        """A new one for each model."""
        return [torch.Generator().manual_seed(seed) for seed in self.seeds(use)]

    def sample(
        self, count: int, generators: Sequence[torch.Generator]
    ) -> Float[Tensor, "runs count 2"]:
        """Fresh samples of each model's data."""
        pairs = zip(self.names, generators, strict=True)
        return torch.stack([DENSITIES[data].sample(count, source) for (data, _), source in pairs])

    def log_prob(self, x: Float64[Tensor, "runs count 2"]) -> Float64[Tensor, "runs count"]:
        """The log-density of each model's data at its points, nats."""
        pairs = zip(self.names, x, strict=True)
        return torch.stack([DENSITIES[data].log_prob(points) for (data, _), points in pairs])

    def rows(self, kind: str, columns: dict[str, list[float]], common: Row) -> list[Row]:
        """A row for each model, from one value of each column for each."""
        return [
            {
                "kind": kind,
                "data": data,
                "repetition": repetition,
                "seed": seed,
                **{name: values[i] for name, values in columns.items()},
                **common,
            }
            for i, ((data, repetition), seed) in enumerate(
                zip(self.names, self.seeds("training"), strict=True)
            )
        ]


def _model(
    arm: str,
    generators: Sequence[torch.Generator],
    *,
    compiled: bool = False,
    tolerance: float = TOLERANCE,
) -> Flow:
    """The models of an arm, one for each generator."""
    runs, base = len(generators), StandardNormal(2, math.sqrt(BASE_VARIANCE))
    if arm.startswith("nf"):
        return PlanarFlow(2, UNITS, base=base, towards="base", runs=runs, generator=generators)
    if arm == "cnf":
        field = PlanarField(2, UNITS, runs=runs, hidden=HIDDEN, reduce="mean", generator=generators)
    else:
        field = PlanarField(2, UNITS, runs=runs, generator=generators)
    return CNF(
        field,
        base,
        end=END if arm == "cnf" else 1.0,
        rtol=tolerance,
        atol=tolerance,
        max_num_steps=STEP_LIMIT,
        compile=compiled,
    )


def _freeze(
    arm: str, model: nn.Module, places: Sequence[int], tolerance: float = TOLERANCE
) -> Flow:
    """The models at some places of the batch, in float64."""
    part = _model(arm, [torch.Generator() for _ in places], tolerance=tolerance).double()
    part.load_state_dict({name: value[list(places)] for name, value in model.state_dict().items()})
    return part.requires_grad_(False)


def _train(cell: Cell, context: Context) -> list[Row]:
    """Train the models of an arm, those of the CNF in turns with the planar flow of equal time."""
    params = cell.params
    runs = Runs(params["repetitions"], cell.revision)
    arms = {params["arm"]: params["iterations"]}
    if params["even_time"]:
        arms["nf_long"] = params["even_time"] * params["iterations"]
    trainings = {arm: _training(arm, steps, cell, runs, context) for arm, steps in arms.items()}
    try:
        untrained = {
            arm: _judge(_freeze_all(arm, training, runs), runs, CHUNK)["nll"]
            for arm, training in trainings.items()
        }
        fit(*trainings.values(), turns=RECORDS, checkpoint=context.checkpoint)
    except SolverFailure as failure:
        return _failed(failure, runs)
    rows: list[Row] = []
    for arm, training in trainings.items():
        start = runs.rows("training", {"nll": untrained[arm]}, {"iteration": 0})
        own = _results(arm, training, params, runs) + start + _course(training.records, runs)
        compiled = params["compiled"] and arm != "nf_long"
        common: Row = {"arm": arm, "iterations": arms[arm], "compiled": compiled}
        rows += [{**row, **common} for row in own]
    return rows


def _failed(failure: SolverFailure, runs: Runs) -> list[Row]:
    """The rows of CNFs of which a solve failed."""
    return runs.rows("result", {}, {"tolerance": TOLERANCE, "status": failure.status})


def _training(arm: str, steps: int, cell: Cell, runs: Runs, context: Context) -> Training:
    """The training of all models of an arm as one batch, before its first step."""
    generators = runs.generators("training")
    model = _model(arm, generators, compiled=cell.params["compiled"])

    def loss(step: int) -> Float[Tensor, " runs"]:
        x = runs.sample(cell.params["batch_size"], generators)
        nll = -model.log_prob(x).mean(dim=1)
        context.tell(f"{arm}, {progress(step, steps, nll, model)}")
        return nll

    return Training(
        model,
        loss,
        steps=steps,
        optimiser=torch.optim.Adam(model.parameters(), lr=LEARNING_RATE),
        generators=generators,
        record_every=max(1, steps // RECORDS),
        observe=partial(evaluations, model),
    )


def _freeze_all(arm: str, training: Training, runs: Runs, tolerance: float = TOLERANCE) -> Flow:
    """All models of a training as they are now, in float64."""
    return _freeze(arm, training.model, range(len(runs.names)), tolerance)


def _results(arm: str, training: Training, params: Mapping[str, Any], runs: Runs) -> list[Row]:
    """Judge the trained models, and picture the first repetition of each data set."""
    parameters = sum(p.numel() for p in training.model.parameters()) // len(runs.names)
    solved = isinstance(training.model, CNF)
    common: Row = {
        **({"tolerance": TOLERANCE} if solved else {}),
        "parameters": parameters,
        "train_s": training.seconds,
        "training_nfe": mean([record.observed for record in training.records]),
    }
    try:
        judged = _judge(_freeze_all(arm, training, runs), runs, params["evaluation_points"])
        rows = runs.rows("result", judged, common)
        if solved:
            rows += _return_checked(_freeze_all(arm, training, runs, CHECKED_TOLERANCE), runs)
        if arm in ("cnf", "nf_long"):
            firsts = [i for i, (_, repetition) in enumerate(runs.names) if repetition == 0]
            rows += _pictures(_freeze(arm, training.model, firsts), params["drawn_points"])
    except SolverFailure as failure:
        return _failed(failure, runs)
    return rows


def _course(records: Sequence[Record], runs: Runs) -> list[Row]:
    """The rows of a training: a row for each record and model."""
    rows: list[Row] = []
    for record in records:
        common: Row = {
            "iteration": record.step,
            "train_s": record.seconds,
            "training_nfe": record.observed,
        }
        rows += runs.rows("training", {"nll": record.losses}, common)
    return rows


def _judge(model: Flow, runs: Runs, points: int) -> dict[str, list[float]]:
    """The likelihood of each frozen model on fresh samples, its gap, and its round trip."""
    generators = runs.generators("test")
    floors = [DENSITIES[data].entropy for data, _ in runs.names]
    likelihoods, gaps, spent = [], [], []
    for _ in range(points // CHUNK):
        x = runs.sample(CHUNK, generators).double()
        log_q = model.log_prob(x)
        likelihoods.append(-log_q)
        gaps.append(runs.log_prob(x) - log_q)
        spent.append(evaluations(model))
    judged: dict[str, list[float]] = {"floor": floors}
    judged["nll"], judged["nll_se"] = means_and_errors(likelihoods)
    judged["gap"], judged["gap_se"] = means_and_errors(gaps)
    if isinstance(model, CNF):
        judged["nfe_forward"] = [sum(spent) / len(spent)] * len(floors)
    x = runs.sample(RETURNED, generators).double()
    judged["reconstruction_error"] = round_trip_errors(model, x)
    return judged


def _return_checked(model: Flow, runs: Runs) -> list[Row]:
    """The round trip of each frozen CNF at the tighter tolerance."""
    common: Row = {"tolerance": CHECKED_TOLERANCE}
    x = runs.sample(RETURNED, runs.generators("return")).double()
    try:
        errors = round_trip_errors(model, x)
    except SolverFailure as failure:
        return runs.rows("round_trip", {}, {**common, "status": failure.status})
    return runs.rows("round_trip", {"reconstruction_error": errors}, common)


def _lines(log_prob: Float64[Tensor, " places"], data: str, share: float) -> list[Row]:
    """A density as rows of one line of the picture each."""
    where: Row = {"data": data, "repetition": 0, "share": share}
    return [{**where, **row} for row in picture_rows(log_prob)]


def _points(samples: Tensor, data: str, share: float) -> list[Row]:
    """Samples as rows of one point each."""
    where: Row = {"kind": "sample", "data": data, "repetition": 0, "share": share}
    return [{**where, "x": round(x, 3), "y": round(y, 3)} for x, y in samples.tolist()]


def _picture_generator(data: str) -> torch.Generator:
    return torch.Generator().manual_seed(Cell(SLUG, {"data": data, "use": "drawing"}).seed)


def _pictures(model: Flow, points: int) -> list[Row]:
    """Densities and samples of one model a data set, all along its way from the base.

    The way of a planar flow is layer by layer: a part of it is a flow of its last layers alone,
    since it leads to the base. The samples of a CNF come from a solve against the direction of the
    one that gives a density.
    """
    places = torch.stack([centres(*WINDOWS[data]) for data in DATA])
    z = model.draw_base(points, [_picture_generator(data) for data in DATA])
    if isinstance(model, CNF):
        densities = [model.log_prob(places, share * model.end) for share in SHARES]
        samples = model.transport(z, [0.0, *(share * model.end for share in SHARES)])[1:]
        ways = list(zip(SHARES, densities, samples, strict=True))
    else:
        parts = [_last_layers(model, round(share * UNITS)) for share in SHARES]
        ways = [
            (share, part.log_prob(places), part.inverse(z))
            for share, part in zip(SHARES, parts, strict=True)
        ]
    rows: list[Row] = []
    for share, log_prob, samples in ways:
        for i, data in enumerate(DATA):
            rows += _lines(log_prob[i], data, share) + _points(samples[i], data, share)
    return rows


def _last_layers(model: PlanarFlow, count: int) -> PlanarFlow:
    """The flow of so many layers that are the nearest to the base."""
    generators = [torch.Generator() for _ in range(model.runs or 0)]
    part = PlanarFlow(
        2, count, base=model.base, towards="base", runs=model.runs, generator=generators
    )
    state = {name: value[:, -count:] for name, value in model.state_dict().items()}
    part.double().load_state_dict(state)
    return part.requires_grad_(False)


def _picture_data(cell: Cell) -> list[Row]:
    """The densities themselves, and samples of them."""
    rows: list[Row] = []
    for data, density in DENSITIES.items():
        rows += _lines(density.log_prob(centres(*WINDOWS[data])), data, 1.0)
        rows += _points(
            density.sample(cell.params["drawn_points"], _picture_generator(data)), data, 1.0
        )
    return rows
