"""How the rows are judged."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from odeclaims.claims.reversible_solvers.settings import (
    BASES,
    DEFAULT,
    HEUN,
    LAST,
    OF_NETS,
    ORDERS,
    STEP,
)
from odeclaims.claims.reversible_solvers.stability import exact_edge, simple_edge
from odeclaims.kits import needs
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.rules import Better, Bounds, Curve, Exact, Scales
from odeclaims.statement import Check, Size, Statement
from odeclaims.statistics import log_slope

# How far the order of a pair may be from that of its base, and that of a base from what it should
# be. With two central statements over seeds, six seeds cannot decide.
ORDER, LEAST_SEEDS = 0.15, 7
# Of the gradients that are judged: most steps, and errors in both precisions.
MOST_STEPS_OF_GRADIENT, EXACT, EXACT_FLOAT32 = 1000, 1e-10, 1e-4
HELD, HELD_OVER = 0.05, 100
# Both closed forms of the edge are compared for these couplings.
OF_EDGES = (0.8, 0.9, 0.99, 0.999)
EDGE, EXACT_EDGE = 0.05, 1e-6
# A net counts that fits and contracts so well.
FITS, CONTRACTS, LEAST_NETS = 0.05, 0.1, 7
STAYS = 10.0
STABLE = min(OF_NETS)
ROUNDING = 1e-10
PUBLISHED_RUNS = 10
ARM = ["method", "coupling"]


def coupled(df: pd.DataFrame, part: str) -> pd.DataFrame:
    """The rows of the pairs in a part."""
    return ok(df, part=part, arm="coupled")


def orders(df: pd.DataFrame, arm: str) -> pd.Series:
    """The slope of log error over log step, by method, coupling (0 without one) and seed."""
    rows = ok(df, part="order", arm=arm)
    rows = rows.assign(coupling=rows["coupling"].fillna(0))
    found = {
        key: log_slope(each["step"].to_numpy(float), each["error"].to_numpy(float))
        for key, each in rows.groupby([*ARM, "repetition"])
    }
    names = [*ARM, "repetition"]
    return pd.Series(found, index=pd.MultiIndex.from_tuples(found, names=names), dtype=float)


def extra_orders(df: pd.DataFrame) -> pd.DataFrame:
    """By how much the order of a pair exceeds that of its base, which is a column too.

    A row for each method, coupling and seed whose bases all show their orders.
    """
    plain = orders(df, "plain").reset_index(level="coupling", drop=True).rename("base")
    off = (plain - plain.index.get_level_values("method").map(ORDERS)).abs()
    good = off.groupby("repetition").max() <= ORDER
    rows = orders(df, "coupled").rename("order").reset_index()
    rows = rows[rows["repetition"].isin(good.index[good])]
    rows = rows.merge(plain.reset_index(), on=["method", "repetition"])
    return rows.assign(extra=rows["order"] - rows["base"])


def _orders_at_default(df: pd.DataFrame) -> pd.DataFrame:
    return of(extra_orders(df), coupling=DEFAULT)


def _farthest_orders(df: pd.DataFrame) -> np.ndarray:
    """For each seed, the largest distance between the orders of a pair and of its base."""
    rows = _orders_at_default(df)
    return rows["extra"].abs().groupby(rows["repetition"]).max().to_numpy(float)


def gradients(df: pd.DataFrame, dtype: str) -> pd.DataFrame:
    """The gradients at the default coupling that are judged; failed ones too."""
    rows = of(df, part="gradient", arm="coupled", coupling=DEFAULT, dtype=dtype)
    return rows[rows["steps"] <= MOST_STEPS_OF_GRADIENT]


def _gradient_errors(df: pd.DataFrame, dtype: str) -> list[float]:
    return list(gradients(df, dtype)["gradient_error"])


def held(df: pd.DataFrame) -> pd.DataFrame:
    """What the pairs hold between both passes in float64; of a gradient that is lost, too."""
    return of(df, part="gradient", arm="coupled", dtype="float64").dropna(subset=["held_bytes"])


def _most_held(df: pd.DataFrame) -> Curve:
    """The most that any base and coupling holds, over the number of steps."""
    most = held(df).groupby("steps")["held_bytes"].max()
    return Curve(tuple(most.index), tuple(most))


def edges(df: pd.DataFrame) -> pd.DataFrame:
    """The edges of the pairs that are compared with closed forms, which are columns."""
    rows = of(coupled(df, "edge"), coupling=list(OF_EDGES))
    arms = list(zip(rows["method"], rows["coupling"], strict=True))
    return rows.assign(
        simple=[simple_edge(*arm) for arm in arms], exact=[exact_edge(*arm) for arm in arms]
    )


def _edge_errors(df: pd.DataFrame, form: str) -> list[float]:
    rows = edges(df)
    return list((rows["edge"] / rows[form] - 1).abs())


def good_nets(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of the nets that fit what they learnt from, and contract."""
    rows = of(df, part="net")
    return rows[(rows["fit_error"] <= FITS) & (rows["contraction"] >= CONTRACTS)]


