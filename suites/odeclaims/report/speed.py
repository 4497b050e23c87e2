"""The speed suite's tables and figures, from its rows alone.

``python -m odeclaims.report.speed [FOLDER]`` writes them again, by default into ``results/speed``.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from odeclaims.backends import GRADIENTS
from odeclaims.report.style import COLOURS, MARKERS, label_panels, panels, save, style
from odeclaims.report.tables import markdown, number
from odeclaims.speed import COLUMNS, FIELD, NO_GRADIENT, VJP
from odeclaims.store import write_text
from odeclaims.workloads import WORKLOADS

FOLDER = Path("results/speed")
# Every other solver is compared with this one.
BASELINE = "torchdiffeq"

# The least ratio of the ends of an axis.
LEAST_SPAN = 6
KEYS = ["workload", "backend", "gradient", "tol"]
ARM = ["backend", "gradient"]


def read(folder: Path) -> pd.DataFrame:
    """The rows of a run.

    Raises:
        FileNotFoundError: where nothing was measured.
        ValueError: where the columns are not those of this suite.
    """
    path = folder / "data.csv"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; `tox run -e speed` makes it")
    df = pd.read_csv(path)
    if list(df.columns) != list(COLUMNS):
        wrong = sorted(set(df.columns) ^ set(COLUMNS)) or ["their order"]
        raise ValueError(f"{path}: its columns differ from the suite's in {', '.join(wrong)}")
    return in_order(df)


def in_order(df: pd.DataFrame) -> pd.DataFrame:
    """The rows by workload, backend (the field first), gradient and tolerance, from the loosest."""
    ranks = {
        "workload": {name: place for place, name in enumerate(WORKLOADS)},
        "gradient": {name: place for place, name in enumerate((NO_GRADIENT, VJP, *GRADIENTS))},
        "backend": {FIELD: ""},
    }

    def rank(column: pd.Series) -> pd.Series:
        known = ranks.get(str(column.name), {})
        return (
            -column if column.name == "tol" else column.map(lambda value: known.get(value, value))
        )

    return df.sort_values([*KEYS, "pass"], key=rank, ignore_index=True)


# --- what follows from the rows


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """One row a case: medians over the passes, and the share of the time that the field needs.

    ``efficiency`` is the cost of the evaluations alone over the time, each priced by the eager
    torch field in the same pass: forward ones by the field, backward ones by the field with its
    vector-Jacobian product. Empty where the backward evaluations are not known.
    """
    df = df.assign(efficiency=_efficiency(df))
    grouped = df.groupby(KEYS, sort=False)
    kept = [name for name in COLUMNS if name not in {*KEYS, "pass", "position"}]
    table = grouped[kept].first()
    table["passes"] = grouped.size()
    table["rounds"] = grouped["rounds"].sum()
    for name in ("time_s", "iqr_s", "efficiency"):
        table[name] = grouped[name].median()
    return table.reset_index()


def _efficiency(df: pd.DataFrame) -> pd.Series:
    field = df[df["backend"] == FIELD].set_index(["workload", "pass", "gradient"])["time_s"]
    keys = pd.MultiIndex.from_frame(df[["workload", "pass"]])

    def cost(gradient: str) -> np.ndarray:
        of_one = field[field.index.get_level_values("gradient") == gradient]
        return of_one.droplevel("gradient").reindex(keys).to_numpy()

    work = df["nfe_forward"] * cost(NO_GRADIENT)
    backward = df["nfe_backward"] * cost(VJP)
    return (work + backward.where(df["gradient"] != NO_GRADIENT, 0.0)) / df["time_s"]


def ratios(df: pd.DataFrame) -> pd.DataFrame:
    """How many times faster than each arm of torchdiffeq every other arm is, by workload.

    Both times come from the same pass. ``equal tolerance`` compares them at the workload's own;
    ``equal error`` at the error that torchdiffeq's arm has there, each read off its own
    work-precision line. The median over the passes stands beside the smallest and the largest.
    """
    found = []
    for (workload,), rows in _solvers(df).groupby(["workload"], sort=False):
        arms = dict(list(rows.groupby(ARM, sort=False)))
        for arm, own in arms.items():
            for against, baseline in arms.items():
                if against[0] != BASELINE or arm == against:
                    continue
                for basis, compare in (("tolerance", _at_tolerance), ("error", _at_error)):
                    values = [v for v in _by_pass(own, baseline, compare) if math.isfinite(v)]
                    found.append(
                        {
                            "workload": workload,
                            "backend": arm[0],
                            "gradient": arm[1],
                            "against": against[1],
                            "equal": basis,
                            "ratio": float(np.median(values)) if values else math.nan,
                            "low": min(values, default=math.nan),
                            "high": max(values, default=math.nan),
                            "passes": len(values),
                        }
                    )
    columns = ["workload", *ARM, "against", "equal", "ratio", "low", "high", "passes"]
    return pd.DataFrame(found, columns=columns)


def _solvers(df: pd.DataFrame) -> pd.DataFrame:
    return df[df["backend"] != FIELD]


def _by_pass(
    own: pd.DataFrame, baseline: pd.DataFrame, compare: Callable[..., float]
) -> Iterator[float]:
    """The ratio in every pass in which both arms were timed at the workload's own tolerance."""
    for turn, reference in baseline.groupby("pass"):
        mine = own[own["pass"] == turn]
        if reference["own"].any() and len(mine):
            yield compare(mine, reference)


