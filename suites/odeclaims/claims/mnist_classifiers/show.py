"""The figure and the table, from the rows alone."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims.mnist_classifiers.judge import NAMES, last_epochs, net_costs, order
from odeclaims.claims.mnist_classifiers.settings import COMPARED, NETS
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels, plain_numbers
from odeclaims.statistics import median_interval

# What the paper prints: error in percent, parameters in millions, order of memory and of time.
PUBLISHED = {
    "mlp": ("1.60", "0.24M", "", ""),
    "resnet": ("0.41", "0.60M", "O(L)", "O(L)"),
    "rk_net": ("0.47", "0.22M", "O(L~)", "O(L~)"),
    "ode_net": ("0.42", "0.22M", "O(1)", "O(L~)"),
}
LOOKS = {net: (COLOURS[i], MARKERS[i]) for i, net in enumerate(NETS)}


def figure(df: pd.DataFrame) -> Figure:
    """Test error over the epochs, and memory and time of one update over depth or steps."""
    fig, axes = panels(1, 3, height=2.9)
    error, memory, duration = axes[0]
    trained = ok(df, kind="training")
    for (net, stem), group in trained.groupby(["net", "downsampling"], sort=False):
        middle = 100 * group.groupby("epoch")["test_error"].median()
        colour, marker = LOOKS[str(net)]
        dash = "--" if stem == "res" else "-"
        seeds: dict[str, Any] = {"color": colour, "markersize": 2, "alpha": 0.6}
        error.plot(group["epoch"], 100 * group["test_error"], ".", **seeds)
        error.plot(middle.index, middle, dash, color=colour, marker=marker)
    for net in COMPARED:
        rows, (colour, marker) = net_costs(df, net), LOOKS[net]
        memory.plot(rows["size"], rows["peak_saved_bytes"] / 2**20, color=colour, marker=marker)
        duration.plot(rows["size"], rows["time_s"] * 1e3, color=colour, marker=marker)
    error.set(title="Training", xlabel="epoch", ylabel="test error (%)")
    if len(trained):
        error.set_yscale("log")
    else:
        error.text(0.5, 0.5, "no net was trained", transform=error.transAxes, ha="center")
        error.set(xticks=[], yticks=[])
    for ax, title, label in (
        (memory, "Memory", "bytes held in an update (MiB)"),
        (duration, "Time", "time of an update (ms)"),
    ):
        ax.set(title=title, xlabel="blocks (ResNet), steps of rk4", ylabel=label)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
    for ax in axes[0] if len(trained) else axes[0, 1:]:
        plain_numbers(ax.yaxis)
    _whole_epochs(error, trained)
    label_panels(axes[0])
    add_legend(fig, _legend(trained), ncols=4)
    return fig


def _legend(trained: pd.DataFrame) -> list[Line2D]:
    nets = marks.arms(LOOKS, NAMES)
    if "res" in set(trained["downsampling"]):
        nets.append(marks.dashed("residual stem"))
    return nets


def _whole_epochs(ax: Axes, trained: pd.DataFrame) -> None:
    """No ticks between epochs where they are few."""
    if len(trained) and trained["epoch"].max() <= 10:
        ax.set_xticks(sorted(trained["epoch"].unique()))


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Published rows and ours: errors with their interval, parameters, memory, time and NFE."""
    rows: list[dict[str, str]] = []
    trained = ok(df, kind="training")
    for net, name in NAMES.items():
        if net in PUBLISHED:
            error, parameters, memory, duration = PUBLISHED[net]
            rows.append(
                {
                    "net": name,
                    "from": "published",
                    "test error (%)": error,
                    "parameters": parameters,
                    "memory": memory,
                    "time": duration,
                }
            )
        groups = of(trained, net=net).groupby("downsampling")
        rows += [_measured_row(df, net, str(stem), group) for stem, group in groups]
        if not len(groups) and len(net_costs(df, net)) > 1:
            rows.append({"net": name, "from": "ours, one update", **_orders(df, net)})
    return pd.DataFrame(rows).fillna("")


def _measured_row(df: pd.DataFrame, net: str, stem: str, group: pd.DataFrame) -> dict[str, str]:
    last = last_epochs(group)
    errors = 100 * last["test_error"]
    spread = median_interval(errors)
    best = 100 * group.groupby("repetition")["test_error"].min()
    middle = last.median(numeric_only=True)
    return {
        "net": NAMES[net],
        "from": f"ours, {len(last)} seeds" + (", res stem" if stem == "res" else ""),
        "test error (%)": number(errors.median())
        + (f" [{number(spread[0])}, {number(spread[1])}]" if spread else ""),
        "best epoch (%)": number(best.median()),
        "parameters": f"{middle['parameters']:,.0f}",
        **_orders(df, net),
        "held (MiB)": number(middle["peak_saved_bytes"] / 2**20),
        "time per epoch (s)": number(group["time_s"].median()),
        "NFE": _nfe(middle),
    }


def _orders(df: pd.DataFrame, net: str) -> dict[str, str]:
    return {"memory": _order(df, net, "peak_saved_bytes"), "time": _order(df, net, "time_s")}


def _order(df: pd.DataFrame, net: str, column: str) -> str:
    """The fitted order in words; nothing where there are too few sizes to fit it."""
    return f"L^{order(df, net, column):.2f}" if len(net_costs(df, net)) > 1 else ""


def _nfe(middle: pd.Series) -> str:
    forward, backward = middle["nfe_forward"], middle["nfe_backward"]
    if np.isnan(forward):
        return ""
    return f"{forward:.0f}" + ("" if np.isnan(backward) else f" + {backward:.0f}")
