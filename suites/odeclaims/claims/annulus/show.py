"""The figure, the animation and the table, from the rows alone."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims.annulus.judge import CHECKED, NAMES
from odeclaims.claims.annulus.settings import FLOOR, SPACES
from odeclaims.kits import marks
from odeclaims.kits.constants import INNER_RADIUS, OUTER_RADII
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, add_legend, in_column, label_panels, panels

LOOKS = {
    "node": (COLOURS[0], "o"),
    "anode": (COLOURS[1], "s"),
    "resnet": (COLOURS[3], "D"),
    "resnet_relu": (COLOURS[5], "v"),
}
BALL, SHELL, BETWEEN = COLOURS[2], COLOURS[4], "0.6"
# Shares below this are drawn at it.
LEAST_PERCENT = 1e-4
THRESHOLD: dict[str, Any] = {"color": "0.15", "linewidth": 0.9, "linestyle": "--"}


def figure(df: pd.DataFrame) -> Figure:
    """Features over training, flows, losses and costs over training, and what each seed shows."""
    fig, axes = panels(5, 4, height=2.1, narrow="abcd;efgh;ijk;lmn;opq;rst")
    node, anode = of(df, kind="path", arm="node", dim=2), of(df, kind="path", arm="anode", dim=2)
    axes[1] = [_in_space(fig, ax) for ax in axes[1]]
    for row, arm, ends in ((axes[0], "node", node), (axes[1], "anode", anode)):
        tiles = _over_training(of(df, kind="features", arm=arm), _at(ends, 1))
        draw = _features if arm == "node" else _lifted_features
        for ax, (title, points) in zip(row, tiles, strict=True):
            draw(ax, points, f"{NAMES[arm]}, {title}")
    _inputs(axes[2, 0], node, "NODE, input")
    _flow(axes[2, 1], node, "NODE, flow")
    axes[2, 2] = _in_space(fig, axes[2, 2])
    _lifted_flow(axes[2, 2], anode, "ANODE, flow")
    _on_the_line(axes[2, 3], of(df, kind="path", arm="node", dim=1))
    _losses(axes[3, 0], df, 2)
    _losses(axes[3, 1], df, 1)
    _per_epoch(axes[3, 2], df, "training_nfe", "NFE a batch")
    _per_epoch(axes[3, 3], df, "cpu_s", "CPU s an epoch")
    _accuracies(axes[4, 0], df)
    _bridges(axes[4, 1], df)
    for ax, dim in zip(axes[4, 2:], SPACES, strict=True):
        _margins(ax, df, dim)
    if in_column():
        _thin_out(axes[:2].flat)
        axes[2, 1].locator_params(axis="x", nbins=2, integer=True)
        # The name of the axis stands beside the panel on the left.
        for ax in (axes[2, 1], axes[3, 1], axes[4, 0]):
            ax.set_ylabel("")
    label_panels(axes.flat, "abcdefghijklmnopqrst")
    add_legend(fig, _legend(), ncols=4)
    return fig


def animation(df: pd.DataFrame) -> FuncAnimation:
    """The flows of NODE, in its plane, and of ANODE, lifted out of it, from the input on."""
    # The layout is that of every frame, or the axes would tremble.
    fig = Figure(figsize=(6, 3))
    fig.set_layout_engine("none")
    plane = fig.add_axes((0.08, 0.14, 0.4, 0.76))
    space: Any = fig.add_axes((0.52, 0.08, 0.44, 0.82), projection="3d")
    flows: list[tuple[Any, pd.DataFrame, list[str]]] = [
        (plane, of(df, kind="path", arm="node", dim=2), ["x", "y"]),
        (space, of(df, kind="path", arm="anode", dim=2), ["x", "y", "lift"]),
    ]
    times = sorted(flows[0][1]["t"].unique())
    for ax, paths, coordinates in flows:
        _scatter(ax, paths[paths["t"] == times[0]], coordinates)
        limits = [(paths[c].min() - 0.1, paths[c].max() + 0.1) for c in coordinates]
        ax.set(xlim=limits[0], ylim=limits[1])
        if len(coordinates) == 3:
            ax.set_zlim(limits[2])
            _label_space(ax)
        else:
            ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    shown = -1

    def draw(k: int) -> None:
        nonlocal shown
        # A frame that stands is left as it is, and so is not rendered again.
        if k == shown:
            return
        shown = k
        for (ax, paths, coordinates), title in zip(flows, ("NODE", "ANODE"), strict=True):
            _move(ax, paths[paths["t"] == times[k]], coordinates)
            ax.set_title(f"{title}, t = {times[k]:.2f}")

    # The start and the end stand for a while.
    frames = [0] * 3 + list(range(len(times))) + [len(times) - 1] * 8
    return FuncAnimation(fig, draw, frames)


def _at(paths: pd.DataFrame, t: float) -> pd.DataFrame:
    """The points at a time, ring by ring."""
    return paths[paths["t"] == t].sort_values("point")


def _region(radius: float) -> str:
    """The colour of the region that a start lies in; a radius is rounded to six digits."""
    if radius <= INNER_RADIUS + 1e-6:
        return BALL
    return SHELL if radius >= OUTER_RADII[0] - 1e-6 else BETWEEN


def _in_space(fig: Figure, ax: Axes) -> Any:
    """Axes with three dimensions in the place of these."""
    place: Any = ax.get_subplotspec()
    ax.remove()
    return fig.add_subplot(place, projection="3d")


def _label_space(ax: Any) -> None:
    ax.set_xlabel("$x_1$", labelpad=-12)
    ax.set_ylabel("$x_2$", labelpad=-12)
    ax.text2D(0.78, 0.88, "lift", transform=ax.transAxes, fontsize=7)
    ax.tick_params(pad=-4, labelsize=5.5 if in_column() else 5)
    ax.locator_params(nbins=4)
    ax.set_box_aspect(None, zoom=1.15)
    ax.view_init(elev=18, azim=-60)


def _scatter(ax: Any, points: pd.DataFrame, coordinates: list[str]) -> None:
    """Every ring as a closed line with its points."""
    for colour, line in _rings(points, coordinates):
        ax.plot(*line, "-", color=colour, linewidth=0.8)
        ax.plot(*line, ".", color=colour, markersize=3)


def _move(ax: Any, points: pd.DataFrame, coordinates: list[str]) -> None:
    """Move what ``_scatter`` drew to where the points are now."""
    for i, (_, line) in enumerate(_rings(points, coordinates)):
        for artist in ax.lines[2 * i : 2 * i + 2]:
            if len(line) == 3:
                artist.set_data_3d(*line)
            else:
                artist.set_data(*line)


def _rings(points: pd.DataFrame, coordinates: list[str]) -> list[tuple[str, list[pd.Series]]]:
    """The colour of every ring, and the coordinates of its points, the first again at the end."""
    rings = []
    for radius, ring in points.sort_values("point").groupby("radius"):
        closed = pd.concat([ring, ring.iloc[:1]])
        rings.append((_region(float(str(radius))), [closed[c] for c in coordinates]))
    return rings


def _inputs(ax: Axes, paths: pd.DataFrame, title: str) -> None:
    """The starts, with a cross on each that ends on the wrong side."""
    _scatter(ax, _at(paths, 0), ["x", "y"])
    ends = _at(paths, 1)
    outside = (ends["radius"] > INNER_RADIUS + 1e-6).to_numpy()
    wrong = _at(paths, 0)[(ends["output"] > 0).to_numpy() != outside]
    ax.plot(wrong["x"], wrong["y"], "x", color="0.15", markersize=3.5)
    ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$", aspect="equal")


def _flow(ax: Axes, paths: pd.DataFrame, title: str) -> None:
    for _, path in paths.sort_values("t").groupby("point"):
        ax.plot(path["x"], path["y"], "-", color=_region(path["radius"].iloc[0]), linewidth=0.4)
    ends = _at(paths, 1)
    ax.scatter(ends["x"], ends["y"], s=3, c=[_region(r) for r in ends["radius"]], zorder=3)
    ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$")


def _features(ax: Axes, ends: pd.DataFrame, title: str) -> None:
    """The ends, and the line where the head's output is 0."""
    _scatter(ax, ends, ["x", "y"])
    if len(ends):
        limits = ax.get_xlim(), ax.get_ylim()
        (a, b), c = _threshold(ends, ["x", "y"])
        # A point of the line, and the line through it in both directions.
        foot, along = -c * np.array([a, b]) / (a * a + b * b), np.array([b, -a])
        ax.axline(foot, foot + along, **THRESHOLD)
        ax.set(xlim=limits[0], ylim=limits[1])
    ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$")


