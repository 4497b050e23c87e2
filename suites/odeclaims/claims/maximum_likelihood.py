"""Planar flow against continuous normalizing flow by maximum likelihood (Chen et al., Fig. 5).

A flow from a narrow normal distribution to two circles and to two moons is fitted to fresh samples.
Both densities are known, so that what a model lacks is known too: its mean negative log-likelihood
less the entropy of the data, which is KL(data || model), in nats. The CNF has 64 hidden units, the
planar flow 64 layers; beside the comparison with equal iterations stand one with equal time and one
with equal parameters. All data sets and repetitions of an arm train as one batch.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from neural_ode import SolverFailure
from neural_ode.flows import CNF, Circles, Moons, PlanarField, PlanarFlow, StandardNormal
from neural_ode.flows.fitting import Record, fit
from odeclaims.claim import (
    Bounds,
    Cell,
    Claim,
    Column,
    Criterion,
    Evidence,
    Profile,
    Row,
)
from odeclaims.flows import GRID, Flow, centres, evaluations, mean, picture, picture_rows, progress
from odeclaims.report.style import COLOURS, MARKERS, drawing_width, in_column, label_panels
from odeclaims.report.tables import number
from odeclaims.validity import RECONSTRUCTION_LIMIT, relative_error

SLUG = "maximum_likelihood"
# The circles are the released example's. The moons' noise is not published; with 0.07 they are
# about as sharp as the circles, so that a nat weighs about the same on either.
DATA = {"circles": Circles(noise=0.06, factor=0.5), "moons": Moons(noise=0.07)}
UNITS, HIDDEN = 64, 32
# Of the released example: the variance of the base, the end time, and the solver's tolerance.
BASE_VARIANCE, END, TOLERANCE = 0.1, 10.0, 1e-5
# Its iterations: with fewer the comparison may not speak.
LEAST_ITERATIONS = 1000
# Those of FFJORD for such data.
FULL_ITERATIONS = 10_000
# An iteration of the CNF takes as long as some ten of the planar flow in the first thousand. In ten
# thousand it is some sixteen, though compiled: its solves take more steps to a sharper density.
EVEN_TIME, EVEN_TIME_LATE = 10, 16
LEARNING_RATE = 1e-3
# No solve of a healthy flow comes near so many steps.
STEP_LIMIT = 1000
RECORDS = 40
TIMEOUT_S = 6 * 3600.0
# Points that are judged at a time, and that are taken to the base and back.
CHUNK, RETURNED = 1000, 500
# Shares of the integration time in the paper's figure.
SHARES = (0.05, 0.2, 0.4, 0.6, 0.8, 1.0)
# How far above the entropy the likelihood is drawn, nats.
ABOVE_FLOOR = 1.6
# What is drawn, a square each: left, right, lower and upper edge.
WINDOWS = {"circles": (-1.5, 1.5, -1.5, 1.5), "moons": (-1.25, 2.25, -1.5, 2.0)}
GAP_LIMIT, MARGIN, RETURN_LIMIT, ERRORS, LEAST_SEEDS = 0.15, 0.1, 1e-3, 3.0, 3

LEDGER = [
    Evidence(
        "paper",
        "the CNF's way from noise to data is smooth; the NF's is not, and it has difficulty fitting"
        " two moons (pictures, no numbers)",
        "Chen et al. 2018, sec. 4.2 and Fig. 5",
        "two circles, two moons; 64 hidden units against 64 layers of one unit",
    ),
    Evidence(
        "authors' code",
        "circles of noise 0.06 and factor 0.5, 512 fresh samples an iteration, base N(0, 0.1 I),"
        " T = 10, Adam 1e-3, 1000 iterations, dopri5 at 1e-5; 15,904 parameters",
        "torchdiffeq, examples/cnf.py",
        "a mean over the units; no planar flow, no moons",
    ),
    Evidence(
        "follow-up",
        "10,000 iterations of 100 samples for toy data of this kind",
        "Grathwohl et al., FFJORD, 2019, and its train_toy.py",
        "concatsquash network, base N(0, I), T = 0.5 trained, Adam 1e-3",
    ),
    Evidence(
        "derived",
        "entropy of the data: circles 0.788, moons of noise 0.07 0.639 nats",
        "the project's fact sheet",
        "the least mean negative log-likelihood that any model can have",
    ),
]

DEVIATIONS = [
    "The paper states neither the data's noise nor any budget. Circles, base, end time, optimiser"
    " and tolerance are the released example's; the moons' noise is 0.07, about as sharp.",
    "Budgets stand in the columns iterations and batch_size; the example has 1000 and 512.",
    "The gradient is that of the solver's own steps (Backprop), where the example takes the"
    " adjoint: a fifth faster here.",
    "All repetitions and both data sets of an arm are solved as one state, whose steps are small"
    " enough for each (the largest of their error norms).",
    "The planar flow leads from the data to the base, starts near the identity, and has the CNF's"
    f" base, optimiser and rate; nf_long is the same with {EVEN_TIME} to {EVEN_TIME_LATE} times the"
    " iterations, about the CNF's time (column train_s). The paper states none of it.",
    "cnf_constant, whose weights do not depend on time, has exactly the planar flow's number of"
    " parameters; it is the paper's sum over units, and its end time is 1.",
    "The gap is the mean of log p(data) - log q(data) over fresh samples of the data: the mean"
    " negative log-likelihood less the entropy, but with less noise.",
]

COLUMNS = {
    "kind": Column(
        "result (a fitted model), training (a stretch of it), density (a line of a picture) or"
        " sample (a point of one); the last two for the first repetition alone"
    ),
    "arm": Column(
        "cnf (weights from a hypernetwork), cnf_constant (weights constant in time), nf (planar"
        f" flow, as many iterations), nf_long (planar flow, {EVEN_TIME} times the iterations, or"
        f" {EVEN_TIME_LATE} times in a long training) or data (the densities themselves)"
    ),
    "repetitions": Column("repetitions of each data set that train as one batch"),
    "iterations": Column("iterations of Adam"),
    "batch_size": Column("fresh samples of the data in an iteration, for each model"),
    "compiled": Column("whether the solver's steps went through torch.compile in training"),
    "evaluation_points": Column("fresh samples on which a fitted model is judged"),
    "drawn_points": Column("points of a picture of samples"),
    "data": Column("circles (noise 0.06, factor 0.5) or moons (noise 0.07)"),
    "floor": Column("entropy of the data, nats"),
    "nll": Column(
        "mean negative log-likelihood, nats; result: on the evaluation points; training: on the"
        " batches since the row before, at iteration 0 on evaluation points"
    ),
    "nll_se": Column("its standard error over the evaluation points, nats"),
    "gap": Column("mean of log p(data) - log q over the evaluation points, nats"),
    "gap_se": Column("its standard error, nats"),
    "parameters": Column("parameters of one model"),
    "tolerance": Column("cnf, cnf_constant: rtol and atol of every solve"),
    "training_nfe": Column(
        "cnf, cnf_constant: forward evaluations of a solve in training; result: mean over the rows"
        " of training, training: the last one"
    ),
    "nfe_forward": Column(
        "cnf, cnf_constant: field evaluations of a solve in the evaluation, mean, float64"
    ),
    "reconstruction_error": Column(
        f"relative L2 distance between {RETURNED} samples of the data and where they come back to"
        " from the base, float64, same tolerance"
    ),
    "iteration": Column("training: iterations so far"),
    "train_s": Column("seconds of training of the whole cell so far", varies=True),
    "share": Column("density and sample: share of the integration time; 1 for what has none"),
    "line": Column(f"density: the line of the picture, from 0 below; {GRID} of them"),
    "densities": Column(
        f"density: {GRID} densities from left to right, cell centres, in thousandths; circles:"
        " -1.5 to 1.5 by -1.5 to 1.5, moons: -1.25 to 2.25 by -1.5 to 2"
    ),
    "x": Column("sample: first coordinate"),
    "y": Column("sample: second coordinate"),
}

# --- what is run ---------------------------------------------------------------------------------


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each arm, the most expensive first, and one for the data."""
    iterations = profile.pick(smoke=6, quick=LEAST_ITERATIONS, paper=FULL_ITERATIONS)
    even_time = profile.pick(smoke=EVEN_TIME, quick=EVEN_TIME, paper=EVEN_TIME_LATE)
    common: dict[str, Any] = {
        "repetitions": len(profile.repetitions(smoke=1, quick=3, hour=3, paper=5)),
        "batch_size": profile.pick(smoke=32, quick=64, hour=256, paper=512),
        "evaluation_points": profile.pick(smoke=1000, quick=5000, hour=20_000, paper=50_000),
        "drawn_points": profile.pick(smoke=50, quick=400, paper=400),
    }
    # Compiling takes most of a minute.
    compiled = profile.pick(smoke=False, quick=False, paper=True)
    for arm in ("cnf", "nf_long", "cnf_constant", "nf"):
        steps = even_time * iterations if arm == "nf_long" else iterations
        own = {"arm": arm, "iterations": steps, "compiled": compiled and arm.startswith("cnf")}
        yield Cell(SLUG, {**own, **common}, timeout_s=TIMEOUT_S)
    yield Cell(SLUG, {"arm": "data", "drawn_points": common["drawn_points"]})