def net_ratios(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of the pairs on these nets, with their error over the base's as ``ratio``."""
    nets, keys = good_nets(df), ["method", "repetition", "time"]
    plain = ok(nets, arm="plain").set_index(keys)["error"]
    rows = coupled(nets, "net")
    base = plain.reindex(pd.MultiIndex.from_frame(rows[keys]))
    return rows.assign(ratio=rows["error"].to_numpy(float) / base.to_numpy(float))


def _at_last(df: pd.DataFrame, coupling: float) -> np.ndarray:
    """For each net, the largest ratio of a base at the last time."""
    rows = of(net_ratios(df), coupling=coupling, time=LAST)
    return rows.groupby("repetition")["ratio"].max().to_numpy(float)


def passes(df: pd.DataFrame, coupling: float) -> pd.Series:
    """For each base the first time at which the median ratio of the nets is above ten."""
    middle = of(net_ratios(df), coupling=coupling).groupby(["method", "time"])["ratio"].median()
    above = middle[middle > STAYS].reset_index()
    return above.groupby("method")["time"].min().reindex(list(BASES))


def _all_bases(among: needs.Pick, df: pd.DataFrame) -> str:
    count = of(among(df), method=list(BASES))["method"].nunique()
    return "" if count == len(BASES) else f"{count} of {len(BASES)} base methods"


def _enough_nets() -> needs.Need:
    return needs.seeds(LEAST_NETS, good_nets)


def _closed_form_errors(df: pd.DataFrame) -> list[float]:
    rows = coupled(df, "edge")
    return [*rows["trace_error"], *rows["determinant_error"]]


def _seeds_of_gradients(df: pd.DataFrame) -> list[float]:
    return list(of(df, part="gradient").groupby("repetition")["seed"].nunique())


CHECKS = [
    Check(
        "closed_form",
        "A step of the pair on y' = a y has the published matrix",
        _closed_form_errors,
        Bounds(at_most=ROUNDING),
        "another step would be another method; errors of trace and determinant",
    ),
    Check(
        "same_net",
        "All gradients of a repetition are of one net and one batch",
        _seeds_of_gradients,
        Bounds(1, 1),
        "only the method, the precision and the number of steps may differ",
    ),
]


def _gradient_statement(name: str, text: str, dtype: str, bound: float, because: str) -> Statement:
    among = partial(gradients, dtype=dtype)
    return Statement(
        name,
        text,
        partial(_gradient_errors, dtype=dtype),
        Exact(Bounds(at_most=bound)),
        because,
        needs=(
            partial(_all_bases, among),
            needs.span("steps", HELD_OVER, "the numbers of steps span", among),
            needs.all_ok(among, "gradients"),
        ),
        central=dtype == "float64",
        rests_on=("same_net",),
    )


def _net_statement(name: str, text: str, coupling: float, because: str) -> Statement:
    return Statement(
        name,
        text,
        partial(_at_last, coupling=coupling),
        Better(Bounds(at_most=STAYS), of="median"),
        because,
        needs=(_enough_nets(), partial(_all_bases, good_nets)),
        central=coupling == DEFAULT,
        rests_on=("closed_form",),
    )


STATEMENTS = [
    Statement(
        "order_of_base",
        f"At the default coupling of {DEFAULT:g} a pair converges with the order of its base",
        _farthest_orders,
        Scales(Bounds(at_most=ORDER)),
        "the theorem says that a pair has the order of its base; distance between both slopes of"
        " log error over log step, of the base with the largest, in each seed whose bases show"
        " their own orders",
        needs=(
            needs.seeds(LEAST_SEEDS, _orders_at_default),
            partial(_all_bases, _orders_at_default),
        ),
        central=True,
        rests_on=("closed_form",),
    ),
    _gradient_statement(
        "gradient_exact",
        f"At the default coupling the gradient of up to {MOST_STEPS_OF_GRADIENT} steps is that of"
        " backpropagation through the same steps",
        "float64",
        EXACT,
        "the steps are undone but for rounding; a thousand roundings of 1e-16, amplified by"
        " 0.999^-1000 = 2.7, are 3e-13, and a field adds a factor of its own. Relative L2 error",
    ),
    Statement(
        "held_constant",
        "What is held between the passes does not grow with the number of steps",
        _most_held,
        Scales(Bounds(at_most=HELD)),
        "the end of the last step is enough to undo all of them; the most bytes that any base and"
        " coupling holds",
        needs=(
            partial(_all_bases, held),
            needs.span("steps", HELD_OVER, "the numbers of steps span", held),
        ),
        central=True,
        rests_on=("same_net",),
    ),
    Statement(
        "real_edge",
        "A decay is stable for steps up to ln(1 / coupling), and up to 1 - coupling with Euler's"
        " method",
        partial(_edge_errors, form="simple"),
        Exact(Bounds(at_most=EDGE)),
        "the eigenvalues of a step are near exp(h a) and coupling exp(-h a); relative distance of"
        " the edge that bisection finds, for couplings from 0.8 on",
        needs=(partial(_all_bases, edges),),
        central=True,
        rests_on=("closed_form",),
    ),
    _net_statement(
        "trained_nets_stay",
        "At the default coupling trained contracting nets stay within ten times the error of the"
        " base method",
        DEFAULT,
        "the paper calls the pairs numerically stable; largest error so far of a net at time"
        f" {LAST:g} in steps of {STEP:g}, over that of the base in the same steps, of the base"
        " with the largest ratio",
    ),
    Statement(
        "edge_is_that_of_shrinking",
        "A decay is stable up to the step that shrinks a state by the coupling in the base method",
        partial(_edge_errors, form="exact"),
        Exact(Bounds(at_most=EXACT_EDGE)),
        "there an eigenvalue passes 1; relative distance from the root of the stability polynomial"
        " less the coupling, for couplings from 0.8 on",
        needs=(partial(_all_bases, edges),),
        rests_on=("closed_form",),
    ),
    _gradient_statement(
        "gradient_exact_float32",
        "In float32 the gradient is that of backpropagation but for rounding",
        "float32",
        EXACT_FLOAT32,
        "a thousand roundings of 6e-8 add up to 6e-5 at most. Relative L2 error, at the default"
        " coupling",
    ),
    _net_statement(
        "small_coupling_stays",
        f"At a coupling of {STABLE:g} trained contracting nets stay within ten times the error of"
        " the base method",
        STABLE,
        f"steps of {STEP:g} are below ln(1 / {STABLE:g}) = {-np.log(STABLE):.3f} over the rate of"
        " contraction, which is near 1; as above",
    ),
]


def _share_of_published(df: pd.DataFrame) -> float:
    return of(df, part="net")["repetition"].nunique() / PUBLISHED_RUNS


SIZE = Size("the 10 runs of each trained model", _share_of_published)


def caveats(df: pd.DataFrame) -> list[str]:
    """Where the order has a change of regime, where gradients are lost, and when nets are left."""
    return [
        *_caveats_on_order(df),
        *_caveats_on_gradients(df),
        *_caveats_on_decay(df),
        *_caveats_on_nets(df),
    ]


def _caveats_on_order(df: pd.DataFrame) -> list[str]:
    rows, sentences = extra_orders(df), []
    every, good = of(df, part="order")["repetition"].nunique(), rows["repetition"].nunique()
    if good < every:
        sentences.append(
            f"In {every - good} of {every} random nets a base misses its own order by more than"
            f" {ORDER:g}. They are left out."
        )
    middle = rows.groupby(ARM)["extra"].median()
    beyond = middle[middle.abs() > ORDER]
    if len(beyond):
        farthest: Any = beyond.abs().idxmax()
        method, coupling = farthest
        sentences.append(
            f"In {len(beyond)} of {len(middle)} pairs of base and coupling the order differs from"
            f" that of the base by more than {ORDER:g}, at most by {number(beyond[farthest], 2)}"
            f" ({method} at {coupling:g}). A method of odd order has one constant of the error"
            " where the step is far below 1 - coupling and another where it is far above. Between"
            " them a slope is no order."
        )
    return sentences


def _caveats_on_gradients(df: pd.DataFrame) -> list[str]:
    every = of(df, part="gradient", arm="coupled", dtype="float64", steps=MOST_STEPS_OF_GRADIENT)
    sentences = []
    for coupling, rows in every.groupby("coupling"):
        worst, lost = rows["gradient_error"].max(), int((rows["status"] != "ok").sum())
        if lost:
            sentences.append(
                f"At a coupling of {coupling:g} and {MOST_STEPS_OF_GRADIENT} steps {lost} of"
                f" {len(rows)} gradients are not finite."
            )
        elif worst > EXACT:
            sentences.append(
                f"At a coupling of {coupling:g} and {MOST_STEPS_OF_GRADIENT} steps the relative"
                f" error of a gradient is {number(worst, 2)}."
            )
    return sentences


def _caveats_on_decay(df: pd.DataFrame) -> list[str]:
    largest = of(coupled(df, "decay"), coupling=DEFAULT).groupby("method")["size"].max()
    heun = ok(df, part="decay", arm=HEUN)["size"].max()
    if not len(largest):
        return []
    named = ", ".join(f"{number(largest[base], 2)} ({base})" for base in BASES if base in largest)
    return [
        f"From 1, y' = -y in steps of {STEP:g} reaches {named} within {LAST:g} units of time at the"
        f" default coupling, and {number(heun, 2)} with reversible Heun."
    ]


def _caveats_on_nets(df: pd.DataFrame) -> list[str]:
    sentences = []
    every, good = (rows["repetition"].nunique() for rows in (of(df, part="net"), good_nets(df)))
    if good < every:
        sentences.append(
            f"{every - good} of {every} nets fit worse than {FITS:g} or contract slower than"
            f" {CONTRACTS:g}. They are left out."
        )
    if good:
        times = passes(df, DEFAULT).dropna()
        named = ", ".join(f"{time:g} ({base})" for base, time in times.items())
        if named:
            sentences.append(
                "At the default coupling the error of the median net is above ten times that of the"
                f" base from time {named} on, of the times at which it is looked at."
            )
    return sentences
