"""Rows that nobody measured: pairs that behave as the closed forms say, and nets of any error."""

import math
from collections.abc import Mapping

import pandas as pd

from odeclaims.claims.reversible_solvers import CLAIM
from odeclaims.claims.reversible_solvers.settings import (
    BASES,
    COUPLINGS,
    DEFAULT,
    HEUN,
    OF_NETS,
    ORDERS,
)
from odeclaims.claims.reversible_solvers.stability import exact_edge

STEPS = (10, 100, 1000)
# Over the error of the base at the times 10 and 20, by coupling.
RATIOS = {0.8: (1.0, 1.0), 0.9: (1.0, 2.0), 0.99: (5.0, 1e3), DEFAULT: (30.0, 1e4)}


def make_rows(
    *,
    seeds: int = 8,
    extra: Mapping[tuple[str, float], float] | None = None,
    base_orders: Mapping[str, float] = ORDERS,
    gradient: float = 1e-14,
    gradient_float32: float = 1e-6,
    status: str = "ok",
    growth: float = 0.0,
    edge: float = 1.0,
    ratios: Mapping[float, tuple[float, float]] = RATIOS,
    fit_error: float = 0.02,
    contraction: float = 0.3,
) -> pd.DataFrame:
    """The rows of a run.

    Args:
        seeds: of the random nets whose order is measured, and of the trained ones.
        extra: by how much the order of a pair exceeds that of its base, by base and coupling.
        base_orders: of the plain bases.
        gradient: error at the default coupling in float64.
        gradient_float32: the same in float32.
        status: of the gradients at the default coupling.
        growth: exponent with which the held bytes grow with the steps.
        edge: over that of the closed form.
        ratios: errors of the trained nets over the base's at two times, by coupling.
        fit_error, contraction: of the trained nets.
    """
    rows = [
        *_orders(seeds, extra or {}, base_orders),
        *_gradients(gradient, gradient_float32, status, growth),
        *_edges(edge),
        *_decays(),
        *_nets(seeds, ratios, {"fit_error": fit_error, "contraction": contraction}),
    ]
    common = {"status": "ok", "repetition": 0, "seed": 7}
    return pd.DataFrame([{**common, **row} for row in rows], columns=list(CLAIM.all_columns))


def arms(couplings=COUPLINGS) -> list[dict]:
    pairs = [("coupled", base, coupling) for base in BASES for coupling in couplings]
    controls = [*(("plain", base, None) for base in BASES), (HEUN, HEUN, None)]
    return [
        dict(zip(("arm", "method", "coupling"), each, strict=True)) for each in pairs + controls
    ]


def _orders(seeds, extra, base_orders) -> list[dict]:
    rows = []
    for arm in arms():
        order = base_orders.get(arm["method"], 2) + extra.get((arm["method"], arm["coupling"]), 0)
        for seed in range(seeds):
            for steps in (8, 16, 32):
                found = {"steps": steps, "step": 2 / steps, "error": (1 + seed) * steps**-order}
                rows.append({"part": "order", **arm, "repetition": seed, "seed": seed, **found})
    return rows


def _gradients(gradient, gradient_float32, status, growth) -> list[dict]:
    rows = []
    for steps in STEPS:
        for dtype, error in (("float64", gradient), ("float32", gradient_float32)):
            for arm in arms():
                if arm["arm"] == "plain":
                    continue
                lost = arm["coupling"] is not None and arm["coupling"] < DEFAULT
                found = {"gradient_error": 0.5 if lost and steps == 1000 else error}
                found["held_bytes"] = 512 * (steps / 10) ** growth
                found["held_bytes_backprop"] = 8000.0 * steps
                stopped = {"status": status} if arm["coupling"] == DEFAULT else {}
                named = {"part": "gradient", "dtype": dtype, "steps": steps}
                rows.append({**named, **arm, **found, **stopped})
    return rows


def _edges(edge) -> list[dict]:
    rows = []
    for arm in arms():
        found = {"edge": {"plain": 2.0}.get(arm["arm"], 0.0)}
        if arm["arm"] == "coupled":
            closed = exact_edge(arm["method"], arm["coupling"])
            found["edge"] = 0.0 if math.isnan(closed) else edge * closed
            found |= {"trace_error": 1e-15, "determinant_error": 1e-15}
        rows.append({"part": "edge", **arm, **found})
    return rows


def _decays() -> list[dict]:
    return [
        {"part": "decay", **arm, "time": time, "size": math.exp(time / 2 - 1)}
        for arm in arms()
        for time in (0.0, 10.0, 20.0)
    ]


def _nets(seeds, ratios, quality) -> list[dict]:
    rows = []
    for seed in range(seeds):
        for arm in arms(OF_NETS):
            for place, time in enumerate((10.0, 20.0)):
                ratio = ratios[arm["coupling"]][place] if arm["arm"] == "coupled" else 1.0
                found = {"time": time, "error": (1 + 0.1 * seed) * 1e-3 * ratio}
                rows.append({"part": "net", **arm, "repetition": seed, **quality, **found})
    return rows
