"""The figure and the table, from the rows alone."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from odeclaims.claims.backward_nfe.authors_logs import AUTHORS_LOGS, forward_alone
from odeclaims.claims.backward_nfe.judge import VARIANTS, at_setting, compared
from odeclaims.claims.backward_nfe.settings import METHODS, PUBLISHED
from odeclaims.kits import marks
from odeclaims.kits.rows import of, valid
from odeclaims.record.wording import number
from odeclaims.report.style import add_legend, in_column, label_panels, panels, solver_look

# The lines of a ratio, and how they are drawn.
RATIO_LINES: dict[float, Any] = {1.0: "-", 0.5: "--"}
THIN: dict[str, Any] = {"color": "0.6", "lw": 0.9, "zorder": 0}


def figure(df: pd.DataFrame) -> Figure:
    """Backward over forward evaluations in both countings (3c), and what changes their ratio."""
    fig, axes = panels(1, 3, height=2.4, width_ratios=(1, 1, 0.95), narrow="ab;c")
    counts, cumulative, changes = axes[0]
    draw_counts(counts, df, "nfe_forward")
    draw_counts(cumulative, df, "nfe_forward_cumulative")
    _share_limits([counts, cumulative])
    counts.set(title="Counted apart", xlabel="NFE forward", ylabel="NFE backward")
    cumulative.set(title="As logged", ylabel="NFE backward")
    cumulative.set_xlabel("forward + previous backward + 1")
    _draw_changes(changes, df)
    label_panels(axes[0])
    add_legend(fig, _legend(), ncols=7, columnspacing=1.3)
    return fig


def draw_counts(ax: Axes, df: pd.DataFrame, column: str) -> None:
    """The trained net at the published setting: a path over the tolerances for each solver.

    Args:
        ax: where it is drawn, on logarithmic axes.
        df: the claim's rows.
        column: what counts as forward: ``nfe_forward`` or ``nfe_forward_cumulative``.
    """
    for method in METHODS:
        rows, look = of(at_setting(df), method=method), solver_look(method)
        by_tolerance = rows.groupby("tolerance")
        x, y = by_tolerance[column].median(), by_tolerance["nfe_backward"].median()
        failing = ~by_tolerance["valid"].all().astype(bool)
        ax.plot(rows[column], rows["nfe_backward"], ".", color=look["color"], ms=2, alpha=0.5)
        marks.path(ax, x, y, look, failing, linewidth=1)
        if method == METHODS[0] and len(x):
            _name_ends(ax, x, y, look["color"])
    logs = [
        (
            logged if column == "nfe_forward_cumulative" else forward_alone(logged, backward),
            backward,
        )
        for logged, backward in AUTHORS_LOGS.values()
    ]
    ax.plot(*zip(*logs, strict=True), "x", color="0.15", ms=4.5, zorder=3)
    ax.set(xscale="log", yscale="log")


def _name_ends(ax: Axes, x: pd.Series, y: pd.Series, colour: str) -> None:
    """The tolerances at the two ends of a path, the loosest above it and the tightest below."""
    for tolerance, offset in ((x.index.max(), (-8, 5)), (x.index.min(), (3, -9))):
        name = f"$10^{{{round(np.log10(tolerance))}}}$"
        at = (float(x[tolerance]), float(y[tolerance]))
        look: dict[str, Any] = {"color": colour, "fontsize": 6.5}
        ax.annotate(name, at, xytext=offset, textcoords="offset points", **look)


def draw_apart(ax: Axes, df: pd.DataFrame) -> None:
    """The panel of Fig. 3c with the evaluations counted apart."""
    draw_counts(ax, df, "nfe_forward")
    _share_limits([ax])
    ax.set(title="Backward", xlabel="NFE forward", ylabel="NFE backward")


def _share_limits(axes: list[Axes]) -> None:
    """The same square for all of them, with the lines of the two ratios and plain numbers."""
    limits = [limit for ax in axes for limit in (*ax.get_xlim(), *ax.get_ylim())]
    low, high = 0.9 * min(limits), max(limits)
    numbers = (5, 20, 100, 500, 2000)
    ticks = [n for n in numbers if low <= n <= high]
    for ax in axes:
        for ratio, dash in RATIO_LINES.items():
            ax.plot([low, high], [ratio * low, ratio * high], ls=dash, **THIN)
        ax.set(xlim=(low, high), ylim=(low, high), box_aspect=1, anchor="N")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(ticks, [str(n) for n in ticks])
            axis.set_ticks([], minor=True)


def _draw_changes(ax: Axes, df: pd.DataFrame) -> None:
    """For each changed setting and solver the ratio at every tolerance, and their median."""
    for row, (setting, trained) in enumerate(VARIANTS.values()):
        rows = at_setting(compared(df), setting, trained=trained)
        for i, method in enumerate(METHODS):
            by_tolerance = of(rows, method=method).groupby("tolerance")
            ratio = by_tolerance["ratio"].median()
            failing = ~by_tolerance["valid"].all().astype(bool)
            height = pd.Series(row + 0.25 * (i - 1), ratio.index)
            look = {**solver_look(method), "ms": 2.8}
            marks.path(ax, ratio, height, look, failing, linestyle="")
            ax.plot(
                [ratio.median()], [row + 0.25 * (i - 1)], "|", color=look["color"], ms=7, mew=1.6
            )
    for ratio, dash in RATIO_LINES.items():
        ax.axvline(ratio, ls=dash, **THIN)
    ax.set(title="What changes it", xlabel="NFE backward / forward", xscale="log")
    ax.set(ylim=(-0.6, len(VARIANTS) - 0.4))
    if not in_column():
        ax.set(box_aspect=1.05, anchor="N")
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set_yticks(range(len(VARIANTS)), list(VARIANTS))
    ax.grid(visible=False, axis="y")
    ax.invert_yaxis()


def _legend() -> list[Line2D]:
    """Colour and marker say the solver."""
    return [
        *(marks.handle(method, **solver_look(method)) for method in METHODS),
        marks.handle("authors' logs", color="0.15", marker="x", linestyle=""),
        marks.hollow("fails a validity check"),
        *ratio_legend("ratio"),
    ]


def ratio_legend(name: str) -> list[Line2D]:
    """The lines on which backward over forward evaluations is 1 and a half."""
    return [marks.handle(f"{name} {r:g}", ls=dash, **THIN) for r, dash in RATIO_LINES.items()]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """The authors' logs, ours at the published setting, and medians where a setting changes."""
    rows = [
        {
            "net": "authors' logs",
            "solver": "adams",
            "setting": "published setting",
            "tolerance": f"{tolerance:.0e}",
            **_counts_in_words(
                [forward_alone(logged, backward)],
                [backward],
                [logged],
                backward / forward_alone(logged, backward),
                backward / logged,
            ),
        }
        for tolerance, (logged, backward) in AUTHORS_LOGS.items()
    ]
    for method in METHODS:
        by_tolerance = of(at_setting(df), method=method).groupby("tolerance")
        for tolerance, group in sorted(by_tolerance, reverse=True):
            rows.append(_line(group, method, "published setting", f"{tolerance:.0e}"))
    for name, (setting, trained) in VARIANTS.items():
        for method in METHODS:
            group = of(at_setting(compared(df), setting, trained=trained), method=method)
            if len(group):
                loosest, tightest = group["tolerance"].max(), group["tolerance"].min()
                shown = "published setting" if setting == PUBLISHED else name
                rows.append(_line(group, method, shown, f"{loosest:.0e} to {tightest:.0e}"))
    return pd.DataFrame(rows).fillna("")


