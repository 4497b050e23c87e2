"""The models of an arm and a width train as one batch, and each is judged in float64."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode import SolverFailure
from neural_ode.flows import CNF, ENERGIES, PlanarField, PlanarFlow, StandardNormal, log_normaliser
from neural_ode.flows.fitting import Record, Training, fit
from odeclaims.cell import Cell, Context, Profile, Row, Scalar
from odeclaims.claims.density_matching.settings import (
    CNF_STEPS,
    EDGE,
    EVEN_TIME,
    EVEN_TIME_EARLY,
    NF_STEPS,
    RETURNED,
    SLUG,
    TARGETS,
    WIDTHS,
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

# Published: the steps over which the planar flow's energy is annealed, and the solver's tolerance.
ANNEAL_STEPS, TOLERANCE = 10_000, 1e-5
# Below so many steps compiling takes longer than it saves.
COMPILED_FROM = 50_000
HIDDEN, BATCH = 32, 100
# The arms whose densities are drawn.
PICTURED = ("nf", "nf_adam_long", "cnf")
# Of a solve; those of fitted flows take some ten.
STEP_LIMIT = 1000
# Steps between two reports of how far a training is: some of them take a millisecond.
TOLD_EVERY = 20
# Points that are drawn at a time where a model is judged.
CHUNK = 1000


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each arm and width, the most expensive first; the targets; the timings."""
    common: dict[str, Any] = {
        "targets": " ".join(profile.pick(smoke=("U1", "U4"), quick=("U1", "U4"), paper=TARGETS)),
        "repetitions": len(profile.repetitions(smoke=1, quick=5, paper=5, hour=3)),
        "batch_size": BATCH,
        "evaluation_points": profile.pick(smoke=1000, quick=10_000, paper=20_000),
    }
    widths = profile.pick(smoke=(2,), quick=(2, 8), paper=WIDTHS)
    for width in reversed(widths):
        for arm, recipe in _recipes(profile, width).items():
            compiled = recipe["steps"] >= COMPILED_FROM
            params = {"task": "training", "arm": arm, "width": width, "compiled": compiled}
            yield Cell(SLUG, {**params, **recipe, **common})
    yield Cell(SLUG, {"task": "target", "targets": common["targets"]})
    timed = profile.pick(smoke=1, quick=10, paper=10)
    compiled = profile.pick(smoke=False, quick=False, paper=True)
    for width in widths:
        params = {"task": "timing", "width": width, "steps": timed, "compiled": compiled}
        yield Cell(SLUG, params | common)


