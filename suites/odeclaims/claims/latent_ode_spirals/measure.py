"""Train the models of all seeds as one batch, and let them go on from fresh windows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from neural_ode import SolverFailure
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.latent_ode_spirals.nets import (
    LATENT_DIM,
    LatentOde,
    Predictor,
    make,
    parameters,
)
from odeclaims.claims.latent_ode_spirals.settings import (
    ARMS,
    BEYOND,
    CHECKED,
    COUNTS,
    DRAWN,
    LAST_SEEN,
    NOISE,
    PARTS,
    SLUG,
    TRAINED,
    WINDOW,
)
from odeclaims.claims.latent_ode_spirals.spirals import Windows, draw_windows, look_up, stack

# At the first update.
LEARNING_RATE = 1e-2
# The models of quick and hour, and those of smoke, which have all kinds of layers and inputs.
QUICK = ("latent_ode", "rnn", "rnn_dt", "lookup")
SMOKE = ("latent_ode", "rnn", "gru_dt", "lookup")
# That of the released example, and none.
OTHER_NOISES = (0.3, 0.0)
# The deviation of the likelihood is that of the noise, and where there is none, this one.
LEAST_DEVIATION = 0.1
# Of a window that is drawn: every so many of its points are kept, and those that are observed.
KEPT_EVERY = 2

Predictions = Float[Tensor, "seeds series points 2"]


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each model, number of observed points, noise and updates, with all seeds.

    Every model is trained a second time with half of the updates, to see what the length changes.
    """
    size = {
        "repetitions": len(profile.repetitions(smoke=2, quick=10, paper=10)),
        "series": profile.pick(smoke=20, quick=1000, paper=1000),
        # The released example has all series in every update.
        "batch": profile.pick(smoke=10, quick=100, hour=100, paper=1000),
        "test_series": profile.pick(smoke=6, quick=500, paper=500),
    }
    # Batches are cheap, so that there are more of them.
    updates = profile.pick(smoke=2 * PARTS, quick=3000, hour=5000, paper=2000)
    arms = profile.pick(smoke=SMOKE, quick=QUICK, hour=QUICK, paper=ARMS)
    counts = profile.pick(smoke=COUNTS[:1], quick=COUNTS[:1], paper=COUNTS)
    others = profile.pick(smoke=(), quick=(), hour=(), paper=COUNTS)
    sets = [(points, NOISE) for points in counts]
    sets += [(points, noise) for noise in OTHER_NOISES for points in others]
    for points, noise in sorted(sets, reverse=True):
        for arm, share in product(arms, (1, 2)):
            if arm != "lookup" or share == 1:
                params = {"arm": arm, "points": points, "noise": noise, **size}
                params |= {"updates": updates // share}
                yield Cell(SLUG, params, paired=("arm", "updates"))


def seeds_of(cell: Cell) -> list[Cell]:
    """A cell for each seed, the same for every arm."""
    return [replace(cell, repetition=i) for i in range(cell.params["repetitions"])]


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train the models of all seeds, then compare what they predict with the curves."""
    generators = [each.generator() for each in seeds_of(cell)]
    training, test = (_draw(cell, name, generators) for name in ("series", "test_series"))
    if cell.params["arm"] == "lookup":
        return _rows(cell, test, look_up(test), {})
    # Data and batches are the same for all arms, whatever they draw for their weights.
    orders = [torch.Generator().manual_seed(each.seed % 2**62 + 1) for each in seeds_of(cell)]
    model = make(cell.params["arm"], max(cell.params["noise"], LEAST_DEVIATION), generators)
    columns: dict[str, list[float]] = {}
    common: Row = {"kind": "result", "parameters": parameters(model)}
    try:
        losses = _train(model, training, orders, cell, context)
        columns |= {"loss": losses[-1].tolist(), "late_gain": late_gain(losses).tolist()}
        if isinstance(model, LatentOde):
            common["training_nfe"] = model.evaluations / cell.params["updates"]
        return [*_loss_rows(cell, losses), *_look(model, test, cell, columns, common)]
    except SolverFailure as failure:
        return rows_of(cell, columns, {**common, "status": failure.status})


def _draw(cell: Cell, name: str, generators: Sequence[torch.Generator]) -> Windows:
    """The windows of all seeds; ``name`` is the parameter with their number."""
    count, points, noise = (cell.params[key] for key in (name, "points", "noise"))
    return stack([draw_windows(count, points, noise, each) for each in generators])


def rows_of(cell: Cell, columns: dict[str, list[float]], common: Row) -> list[Row]:
    """A row for each seed, from one value of each column for each."""
    return [
        {
            "repetition": each.repetition,
            "seed": each.seed,
            **{name: values[each.repetition] for name, values in columns.items()},
            **common,
        }
        for each in seeds_of(cell)
    ]


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of the observed points of all seeds.

    Attributes:
        x: the observed points.
        places: where in their windows they are.
        generators: what orders the series of each seed.
        size: series in a batch; all of them are taken in one order before the next one is drawn.
    """

    x: Float[Tensor, "seeds series count 2"]
    places: Int64[Tensor, "seeds series count"]
    generators: Sequence[torch.Generator]
    size: int

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Without end: points, places, and standard normal numbers for the posterior."""
        seeds, series = self.places.shape[:2]
        line = torch.arange(seeds)[:, None]
        while True:
            order = torch.stack([torch.randperm(series, generator=g) for g in self.generators])
            for chosen in order.split(self.size, dim=1):
                shape = (chosen.shape[1], LATENT_DIM)
                draw = torch.stack([torch.randn(shape, generator=g) for g in self.generators])
                yield self.x[line, chosen], self.places[line, chosen], draw


def _train(
    model: LatentOde | Predictor,
    training: Windows,
    orders: Sequence[torch.Generator],
    cell: Cell,
    context: Context,
) -> Float[Tensor, "parts seeds"]:
    """Train in place by Adam at a falling rate; the mean loss of each part of the training."""
    updates = cell.params["updates"]
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: fall(done / updates))
    batches = Batches(training.observed, training.places, orders, cell.params["batch"])
    kept = []
    for update, (x, places, draw) in zip(range(updates), batches, strict=False):
        losses = model.losses(x, places, draw, TRAINED)
        optimiser.zero_grad()
        # The seeds share no parameter, so that each is trained by its own loss.
        losses.sum().backward()
        optimiser.step()
        falling.step()
        kept.append(losses.detach())
        context.tell(f"update {update + 1} of {updates}, mean loss {float(kept[-1].mean()):.4g}")
    return torch.stack([part.mean(dim=0) for part in torch.stack(kept).tensor_split(PARTS)])


def fall(share: float) -> float:
    """By what factor the rate has fallen after this share of the updates: a cosine, squared."""
    return ((1 + math.cos(math.pi * share)) / 2) ** 2


def late_gain(losses: Float[Tensor, "parts seeds"]) -> Float[Tensor, " seeds"]:
    """By what share of itself the mean loss falls from the last part but one to the last."""
    return 1 - losses[-1] / losses[-2]


def _loss_rows(cell: Cell, losses: Float[Tensor, "parts seeds"]) -> list[Row]:
    rows = []
    for i, each in enumerate(losses):
        rows += rows_of(cell, {"loss": each.tolist()}, {"kind": "loss", "part": i + 1})
    return rows


@torch.no_grad()
def _look(
    model: LatentOde | Predictor,
    test: Windows,
    cell: Cell,
    columns: dict[str, list[float]],
    common: Row,
) -> list[Row]:
    """Rows of what trained models predict, in float64 and by a tight solve."""
    x, places = test.observed, test.places
    if isinstance(model, Predictor):
        model = model.double()
        predicted = model.predict(x.double(), places, CHECKED)
        return _rows(cell, test.double(), predicted, columns, common)
    as_trained = model.predict(x, places, TRAINED)
    model = model.double()
    latent = model.trajectories(x.double(), places, CHECKED)
    predicted = model.decoder(latent)
    apart = rms((as_trained - predicted)[..., WINDOW:, :])
    columns = {**columns, "solver_difference": apart.tolist()}
    return _rows(cell, test.double(), predicted, columns, common, principal(latent[0, :DRAWN]))


def rms(x: Float[Tensor, "seeds *rest"]) -> Float[Tensor, " seeds"]:
    """The root mean square of the entries of each seed."""
    return x.flatten(1).square().mean(dim=1).sqrt()


def principal(
    z: Float[Tensor, "series points latent"],
) -> Float[Tensor, "series points 2"]:
    """The two principal components of latent states."""
    flat = z.flatten(0, 1)
    centred = flat - flat.mean(dim=0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    return (centred @ axes[:2].mT).view(*z.shape[:2], 2)


def _rows(
    cell: Cell,
    test: Windows,
    predicted: Predictions,
    columns: dict[str, list[float]],
    common: Row | None = None,
    latent: Float[Tensor, "drawn points 2"] | None = None,
) -> list[Row]:
    """Rows of errors, and of the points of a few windows of the first seed.

    Args:
        cell: what is measured.
        test: windows with the points beyond them.
        predicted: the points beyond them, or those and the windows.
        columns: more columns of the rows of errors, with a value for each seed.
        common: more columns with one value.
        latent: the latent states of the windows that are drawn.
    """
    said = {"kind": "result", **(common or {})}
    rows = rows_of(cell, {**columns, **errors(test, predicted[..., -BEYOND:, :])}, said)
    if (cell.params["points"], cell.params["noise"]) == (COUNTS[0], NOISE):
        rows += _point_rows(cell, test, predicted, latent)
    return rows


def errors(test: Windows, predicted: Predictions) -> dict[str, list[float]]:
    """Root mean squared errors of a coordinate beyond the windows, for each seed.

    Against the curve: of all points, of either curve, of what some window of the training may hold
    and of what none does, and the median of those of single windows. Against noisy points: of all.
    """
    truth, noisy = (each[..., WINDOW:, :] for each in (test.truth, test.noisy))
    squares = (predicted - truth).square().mean(dim=-1)
    everywhere = test.counter[..., None].expand(squares.shape)
    on_curve = test.starts[..., None] + WINDOW + torch.arange(BEYOND)
    seen = on_curve <= LAST_SEEN
    return {
        "rmse": rms(predicted - truth).tolist(),
        "rmse_noisy": rms(predicted - noisy).tolist(),
        "rmse_clockwise": _among(squares, ~everywhere),
        "rmse_counter": _among(squares, everywhere),
        "rmse_seen": _among(squares, seen),
        "rmse_unseen": _among(squares, ~seen),
        "rmse_median": squares.mean(dim=-1).sqrt().median(dim=-1).values.tolist(),
    }


def _among(
    squares: Float[Tensor, "seeds series points"], chosen: Bool[Tensor, "seeds series points"]
) -> list[float]:
    """The root of the mean of each seed's squares that are chosen."""
    return ((squares * chosen).sum(dim=(1, 2)) / chosen.sum(dim=(1, 2))).sqrt().tolist()


def _point_rows(
    cell: Cell,
    test: Windows,
    predicted: Predictions,
    latent: Float[Tensor, "drawn points 2"] | None,
) -> list[Row]:
    """Rows of the curve, the observed points, the prediction and the latent state."""
    first, missing = seeds_of(cell)[0], WINDOW + BEYOND - predicted.shape[-2]
    rows = []
    for window in range(min(DRAWN, test.places.shape[1])):
        observed = set(test.places[0, window].tolist())
        for place in sorted({*range(0, WINDOW + BEYOND, KEPT_EVERY), *observed}):
            row: Row = {"kind": "point", "repetition": 0, "seed": first.seed}
            row |= {"window": window, "place": place, "curve": int(test.counter[0, window])}
            row |= _pair("true", test.truth[0, window, place])
            if place in observed:
                row |= _pair("observed", test.noisy[0, window, place])
            if place >= missing:
                row |= _pair("predicted", predicted[0, window, place - missing])
            if latent is not None:
                row |= _pair("latent", latent[window, place])
            rows.append(row)
    return rows


def _pair(name: str, point: Float[Tensor, " two"]) -> Row:
    return {f"{name}_{axis}": float(value) for axis, value in zip("xy", point, strict=True)}
