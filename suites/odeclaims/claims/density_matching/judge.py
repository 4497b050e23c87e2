"""How the rows are judged."""

from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claim import FlipMap
from odeclaims.claims.density_matching.settings import (
    CNF_STEPS,
    NF_STEPS,
    SAME_TIME,
    TARGETS,
    WIDTHS,
)
from odeclaims.kits import needs
from odeclaims.kits.constants import RECONSTRUCTION_LIMIT
from odeclaims.kits.quantities import chances_below_zero
from odeclaims.kits.rows import of, ok, reversible
from odeclaims.record.wording import number
from odeclaims.rules import Better, Bounds, Share
from odeclaims.statement import Check, Need, Size, Statement

NAMES = {
    "nf": "NF, published",
    "nf_adam": "NF, Adam, equal steps",
    "nf_adam_long": "NF, Adam, equal time",
    "cnf": "CNF",
    "cnf_constant": "CNF, constant weights",
}
MARGIN, SHARE = 0.02, 0.75
# Least p-value of a check: chance fails one in a thousand of them.
CHANCE = 1e-3
PAIR = ["repetition", "target", "width"]


def compared(df: pd.DataFrame, cnf: str, nf: str) -> pd.DataFrame:
    """For each repetition, target and width both divergences, and both times of training."""
    sides = [
        ok(df, kind="result", arm=arm).set_index(PAIR)[["kl", "train_s"]].add_suffix(f"_{name}")
        for name, arm in (("cnf", cnf), ("nf", nf))
    ]
    return pd.concat(sides, axis=1, join="inner").reset_index()


def same_time(pairs: pd.DataFrame) -> pd.Series:
    """Whether the two trainings of each pair took equally long: one at most a tenth less."""
    ratio = pairs["train_s_nf"] / pairs["train_s_cnf"]
    return ratio.between(1 - SAME_TIME, 1 / (1 - SAME_TIME))


def _as_low(pairs: pd.DataFrame) -> list[bool]:
    return [bool(each) for each in pairs["kl_cnf"] <= pairs["kl_nf"] + MARGIN]


def _as_low_in_all(df: pd.DataFrame, cnf: str, nf: str) -> list[bool]:
    return _as_low(compared(df, cnf, nf))


def _as_low_in_equal_time(df: pd.DataFrame) -> list[bool]:
    pairs = compared(df, "cnf", "nf_adam_long")
    return _as_low(pairs[same_time(pairs)])


def _differences(df: pd.DataFrame, cnf: str, nf: str, width: int) -> np.ndarray:
    pairs = of(compared(df, cnf, nf), width=width)
    return (pairs["kl_cnf"] - pairs["kl_nf"]).to_numpy(dtype=float)


def _chances(df: pd.DataFrame) -> list[float]:
    models = ok(df, kind="result")
    return chances_below_zero(models["kl"], models["kl_se"])


def _return_errors(df: pd.DataFrame) -> list[float]:
    return [float(error) for error in ok(df, kind="result")["reconstruction_error"]]


def _parameter_ratios(df: pd.DataFrame) -> list[float]:
    """For each width the parameters of the constant field over those of each planar flow."""
    counts = ok(df, kind="result").groupby(["width", "arm"])["parameters"].first().unstack()
    flows = counts.filter(like="nf_adam").columns.union(counts.filter(items=["nf"]).columns)
    if "cnf_constant" not in counts:
        return []
    ratios = counts[flows].rdiv(counts["cnf_constant"], axis=0)
    return [float(ratio) for ratio in ratios.to_numpy(dtype=float).ravel() if ratio == ratio]


def _share_of_published(df: pd.DataFrame) -> float:
    return float(of(df, kind="result", arm="cnf")["steps"].median()) / CNF_STEPS


def _published(cnf: str) -> tuple[Need, ...]:
    """The published numbers of steps, without a model that failed."""
    needed = []
    for arm, steps in ((cnf, CNF_STEPS), ("nf", NF_STEPS)):
        among = partial(of, kind="result", arm=arm)
        needed.append(needs.all_ok(among, f"models of {arm}"))
        needed.append(needs.all_spent(steps, "steps", arm, among))
    return tuple(needed)


def _measured(*arms: str) -> tuple[Need, ...]:
    return tuple(
        needs.all_ok(partial(of, kind="result", arm=arm), f"models of {arm}") for arm in arms
    )


