"""The figure and the table, from the rows alone."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims.change_of_variables.judge import (
    AGREES,
    HOLDS,
    NORMALISED,
    PRINTED,
    exponent,
    finest,
)
from odeclaims.claims.change_of_variables.settings import SPENT
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import (
    COLOURS,
    MARKERS,
    add_legend,
    in_column,
    label_panels,
    leave_room,
    panels,
)

FIELDS = {
    "linear": "linear",
    "planar": "planar, hypernetwork",
    "constant": "planar, constant weights",
    "concatsquash": "concatsquash MLP",
}
READINGS = {
    "partial_printed": r"$\partial_t \log p = -\mathrm{tr}$",
    "partial_corrected": r"$\ldots - f \cdot \nabla \log p$",
    "total": r"$\frac{d}{dt} \log p = -\mathrm{tr}$",
    "integral_entries": r"$-\int \mathrm{tr}\, \partial h / \partial z$, entries",
    "integral_slope": r"$-\int \mathrm{tr}\, \partial h / \partial z$, $h'$",
    "integral_corrected": r"$-\int u^T \partial h / \partial z$",
}
COSTS = {
    "determinant": "log-determinant",
    "exact": "trace, D VJPs",
    "estimate": "estimate, 1 VJP",
    "closed": "trace, closed form",
}
FIELD_LOOKS = dict(zip(FIELDS, zip(COLOURS, MARKERS, strict=False), strict=False))
UNIT_LOOK = ("0.35", "h")
COST_LOOKS = {
    name: (COLOURS[i], marker)
    for name, i, marker in zip(COSTS, (4, 5, 9, 7), MARKERS, strict=False)
}
NOISE_LOOKS = {"rademacher": (COLOURS[0], "o"), "gaussian": (COLOURS[1], "s")}
ARM_LOOKS = {
    "exact": (COLOURS[2], "D"),
    "fixed": (COLOURS[0], "o"),
    "renewed": (COLOURS[3], "v"),
}


def figure(df: pd.DataFrame) -> Figure:
    """Agreement, normalisation and the printed formulas above; cost, estimates, noise below."""
    fig, axes = panels(2, 3, height=2.75, narrow="ab;c;d;ef")
    draw = (_agreement, _normalisation, _formulas, _costs, _variances, _noises)
    for ax, panel in zip(axes.flat, draw, strict=True):
        panel(ax, df)
    label_panels(axes.flat)
    add_legend(fig, _legend(), ncols=3, loc="outside upper center")
    return fig


def _legend() -> list[Line2D]:
    """What the colours and markers of the upper panels mean."""
    return [
        *marks.arms({**FIELD_LOOKS, "unit": UNIT_LOOK}, {**FIELDS, "unit": "one planar unit"}),
        marks.hollow("hollow: as the tutorial prints it; failed in (f)", color="0.35"),
    ]


def _agreement(ax: Axes, df: pd.DataFrame) -> None:
    """The largest difference of all seeds and dimensions, over the tolerance."""
    rows = ok(df, part="determinant")
    for name, (colour, marker) in FIELD_LOOKS.items():
        worst = of(rows, field=name).groupby("tolerance")["error"].max()
        ax.loglog(worst.index, worst, color=colour, marker=marker)
    ax.axhline(AGREES, color="0.4", linestyle=":", linewidth=1)
    ax.set(title="Agreement", xlabel="tolerance")
    ax.set(ylabel=r"$|\int \mathrm{tr}\, dt - \log|\det J||$ (nats)")


def _normalisation(ax: Axes, df: pd.DataFrame) -> None:
    """A line for each density, from coarse grids to fine ones."""
    rows = ok(df, part="mass")
    for name, (colour, marker) in FIELD_LOOKS.items():
        for _, seed in of(rows, field=name).groupby("repetition"):
            error = (seed["mass"] - 1).abs()
            ax.loglog(seed["spacing"], error, color=colour, marker=marker, linewidth=0.8)
    ax.axhline(NORMALISED, color="0.4", linestyle=":", linewidth=1)
    ax.set(title="Mass", xlabel="grid spacing (std. dev.)", ylabel=r"$|\int p\, dz - 1|$")


def _formulas(ax: Axes, df: pd.DataFrame) -> None:
    """The residuals of each formula, those of the tutorial hollow; a point a seed and field."""
    rows = ok(df, part="printed")
    for i, reading in enumerate(READINGS):
        for name, group in of(rows, reading=reading).groupby("field"):
            colour, marker = FIELD_LOOKS.get(str(name), UNIT_LOOK)
            heights = i + np.linspace(-0.2, 0.2, len(group))
            fill = "white" if reading in PRINTED else colour
            ax.plot(group["error"], heights, marker, color=colour, mfc=fill, markersize=3.5)
    ax.axvline(HOLDS, color="0.4", linestyle=":", linewidth=1)
    ax.set(title="Formulas", xlabel="residual (nats)", xscale="log")
    ax.set_yticks(range(len(READINGS)), list(READINGS.values()), fontsize=6)
    ax.invert_yaxis()


def _costs(ax: Axes, df: pd.DataFrame) -> None:
    """Time over dimension, with the exponent above the overhead of a call."""
    for name, (colour, marker) in COST_LOOKS.items():
        rows = ok(df, part="cost", quantity=name).sort_values("dim")
        slope = exponent(df, name)
        label = COSTS[name] if math.isnan(slope) else f"{COSTS[name]}: {slope:.1f}"
        ax.loglog(rows["dim"], rows["time_s"], color=colour, marker=marker, label=label)
    ax.set(title="Cost and its exponent", xlabel="dimension D", ylabel="time a point (s)")
    low, high = ax.get_ylim()
    # Room for the legend above the lines.
    ax.set_ylim(low, high * 300)
    ax.legend(loc="upper left", fontsize=6.5)


def _variances(ax: Axes, df: pd.DataFrame) -> None:
    """What was measured for each seed, and the theory's mean over the seeds."""
    rows = ok(df, part="estimate", quantity="trace")
    for (kind, (colour, marker)), shift in zip(NOISE_LOOKS.items(), (0.92, 1.08), strict=True):
        measured = of(rows, noise=kind)
        theory = measured.groupby("dim")["theory_variance"].mean()
        ax.loglog(theory.index, theory, color=colour, linewidth=1)
        ax.plot(measured["dim"] * shift, measured["variance"], marker, color=colour, label=kind)
    ax.plot([], [], color="0.35", linewidth=1, label="theory, mean")
    ax.set(title="Hutchinson's noise", xlabel="dimension D", ylabel="variance of the trace")
    dims = sorted(rows["dim"].unique())
    ax.set_xticks(dims, [f"{dim:g}" for dim in dims])
    ax.xaxis.minorticks_off()
    if in_column():
        leave_room(ax, 0.45, below=True)
    ax.legend(loc="lower right")