def measure(cell: Cell) -> list[Row]:
    """Train the models of an arm and judge them, or show the data."""
    return _show_data(cell) if cell.params["arm"] == "data" else _train(cell)


@dataclass(frozen=True)
class Runs:
    """The models of a cell that train as one batch: for each data set every repetition."""

    repetitions: int

    @property
    def names(self) -> list[tuple[str, int]]:
        """The data set and the repetition of each."""
        return [(name, repetition) for name in DATA for repetition in range(self.repetitions)]

    def seeds(self, use: str) -> list[int]:
        """One for each model, the same for every arm, but another for another use."""
        return [Cell(SLUG, {"data": data, "use": use}, i).seed for data, i in self.names]

    def generators(self, use: str) -> list[torch.Generator]:
        """A new one for each model."""
        return [torch.Generator().manual_seed(seed) for seed in self.seeds(use)]

    def sample(
        self, count: int, generators: Sequence[torch.Generator]
    ) -> Float[Tensor, "runs count 2"]:
        """Fresh samples of each model's data."""
        drawn = zip(self.names, generators, strict=True)
        return torch.stack([DATA[data].sample(count, own) for (data, _), own in drawn])

    def log_prob(self, x: Float64[Tensor, "runs count 2"]) -> Float64[Tensor, "runs count"]:
        """The log-density of each model's data at its points, nats."""
        pairs = zip(self.names, x, strict=True)
        return torch.stack([DATA[data].log_prob(own) for (data, _), own in pairs])

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