def _over_training(watched: pd.DataFrame, last: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Four tiles: a title each and the ends of the points, the last one after all of training."""
    epochs = sorted(watched["epoch"].unique())[:3]
    tiles = [(f"{e:g} epochs", watched[watched["epoch"] == e]) for e in epochs]
    tiles += [("not trained", watched[:0])] * (3 - len(tiles))
    return [*tiles, ("end", last)]


def _thin_out(axes: Iterable[Any]) -> None:
    """Leave out numbers and names of the axes, for which a tile in a column has no room."""
    for ax in axes:
        ax.set(xlabel="", ylabel="", xticklabels=[], yticklabels=[])
        if hasattr(ax, "set_zticklabels"):
            ax.set_zticklabels([])


def _threshold(ends: pd.DataFrame, coordinates: list[str]) -> tuple[np.ndarray, float]:
    """Weights and bias of the head, which is linear in these coordinates, from its outputs."""
    known = np.column_stack([ends[coordinates], np.ones(len(ends))])
    solution = np.linalg.lstsq(known, ends["output"], rcond=None)[0]
    return solution[:-1], float(solution[-1])


def _lifted_flow(ax: Any, paths: pd.DataFrame, title: str) -> None:
    for _, path in paths.sort_values("t").groupby("point"):
        colour = _region(path["radius"].iloc[0])
        ax.plot(path["x"], path["y"], path["lift"], "-", color=colour, linewidth=0.4)
    _label_space(ax)
    ax.set_title(title)


def _lifted_features(ax: Any, ends: pd.DataFrame, title: str) -> None:
    """The ends, and the plane where the head's output is 0, as far as it is near them."""
    _scatter(ax, ends, ["x", "y", "lift"])
    if len(ends):
        (a, b, c), d = _threshold(ends, ["x", "y", "lift"])
        sides = (np.linspace(ends[k].min(), ends[k].max(), 30) for k in ("x", "y"))
        x, y = np.meshgrid(*sides)
        height = -(a * x + b * y + d) / c
        low, high = ends["lift"].min(), ends["lift"].max()
        far = abs(height - (low + high) / 2) > high - low
        ax.plot_surface(x, y, np.where(far, np.nan, height), color="0.5", alpha=0.3, linewidth=0)
    _label_space(ax)
    ax.set_title(title)


def _on_the_line(ax: Axes, paths: pd.DataFrame) -> None:
    for _, path in paths.sort_values("t").groupby("point"):
        ax.plot(path["t"], path["x"], "-", color=_region(path["radius"].iloc[0]), linewidth=0.8)
    ax.set(title="NODE, d = 1", xlabel="t", ylabel="x(t)")


def _losses(ax: Axes, df: pd.DataFrame, dim: int) -> None:
    marks.losses(ax, of(df, kind="training", dim=dim), LOOKS, linewidth=1)
    if dim == 1:
        marks.limit(ax, FLOOR / 2)
    ax.set(title=f"Loss, d = {dim}", yscale="log")


def _groups(
    ax: Axes, groups: dict[str, Callable[..., pd.DataFrame]], column: str, arms: list[str]
) -> None:
    """Every seed of every arm, in groups side by side; hollow where it fails the check."""
    for i, rows_of in enumerate(groups.values()):
        for k, arm in enumerate(arms):
            rows, x = rows_of(arm=arm), marks.abreast(i, k, len(arms), 0.8)
            hollow = marks.irreversible(rows)
            marks.per_seed(ax, x, rows[column], LOOKS[arm], hollow=hollow)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set_xlim(-0.5, len(groups) - 0.5)


def _as_checked(df: pd.DataFrame, arm: str, dim: int) -> pd.DataFrame:
    """The results of an arm, those of a flow as trained and solved at the checked tolerances."""
    which = CHECKED if arm in ("node", "anode") else {"kind": "result"}
    return ok(df, arm=arm, dim=dim, **which)


def _accuracies(ax: Axes, df: pd.DataFrame) -> None:
    """Every seed's share of the dense grid that is right."""
    groups = {
        f"{line}d = {dim}": partial(_as_checked, df, dim=dim) for dim, line in ((1, ""), (2, "\n"))
    }
    _groups(ax, groups, "dense_accuracy", list(NAMES))
    marks.limit(ax, 1)
    ax.set(title="Grid right", ylabel="share")


def _bridges(ax: Axes, df: pd.DataFrame) -> None:
    """How much of the circle around the disc is wrong, and how much has to be."""
    shares = {"wrong": "bridge_share", "\nforced": "forced_share"}

    def percent(arm: str, column: str) -> pd.DataFrame:
        rows = _as_checked(df, arm, 2)
        return rows.assign(percent=(100 * rows[column]).clip(lower=LEAST_PERCENT))

    groups = {label: partial(percent, column=column) for label, column in shares.items()}
    _groups(ax, groups, "percent", ["node", "anode", "resnet"])
    ax.set(title="Bridge", ylabel="% of |x| = 1, d = 2", yscale="log")
    ax.set(ylim=(LEAST_PERCENT / 2, 100))
    ticks = [LEAST_PERCENT, 1e-3, 1e-2, 0.1, 1, 10, 100]
    ax.set_yticks(ticks, [f"≤{ticks[0]:g}", *(f"{tick:g}" for tick in ticks[1:])])
    ax.minorticks_off()


def _margins(ax: Axes, df: pd.DataFrame, dim: int) -> None:
    """The least margins that each way of looking finds."""

    def rows_of(arm: str, way: str) -> pd.DataFrame:
        rows = ok(df, kind="result", arm=arm, dim=dim, role="checked")
        return rows.assign(value=rows[f"{way}_margin"]).dropna(subset="value")

    # One label a line lower, or they would meet.
    ways = {"random": "sampled", "\ndescent": "searched", "traced": "traced"}
    groups = {label: partial(rows_of, way=way) for label, way in ways.items()}
    _groups(ax, groups, "value", ["node", "anode"])
    marks.limit(ax, 0)
    ax.set(title=f"d = {dim}", ylim=(-1.6, 1.2))
    if in_column():
        ax.tick_params(axis="x", labelsize=5.5)
    if dim == SPACES[0]:
        ax.set_ylabel("least margin")


def _per_epoch(ax: Axes, df: pd.DataFrame, column: str, what: str) -> None:
    """What an epoch costs as training goes on: each seed, and their median."""
    for arm in ("node", "anode"):
        rows = ok(df, kind="training", arm=arm, dim=2, training="checked")
        colour = LOOKS[arm][0]
        marks.seed_lines(ax, rows, "epoch", column, color=colour)
        marks.median_line(ax, rows, "epoch", column, color=colour, linewidth=1.6)
    ax.set(title="Cost, d = 2", xlabel="epoch", ylabel=what, ylim=(0, None))


def _legend() -> list[Line2D]:
    return [
        *marks.arms(LOOKS, NAMES),
        marks.handle("disc, target -1", color=BALL, marker="."),
        marks.handle("ring, target 1", color=SHELL, marker="."),
        marks.handle("ends on the wrong side", color="0.15", marker="x", linestyle=""),
        marks.handle("head's threshold", **THRESHOLD),
        marks.dashed("trained at 1e-3"),
        marks.dotted("floor of a flow, 1, or 0"),
        marks.thin(),
        marks.hollow(),
    ]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each model as trained and as looked at: medians over the seeds, and the worst."""
    rows = []
    results = ok(df, kind="result")
    keys = ["dim", "arm", "training_tolerance", "tolerance"]
    for _, group in results.groupby(keys, dropna=False):
        first = group.iloc[0]
        flow = bool(pd.notna(first["tolerance"]))
        rows.append(
            {
                "d": f"{first['dim']:g}",
                "model": NAMES[first["arm"]],
                "trained at": f"{first['training_tolerance']:.0e}" if flow else "",
                "solved at": f"{first['tolerance']:.0e}" if flow else "",
                "training accuracy": number(group["training_accuracy"].median(), 4),
                "dense accuracy": number(group["dense_accuracy"].median(), 4),
                "least": number(group["dense_accuracy"].min(), 4),
                "MSE": number(group["mse"].median()),
                "winding numbers": _several(group["winding_number"]),
                "wrong on the unit sphere": number(group["bridge_share"].median()),
                "least margin": number(group["margin"].median()),
                "forced by topology": number(group["forced_share"].median()),
                "NFE": number(group["nfe_forward"].median()),
                "reconstruction, largest": number(group["reconstruction_error"].max(), 2),
                "valid": f"{int(group['valid'].sum())} of {len(group)}" if flow else "",
                "order": (first["dim"], list(NAMES).index(first["arm"])),
            }
        )
    frame = pd.DataFrame(rows).sort_values("order", kind="stable")
    return frame.drop(columns="order")


def _several(numbers: pd.Series) -> str:
    """The different values, each once."""
    return ", ".join(f"{n:g}" for n in sorted(numbers.dropna().unique()))