def _at_tolerance(mine: pd.DataFrame, reference: pd.DataFrame) -> float:
    times = [rows.loc[rows["own"], "time_s"].tolist() for rows in (reference, mine)]
    return times[0][0] / times[1][0] if all(times) else math.nan


def _at_error(mine: pd.DataFrame, reference: pd.DataFrame) -> float:
    name = "error" if (reference["gradient"] == NO_GRADIENT).all() else "gradient_error"
    target = float(reference.loc[reference["own"], name].iloc[0])
    times = []
    for rows in (reference, mine):
        ordered = rows.sort_values("tol", ascending=False)
        times.append(time_at_error(ordered[name].tolist(), ordered["time_s"].tolist(), target))
    return times[0] / times[1]


def time_at_error(errors: Sequence[float], times: Sequence[float], target: float) -> float:
    """The time in which an arm reaches an error, on the line through its points in log-log.

    Args:
        errors: the error at each tolerance, from the loosest to the tightest.
        times: the time at each.
        target: the error asked for.

    Returns:
        The time where the line first comes down to ``target``; the first time where already the
        loosest tolerance is that good; NaN where none is, since nothing is extrapolated.
    """
    if errors[0] <= target:
        return times[0]
    for i in range(len(errors) - 1):
        high, low = errors[i], errors[i + 1]
        if high > target >= low:
            share = math.log(high / target) / math.log(high / max(low, sys.float_info.min))
            return math.exp((1 - share) * math.log(times[i]) + share * math.log(times[i + 1]))
    return math.nan


# --- how it looks


def summary_markdown(df: pd.DataFrame) -> str:
    """The cases at the workloads' own tolerances, and what every column of the CSV means."""
    table = summary(df)
    parts = ["# Speed of each solver at equal tolerances"]
    for workload in table["workload"].unique():
        rows = table[(table["workload"] == workload) & table["own"]]
        tol = rows["tol"].iloc[0]
        parts += [f"## {workload}: {WORKLOADS[workload].what}, tolerance {tol:g}"]
        parts += [markdown(pd.DataFrame(_readable(row) for _, row in rows.iterrows()))]
    parts += ["## Columns of data.csv", _dictionary()]
    return "\n\n".join(parts) + "\n"


def _readable(row: pd.Series) -> dict[str, str]:
    def scaled(name: str, factor: float) -> str:
        return number(float(row[name]) * factor)

    return {
        "backend": str(row["backend"]),
        "gradient": str(row["gradient"]),
        "time [ms]": scaled("time_s", 1e3),
        "IQR [ms]": scaled("iqr_s", 1e3),
        "rounds": f"{row['rounds']:.0f} in {row['passes']:.0f}",
        "first call [ms]": scaled("first_s", 1e3),
        "compiling [s]": scaled("compile_s", 1),
        "NFE forward": _count(row["nfe_forward"]),
        "NFE backward": _count(row["nfe_backward"]),
        "peak [MiB]": scaled("peak_bytes", 2**-20),
        "error": scaled("error", 1),
        "gradient error": scaled("gradient_error", 1),
        "NFE x field / time": scaled("efficiency", 1),
    }


def _count(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0f}"


def _dictionary() -> str:
    return markdown(
        pd.DataFrame(
            {
                "column": f"`{name}`",
                "meaning": column.meaning,
                "differs between runs": "yes" if column.varies else "no",
            }
            for name, column in COLUMNS.items()
        )
    )


def ratios_markdown(df: pd.DataFrame) -> str:
    """Times faster than torchdiffeq, one table a workload."""
    table = ratios(df)
    parts = [
        f"# Times faster than {BASELINE}",
        "Median over the passes of one run, with the smallest and the largest; both times of a"
        " ratio come from the same pass. Equal error means the error that torchdiffeq has at the"
        " workload's own tolerance, that of the gradient where there is one. An empty entry: the"
        " solver does not come down to that error within its tolerances.",
    ]
    if table.empty:
        parts += [f"{BASELINE} was not timed, so there is nothing to compare with."]
    for workload in table["workload"].unique():
        parts += [f"## {workload}", markdown(_ratio_table(table[table["workload"] == workload]))]
    return "\n\n".join(parts) + "\n"