def _all_targets(df: pd.DataFrame) -> str:
    """Every target was tried at every width."""
    count = len(ok(df, kind="result", arm="cnf")[["target", "width"]].drop_duplicates())
    wanted = len(TARGETS) * len(WIDTHS)
    return "" if count >= wanted else f"{count} of {wanted} targets and widths"


def _same_steps(cnf: str, df: pd.DataFrame) -> str:
    """The two arms had equal numbers of steps."""
    counts = [of(df, kind="result", arm=arm)["steps"].unique() for arm in (cnf, "nf_adam")]
    return "" if np.array_equal(*counts) else "the numbers of steps differ"


SIZE = Size("10,000 iterations of the CNF", _share_of_published)

CHECKS = [
    Check(
        "no_divergence_below_zero",
        "No divergence is negative",
        _chances,
        Bounds(at_least=CHANCE),
        "a divergence never is: the p-value of each, times their number, says whether sampling"
        " explains one below zero",
    ),
    Check(
        "flows_return",
        "Every model takes points to the base and back",
        _return_errors,
        Bounds(at_most=RECONSTRUCTION_LIMIT),
        "a flow that is solved right is invertible; relative error",
    ),
    Check(
        "equal_parameters",
        "The constant field has as many parameters as the planar flow of its width",
        _parameter_ratios,
        Bounds(1, 1),
        "the comparison of equal parameters is one",
    ),
]

_SOUND = ("no_divergence_below_zero", "flows_return")


def _at_width(name: str, what: str, cnf: str, width: int, *, central: bool) -> Statement:
    rests_on = _SOUND if central else (*_SOUND, "equal_parameters")
    return Statement(
        f"{name}nearer_at_width_{width}",
        f"{what}, the CNF of width {width} is on average nearer to the targets than the planar"
        " flow",
        partial(_differences, cnf=cnf, nf="nf", width=width),
        Better(Bounds(at_most=0)),
        "the paper's figure has a curve over width, in which the CNF's loss is the lower one;"
        " KL(CNF) - KL(NF), nats, of each pair of trainings of one target and seed",
        needs=(*_published(cnf), _all_targets),
        central=central,
        rests_on=rests_on,
    )


def _shared(
    name: str,
    what: str,
    cnf: str,
    nf: str,
    because: str,
    need: tuple[Need, ...],
    *,
    central: bool = False,
) -> Statement:
    rests_on = (*_SOUND, "equal_parameters") if cnf == "cnf_constant" else _SOUND
    return Statement(
        name,
        f"{what}, the CNF comes as near to the target as the planar flow or nearer in {SHARE:.0%}"
        " of the pairs or more",
        partial(_as_low_in_all, cnf=cnf, nf=nf),
        Share(Bounds(at_least=SHARE)),
        because,
        needs=need,
        central=central,
        rests_on=rests_on,
    )


