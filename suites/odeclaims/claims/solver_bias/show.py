"""The figure and the table, from the rows alone."""

from collections import Counter

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.solver_bias.judge import (
    COARSE,
    DAMPED,
    fits,
    nets,
    refined,
    slopes,
    solved,
    trained,
)
from odeclaims.claims.solver_bias.roots import roots
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels, plain_numbers

NAMES = {"euler": "Euler", "midpoint": "midpoint", "rk4": "rk4"}
LOOKS = {method: (COLOURS[i], MARKERS[i]) for i, method in enumerate(NAMES)}
# Step in training of the nets whose solves are drawn; of rk4 the least, where there is one.
DRAWN = 0.08


def figure(df: pd.DataFrame) -> Figure:
    """Errors of the fields that nets learn over the step; eigenvalues that are learnt of a damped
    oscillation at a step of 1, of which those to the right of the line grow; and errors of nets
    that are solved in other steps than those of their training.
    """
    fig, axes = panels(1, 3, height=2.6)
    errors, plane, finer = axes[0]
    _draw_errors(errors, df)
    _draw_plane(plane, df)
    _draw_finer(finer, df)
    label_panels(axes[0])
    shown = {m: name for m, name in NAMES.items() if len(nets(df, m)) or len(_coarse(df, m))}
    handles = [
        *marks.arms(LOOKS, shown),
        marks.thin(),
        marks.dashed("(a) error to the predicted field"),
        marks.hollow("(b) predicted root"),
        marks.handle("(b) true eigenvalue", color="black", marker="*", ms=8, linestyle=""),
        marks.dotted("(c) true field, not learnt"),
    ]
    add_legend(fig, handles, ncols=4)
    return fig


def _draw_errors(ax: Axes, df: pd.DataFrame) -> None:
    for method, (colour, marker) in LOOKS.items():
        rows = trained(df, method)
        if not len(rows):
            continue
        marks.seed_lines(ax, rows, "step", "error_true", color=colour)
        marks.median_line(ax, rows, "step", "error_true", color=colour, marker=marker)
        _name_slope(ax, df, method)
        predicted = rows.dropna(subset="error_predicted")
        if len(predicted):
            hollow = {"color": colour, "marker": marker, "mfc": "white"}
            marks.median_line(ax, predicted, "step", "error_predicted", "--", **hollow)
    ax.set(title="Learnt fields", xscale="log", yscale="log")
    ax.set(xlabel="step in training (time)", ylabel="field error (rad/time, rad/time²)")
    ax.margins(x=0.1, y=0.12)
    plain_numbers(ax.xaxis)


def _name_slope(ax: Axes, df: pd.DataFrame, method: str) -> None:
    """The median slope, beside the last point of the line."""
    middle = trained(df, method).groupby("step")["error_true"].median()
    found = slopes(df, method)
    if len(found):
        text = f"slope {found.median():.2f}"
        look = {"color": LOOKS[method][0], "fontsize": 7, "ha": "right", "va": "bottom"}
        ax.annotate(
            text,
            (float(middle.index[-1]), middle.iloc[-1]),
            xytext=(-5, 2),
            textcoords="offset points",
            **look,
        )


def _coarse(df: pd.DataFrame, method: str) -> pd.DataFrame:
    """The fits of the damped field at the coarse step."""
    real, imaginary = DAMPED
    rows = of(solved(df), method=method, step=COARSE)
    return of(rows, rate_real=real, rate_imaginary=imaginary)


def _draw_plane(ax: Axes, df: pd.DataFrame) -> None:
    for method, (colour, marker) in LOOKS.items():
        rows = _coarse(df, method)
        if not len(rows):
            continue
        every = roots(method, COARSE, complex(*DAMPED))
        ring = {"color": colour, "mfc": "none", "ms": 9, "linestyle": ""}
        ax.plot(np.real(every), np.imag(every), "o", **ring)
        ax.plot(rows["learnt_real"], rows["learnt_imaginary"], marker, color=colour, ms=4)
    ax.plot(*DAMPED, "*", color="black", ms=8)
    ax.axvspan(0, 1, color="0.93", zorder=0)
    ax.axvline(0, color=marks.NEUTRAL, linewidth=0.9)
    ax.text(0.4, 0, "grows", ha="center", va="center", rotation=90, fontsize=7)
    ax.set(title="Learnt eigenvalues", xlabel="real part (1/time)")
    ax.set(ylabel="imaginary part (1/time)", xlim=(-3, 0.8), ylim=(-3.4, 3.4))


def _draw_finer(ax: Axes, df: pd.DataFrame) -> None:
    for method, (colour, marker) in LOOKS.items():
        rows = ok(df, kind="solve", method=method)
        if not len(rows):
            continue
        steps = rows["step"].unique()
        rows = of(rows, step=DRAWN if DRAWN in steps else min(steps))
        marks.seed_lines(ax, rows, "factor", "solve_error", color=colour)
        marks.median_line(ax, rows, "factor", "solve_error", color=colour, marker=marker)
        marks.median_line(ax, rows, "factor", "solve_error_true", ":", color=colour)
    ax.set_xscale("log", base=2)
    ax.set(title="Solved in other steps", yscale="log", xlabel="step over that in training")
    ax.set(ylabel="error of the state (rad, rad/time)")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """The nets of each method and step, medians over the seeds; then the linear fields."""
    return pd.DataFrame([*_lines_of_nets(df), *_lines_of_fits(df)]).fillna("")


def _lines_of_nets(df: pd.DataFrame) -> list[dict[str, str]]:
    lines = []
    for method, name in NAMES.items():
        rises = refined(df, method)
        for step, every in nets(df, method).groupby("step"):
            rows = of(trained(df, method), step=step)
            ratio = (rows["error_predicted"] / rows["error_true"]).median()
            line = {
                "field": "pendulum",
                "trained by": name,
                "step": f"{step:g}",
                "error to the true field": number(rows["error_true"].median()),
                "to the predicted field": number(rows["error_predicted"].median(), 2),
                "ratio": number(ratio, 2),
                "residual / bias": number((rows["residual"] / rows["leading"]).median(), 2),
                "power (rad^2/time^3)": number(rows["power"].median()),
                "finest / as trained": number(of(rises, step=step)["ratio"].median()),
                "used": f"{len(rows)} of {len(every)}",
            }
            lines.append({k: v for k, v in line.items() if v != "nan"})
    return lines


def _lines_of_fits(df: pd.DataFrame) -> list[dict[str, str]]:
    lines = []
    keys = ["rate_real", "rate_imaginary", "method", "step"]
    for _, every in fits(df).groupby(keys, sort=False):
        real, imaginary, method, step = every.iloc[0][keys]
        rows = solved(every)
        lines.append(
            {
                "field": f"y' = ({_complex(complex(real, imaginary))}) y",
                "trained by": NAMES[method],
                "step": f"{step:g}",
                "learnt eigenvalues (fits)": _eigenvalues(rows),
                "used": f"{len(rows)} of {len(every)}",
            }
        )
    return lines


def _eigenvalues(rows: pd.DataFrame) -> str:
    """The different eigenvalues with how many fits have each, the most frequent first."""
    learnt = rows["learnt_real"] + 1j * rows["learnt_imaginary"]
    names = [_complex(complex(value)) for value in np.round(learnt.to_numpy(complex), 3)]
    return ", ".join(f"{name} ({n})" for name, n in Counter(names).most_common())


def _complex(value: complex) -> str:
    sign = "-" if value.imag < 0 else "+"
    # Adding zero takes the sign from a zero.
    return f"{value.real + 0.0:g} {sign} {abs(value.imag):g}i"
