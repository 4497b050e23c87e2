"""How the rows are judged."""

import math
from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.latent_ode_spirals.settings import ARMS, COUNTS, LATENT, NOISE
from odeclaims.kits import needs
from odeclaims.kits.quantities import log_ratios
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.rules import Better, Bounds
from odeclaims.statement import Check, Need, Size, Statement

# Published root mean squared errors, by the number of observed points.
PUBLISHED = {
    "rnn": dict(zip(COUNTS, (0.3937, 0.3202, 0.1813), strict=True)),
    "latent_ode": dict(zip(COUNTS, (0.1642, 0.1502, 0.1346), strict=True)),
}
# What a ratio of one run each may be off by.
FACTOR = 1.5
# Among three central statements over seeds, six seeds decide nothing and eight do.
LEAST_SEEDS = 8
# A training that gains more than this share of its loss in its last tenth has not come to its end.
MOST_GAIN = 0.01
# A tenth of the noise.
MOST_DIFFERENCE = 0.01
SERIES, UPDATES = 1000, 2000


def whole(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of whole trainings, without those of half the updates."""
    return df[df["updates"] == df["updates"].max()]


def _half(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of trainings of half the updates, and those of the lookup, which has no training."""
    return df[(df["updates"] < df["updates"].max()) | (df["arm"] == "lookup")]


def results(df: pd.DataFrame, arm: str, points: int, noise: float = NOISE) -> pd.DataFrame:
    """The errors of the seeds of a model after the whole training."""
    return ok(whole(df), kind="result", arm=arm, points=points, noise=noise)


def half_results(df: pd.DataFrame, arm: str, points: int, noise: float = NOISE) -> pd.DataFrame:
    """The errors of the seeds of a model after a training of half the updates."""
    return ok(_half(df), kind="result", arm=arm, points=points, noise=noise)


def _ratios(df: pd.DataFrame, other: str, points: int) -> np.ndarray:
    """For each seed, the log of the error of the latent ODE over that of another model."""
    return log_ratios(results(df, "latent_ode", points), results(df, other, points), "rmse")


def _seeds_of_sets(df: pd.DataFrame) -> list[float]:
    """For each set of windows, how many seeds the models have."""
    rows = of(df, kind="result")
    return list(rows.groupby(["points", "noise", "repetition"])["seed"].nunique())


def _solver_differences(df: pd.DataFrame) -> list[float]:
    """What the solver of the training changes, of each latent ODE."""
    return list(ok(df, kind="result", arm=list(LATENT))["solver_difference"])


CHECKS = [
    Check(
        "same_windows",
        "All models of a repetition learn from and are tested on one set of windows",
        _seeds_of_sets,
        Bounds(1, 1),
        "only the model may differ",
    ),
    Check(
        "solver_is_accurate",
        "The predictions of a latent ODE are those of a tighter solve",
        _solver_differences,
        Bounds(at_most=MOST_DIFFERENCE),
        "the root mean square of what the solver of the training changes may be a tenth of the"
        " noise; more, and the training was one of the solver's steps",
    ),
]


def _measured(points: int, df: pd.DataFrame) -> str:
    """There are windows with so many observed points."""
    return "" if len(of(df, kind="result", points=points)) else f"no rows with {points} points"


def _has_ended(arm: str, points: int, df: pd.DataFrame) -> str:
    """The training of a model has come to its end, by the median of its seeds."""
    if arm == "lookup":
        return ""
    what = f"the share of the loss that {arm} gains in its last tenth (median)"
    among = partial(results, arm=arm, points=points)
    return needs.floor("late_gain", MOST_GAIN, what, among)(df)


def _keeps_its_sign(other: str, points: int, df: pd.DataFrame) -> str:
    """Half of the updates lead to the same side of a ratio of 1."""
    latent, theirs = (half_results(df, arm, points) for arm in ("latent_ode", other))
    before = log_ratios(latent, theirs, "rmse")
    if not len(before):
        return "no trainings of half the updates"
    half, full = before.mean(), _ratios(df, other, points).mean()
    if half * full > 0:
        return ""
    return (
        f"the mean log ratio is {number(half, 2)} after half of the updates and"
        f" {number(full, 2)} after all, and one sign is needed"
    )


def _both_have_ended(other: str, points: int) -> tuple[Need, ...]:
    return tuple(partial(_has_ended, arm, points) for arm in ("latent_ode", other))


def _enough(other: str, points: int) -> tuple[Need, ...]:
    """Windows with so many observed points, and enough seeds of both models."""
    found = [
        needs.seeds(LEAST_SEEDS, partial(results, arm=arm, points=points))
        for arm in ("latent_ode", other)
    ]
    return partial(_measured, points), *found


def _better(other: str, what: str, because: str, points: int, *, central: bool) -> Statement:
    return Statement(
        f"beats_{other}_{points}",
        f"From {points} of 100 points a latent ODE extrapolates better than {what}",
        partial(_ratios, other=other, points=points),
        Better(Bounds(at_most=0)),
        f"{because}; mean log ratio of the errors of paired seeds, against the curve, on the 100"
        " points beyond, both trained to their end; a mean of the other sign after half of the"
        " updates would say that the training decides, and not the model",
        needs=(
            *_enough(other, points),
            *_both_have_ended(other, points),
            partial(_keeps_its_sign, other, points),
        ),
        central=central,
        rests_on=("same_windows", "solver_is_accurate"),
    )


def _beats_rnn(points: int) -> Statement:
    ratio = PUBLISHED["latent_ode"][points] / PUBLISHED["rnn"][points]
    because = f"published errors have the ratio {ratio:.3f}, of one run each"
    return _better("rnn", "an RNN that sees no times", because, points, central=True)


def _beats_rnn_dt(points: int) -> Statement:
    because = "the paper trained such a net too, and does not say which one its table has"
    what = "an RNN that sees the time to the next point"
    return _better("rnn_dt", what, because, points, central=False)


def _has_ratio(points: int) -> Statement:
    ratio = PUBLISHED["latent_ode"][points] / PUBLISHED["rnn"][points]
    middle, off = math.log(ratio), math.log(FACTOR)
    return Statement(
        f"ratio_{points}",
        f"From {points} of 100 points the error of a latent ODE is {ratio:.3f} of an RNN's, within"
        f" a factor of {FACTOR:g}",
        partial(_ratios, other="rnn", points=points),
        Better(Bounds(middle - off, middle + off)),
        "published errors are of one run each on data that are not published, so that a factor of"
        f" {FACTOR:g} is left: {ratio / FACTOR:.3f} to {ratio * FACTOR:.3f}, here as natural"
        " logarithms; mean log ratio of the errors of paired seeds, both trained to their end",
        needs=(*_enough("rnn", points), *_both_have_ended("rnn", points)),
        rests_on=("same_windows", "solver_is_accurate"),
    )


STATEMENTS = [
    *(_beats_rnn(points) for points in COUNTS),
    *(_beats_rnn_dt(points) for points in COUNTS),
    *(_has_ratio(points) for points in COUNTS),
    _better(
        "lookup",
        "a lookup that knows both curves",
        "all series are windows of two curves, so that who knows them has to find direction and"
        " start alone; what is left above the lookup is to be learnt",
        COUNTS[0],
        central=False,
    ),
]


def _share_of_published(df: pd.DataFrame) -> float:
    """Series seen in training, and numbers of observed points; more counts as published."""
    rows = of(df, kind="result", noise=NOISE)
    seen = (rows["updates"] * rows["batch"]).max() / (UPDATES * SERIES)
    return float(min(1.0, seen) * rows["points"].nunique() / len(COUNTS))


SIZE = Size(
    "2,000 updates of all 1,000 spirals x 3 numbers of observed points", _share_of_published
)


def measured_sets(df: pd.DataFrame) -> list[tuple[int, float]]:
    """The numbers of observed points and the noise of what was measured, in order."""
    found = of(df, kind="result")[["points", "noise"]].drop_duplicates()
    return sorted((int(points), float(noise)) for points, noise in found.to_numpy())


def caveats(df: pd.DataFrame) -> list[str]:
    """What was not measured, which trainings still gain, and where the errors come from."""
    counts = {points for points, noise in measured_sets(df) if noise == NOISE}
    missing = [str(each) for each in COUNTS if each not in counts]
    sentences = []
    if missing:
        sentences.append(
            f"Windows with {' or '.join(missing)} observed points were not measured, so that"
            f" {len(missing)} of 3 central statements cannot be judged."
        )
    least = min(counts, default=COUNTS[0])
    return [
        *sentences,
        *_caveats_on_training(df),
        *_caveats_on_length(df),
        *_caveats_on_pairs(df, least),
        *_caveats_on_errors(df, least),
    ]


def _caveats_on_pairs(df: pd.DataFrame, points: int) -> list[str]:
    """In how many seeds the latent ODE has the smaller error, judged or not."""
    pairs = []
    for arm in ARMS:
        if arm in LATENT or results(df, arm, points).empty:
            continue
        ratios = _ratios(df, arm, points)
        if len(ratios):
            found = number(math.exp(np.median(ratios)), 2)
            pairs.append(f"{arm} in {(ratios < 0).sum()} of {len(ratios)} (median ratio {found})")
    if not pairs:
        return []
    beaten = ", ".join(pairs)
    return [f"From {points} points, the error of latent_ode is smaller than that of {beaten}."]


def _caveats_on_training(df: pd.DataFrame) -> list[str]:
    """Which models still gain when their training ends."""
    sentences = []
    for points, noise in measured_sets(df):
        gains = {
            arm: rows["late_gain"].median()
            for arm in ARMS
            if arm != "lookup" and len(rows := results(df, arm, points, noise))
        }
        late = [f"{arm} {number(100 * g, 2)}%" for arm, g in gains.items() if g > MOST_GAIN]
        if late:
            sentences.append(
                f"With {points} points and noise of {noise:g}, trainings still gain in their last"
                f" tenth (median share of the loss): {', '.join(late)}."
            )
    return sentences


def _caveats_on_length(df: pd.DataFrame) -> list[str]:
    """How the errors change with the length of the training."""
    sentences = []
    for points, noise in measured_sets(df):
        changes = []
        for arm in ARMS:
            rows = [each(df, arm, points, noise) for each in (half_results, results)]
            if arm != "lookup" and all(map(len, rows)):
                before, after = (number(each["rmse"].median(), 3) for each in rows)
                changes.append(f"{arm} {before} and {after}")
        if changes:
            sentences.append(
                f"With {points} points and noise of {noise:g}, median errors after half of the"
                f" updates and after all: {', '.join(changes)}."
            )
    return sentences


def _caveats_on_errors(df: pd.DataFrame, points: int) -> list[str]:
    """Errors where the curve was seen in training and where not, and on either curve."""
    seen, curves = [], []
    for arm in ARMS:
        rows = results(df, arm, points)
        if rows.empty:
            continue
        middle = rows.median(numeric_only=True)
        seen.append(
            f"{arm} {number(middle['rmse_seen'], 2)} and {number(middle['rmse_unseen'], 2)}"
        )
        curves.append(
            f"{arm} {number(middle['rmse_clockwise'], 2)} and {number(middle['rmse_counter'], 2)}"
        )
    if not seen:
        return []
    return [
        f"From {points} points, median errors where some window of the training may reach and"
        f" where none does: {', '.join(seen)}.",
        f"From {points} points, median errors on the clockwise and on the counter-clockwise curve:"
        f" {', '.join(curves)}.",
    ]
