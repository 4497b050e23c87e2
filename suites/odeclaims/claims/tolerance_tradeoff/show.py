"""The figure and the table, from the rows alone."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims.tolerance_tradeoff.judge import error_rates, solves
from odeclaims.claims.tolerance_tradeoff.settings import CLASSIFIER, METHODS
from odeclaims.kits import marks
from odeclaims.kits.rows import of
from odeclaims.record.wording import number
from odeclaims.report.style import add_legend, label_panels, panels, solver_look


def figure(df: pd.DataFrame) -> Figure:
    """Error over NFE (3a), time over NFE (3b), and error over tolerance."""
    fig, axes = panels(1, 3, height=2.9)
    error, duration, tolerance = axes[0]
    draw_error(error, df)
    draw_time(duration, df)
    _draw(tolerance, df, "tolerance", "error")
    tolerance.set(title="Error and tolerance", xlabel="rtol = atol", ylabel="relative error")
    tolerance.invert_xaxis()
    label_panels(axes[0])
    add_legend(fig, method_legend(), ncols=5)
    return fig


def draw_error(ax: Axes, df: pd.DataFrame) -> None:
    """The panel of Fig. 3a: error over evaluations, a path over the tolerances for each method."""
    _draw(ax, df, "nfe_forward", "error")
    ax.set(title="Error", xlabel="NFE forward", ylabel="relative error of the state")


def draw_time(ax: Axes, df: pd.DataFrame) -> None:
    """The panel of Fig. 3b: time over evaluations."""
    _draw(ax, df, "nfe_forward", "time_s", unit=1e3)
    ax.set(title="Time", xlabel="NFE forward", ylabel="forward time (ms)")


def _draw(ax: Axes, df: pd.DataFrame, x: str, y: str, *, unit: float = 1.0) -> None:
    """Every net as a dot, medians as a path, hollow where a net fails a validity check."""
    rows = solves(df)
    for method in METHODS:
        look = solver_look(method)
        raw = of(rows, method=method)
        by_tolerance = raw.groupby("tolerance")
        points = by_tolerance[[y]].median() * unit
        points["x"] = points.index if x == "tolerance" else by_tolerance[x].median()
        failing = ~by_tolerance["valid"].all().astype(bool)
        ax.plot(raw[x], raw[y] * unit, ".", color=look["color"], markersize=2, alpha=0.5)
        marks.path(ax, points["x"], points[y], look, failing)
    ax.set(xscale="log", yscale="log")


def method_legend() -> list[Line2D]:
    """Colour and marker say the method; a hollow mark fails a check."""
    methods = [marks.handle(method, **solver_look(method)) for method in METHODS]
    return [*methods, marks.hollow("fails a validity check")]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each method at each tolerance, and the classifier: medians over the trained nets."""
    rows = []
    for (method, tolerance), group in solves(df).groupby(["method", "tolerance"]):
        middle = group.median(numeric_only=True)
        overhead = middle["time_s"] / (middle["nfe_forward"] * middle["field_time_s"])
        rows.append(
            {
                "method": method,
                "tolerance": f"{tolerance:.0e}",
                "NFE": number(middle["nfe_forward"]),
                "error": number(middle["error"]),
                "time (ms)": number(1e3 * middle["time_s"]),
                "time / (NFE x field)": number(overhead),
                "reconstruction": number(middle["reconstruction_error"], 2),
                "gradient error": number(middle["gradient_error"], 2),
                "valid": f"{int(group['valid'].sum())} of {len(group)}",
            }
        )
    for tolerance, group in error_rates(df).groupby("tolerance"):
        rates = number(100 * group["test_error"].median())
        rows.append(
            {"method": CLASSIFIER, "tolerance": f"{tolerance:.0e}", "test error (%)": rates}
        )
    order = {method: i for i, method in enumerate((*METHODS, CLASSIFIER))}
    frame = pd.DataFrame(rows).fillna("")
    return frame.sort_values(
        ["method", "tolerance"],
        key=lambda c: c.map(order) if c.name == "method" else -c.astype(float),
    )
