"""The figure and the table, from the rows alone."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.latent_ode_spirals.judge import (
    PUBLISHED,
    half_results,
    measured_sets,
    results,
    whole,
)
from odeclaims.claims.latent_ode_spirals.settings import ARMS, COUNTS, NOISE, WINDOW
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels, plain_numbers

LOOKS = {
    arm: (COLOURS[colour], MARKERS[i])
    for i, (arm, colour) in enumerate(zip(ARMS, (0, 9, 1, 2, 4, 7), strict=True))
}
NAMES = {
    "latent_ode": "latent ODE",
    "latent_ode_2": "latent ODE, two layers",
    "rnn": "RNN",
    "rnn_dt": "RNN with times",
    "gru_dt": "GRU with times",
    "lookup": "lookup, knows both curves",
}
# The models whose windows are drawn.
SHOWN = ("latent_ode", "rnn", "rnn_dt")


def figure(df: pd.DataFrame) -> Figure:
    """What models predict beyond a window, their errors, latent states and losses.

    (a) to (c) Test windows of one seed, a clockwise one on the left and a counter-clockwise one on
    the right: 30 observed points (black), the curve (grey) and the 100 points that are predicted
    beyond them (coloured). A latent ODE also gives the window itself (dashed). (d) Error of a
    coordinate on those 100 points, against the curve: one mark a seed, and published values
    (hollow). (e) Latent states of the four windows that are kept, two principal components:
    clockwise solid, counter-clockwise dashed; dots at the starts. (f) Mean loss in each tenth of
    the training, over that in the last: medians of the seeds.
    """
    df = whole(df)
    fig, axes = panels(2, 3, height=2.35)
    *windows, error, latent, loss = axes.flat
    for ax, arm in zip(windows, SHOWN, strict=True):
        _draw_windows(ax, df, arm)
    _draw_errors(error, df)
    _draw_latent(latent, df)
    _draw_losses(loss, df)
    label_panels(axes.flat)
    handles = [
        *marks.arms(LOOKS, {arm: NAMES[arm] for arm in _present(df)}),
        marks.handle("observed", color="black", marker=".", linestyle=""),
        marks.handle("curve", color="0.7", linewidth=2.2),
        marks.dashed("window, by the latent ODE"),
        marks.hollow("published"),
    ]
    add_legend(fig, handles, ncols=4)
    return fig


def _present(df: pd.DataFrame) -> list[str]:
    """The models that were measured."""
    found = set(df["arm"])
    return [arm for arm in ARMS if arm in found]


def _draw_windows(ax: Axes, df: pd.DataFrame, arm: str) -> None:
    """The first window of either curve."""
    rows = ok(df, kind="point", arm=arm)
    colour = LOOKS[arm][0]
    for window in sorted(rows["window"].unique())[:2]:
        each = of(rows, window=window).sort_values("place")
        ax.plot(each["true_x"], each["true_y"], color="0.7", linewidth=2.2)
        inside, beyond = each[each["place"] < WINDOW], each[each["place"] >= WINDOW]
        ax.plot(inside["predicted_x"], inside["predicted_y"], "--", color=colour, linewidth=0.9)
        ax.plot(beyond["predicted_x"], beyond["predicted_y"], color=colour)
        ax.plot(each["observed_x"], each["observed_y"], ".", color="black", ms=1.6)
    ax.set(title=NAMES[arm], xlabel="first coordinate", ylabel="second coordinate")
    ax.set_aspect("equal", adjustable="datalim")


def _draw_errors(ax: Axes, df: pd.DataFrame) -> None:
    """A mark for each seed, model and number of observed points."""
    arms = _present(df)
    for i, points in enumerate(COUNTS):
        for k, arm in enumerate(arms):
            values = results(df, arm, points)["rmse"]
            at = marks.abreast(i, k, len(arms), 0.8)
            marks.per_seed(ax, at, values, LOOKS[arm], width=0.5 / len(arms))
            if arm in PUBLISHED:
                look = {"color": LOOKS[arm][0], "marker": "o", "mfc": "white", "ms": 5}
                ax.plot(at, PUBLISHED[arm][points], linestyle="", **look)
    ax.set_xticks(range(len(COUNTS)), [str(each) for each in COUNTS])
    ax.set(title="Errors beyond", xlabel="observed points of 100", yscale="log")
    ax.set(xlim=(-0.5, len(COUNTS) - 0.5), ylabel="root mean squared error")
    _number(ax)


def _number(ax: Axes) -> None:
    """Numbers at a logarithmic axis, which without any line has no range to number."""
    if ax.lines:
        plain_numbers(ax.yaxis)


def _draw_latent(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, kind="point", arm="latent_ode")
    for _, each in rows.groupby("window"):
        each = each.sort_values("place")
        dash = "--" if each["curve"].iloc[0] else "-"
        ax.plot(each["latent_x"], each["latent_y"], dash, color=LOOKS["latent_ode"][0])
        ax.plot(*each[["latent_x", "latent_y"]].iloc[0], "o", color=LOOKS["latent_ode"][0], ms=3.5)
    ax.set(title="Latent states", xlabel="first component", ylabel="second component")


def _draw_losses(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, kind="loss", points=COUNTS[0], noise=NOISE)
    for arm in _present(df):
        middle = of(rows, arm=arm).groupby("part")["loss"].median()
        if len(middle):
            colour, marker = LOOKS[arm]
            ax.plot(middle.index, middle / middle.iloc[-1], color=colour, marker=marker, ms=3)
    ax.set(title="Training", xlabel="tenth of the training", yscale="log")
    ax.set_xticks(range(2, 11, 2))
    ax.set(ylabel="loss over the last tenth's")
    _number(ax)


def table(df: pd.DataFrame) -> pd.DataFrame:
    """A line for each model and set of windows; medians over the seeds."""
    lines = []
    for points, noise in measured_sets(df):
        for arm in ARMS:
            rows = results(df, arm, points, noise)
            if rows.empty:
                continue
            middle = rows.median(numeric_only=True)
            lines.append(
                {
                    "points": points,
                    "noise": f"{noise:g}",
                    "model": NAMES[arm],
                    "seeds": len(rows),
                    "parameters": _whole(middle, "parameters"),
                    "RMSE": _cell(middle, "rmse", 3),
                    "least": number(rows["rmse"].min(), 3),
                    "largest": number(rows["rmse"].max(), 3),
                    "published": _published(arm, points),
                    "noisy targets": _cell(middle, "rmse_noisy", 3),
                    "seen": _cell(middle, "rmse_seen", 3),
                    "unseen": _cell(middle, "rmse_unseen", 3),
                    "RMSE, half the updates": _half_error(df, arm, points, noise),
                    "late gain, %": _cell(100 * middle, "late_gain", 2),
                    "training NFE": _cell(middle, "training_nfe", 3),
                }
            )
    return pd.DataFrame(lines)


def _cell(middle: pd.Series, name: str, digits: int) -> str:
    """A number of the table; empty where there is none."""
    return number(float(middle[name]), digits) if pd.notna(middle.get(name)) else ""


def _whole(middle: pd.Series, name: str) -> str:
    return f"{middle[name]:.0f}" if pd.notna(middle.get(name)) else ""


def _half_error(df: pd.DataFrame, arm: str, points: int, noise: float) -> str:
    """The error after half of the updates; the lookup has no training."""
    rows = half_results(df, arm, points, noise)
    return number(rows["rmse"].median(), 3) if arm != "lookup" and len(rows) else ""


def _published(arm: str, points: int) -> str:
    return f"{PUBLISHED[arm][points]:.4f}" if arm in PUBLISHED else ""