def _recipes(profile: Profile, width: int) -> dict[str, dict[str, Any]]:
    """The optimiser's steps and rate of each arm.

    The published recipe of the planar flow has to have its published length to be judged, which
    the quick profile does not reach.
    """
    iterations = profile.pick(smoke=20, quick=400, paper=CNF_STEPS)
    even_time = profile.pick(smoke=EVEN_TIME_EARLY, quick=EVEN_TIME_EARLY, paper=EVEN_TIME)
    published = profile.pick(smoke=40, quick=None, paper=NF_STEPS)
    recipes: dict[str, dict[str, Any]] = {}
    if published:
        annealed = max(1, published * ANNEAL_STEPS // NF_STEPS)
        recipes["nf"] = {"steps": published, "anneal_steps": annealed, "learning_rate": 1e-5}
    steps = {
        "cnf": iterations,
        "nf_adam_long": even_time[width] * iterations,
        "cnf_constant": iterations,
        "nf_adam": iterations,
    }
    return recipes | {arm: {"steps": n, "learning_rate": 1e-3} for arm, n in steps.items()}


def alone(cell: Cell) -> bool:
    """Whether the cell measures times."""
    return cell.params["task"] == "timing"


def measure(cell: Cell, context: Context) -> list[Row]:
    """The rows of a cell, by its task."""
    if cell.params["task"] == "training":
        return _train(cell, context)
    return _describe_targets(cell) if cell.params["task"] == "target" else _time_steps(cell)


@dataclass(frozen=True)
class Runs:
    """The models of a cell that train as one batch: for each target every repetition."""

    targets: tuple[str, ...]
    repetitions: int
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, targets: Sequence[str], repetitions: int, width: int, revision: int = 1) -> "Runs":
        """The models of a width; they have the same seeds in every arm and in any batch."""
        seeds = tuple(
            Cell(SLUG, {"width": width, "target": target}, repetition, revision=revision).seed
            for target in targets
            for repetition in range(repetitions)
        )
        return cls(tuple(targets), repetitions, seeds)

    def generators(self) -> list[torch.Generator]:
        """A new one for each model: of its weights, then of its points."""
        return [torch.Generator().manual_seed(seed) for seed in self.seeds]

    def energy(self, x: Float[Tensor, "runs batch 2"]) -> Float[Tensor, "runs batch"]:
        """The energy of each model's target at its points."""
        parts = x.split(self.repetitions)
        energies = (ENERGIES[target] for target in self.targets)
        return torch.cat([energy(part) for energy, part in zip(energies, parts, strict=True)])

    def medians(self, values: Sequence[float]) -> list[int]:
        """For each target the place of the model whose value is the (lower) median one."""
        places = range(len(self.seeds))
        groups = [places[i : i + self.repetitions] for i in places[:: self.repetitions]]
        return [sorted(group, key=values.__getitem__)[(len(group) - 1) // 2] for group in groups]

    def rows(self, columns: Mapping[str, Sequence[Scalar]], common: Row) -> list[Row]:
        """A result for each model, from one value of each column for each."""
        rows: list[Row] = []
        for i, seed in enumerate(self.seeds):
            target, repetition = divmod(i, self.repetitions)
            names = {"target": self.targets[target], "repetition": repetition, "seed": seed}
            values = {name: column[i] for name, column in columns.items()}
            rows.append({"kind": "result", **names, **values, **common})
        return rows


def _model(arm: str, width: int, generators: Sequence[torch.Generator]) -> Flow:
    runs = len(generators)
    if arm.startswith("nf"):
        return PlanarFlow(2, width, runs=runs, generator=generators)
    hidden = HIDDEN if arm == "cnf" else None
    field = PlanarField(2, width, runs=runs, hidden=hidden, generator=generators)
    solver = {"rtol": TOLERANCE, "atol": TOLERANCE, "max_num_steps": STEP_LIMIT}
    return CNF(field, StandardNormal(2), **solver)


def _optimiser(arm: str, model: Flow, learning_rate: float) -> torch.optim.Optimizer:
    if arm == "nf":
        return torch.optim.RMSprop(model.parameters(), lr=learning_rate, momentum=0.9)
    return torch.optim.Adam(model.parameters(), lr=learning_rate)


def _loss(
    model: Flow,
    energy: Callable[[Tensor], Tensor],
    generators: Sequence[torch.Generator],
    anneal_steps: int | None,
    tell: Callable[[int, Tensor], None] = lambda step, losses: None,
) -> Callable[[int], Float[Tensor, " runs"]]:
    """E_q[log q + beta U] over a new batch, with beta rising to 1 where it is annealed.

    ``tell`` is called with each step and its losses.
    """

    def loss(step: int) -> Float[Tensor, " runs"]:
        x, log_prob = model.sample_with_log_prob(BATCH, generators)
        beta = min(1.0, 0.01 + step / anneal_steps) if anneal_steps else 1.0
        losses = (log_prob + beta * energy(x)).mean(dim=1)
        tell(step, losses)
        return losses

    return loss


def _compile(energy: Callable[[Tensor], Tensor], like: Tensor) -> Callable[[Tensor], Tensor]:
    """The energy through ``torch.compile``, or as it is where there is no compiler.

    Some hundred small operations, forward and back, become a few loops. Compiling the planar layers
    too takes a minute and gains nothing.
    """
    ready: Any = torch.compile(energy, fullgraph=True, dynamic=False)
    try:
        ready(like.clone().requires_grad_(True)).sum().backward()
    except RuntimeError as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        warnings.warn(f"not compiled, so run as it is: {reason[0]}", stacklevel=2)
        return energy
    return ready


def _train(cell: Cell, context: Context) -> list[Row]:
    """Train the models of an arm and a width, judge them, and picture the median repetition."""
    params = cell.params
    targets, width = params["targets"].split(), params["width"]
    runs = Runs.of(targets, params["repetitions"], width, cell.revision)
    generators = runs.generators()
    model = _model(params["arm"], width, generators)
    steps = params["steps"]
    energy = runs.energy
    if params["compiled"]:
        energy = _compile(energy, torch.zeros(len(runs.seeds), BATCH, 2))

    def tell(step: int, losses: Float[Tensor, " runs"]) -> None:
        if step % TOLD_EVERY == 0:
            context.tell(progress(step, steps, losses, model))

    try:
        training = Training(
            model,
            _loss(model, energy, generators, params.get("anneal_steps"), tell),
            steps=steps,
            optimiser=_optimiser(params["arm"], model, params["learning_rate"]),
            generators=generators,
            record_every=max(1, steps // 20),
            observe=partial(evaluations, model),
        )
        fit(training, checkpoint=context.checkpoint)
        model.double()
        judged, nfe = _judge(model, runs, generators, params["evaluation_points"])
    except SolverFailure as failure:
        return runs.rows({}, {"status": failure.status})
    judged["status"] = ["ok" if math.isfinite(kl) else "nonfinite" for kl in judged["kl"]]
    records = training.records
    judged["late_gain"] = _late_gain(records)
    common: Row = {
        "parameters": sum(p.numel() for p in model.parameters()) // len(runs.seeds),
        "train_s": records[-1].seconds,
        "nfe_forward": nfe,
        **_cost(records, params),
    }
    rows = runs.rows(judged, common)
    if params["arm"] in PICTURED:
        rows += _pictures(model, runs, runs.medians(judged["kl"]))
    return rows


def _cost(records: list[Record], params: Any) -> Row:
    """What training evaluated: solves and hidden units."""
    if params["arm"].startswith("nf"):
        return {"unit_evaluations": params["steps"] * params["width"]}
    nfe = sum(record.observed for record in records) / len(records)
    units = round(params["steps"] * nfe * params["width"])
    return {"training_nfe": nfe, "unit_evaluations": units, "tolerance": TOLERANCE}


def _late_gain(records: list[Record]) -> list[float]:
    """The mean loss of the two records before the last two, less that of the last two."""
    before, last = (
        torch.tensor([record.losses for record in part]).mean(dim=0)
        for part in (records[-4:-2], records[-2:])
    )
    return (before - last).tolist()


@torch.no_grad()
def _judge(
    model: Flow, runs: Runs, generators: Sequence[torch.Generator], points: int
) -> tuple[dict[str, list[Any]], float | None]:
    """The divergence of each model with its standard error, and how well it is inverted."""
    log_z = [log_normaliser(ENERGIES[target]) for target in runs.targets]
    constant = torch.tensor(log_z, dtype=torch.float64).repeat_interleave(runs.repetitions)
    terms, spent = [], []
    for _ in range(points // CHUNK):
        x, log_prob = model.sample_with_log_prob(CHUNK, generators)
        terms.append(log_prob + runs.energy(x) + constant[:, None])
        spent.append(evaluations(model))
    divergences, errors = means_and_errors(terms)
    judged = {
        "kl": divergences,
        "kl_se": errors,
        **_round_trips(model, generators),
    }
    return judged, mean(spent)


def _round_trips(model: Flow, generators: Sequence[torch.Generator]) -> dict[str, list[float]]:
    """How far points and their densities are from where they were, taken to the base and back."""
    x, out = model.sample_with_log_prob(RETURNED, generators)
    try:
        returned = round_trip_errors(model, x)
        difference = (model.log_prob(x) - out).square().mean(dim=1).sqrt()
    except SolverFailure:
        lost = [math.inf] * len(x)
        return {"reconstruction_error": lost, "density_error": lost}
    return {"reconstruction_error": returned, "density_error": difference.tolist()}


@torch.no_grad()
def _pictures(model: Flow, runs: Runs, places: Sequence[int]) -> list[Row]:
    """The densities of one model for each target, or rows that say why there are none."""
    try:
        log_prob = model.log_prob(centres(-EDGE, EDGE, -EDGE, EDGE).expand(len(runs.seeds), -1, -1))
    except SolverFailure as failure:
        return [
            {"kind": "density", "target": target, "status": failure.status}
            for target in runs.targets
        ]
    rows: list[Row] = []
    for target, place in zip(runs.targets, places, strict=True):
        which = {"repetition": place % runs.repetitions, "seed": runs.seeds[place]}
        rows += [{"target": target, **which, **row} for row in picture_rows(log_prob[place])]
    return rows


def _describe_targets(cell: Cell) -> list[Row]:
    """The normaliser and the picture of each target."""
    rows: list[Row] = []
    for target in cell.params["targets"].split():
        log_z = log_normaliser(ENERGIES[target])
        rows.append({"kind": "target", "arm": "target", "target": target, "log_normaliser": log_z})
        lines = picture_rows(-ENERGIES[target](centres(-EDGE, EDGE, -EDGE, EDGE)) - log_z)
        rows += [{"arm": "target", "target": target, **row} for row in lines]
    return rows


def _time_steps(cell: Cell) -> list[Row]:
    """Seconds of a step of each kind of model: of a single one, and of a batch of all."""
    rows: list[Row] = []
    targets, width = cell.params["targets"].split(), cell.params["width"]
    batches = [Runs.of(targets[:1], 1, width), Runs.of(targets, cell.params["repetitions"], width)]
    fewer = cell.params["steps"]
    kinds = [("nf_adam", 10 * fewer, False), ("cnf", fewer, False), ("cnf_constant", fewer, False)]
    if cell.params["compiled"]:
        kinds.append(("nf_adam", 10 * fewer, True))
    for arm, steps, compiled in kinds:
        for runs in batches:
            generators = runs.generators()
            model = _model(arm, width, generators)
            energy = runs.energy
            if compiled:
                energy = _compile(energy, torch.zeros(len(runs.seeds), BATCH, 2))
            training = Training(
                model,
                _loss(model, energy, generators, None),
                steps=6 * steps,
                optimiser=_optimiser(arm, model, 1e-3),
                generators=generators,
                record_every=steps,
            )
            fit(training)
            stretches = pairwise(training.records)
            seconds = [later.seconds - sooner.seconds for sooner, later in stretches]
            row = {"kind": "timing", "arm": arm, "compiled": compiled, "together": len(runs.seeds)}
            rows.append({**row, "step_s": median(seconds) / steps})
    return rows