def _ratio_table(rows: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for arm, own in rows.groupby(ARM, sort=False):
        line = dict(zip(ARM, arm, strict=True))
        for _, row in own.iterrows():
            against = "" if row["against"] == NO_GRADIENT else f"{row['against']}, "
            entry = number(row["ratio"])
            if row["passes"] > 1:
                entry += f" ({number(row['low'])} to {number(row['high'])})"
            line[f"{against}equal {row['equal']}"] = entry
        lines.append(line)
    return pd.DataFrame(lines).fillna("")


def work_precision(df: pd.DataFrame, *, differentiated: bool) -> Figure:
    """Time over error, one panel a workload, one line an arm; the workload's own tolerance filled.

    Args:
        df: the rows of a run.
        differentiated: the workloads with a gradient, and its error; else the forward solves.
    """
    table = _solvers(summary(df))
    table = table[(table["gradient"] != NO_GRADIENT) == differentiated]
    workloads = list(table["workload"].unique())
    figure, axes = panels(math.ceil(len(workloads) / 2), 2)
    flat = list(axes.flat)
    backends = sorted(table["backend"].unique())
    error = "gradient_error" if differentiated else "error"
    for ax, workload in zip(flat, workloads, strict=False):
        for arm, rows in table[table["workload"] == workload].groupby(ARM, sort=False):
            _draw_arm(ax, rows, error, _look(backends, *arm))
        ax.set(xscale="log", yscale="log", title=workload.replace("_", " "), ylabel="time (s)")
        ax.set_xlabel(f"relative L2 error of the {'gradient' if differentiated else 'states'}")
        ax.set(xlim=_wide(*ax.get_xlim()), ylim=_wide(*ax.get_ylim()))
        for axis in (ax.xaxis, ax.yaxis):
            _label_sparsely(axis)
    label_panels(flat[: len(workloads)])
    for ax in flat[len(workloads) :]:
        ax.set_axis_off()
    gradients = [g for g in GRADIENTS if g in set(table["gradient"])]
    handles = _handles(backends, gradients)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=3.5)
    return figure


def _wide(low: float, high: float) -> tuple[float, float]:
    """Limits that are at least so far apart that a label lies between them."""
    if high / low >= LEAST_SPAN:
        return low, high
    middle, half = math.sqrt(low * high), math.sqrt(LEAST_SPAN)
    return middle / half, middle * half


def _label_sparsely(axis: Axis) -> None:
    """Label 2 and 5 between the powers of ten where an axis has at most two of those."""
    low, high = sorted(axis.get_view_interval())
    short = math.log10(high / low) < 2
    axis.set_minor_locator(LogLocator(subs=(2, 5) if short else range(2, 10)))
    every = LogFormatterSciNotation(minor_thresholds=(math.inf, math.inf))
    axis.set_minor_formatter(every if short else NullFormatter())


_DASHES: Sequence[Any] = ["-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]


def _look(backends: Sequence[str], backend: str, gradient: str) -> dict[str, Any]:
    """A backend has its colour and dash, a way to the gradient its marker.

    Without a gradient the marker too is the backend's, so that nothing hangs on colour alone.
    """
    place = backends.index(backend)
    marked = GRADIENTS.index(gradient) if gradient in GRADIENTS else place
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": _DASHES[place % len(_DASHES)],
        "marker": MARKERS[marked % len(MARKERS)],
    }


def _draw_arm(ax: Axes, rows: pd.DataFrame, error: str, look: dict[str, Any]) -> None:
    """A line through all tolerances, the workload's own filled."""
    ax.plot(rows[error], rows["time_s"], markerfacecolor="white", **look)
    own = rows[rows["own"]]
    ax.plot(own[error], own["time_s"], **{**look, "linestyle": "none"})


def _handles(backends: Sequence[str], gradients: Sequence[str]) -> list[Line2D]:
    """The legend: a line a backend, a marker a way to the gradient."""
    plain: dict[str, Any] = {"color": "0.3", "linestyle": "none"}
    handles = []
    for backend in backends:
        look = _look(backends, backend, NO_GRADIENT)
        if gradients:
            look["marker"] = ""
        handles.append(Line2D([], [], label=backend, markerfacecolor="white", **look))
    for gradient in gradients:
        marker = _look(backends, backends[0], gradient)["marker"]
        handles.append(
            Line2D([], [], label=gradient, marker=marker, markerfacecolor="white", **plain)
        )
    handles.append(Line2D([], [], label="the workload's own tolerance", marker="o", **plain))
    return handles


def write(folder: Path) -> list[Path]:
    """Write every table and figure into the folder of ``data.csv``; the paths."""
    df = read(folder)
    texts = {
        "summary.csv": summary(df).to_csv(index=False, lineterminator="\n"),
        "summary.md": summary_markdown(df),
        "ratios.csv": ratios(df).to_csv(index=False, lineterminator="\n"),
        "ratios.md": ratios_markdown(df),
    }
    paths = []
    for name, text in texts.items():
        write_text(folder / name, text)
        paths.append(folder / name)
    with style():
        for name, differentiated in (("forward", False), ("gradient", True)):
            if ((_solvers(df)["gradient"] != NO_GRADIENT) == differentiated).any():
                figure = work_precision(df, differentiated=differentiated)
                paths += save(figure, folder, name)
    return paths


def main() -> None:
    """Draw and tabulate again; what a user can mend is one sentence and exit code 2."""
    parser = argparse.ArgumentParser(description="Draw and tabulate the speed suite's rows again.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where data.csv lies")
    try:
        for path in write(parser.parse_args().folder):
            print(f"wrote {path}")
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