def _model(arm: str, generators: Sequence[torch.Generator], *, compiled: bool = False) -> Flow:
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
        rtol=TOLERANCE,
        atol=TOLERANCE,
        max_num_steps=STEP_LIMIT,
        compile=compiled,
    )


def _frozen(arm: str, model: Flow, chosen: Sequence[int]) -> Flow:
    """Some of the models, in float64."""
    part = _model(arm, [torch.Generator() for _ in chosen]).double()
    part.load_state_dict({name: value[list(chosen)] for name, value in model.state_dict().items()})
    return part.requires_grad_(False)


def _train(cell: Cell) -> list[Row]:
    """Train the models of an arm, judge them, and picture the first repetition of each data set."""
    params = cell.params
    arm, iterations = params["arm"], params["iterations"]
    runs = Runs(params["repetitions"])
    generators = runs.generators("training")
    model = _model(arm, generators, compiled=params["compiled"])
    everyone = range(len(runs.names))
    solver: Row = {"tolerance": TOLERANCE} if isinstance(model, CNF) else {}

    def loss(step: int) -> Float[Tensor, " runs"]:
        nll = -model.log_prob(runs.sample(params["batch_size"], generators)).mean(dim=1)
        cell.tell(progress(step, iterations, nll, model))
        return nll

    try:
        untrained = _judge(_frozen(arm, model, everyone), runs, CHUNK)
        records = fit(
            model,
            loss,
            steps=iterations,
            optimiser=torch.optim.Adam(model.parameters(), lr=LEARNING_RATE),
            generators=generators,
            record_every=max(1, iterations // RECORDS),
            observe=partial(evaluations, model),
            checkpoint=cell.checkpoint,
        )
        frozen = _frozen(arm, model, everyone)
        judged = _judge(frozen, runs, params["evaluation_points"])
        common: Row = {
            **solver,
            "parameters": sum(p.numel() for p in model.parameters()) // len(runs.names),
            "train_s": records[-1].seconds,
            "training_nfe": mean([record.observed for record in records]),
        }
        rows = runs.rows("result", judged, common)
        if arm in ("cnf", "nf_long"):
            firsts = [i for i, (_, repetition) in enumerate(runs.names) if repetition == 0]
            rows += _pictures(_frozen(arm, model, firsts), params["drawn_points"])
    except SolverFailure as failure:
        return runs.rows("result", {}, {**solver, "status": failure.status})
    start = runs.rows("training", {"nll": untrained["nll"]}, {"iteration": 0})
    return rows + start + _course(records, runs)


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


# --- what is looked at ---------------------------------------------------------------------------


def _judge(model: Flow, runs: Runs, points: int) -> dict[str, list[float]]:
    """The likelihood of each frozen model on fresh samples, what it lacks, and its round trip."""
    generators = runs.generators("test")
    floors = [DATA[data].entropy for data, _ in runs.names]
    likelihoods, lacks, spent = [], [], []
    for _ in range(points // CHUNK):
        x = runs.sample(CHUNK, generators).double()
        log_q = model.log_prob(x)
        likelihoods.append(-log_q)
        lacks.append(runs.log_prob(x) - log_q)
        spent.append(evaluations(model))
    found: dict[str, list[float]] = {"floor": floors}
    for name, parts in (("nll", likelihoods), ("gap", lacks)):
        whole = torch.cat(parts, dim=1)
        found[name] = whole.mean(dim=1).tolist()
        found[f"{name}_se"] = (whole.std(dim=1) / math.sqrt(whole.shape[1])).tolist()
    if isinstance(model, CNF):
        found["nfe_forward"] = [sum(spent) / len(spent)] * len(floors)
    x = runs.sample(RETURNED, generators).double()
    pairs = zip(x, _returned(model, x), strict=True)
    found["reconstruction_error"] = [relative_error(after, before) for before, after in pairs]
    return found


def _returned(model: Flow, x: Float64[Tensor, "runs count 2"]) -> Float64[Tensor, "runs count 2"]:
    """Where points of the data come back to from the base."""
    if isinstance(model, CNF):
        return model.transport(model.transport(x, [model.end, 0.0])[-1], [0.0, model.end])[-1]
    return model.inverse(model(x)[0])


def _lines(log_prob: Float64[Tensor, " places"], data: str, share: float) -> list[Row]:
    """A density as rows of one line of the picture each."""
    where: Row = {"data": data, "repetition": 0, "share": share}
    return [{**where, **row} for row in picture_rows(log_prob)]


def _points(samples: Tensor, data: str, share: float) -> list[Row]:
    """Samples as rows of one point each."""
    where: Row = {"kind": "sample", "data": data, "repetition": 0, "share": share}
    return [{**where, "x": round(x, 3), "y": round(y, 3)} for x, y in samples.tolist()]


def _drawing(data: str) -> torch.Generator:
    return torch.Generator().manual_seed(Cell(SLUG, {"data": data, "use": "drawing"}).seed)


def _pictures(model: Flow, points: int) -> list[Row]:
    """Densities and samples of one model a data set; of a CNF all along its way from the base.

    The samples of a CNF come from a solve against the direction of the one that gives a density.
    """
    places = torch.stack([centres(*WINDOWS[data]) for data in DATA])
    z = model.draw_base(points, [_drawing(data) for data in DATA])
    if isinstance(model, CNF):
        densities = [model.log_prob(places, share * model.end) for share in SHARES]
        samples = model.transport(z, [0.0, *(share * model.end for share in SHARES)])[1:]
        found = list(zip(SHARES, densities, samples, strict=True))
    else:
        found = [(1.0, model.log_prob(places), model.inverse(z))]
    rows: list[Row] = []
    for share, log_prob, samples in found:
        for i, data in enumerate(DATA):
            rows += _lines(log_prob[i], data, share) + _points(samples[i], data, share)
    return rows


def _show_data(cell: Cell) -> list[Row]:
    """The densities themselves, and samples of them."""
    rows: list[Row] = []
    for data, density in DATA.items():
        rows += _lines(density.log_prob(centres(*WINDOWS[data])), data, 1.0)
        rows += _points(density.sample(cell.params["drawn_points"], _drawing(data)), data, 1.0)
    return rows


# --- how it is judged ----------------------------------------------------------------------------


def _results(df: pd.DataFrame, arm: str | None = None) -> pd.DataFrame:
    """The fitted models that could be judged, of one arm or of all."""
    rows = df[(df["kind"] == "result") & (df["status"] == "ok")]
    return rows if arm is None else rows[rows["arm"] == arm]


def _gaps(df: pd.DataFrame, arm: str, data: str) -> pd.Series:
    """What the models of an arm lack on a data set, by repetition."""
    rows = _results(df, arm)
    return rows[rows["data"] == data].set_index("repetition")["gap"].sort_index()


def _lead(df: pd.DataFrame, cnf: str, nf: str, data: str) -> list[float]:
    """By how much the planar flow's gap is the larger one, for each repetition."""
    return [float(v) for v in (_gaps(df, nf, data) - _gaps(df, cnf, data)).dropna()]


def _lacking(*arms: str) -> Callable[[pd.DataFrame], str]:
    """What is missing before these arms may be judged: models, iterations, data, inverses."""

    def lacking(df: pd.DataFrame) -> str:
        for arm in arms:
            tried = df[(df["kind"] == "result") & (df["arm"] == arm)]
            rows = _results(df, arm)
            if len(rows) < max(1, len(tried)):
                return f"{len(rows)} of {len(tried)} models of {arm} could be judged"
            least = LEAST_ITERATIONS * (EVEN_TIME if arm == "nf_long" else 1)
            if (spent := int(rows["iterations"].min())) < least:
                return f"{arm} had {spent} of at least {least} iterations"
            bad = int((rows["reconstruction_error"] >= RECONSTRUCTION_LIMIT).sum())
            if bad:
                return f"{bad} of {len(rows)} models of {arm} cannot be taken back"
        return ""

    return lacking


def _near_floor(data: str) -> Criterion:
    return Criterion(
        f"CNF's gap to the entropy of the {data}, nats",
        lambda df: [float(v) for v in _gaps(df, "cnf", data)],
        Bounds(at_most=GAP_LIMIT),
        "no model can be below zero; with 0.15 nat the density is off by a seventh on average,"
        " which a picture does not show",
        least_seeds=LEAST_SEEDS,
        lacking=_lacking("cnf"),
    )


def _behind(
    name: str,
    cnf: str,
    nf: str,
    data: str,
    because: str,
    *,
    partly: Bounds | None = None,
    decides: bool = True,
) -> Criterion:
    return Criterion(
        f"{name}: gap(NF) - gap(CNF) on the {data}, nats",
        lambda df: _lead(df, cnf, nf, data),
        Bounds(at_least=MARGIN),
        because,
        partly=partly,
        least_seeds=LEAST_SEEDS,
        lacking=_lacking(cnf, nf),
        decides=decides,
    )


CRITERIA = [
    _near_floor("circles"),
    _near_floor("moons"),
    _behind(
        "equal iterations",
        "cnf",
        "nf",
        "moons",
        "the NF has difficulty fitting the moons: a tenth of a nat is what a picture may show",
    ),
    _behind(
        "about equal time",
        "cnf",
        "nf_long",
        "moons",
        "whether the NF's difficulty is the model's or that of its short training; if it is there"
        " with equal iterations alone the claim holds in part, so that this can take no more from"
        " it",
        partly=Bounds(),
    ),
    Criterion(
        "CNF, largest round trip error from the data to the base and back",
        lambda df: [float(v) for v in _results(df, "cnf")["reconstruction_error"]],
        Bounds(at_most=RETURN_LIMIT),
        "sampling is the density's solve taken backward: a hundred times the tolerance is what some"
        " hundred steps may lose",
        statistic="max",
    ),
    Criterion(
        "smallest gap in units of its standard error",
        lambda df: [float(v) for v in _results(df)["gap"] / _results(df)["gap_se"]],
        Bounds(at_least=-ERRORS),
        "no density is better than the data's own: one that is, by more than sampling explains, is"
        " a bug",
        statistic="min",
    ),
    _behind(
        "equal parameters, equal iterations (CNF with constant weights)",
        "cnf_constant",
        "nf",
        "moons",
        "the hypernetwork has 50 times the planar flow's parameters",
        decides=False,
    ),
    _behind(
        "equal iterations",
        "cnf",
        "nf",
        "circles",
        "the paper says nothing of a difficulty with the circles",
        decides=False,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, what training still gained, and what cannot be taken back."""
    results = _results(df)
    found = []
    for arm, rows in results.groupby("arm", sort=False):
        gain = _late_gain(df[(df["kind"] == "training") & (df["arm"] == arm)])
        found.append(
            f"{NAMES[str(arm)]}: {rows['iterations'].max():g} iterations of"
            f" {rows['batch_size'].max():g} samples; over their last quarter the mean training loss"
            f" fell by {number(gain, 2)} nat."
        )
    spent = _results(df, "cnf")["iterations"].min()
    if spent < FULL_ITERATIONS:
        found.append(
            f"The CNF had {spent:g} of the {FULL_ITERATIONS} iterations that FFJORD takes for such"
            " data: a gap that is too large may be that of a short training."
        )
    bad = results[results["reconstruction_error"] >= RECONSTRUCTION_LIMIT]
    if len(bad):
        found.append(f"{len(bad)} of {len(results)} models cannot be taken back to their start.")
    return found


def _late_gain(training: pd.DataFrame) -> float:
    """The mean loss of the tenth before the last quarter less that of the last tenth, nats."""
    done = training["iteration"] / training["iteration"].max()
    before = training[(done > 0.65) & (done <= 0.75)]["nll"].mean()
    return float(before - training[done > 0.9]["nll"].mean())


# --- how it is shown -----------------------------------------------------------------------------

NAMES = {
    "cnf": "CNF",
    "cnf_constant": "CNF, constant weights",
    "nf": "NF, equal iterations",
    "nf_long": "NF, equal time",
}
LOOKS = {arm: (COLOURS[i], MARKERS[i]) for i, arm in enumerate(NAMES)}
SHOWN = [*(("cnf", share) for share in SHARES), ("nf_long", 1.0), ("data", 1.0)]
# A heading of its own stands above the first, the seventh and the eighth.
TITLES = [*(f"{share:.0%}" for share in SHARES), "equal time", ""]
HEADINGS = {0: "(a) CNF, share of the integration time", 6: "(b) NF", 7: "(c) data"}


def figure(df: pd.DataFrame) -> Figure:
    """The paper's densities and samples; below, the likelihood over training and the gaps."""
    heights = (5.2, 3.7) if in_column() else (3.65, 2.25)
    fig = Figure(figsize=(drawing_width(), sum(heights)))
    parts: Any = fig.subfigures(2, 1, height_ratios=heights)
    above, below = parts
    (_down if in_column() else _across)(above, df)
    axes = below.subplot_mosaic("de;ff" if in_column() else "def")
    for letter, data in zip("de", DATA, strict=True):
        _over_training(axes[letter], df, data)
        axes[letter].set_title(data)
    axes["d"].set_ylabel("negative log-likelihood, nats")
    _at_the_end(axes["f"], df)
    axes["f"].set_title("gap to the entropy")
    label_panels(axes.values(), "def")
    ncols = 2 if in_column() else 5
    below.legend(handles=_legend(), loc="outside lower center", ncols=ncols)
    return fig


def _across(fig: Any, df: pd.DataFrame) -> None:
    """The pictures of the ways from left to right."""
    grid = fig.subplots(2 * len(DATA), len(SHOWN), squeeze=False)
    for i, data in enumerate(DATA):
        density, samples = grid[2 * i : 2 * i + 2]
        _show_way((density, samples), df, data)
        density[0].set_ylabel(f"{data}\ndensity", fontsize=7)
        samples[0].set_ylabel("samples", fontsize=7)
    for ax, title in zip(grid[0], TITLES, strict=True):
        # The empty line is the heading's, which is longer than its panel is wide.
        ax.set_title(f"\n{title}", fontsize=7.5)
    for first, heading in HEADINGS.items():
        text = grid[0][first].annotate(
            heading, (0, 1.28), xycoords="axes fraction", fontsize=8.5, fontweight="bold"
        )
        text.set_in_layout(False)


def _down(fig: Any, df: pd.DataFrame) -> None:
    """The same pictures from top to bottom, for a column."""
    grid = fig.subplots(len(SHOWN), 2 * len(DATA), squeeze=False)
    for i, data in enumerate(DATA):
        _show_way(grid[:, 2 * i : 2 * i + 2].T, df, data)
        for ax, name in zip(grid[0, 2 * i :], ("density", "samples"), strict=False):
            ax.set_title(f"{data}\n{name}", fontsize=7)
    for place, (ax, title) in enumerate(zip(grid[:, 0], TITLES, strict=True)):
        letter, _, heading = HEADINGS.get(place, "").partition(" ")
        name = "\n".join(part for part in (heading.partition(",")[0], title) if part)
        look: dict[str, Any] = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 7}
        ax.set_ylabel(f"{letter} {name}".lstrip(), **look)


def _legend() -> list[Line2D]:
    arms = [
        Line2D([], [], color=LOOKS[arm][0], marker=LOOKS[arm][1], label=name)
        for arm, name in NAMES.items()
    ]
    return [*arms, Line2D([], [], color="0.3", linestyle="--", label="entropy of the data")]


def _show_way(rows: Any, df: pd.DataFrame, data: str) -> None:
    """A line of densities and one of samples: along the CNF's way, of the NF and of the data.

    The densities share a scale; what is above the data's largest is drawn like it.
    """
    left, right, lower, upper = WINDOWS[data]
    of_data = df[df["data"] == data]
    largest = float(_stored(of_data, "data", 1.0).max())
    for density_ax, sample_ax, (arm, share) in zip(*rows, SHOWN, strict=True):
        density_ax.imshow(
            _stored(of_data, arm, share).numpy(),
            origin="lower",
            extent=(left, right, lower, upper),
            vmin=0,
            vmax=max(largest, 1.0),
            cmap="viridis",
        )
        points = _picked(of_data, "sample", arm, share)
        sample_ax.plot(points["x"], points["y"], ".", markersize=1, color="0.15", rasterized=True)
        for ax in (density_ax, sample_ax):
            ax.set(xticks=[], yticks=[], xlim=(left, right), ylim=(lower, upper), aspect="equal")
            ax.grid(False)
            ax.spines[:].set_visible(True)
            ax.spines[:].set(linewidth=0.4, color="0.6")


def _picked(df: pd.DataFrame, kind: str, arm: str, share: float) -> pd.DataFrame:
    return df[(df["kind"] == kind) & (df["arm"] == arm) & (df["share"] == share)]


def _stored(df: pd.DataFrame, arm: str, share: float) -> Float64[Tensor, "y x"]:
    """A picture out of its rows; zeros where the model failed."""
    return picture(_picked(df, "density", arm, share))


def _over_training(ax: Axes, df: pd.DataFrame, data: str) -> None:
    """Medians over the repetitions, and all of them between the edges of a band; near the floor."""
    rows = df[(df["kind"] == "training") & (df["data"] == data) & (df["iteration"] > 0)]
    for arm in NAMES:
        found = rows[rows["arm"] == arm].groupby("iteration")["nll"].agg(["median", "min", "max"])
        colour, marker = LOOKS[arm]
        ax.plot(found.index, found["median"], color=colour, marker=marker, markevery=(0.05, 0.2))
        ax.fill_between(found.index, found["min"], found["max"], color=colour, alpha=0.2, lw=0)
    results = _results(df)
    floor = results[results["data"] == data]["floor"].iloc[0]
    ax.axhline(floor, color="0.3", linestyle="--", lw=1)
    ax.set_xscale("log")
    # What comes before, in the first iterations, would flatten all the rest.
    ax.set(xlabel="iteration", ylim=(floor - 0.15, floor + ABOVE_FLOOR))


def _at_the_end(ax: Axes, df: pd.DataFrame) -> None:
    """The gap of each model, and the largest at which the claim holds for the CNF."""
    results = _results(df)
    for i, arm in enumerate(NAMES):
        colour, marker = LOOKS[arm]
        for j, data in enumerate(DATA):
            gaps = results[(results["arm"] == arm) & (results["data"] == data)]["gap"]
            ax.plot([j + 0.18 * (i - 1.5)] * len(gaps), gaps, marker, color=colour, markersize=3.5)
    ax.axhline(GAP_LIMIT, color="0.3", linestyle=":", lw=1)
    ax.annotate("limit for the CNF", (-0.45, GAP_LIMIT), va="bottom", fontsize=6.5)
    ax.set_xticks(range(len(DATA)), list(DATA))
    ax.set(xlim=(-0.5, len(DATA) - 0.5), ylabel="KL(data || model), nats")
    ax.set_yscale("log")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each arm and data set: what the models have and spend, and how near they come."""
    results = _results(df)
    start = df[(df["kind"] == "training") & (df["iteration"] == 0)]
    rows = []
    for data in DATA:
        for arm, name in NAMES.items():
            group = results[(results["arm"] == arm) & (results["data"] == data)]
            if not len(group):
                continue
            first = group.iloc[0]
            untrained = start[(start["arm"] == arm) & (start["data"] == data)]["nll"]
            rows.append(
                {
                    "data": data,
                    "model": name,
                    "parameters": f"{first['parameters']:g}",
                    "iterations": f"{first['iterations']:g}",
                    "seconds": f"{first['train_s']:.0f}",
                    "NFE in training": number(group["training_nfe"].median()),
                    "NLL untrained": number(untrained.median()),
                    "NLL": number(group["nll"].median()),
                    "entropy": number(first["floor"]),
                    "gap": number(group["gap"].median()),
                    "least": number(group["gap"].min()),
                    "largest": number(group["gap"].max()),
                    "standard error": number(group["gap_se"].median(), 2),
                    "round trip, largest": number(group["reconstruction_error"].max(), 2),
                }
            )
    return pd.DataFrame(rows)


CLAIM = Claim(
    slug=SLUG,
    title="Continuous against planar normalizing flow, by maximum likelihood",
    statement="A continuous normalizing flow of 64 hidden units fits two circles and two moons by"
    " maximum likelihood, can be sampled by solving backward, and fits the moons better than a"
    " planar flow of 64 layers.",
    source="Chen et al. 2018, sec. 4.2 and Fig. 5",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    table=table,
    caveats=caveats,
)
