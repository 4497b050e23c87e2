"""The figure and the table, from the rows alone."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.mnist_classifiers.judge import NAMES, net_costs, networks, order
from odeclaims.claims.mnist_classifiers.settings import COMPARED, NETS
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels, plain_numbers
from odeclaims.statistics import mean_interval

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
    # Before the training every net guesses.
    trained = trained[trained["epoch"] > 0]
    for net, (colour, marker) in LOOKS.items():
        group = of(trained, net=net)
        if group.empty:
            continue
        mean = 100 * group.groupby("epoch")["test_error"].mean()
        seeds: dict[str, Any] = {"color": colour, "markersize": 2, "alpha": 0.6}
        error.plot(group["epoch"], 100 * group["test_error"], ".", **seeds)
        error.plot(mean.index, mean, color=colour, marker=marker)
    for net in COMPARED:
        rows, (colour, marker) = net_costs(df, net), LOOKS[net]
        memory.plot(rows["size"], rows["peak_saved_bytes"] / 2**20, color=colour, marker=marker)
        duration.plot(rows["size"], rows["time_s"] * 1e3, color=colour, marker=marker)
    error.set(title="Training", xlabel="epoch", ylabel="test error (%)")
    if len(trained):
        error.set_yscale("log")
    else:
        error.text(0.5, 0.5, "no trained net", transform=error.transAxes, ha="center")
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
    drawn = {net: name for net, name in NAMES.items() if net in set(ok(df)["net"])}
    add_legend(fig, marks.arms(LOOKS, drawn), ncols=3)
    return fig


def _whole_epochs(ax: Axes, trained: pd.DataFrame) -> None:
    """No ticks between epochs where they are few."""
    if len(trained) and trained["epoch"].max() <= 10:
        ax.set_xticks(sorted(trained["epoch"].unique()))


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Published rows and ours: errors with their interval, parameters, memory, time and NFE."""
    rows: list[dict[str, str]] = []
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
        if len(of(networks(df), net=net)):
            rows.append(_network_row(df, net))
        elif len(net_costs(df, net)) > 1:
            rows.append({"net": name, "from": "ours, one update", **_orders(df, net)})
    return pd.DataFrame(rows).fillna("")


def _network_row(df: pd.DataFrame, net: str) -> dict[str, str]:
    """The trained nets of a kind: means over seeds, and the smallest error of any epoch."""
    trained, epochs = of(networks(df), net=net), of(ok(df, kind="training"), net=net)
    errors = 100 * trained["test_error"]
    spread = mean_interval(errors, 0.95)
    best = 100 * epochs.groupby("repetition")["test_error"].min()
    last = epochs[epochs["epoch"] == epochs["epochs"]]
    count = len(trained)
    return {
        "net": NAMES[net],
        "from": f"ours, {count} {'seed' if count == 1 else 'seeds'}",
        "test error (%)": number(errors.mean())
        + (f" [{number(spread[0])}, {number(spread[1])}]" if spread else ""),
        "best epoch (%)": number(best.mean()),
        "parameters": f"{trained['parameters'].iloc[0]:,.0f}",
        **_orders(df, net),
        "held (MiB)": number(trained["peak_saved_bytes"].median() / 2**20),
        "core-hours": number(trained["core_hours"].mean()),
        "NFE in training": _nfe(last.mean(numeric_only=True)),
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
