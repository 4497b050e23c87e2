"""The figure and the table, from the rows alone."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from odeclaims.claims.anode_mnist.judge import PUBLISHED, accuracies
from odeclaims.claims.anode_mnist.settings import TOLERANCES
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok, valid
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, add_legend, label_panels, panels

LOOKS = {"node": (COLOURS[0], "o"), "anode": (COLOURS[1], "s")}
NAMES = {arm: published.name for arm, published in PUBLISHED.items()}
DASHES: dict[bool, Any] = {False: "-", True: "--"}
VARIANTS = {False: "time-independent", True: "time-dependent"}


def figure(df: pd.DataFrame) -> Figure:
    """Accuracy and evaluations over the epochs, and the evaluations of the trained nets.

    The published accuracies are drawn as bands, a standard deviation to either side.
    """
    fig, axes = panels(1, 3, height=2.7)
    accuracy, evaluations, frozen = axes[0]
    rows = ok(df, kind="training")
    rows = rows.assign(percent=100 * rows["test_accuracy"])
    _draw_published(accuracy)
    _draw_training(accuracy, rows, "percent")
    _draw_training(evaluations, rows, "training_nfe_forward")
    _draw_frozen(frozen, ok(df, kind="result"))
    accuracy.set(title="Test accuracy", ylabel="test accuracy (%)")
    evaluations.set(title="NFE in training", ylabel="NFE forward at 1e-03")
    frozen.set(title="NFE when trained", ylabel="NFE forward", ylim=(0, None))
    for ax in (accuracy, evaluations):
        ax.set_xlabel("training epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if rows.empty:
        for ax in axes[0]:
            ax.text(0.5, 0.4, "nothing was trained", transform=ax.transAxes, ha="center")
    label_panels(axes[0])
    add_legend(fig, _legend(), ncols=3)
    return fig


def _draw_published(ax: Axes) -> None:
    for arm, net in PUBLISHED.items():
        low, high = net.accuracy - net.spread, net.accuracy + net.spread
        ax.axhspan(low, high, color=LOOKS[arm][0], alpha=0.25, linewidth=0)


def _draw_training(ax: Axes, rows: pd.DataFrame, column: str) -> None:
    """Each seed thin, their mean thick, as the paper's table has means."""
    for arm, (colour, marker) in LOOKS.items():
        for time_dependent, dash in DASHES.items():
            nets = of(rows, arm=arm, time_dependent=time_dependent)
            if nets.empty:
                continue
            marks.seed_lines(ax, nets, "epoch", column, dash, color=colour)
            mean = nets.groupby("epoch")[column].mean()
            fill = "white" if time_dependent else colour
            ax.plot(mean.index, mean, dash, color=colour, marker=marker, mfc=fill)


def _draw_frozen(ax: Axes, rows: pd.DataFrame) -> None:
    """The NFE of each seed's trained net, a cross where a check fails."""
    groups = [(role, time_dependent) for role in TOLERANCES for time_dependent in DASHES]
    for i, (role, time_dependent) in enumerate(groups):
        for k, (arm, (colour, marker)) in enumerate(LOOKS.items()):
            nets = of(rows, arm=arm, role=role, time_dependent=time_dependent)
            middle = marks.abreast(i, k, len(LOOKS), 0.8)
            fill = "white" if time_dependent else colour
            for j, (nfe, passes) in enumerate(zip(nets["nfe_forward"], nets["valid"], strict=True)):
                x, shape = marks.abreast(middle, j, len(nets), 0.4), marker if passes else "x"
                ax.plot(x, nfe, shape, color=colour, mfc=fill)
    labels = [
        f"{TOLERANCES[role]:.0e}\n{'with t' if time_dependent else 'without t'}"
        for role, time_dependent in groups
    ]
    ax.set_xticks(range(len(groups)), labels, fontsize=6)
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.set_xlabel("tolerance and field")


def _legend() -> list[Line2D | Patch]:
    hollow = {"color": marks.NEUTRAL, "marker": "o", "mfc": "white"}
    return [
        *marks.arms(LOOKS, NAMES),
        marks.handle(VARIANTS[False], color=marks.NEUTRAL, marker="o"),
        marks.handle(VARIANTS[True], linestyle="--", **hollow),
        marks.thin(),
        Patch(color=marks.NEUTRAL, alpha=0.25, label="published, +- its spread"),
        marks.handle("fails a check", color=marks.NEUTRAL, marker="x", linestyle=""),
    ]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Published accuracies and ours, with the standard deviation over seeds as the paper has it."""
    rows = []
    for arm, published in PUBLISHED.items():
        rows.append(
            {
                "net": published.name,
                "from": "published",
                "field": "not stated",
                "test accuracy (%)": f"{published.accuracy:g} +- {published.spread:g}",
                "parameters": f"{published.parameters:,}",
            }
        )
        for time_dependent in VARIANTS:
            if len(nets := ok(df, arm=arm, time_dependent=time_dependent)):
                rows.append(_table_row(nets, arm, time_dependent))
    return pd.DataFrame(rows).fillna("")


def _table_row(nets: pd.DataFrame, arm: str, time_dependent: bool) -> dict[str, str]:
    """The nets of an arm, in one of the two variants."""
    accuracy = accuracies(nets, arm, time_dependent)
    trained = of(nets, kind="network")
    counted = trained if len(trained) else nets
    parameters = {"parameters": f"{counted['parameters'].iloc[0]:,.0f}"}
    if accuracy.empty:
        net = {"net": PUBLISHED[arm].name, "from": "ours, not trained"}
        return {**net, "field": VARIANTS[time_dependent], **parameters}
    epochs = of(nets, kind="training")
    last = epochs[epochs["epoch"] == epochs["epochs"]]
    side = nets.loc[nets["kind"] == "network", "side"].iloc[0]
    count = len(accuracy)
    nfe = [number(last[f"training_nfe_{way}"].mean()) for way in ("forward", "backward")]
    row = {
        "net": PUBLISHED[arm].name,
        "from": f"ours, {count} {'seed' if count == 1 else 'seeds'}, {side:g} x {side:g} pixels",
        "field": VARIANTS[time_dependent],
        "test accuracy (%)": number(accuracy.mean())
        + (f" +- {number(accuracy.std(), 2)}" if count > 1 else ""),
        **parameters,
        "NFE in training": " + ".join(each for each in nfe if each),
    }
    for role, tolerance in TOLERANCES.items():
        solved = of(nets, kind="result", role=role)
        row[f"NFE at {tolerance:.0e}"] = number(solved["nfe_forward"].median())
        row[f"valid at {tolerance:.0e}"] = f"{len(valid(solved))} of {len(solved)}"
    return row
