"""From the rows to one line a case, and to how many times faster each solver is than a baseline."""

import math
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from odeclaims.speed.cases import FIELD, NO_GRADIENT, VJP
from odeclaims.speed.rows import ARM, COLUMNS, KEYS, solver_rows

# Every other solver is compared with this one.
BASELINE = "torchdiffeq"
# The columns that are compared, and rows of them: the values by the column's name.
_COMPARED = ["tol", "own", "gradient", "time_s", "error", "gradient_error"]
_Columns = dict[Hashable, list[Any]]


def summarise(df: pd.DataFrame) -> pd.DataFrame:
    """One row a case: medians over the passes, and the share of the time that the field needs.

    ``efficiency`` is the cost of the evaluations alone over the time. Forward evaluations cost what
    the eager torch field costs in the same pass, backward ones what it costs with its
    vector-Jacobian product. It is empty if the backward evaluations are not known.
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

    forward = df["nfe_forward"] * cost(NO_GRADIENT)
    backward = df["nfe_backward"] * cost(VJP)
    return (forward + backward.where(df["gradient"] != NO_GRADIENT, 0.0)) / df["time_s"]


def compute_ratios(df: pd.DataFrame) -> pd.DataFrame:
    """How many times faster than each arm of the baseline every other arm is, by workload.

    Both times come from the same pass. ``equal tolerance`` compares them at the workload's own;
    ``equal error`` at the error that the baseline's arm has there, each read off its own
    work-precision line. The median over the passes stands beside the smallest and the largest.
    """
    table = []
    for (workload,), rows in solver_rows(df).groupby(["workload"], sort=False):
        arms = {arm: _by_pass(of_arm) for arm, of_arm in rows.groupby(ARM, sort=False)}
        for arm, of_arm in arms.items():
            for against, baseline in arms.items():
                if against[0] != BASELINE or arm == against:
                    continue
                for basis, compare in (("tolerance", _at_tolerance), ("error", _at_error)):
                    values = [v for v in _ratios(of_arm, baseline, compare) if math.isfinite(v)]
                    table.append(
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
    return pd.DataFrame(table, columns=columns)


def _by_pass(of_arm: pd.DataFrame) -> dict[Any, _Columns]:
    """The rows of an arm in each pass, from the loosest tolerance to the tightest.

    As lists: every arm is compared with several, and a frame is slow to take a few numbers from.
    """
    ordered = of_arm[["pass", *_COMPARED]].sort_values("tol", ascending=False)
    return {turn: rows.to_dict("list") for turn, rows in ordered.groupby("pass")}


def _ratios(
    of_arm: dict[Any, _Columns], baseline: dict[Any, _Columns], compare: Callable[..., float]
) -> Iterator[float]:
    """The ratio in every pass in which both arms were timed at the workload's own tolerance."""
    for turn, reference in baseline.items():
        if any(reference["own"]) and turn in of_arm:
            yield compare(of_arm[turn], reference)


def _own(rows: _Columns, name: str) -> list[Any]:
    """A column at the workload's own tolerance."""
    return [value for value, own in zip(rows[name], rows["own"], strict=True) if own]


def _at_tolerance(rows: _Columns, reference: _Columns) -> float:
    times = [_own(each, "time_s") for each in (reference, rows)]
    return times[0][0] / times[1][0] if all(times) else math.nan


def _at_error(rows: _Columns, reference: _Columns) -> float:
    name = "error" if set(reference["gradient"]) == {NO_GRADIENT} else "gradient_error"
    target = _own(reference, name)[0]
    times = [time_at_error(each[name], each["time_s"], target) for each in (reference, rows)]
    return times[0] / times[1]


def time_at_error(errors: Sequence[float], times: Sequence[float], target: float) -> float:
    """The time in which an arm reaches an error, on the line through its points in log-log.

    Args:
        errors: the error at each tolerance, from the loosest to the tightest.
        times: the time at each.
        target: the error asked for.

    Returns:
        The time where the line first comes down to ``target``; the first time if already the
        loosest tolerance is that good; NaN if none is, since nothing is extrapolated.
    """
    if errors[0] <= target:
        return times[0]
    for i in range(len(errors) - 1):
        high, low = errors[i], errors[i + 1]
        if high > target >= low:
            share = math.log(high / target) / math.log(high / max(low, sys.float_info.min))
            return math.exp((1 - share) * math.log(times[i]) + share * math.log(times[i + 1]))
    return math.nan
