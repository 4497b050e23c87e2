"""Take trained flows and judge each against the density of its data."""

import math
from collections.abc import Iterator

import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from neural_ode import SolverFailure
from neural_ode.flows import CNF, PlanarFlow
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.maximum_likelihood.settings import (
    CHECKED_TOLERANCE,
    DATA,
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
    round_trip_errors,
)
from odeclaims.trained.provide import provide, published
from odeclaims.trained.recipes.likelihood_flows import (
    DENSITIES,
    NAME,
    NETS,
    SIZE,
    TOLERANCE,
    UNITS,
    Runs,
    freeze,
    iterations_of,
)
from odeclaims.trained.specification import Specification

# Points that are judged at a time.
CHUNK = 1000
# Of the quadrature: the distance of its points, half of the data's noise or less, and the share of
# the data's mass that they have to hold.
SPACING, MASS = 0.03, 1 - 1e-6


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each network of flows, and one for the data.

    The profiles quick and hour take the published flows; smoke and paper train their own.
    """
    looks = {
        "evaluation_points": profile.pick(smoke=1000, quick=5000, hour=20_000, paper=50_000),
        "drawn_points": profile.pick(smoke=50, quick=400, paper=400),
    }
    for specification, weights in _networks(profile):
        size = specification.size
        # Of published flows so many are judged as the user asks for.
        judged = min(profile.seeds or size["repetitions"], size["repetitions"])
        params = {"net": specification.net, "weights": weights, **size, "judged": judged, **looks}
        yield Cell(SLUG, params)
    yield Cell(SLUG, {"arm": "data", "drawn_points": looks["drawn_points"]})


def _networks(profile: Profile) -> list[tuple[Specification, str]]:
    if profile.name in ("quick", "hour"):
        return published(NAME)
    size = {
        **SIZE,
        "repetitions": len(profile.repetitions(smoke=1, quick=0, paper=8)),
        "iterations": profile.pick(smoke=6, quick=0, paper=SIZE["iterations"]),
        "even_time": profile.pick(smoke=2, quick=0, paper=SIZE["even_time"]),
        "batch_size": profile.pick(smoke=32, quick=0, paper=512),
        # Compiling takes most of a minute.
        "compiled": profile.pick(smoke=False, quick=False, paper=True),
    }
    return [(Specification(NAME, net, 0, size), "") for net in NETS]


def specify(cell: Cell) -> Specification:
    """Which network a cell is about."""
    return Specification(NAME, cell.params["net"], 0, {key: cell.params[key] for key in SIZE})


def measure(cell: Cell, context: Context) -> list[Row]:
    """Judge the flows of a network, or picture the data."""
    if cell.params.get("arm") == "data":
        return _picture_data(cell)
    runs = Runs(cell.params["judged"], cell.params["revision"])
    try:
        network = provide(specify(cell), cell.params["weights"], context)
    except SolverFailure as failure:
        arm = NETS[cell.params["net"]][0]
        return [{**row, **_settings(arm, cell)} for row in _failed(failure, runs)]
    rows: list[Row] = []
    for arm in NETS[cell.params["net"]]:
        course = network.history[network.history["arm"] == arm]
        flows = network.model.get_submodule(arm)
        own = _results(arm, flows, cell, runs, _spent(course)) + _course(course, cell, runs)
        rows += [{**row, **_settings(arm, cell)} for row in own]
    return rows


def _settings(arm: str, cell: Cell) -> Row:
    """The arm of a row, and how its flows were trained."""
    compiled = cell.params["compiled"] and arm.startswith("cnf")
    return {"arm": arm, "iterations": iterations_of(arm, cell.params), "compiled": compiled}


def _failed(failure: SolverFailure, runs: Runs) -> list[Row]:
    """The rows of CNFs of which a solve failed."""
    return _rows(runs, "result", {}, {"tolerance": TOLERANCE, "status": failure.status})


def _spent(course: pd.DataFrame) -> Row:
    """What a training took: its seconds, and the mean evaluations of its solves at the records."""
    nfe = course["nfe_forward"].dropna().tolist() if "nfe_forward" in course else []
    return {"train_s": float(course["seconds"].sum()), "training_nfe": mean(nfe)}


def _rows(runs: Runs, kind: str, columns: dict[str, list[float]], common: Row) -> list[Row]:
    """A row for each flow, from one value of each column for each."""
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
            zip(runs.names, runs.seeds("training"), strict=True)
        )
    ]


def _places(cell: Cell, repetitions: int) -> list[int]:
    """Where the flows of the first repetitions stand in the batch that was trained."""
    names = Runs(cell.params["repetitions"]).names
    return [i for i, (_, repetition) in enumerate(names) if repetition < repetitions]


def _course(course: pd.DataFrame, cell: Cell, runs: Runs) -> list[Row]:
    """The rows of a training: a row for each stretch and flow."""
    rows: list[Row] = []
    places, taken = _places(cell, cell.params["judged"]), 0.0
    for stretch in course.to_dict("records"):
        taken += _number(stretch["seconds"]) or 0.0
        losses = [float(loss) for loss in stretch["losses"].split()]
        common: Row = {
            "iteration": int(stretch["iteration"]),
            "train_s": taken if stretch["iteration"] else None,
            "training_nfe": _number(stretch.get("nfe_forward")),
        }
        rows += _rows(runs, "training", {"nll": [losses[i] for i in places]}, common)
    return rows


def _number(value: float | None) -> float | None:
    """The value; ``None`` where the history has none."""
    return None if value is None or math.isnan(value) else value


def _results(arm: str, flows: nn.Module, cell: Cell, runs: Runs, spent: Row) -> list[Row]:
    """Judge the trained flows, and picture the first repetition of each data set."""
    params, places = cell.params, _places(cell, cell.params["judged"])
    solved = not arm.startswith("nf")
    common: Row = {
        **({"tolerance": TOLERANCE} if solved else {}),
        "parameters": sum(p[0].numel() for p in flows.parameters()),
        **spent,
    }
    try:
        judged = _judge(freeze(arm, flows, places), runs, params["evaluation_points"])
        rows = _rows(runs, "result", judged, common)
        if solved:
            rows += _return_checked(freeze(arm, flows, places, CHECKED_TOLERANCE), runs)
        if arm in ("cnf", "nf_long"):
            rows += _pictures(freeze(arm, flows, _places(cell, 1)), params["drawn_points"])
    except SolverFailure as failure:
        return _failed(failure, runs)
    return rows


def _judge(model: Flow, runs: Runs, points: int) -> dict[str, list[float]]:
    """The likelihood of each frozen flow on fresh samples, its gaps, and its round trip."""
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
    judged["gap_by_quadrature"] = _gaps_by_quadrature(model, runs)
    if isinstance(model, CNF):
        judged["nfe_forward"] = [sum(spent) / len(spent)] * len(floors)
    x = runs.sample(RETURNED, generators).double()
    judged["reconstruction_error"] = round_trip_errors(model, x)
    return judged


def _gaps_by_quadrature(model: Flow, runs: Runs) -> list[float]:
    """KL(data || model) of each frozen flow, nats: the midpoint rule where the data have mass."""
    points = _quadrature_points()
    x = torch.stack([points[data] for data, _ in runs.names])
    log_p = runs.log_prob(x)
    log_q = torch.cat([model.log_prob(part) for part in x.split(CHUNK, dim=1)], dim=1)
    p = log_p.exp()
    return ((p * (log_p - log_q)).sum(dim=1) / p.sum(dim=1)).tolist()


def _quadrature_points() -> dict[str, Float64[Tensor, "count 2"]]:
    """For each data set the points of a lattice at which its density is largest.

    They are as many for each, so that all flows are judged as one batch.
    """
    first = torch.arange(-2, 3, SPACING, dtype=torch.float64)
    lattice = torch.cartesian_prod(first, first)
    order, counts = {}, []
    for data, density in DENSITIES.items():
        masses, order[data] = (density.log_prob(lattice).exp() * SPACING**2).sort(descending=True)
        counts.append(int((masses.cumsum(0) < MASS).sum()) + 1)
    return {data: lattice[places[: max(counts)]] for data, places in order.items()}


def _return_checked(model: Flow, runs: Runs) -> list[Row]:
    """The round trip of each frozen CNF at the tighter tolerance."""
    common: Row = {"tolerance": CHECKED_TOLERANCE}
    x = runs.sample(RETURNED, runs.generators("return")).double()
    try:
        errors = round_trip_errors(model, x)
    except SolverFailure as failure:
        return _rows(runs, "round_trip", {}, {**common, "status": failure.status})
    return _rows(runs, "round_trip", {"reconstruction_error": errors}, common)


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
