"""The summary and the ratios of the speed suite as Markdown."""

import math

import pandas as pd

from odeclaims.record.wording import number
from odeclaims.report.tables import column_frame, markdown
from odeclaims.speed.cases import NO_GRADIENT
from odeclaims.speed.ratios import BASELINE, compute_ratios, summarise
from odeclaims.speed.rows import ARM, COLUMNS
from odeclaims.workloads import WORKLOADS


def summary_markdown(df: pd.DataFrame) -> str:
    """The cases at the workloads' own tolerances, and what every column of the CSV means."""
    table = summarise(df)
    parts = ["# Speed of each solver at equal tolerances"]
    for workload in table["workload"].unique():
        rows = table[(table["workload"] == workload) & table["own"]]
        tol = rows["tol"].iloc[0]
        parts += [f"## {workload}: {WORKLOADS[workload].what}, tolerance {tol:g}"]
        parts += [markdown(pd.DataFrame(_format_case(row) for _, row in rows.iterrows()))]
    parts += ["## Columns of data.csv", markdown(column_frame(COLUMNS))]
    return "\n\n".join(parts) + "\n"


def _format_case(row: pd.Series) -> dict[str, str]:
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
        "NFE forward": _format_count(row["nfe_forward"]),
        "NFE backward": _format_count(row["nfe_backward"]),
        "peak [MiB]": scaled("peak_bytes", 2**-20),
        "error": scaled("error", 1),
        "gradient error": scaled("gradient_error", 1),
        "NFE x field / time": scaled("efficiency", 1),
    }


def _format_count(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0f}"


def ratios_markdown(df: pd.DataFrame) -> str:
    """Times faster than the baseline, one table a workload."""
    table = compute_ratios(df)
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
    for arm, of_arm in rows.groupby(ARM, sort=False):
        line = dict(zip(ARM, arm, strict=True))
        for _, row in of_arm.iterrows():
            against = "" if row["against"] == NO_GRADIENT else f"{row['against']}, "
            entry = number(row["ratio"])
            if row["passes"] > 1:
                entry += f" ({number(row['low'])} to {number(row['high'])})"
            line[f"{against}equal {row['equal']}"] = entry
        lines.append(line)
    return pd.DataFrame(lines).fillna("")