def _noises(ax: Axes, df: pd.DataFrame) -> None:
    """Evaluations of each solve, medians as lines; at the limit, hollow, what had not ended."""
    for arm, (colour, marker) in ARM_LOOKS.items():
        rows = of(df, part="noise", arm=arm)
        failed = rows["status"] != "ok"
        spent = rows["nfe_forward"].where(~failed, SPENT)
        middle = spent.groupby(rows["tolerance"]).median()
        ax.loglog(middle.index, middle, color=colour)
        ax.plot(rows["tolerance"][~failed], spent[~failed], marker, color=colour, label=arm)
        ax.plot(rows["tolerance"][failed], spent[failed], marker, color=colour, mfc="white")
    ax.axhline(SPENT, color="0.4", linestyle=":", linewidth=1, label="step limit")
    ax.set(title="Fixed, renewed", xlabel="tolerance", ylabel="forward evaluations")
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0.93))


# A part, the columns that tell its groups apart, the column that is summarised, and its meaning.
SUMMARIES = [
    ("determinant", ["field", "dim", "tolerance"], "error", "trace - determinant, nats"),
    ("mass", ["field", "dim"], "mass_error", "|mass - 1| on the finest grid"),
    ("printed", ["reading", "field"], "error", "residual of a formula, nats"),
    ("cost", ["quantity", "dim"], "time_s", "time, seconds"),
    ("estimate", ["quantity", "noise", "dim"], "variance", "variance of Hutchinson's estimate"),
    ("noise", ["arm", "tolerance"], "nfe_forward", "forward evaluations"),
]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """The least, median and largest value of each setting of each part; failed solves counted."""
    df = pd.concat([df[df["part"] != "mass"], finest(df)])
    df["mass_error"] = (df["mass"] - 1).abs()
    rows = []
    for part, columns, value, meaning in SUMMARIES:
        for keys, group in of(df, part=part).groupby(columns):
            values = ok(group)[value]
            settings = [
                k if isinstance(k, str) else f"{c} {k:g}"
                for c, k in zip(columns, keys, strict=True)
            ]
            rows.append(
                {
                    "what": meaning,
                    "setting": ", ".join(settings),
                    "least": number(values.min()),
                    "median": number(values.median()),
                    "largest": number(values.max()),
                    "failed": f"{int((group['status'] != 'ok').sum())} of {len(group)}",
                }
            )
    return pd.DataFrame(rows)