def _line(group: pd.DataFrame, method: str, setting: str, tolerance: str) -> dict[str, str]:
    """One line of the table: medians over seeds, then over tolerances; ranges of the counts."""
    trained = bool(group["trained"].all())
    middle = group.groupby("tolerance").median(numeric_only=True)
    return {
        "net": "trained" if trained else "untrained",
        "solver": method,
        "setting": setting,
        "tolerance": tolerance,
        **_counts_in_words(
            middle["nfe_forward"],
            middle["nfe_backward"],
            middle["nfe_forward_cumulative"],
            middle["ratio"].median(),
            middle["ratio_cumulative"].median(),
        ),
        "reconstruction, largest": number(group["reconstruction_error"].max(), 2),
        "gradient error, median": number(group["gradient_error"].median(), 2),
        "valid": f"{len(valid(group))} of {len(group)}",
        "test error (%)": number(100 * group["test_error"].median()),
    }


def _counts_in_words(
    forward: Any, backward: Any, logged: Any, ratio: float, cumulative: float
) -> dict[str, str]:
    return {
        "NFE forward": _range(forward),
        "NFE backward": _range(backward),
        "backward / forward": number(ratio),
        "logged forward": _range(logged),
        "backward / logged": number(cumulative),
    }


def _range(values: Any) -> str:
    low, high = np.min(values), np.max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
