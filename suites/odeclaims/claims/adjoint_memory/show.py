"""The figure and the table, from the rows alone."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.kits import marks
from odeclaims.kits.constants import GRADIENT_LIMIT
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, add_legend, label_panels, panels
from odeclaims.statistics import log_slope

MIB = 2**20
# Colour and dash.
LOOKS = {
    "backprop": (COLOURS[1], "--"),
    "adjoint": (COLOURS[0], "-"),
    "checkpointed": (COLOURS[2], "-."),
    "interpolated": (COLOURS[4], "-"),
    "symplectic": (COLOURS[6], "-."),
    "reversible": (COLOURS[3], ":"),
    "coupled": (COLOURS[5], ":"),
}
FIELD_MARKERS = {"conv": "s", "mlp": "o"}


def figure(df: pd.DataFrame) -> Figure:
    """Memory over NFE and over output times, and what an error costs in memory and in time."""
    fig, axes = panels(2, 2, height=2.6)
    memory, outputs, by_memory, by_time = axes.flat
    rows = ok(df)
    _lines(memory, of(rows, sweep="steps"), "nfe_forward", "peak_saved_bytes", (1, MIB))
    memory.set(title="Memory over depth", xlabel="NFE forward", ylabel="peak held (MiB)")
    over_outputs = of(rows, sweep="outputs")
    _lines(outputs, over_outputs, "level", "peak_saved_bytes", (1, MIB))
    outputs.set(title="Memory over output times", xlabel="output times", ylabel="peak held (MiB)")
    over_tolerance = of(rows, sweep="tolerance")
    _lines(by_memory, over_tolerance, "peak_saved_bytes", "gradient_error", (MIB, 1))
    by_memory.set(title="What an error costs in memory", xlabel="peak held (MiB)")
    _lines(by_time, over_tolerance, "time_s", "gradient_error", (1e-3, 1))
    by_time.set(title="What an error costs in time", xlabel="forward and backward (ms)")
    for ax in axes.flat:
        ax.set(xscale="log", yscale="log")
    for ax in (by_memory, by_time):
        ax.axhline(GRADIENT_LIMIT, color="0.5", linestyle=":", linewidth=1)
        ax.set_ylabel("relative gradient error")
    outputs.sharey(memory)
    _plain_ticks(outputs, over_outputs["level"])
    label_panels(axes.flat)
    add_legend(fig, _legend(), ncols=7)
    return fig


def _legend() -> list[Line2D]:
    """Colour and dash say the gradient method, the marker says the field."""
    methods = [marks.handle(n, color=c, linestyle=d) for n, (c, d) in LOOKS.items()]
    fields = [
        marks.handle(n, color="0.3", linestyle="", marker=m) for n, m in FIELD_MARKERS.items()
    ]
    return methods + fields


def _plain_ticks(ax: Axes, levels: pd.Series) -> None:
    """Ticks at the levels that were measured, as plain numbers."""
    values = sorted(levels.unique())
    ax.set_xticks(values, [f"{value:g}" for value in values])
    ax.set_xticks([], minor=True)


def _groups(df: pd.DataFrame, *columns: str) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """The groups of rows that agree in these columns of words, with the words."""
    for _, group in df.groupby(list(columns)):
        yield [str(group[column].iloc[0]) for column in columns], group


def _lines(ax: Axes, df: pd.DataFrame, x: str, y: str, units: tuple[float, float]) -> None:
    """A line for each arm: colour and dash by gradient, marker by field, hollow where not valid."""
    for (field, gradient), group in _groups(df, "field", "gradient"):
        middle = group.groupby("level", as_index=False).median(numeric_only=True)
        colour, dash = LOOKS[gradient]
        look = {"color": colour, "marker": FIELD_MARKERS[field]}
        valid = middle["level"].map(group.groupby("level")["valid"].all()).astype(bool)
        across, up = middle[x] / units[0], middle[y] / units[1]
        marks.path(ax, across, up, look, ~valid, linestyle=dash)


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each arm of each sweep: ranges of NFE and bytes, slope, and the gradient's error."""
    rows = []
    names = {"steps": "NFE (fixed)", "tolerance": "NFE (adaptive)", "outputs": "outputs"}
    for (field, sweep, gradient), group in _groups(ok(df), "field", "sweep", "gradient"):
        group = group.sort_values("nfe_forward")
        axis = "level" if sweep == "outputs" else "nfe_forward"
        rows.append(
            {
                "field": field,
                "over": names[sweep],
                "gradient": gradient,
                "from": number(group[axis].min()),
                "to": number(group[axis].max()),
                "held (MiB)": _range(group["held_bytes"] / MIB),
                "peak held (MiB)": _range(group["peak_saved_bytes"] / MIB),
                "allocator peak (MiB)": _range(group["peak_allocated_bytes"] / MIB),
                "slope": number(log_slope(group[axis], group["peak_saved_bytes"]), 2),
                "gradient error": _range(group["gradient_error"], 2),
                "time (ms)": _range(group["time_s"] * 1e3, 2),
            }
        )
    return pd.DataFrame(rows)


def _range(values: pd.Series, digits: int = 3) -> str:
    low, high = number(values.min(), digits), number(values.max(), digits)
    return low if low == high else f"{low} to {high}"