STATEMENTS = [
    _shared(
        "generally_as_low",
        "With the published recipes, over all targets and widths",
        "cnf",
        "nf",
        f"the paper's CNF generally achieves lower loss; a pair is one target, width and seed, and"
        f" {MARGIN:g} nat is no difference",
        (*_published("cnf"), _all_targets),
        central=True,
    ),
    *(_at_width("", "With the published recipes", "cnf", width, central=True) for width in WIDTHS),
    Statement(
        "as_low_in_equal_time",
        "With the same optimiser and equal time, the CNF comes as near to the target as the planar"
        f" flow or nearer in {SHARE:.0%} of the pairs or more",
        _as_low_in_equal_time,
        Share(Bounds(at_least=SHARE)),
        "whether the edge is the model's or that of its recipe; only pairs whose trainings took"
        f" equally long, within {SAME_TIME:.0%}, are counted (a caveat says how many)",
        needs=_measured("cnf", "nf_adam_long"),
        rests_on=_SOUND,
    ),
    _shared(
        "as_low_in_equal_steps",
        "With the same optimiser and as many steps",
        "cnf",
        "nf_adam",
        "the published comparison with the planar flow trained as the CNF is",
        (*_measured("cnf", "nf_adam"), partial(_same_steps, "cnf")),
    ),
    _shared(
        "equal_parameters_as_low",
        "With as many parameters, and the published recipe of the planar flow",
        "cnf_constant",
        "nf",
        "the hypernetwork has 50 to 160 times the planar flow's parameters; here the weights do not"
        " depend on time",
        (*_published("cnf_constant"), _all_targets),
    ),
    *(
        _at_width(
            "equal_parameters_",
            "With as many parameters, and the published recipe of the planar flow",
            "cnf_constant",
            width,
            central=False,
        )
        for width in WIDTHS
    ),
    _shared(
        "equal_parameters_and_steps_as_low",
        "With as many parameters, the same optimiser and as many steps",
        "cnf_constant",
        "nf_adam",
        "the evenest comparison in numbers, though a step of the CNF takes longer",
        (*_measured("cnf_constant", "nf_adam"), partial(_same_steps, "cnf_constant")),
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, what training still gained, where the CNF is behind, and what a batch saves."""
    models = ok(df, kind="result")
    texts = []
    for arm, rows in models.groupby("arm", sort=False):
        spent = " to ".join(f"{n:g}" for n in sorted({rows["steps"].min(), rows["steps"].max()}))
        texts.append(
            f"{NAMES[str(arm)]}: {spent} steps; in their last tenth the median loss"
            f" still fell by {number(rows['late_gain'].median(), 2)} nat."
        )
    medians = compared(df, "cnf", "nf").groupby(["target", "width"])[["kl_cnf", "kl_nf"]].median()
    behind = medians[medians["kl_cnf"] > medians["kl_nf"] + MARGIN].index
    if len(behind):
        places = ", ".join(f"{target} at {width:g}" for target, width in behind)
        texts.append(f"With the published recipes the CNF's median is the higher one for {places}.")
    bad = len(models) - len(reversible(models))
    if bad:
        texts.append(f"{bad} of {len(models)} models fail the reconstruction check.")
    texts += _equal_times(df)
    texts += _other_pictures(df)
    timed = of(df, kind="timing").sort_values("together")
    if len(timed):
        parts = [_step_times(rows) for _, rows in timed.groupby(["arm", "width", "compiled"])]
        texts.append(f"Milliseconds of a step: {'; '.join(parts)}.")
    return texts


def _equal_times(df: pd.DataFrame) -> list[str]:
    """How many pairs had equal time, and for each width how long the two arms took."""
    pairs = compared(df, "cnf", "nf_adam_long")
    if not len(pairs):
        return []
    took = pairs.groupby("width")[["train_s_cnf", "train_s_nf"]].median()
    seconds = "; ".join(
        f"{number(row['train_s_cnf'])} and {number(row['train_s_nf'])} at width {width:g}"
        for width, row in took.iterrows()
    )
    return [
        f"{same_time(pairs).sum()} of {len(pairs)} pairs were trained for equal times, within"
        f" {SAME_TIME:.0%}; the others are not judged as such. Seconds of training, CNF and"
        f" {NAMES['nf_adam_long']}: {seconds}."
    ]


def _other_pictures(df: pd.DataFrame) -> list[str]:
    """Which pictures are not those of the median repetition, as in rows of an early run."""
    drawn = ok(df, kind="density").dropna(subset="width").drop_duplicates([*PAIR, "arm"])
    models = ok(df, kind="result").astype({"kl": float})
    groups = models.groupby(["arm", "target", "width"])["kl"]
    is_median = models["kl"] == groups.transform("quantile", 0.5, interpolation="lower")
    median = models[is_median][["arm", *PAIR]]
    others = len(drawn) - len(drawn.merge(median, on=["arm", *PAIR]))
    if not others:
        return []
    return [f"{others} of {len(drawn)} pictures are not of the repetition of the median."]


def _step_times(rows: pd.DataFrame) -> str:
    """What a step takes for a single model and for all that train together."""
    times = [
        f"{1e3 * row['step_s']:.2g} for {row['together']:g}" for row in rows.to_dict("records")
    ]
    first = rows.iloc[0]
    compiled = ", compiled," if first["compiled"] else ""
    return f"{first['arm']} of width {first['width']:g}{compiled} {' and '.join(times)}"


def flips(df: pd.DataFrame) -> FlipMap:
    """By how much the CNF is better or worse, median of the repetitions, in every comparison."""
    values = [
        {
            "panel": f"{NAMES[cnf]}\nagainst {NAMES[nf]}",
            "row": target,
            "column": f"{width:g}",
            "value": (group["kl_cnf"] - group["kl_nf"]).median(),
        }
        for cnf, nf in (
            ("cnf", "nf"),
            ("cnf", "nf_adam_long"),
            ("cnf", "nf_adam"),
            ("cnf_constant", "nf"),
            ("cnf_constant", "nf_adam"),
        )
        for (target, width), group in compared(df, cnf, nf).groupby(["target", "width"])
    ]
    return FlipMap(
        "KL(CNF) – KL(NF), nats, median of the repetitions",
        pd.DataFrame(values),
        "target",
        "width, K = M",
        Bounds(at_most=MARGIN),
    )
