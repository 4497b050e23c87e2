"""How the rows are judged."""

from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.batch_nfe.settings import JUDGED_MU, MUS, NET_SAMPLES, SAMPLES
from odeclaims.kits.constants import RECONSTRUCTION_LIMIT
from odeclaims.kits.quantities import WHOLE_STEPS, beyond_whole_steps
from odeclaims.kits.rows import of, ok
from odeclaims.rules import Attempts, Better, Bounds, Exact, Possible
from odeclaims.statement import Check, Size, Statement

LARGEST, LARGEST_OF_NETS = max(SAMPLES), max(NET_SAMPLES)
LEAST_NETS, LEAST_DRAWS, LEAST_DRAWS_OF_NET = 6, 10, 3
# Hardly more than the mean of single solves, and what the other side calls several times more.
HARDLY, SEVERAL = 1.25, 3.0
PUBLISHED_TIMES = Bounds(3, 6)


def oscillators(df: pd.DataFrame, norm: str = "rms", role: str = "checked") -> pd.DataFrame:
    """The batches of Van der Pol's oscillator with one norm at one tolerance."""
    return ok(df, task="vdp", norm=norm, role=role)


def of_nets(
    df: pd.DataFrame, *, trained: bool = True, role: str = "checked", samples: int = LARGEST_OF_NETS
) -> pd.DataFrame:
    """The batches of the trained nets, or of the untrained ones."""
    return ok(df, task="net", trained=trained, role=role, samples=samples)


def by_net(rows: pd.DataFrame) -> pd.Series:
    """For each net with enough batches the median ratio over them."""
    nets = rows.groupby(["recipe", "net", "repetition"])
    enough = nets["draw"].nunique() >= LEAST_DRAWS_OF_NET
    return nets["ratio"].median().astype(float)[enough]


def _ratios_of_nets(df: pd.DataFrame, trained: bool) -> np.ndarray:
    return by_net(of_nets(df, trained=trained)).to_numpy()


def _own_ratios(df: pd.DataFrame) -> np.ndarray:
    """The ratio of each batch of oscillators whose samples have their own steps."""
    rows = of(oscillators(df), mu=JUDGED_MU, samples=LARGEST)
    return rows["ratio_own"].dropna().to_numpy(dtype=float)


def _reaches(df: pd.DataFrame) -> Attempts:
    """Which batches at mu = 10 take several times the evaluations of single solves."""
    rows = of(oscillators(df), mu=JUDGED_MU, samples=LARGEST)
    return Attempts(tuple(bool(each) for each in rows["ratio"] >= SEVERAL))


def medians(df: pd.DataFrame, norm: str = "rms", ratio: str = "ratio") -> pd.DataFrame:
    """The median ratio over the batches, a row for each mu, size and role."""
    rows = ok(df, task="vdp", norm=norm)
    return rows.groupby(["mu", "samples", "role"])[ratio].median().astype(float).reset_index()


def _largest(df: pd.DataFrame) -> list[float]:
    table = medians(df)
    return [float(table["ratio"].max())] if len(table) else []


def _hardest_error(df: pd.DataFrame) -> np.ndarray:
    """For each batch the log of its worst error when solved jointly over that of single solves."""
    rows = of(oscillators(df), mu=JUDGED_MU, samples=LARGEST)
    return np.log((rows["error_joint"] / rows["error_single"]).to_numpy(dtype=float))


def _growth(df: pd.DataFrame) -> np.ndarray:
    """For each draw the log of the ratio in the largest batch over that in the smallest."""
    rows = of(oscillators(df), mu=JUDGED_MU)
    wide = rows.pivot_table("ratio", "draw", "samples").dropna()
    if not {min(SAMPLES), LARGEST} <= set(wide.columns):
        return np.array([])
    return np.log((wide[LARGEST] / wide[min(SAMPLES)]).to_numpy(dtype=float))


def _single_errors(df: pd.DataFrame) -> list[float]:
    rows = ok(df, role="checked")
    return [float(each) for each in rows["error_single"]]


def _beyond_whole_steps(df: pd.DataFrame) -> list[float]:
    return beyond_whole_steps(ok(df), "nfe_joint")


def _enough_nets(df: pd.DataFrame, trained: bool) -> str:
    nets = len(by_net(of_nets(df, trained=trained)))
    if nets >= LEAST_NETS:
        return ""
    return f"{nets} nets with {LEAST_DRAWS_OF_NET} batches or more, {LEAST_NETS} needed"


def _enough_batches(df: pd.DataFrame) -> str:
    rows = of(oscillators(df), mu=JUDGED_MU, samples=LARGEST)
    if len(rows) >= LEAST_DRAWS:
        return ""
    return f"{len(rows)} batches of {LARGEST} at mu = {JUDGED_MU:g}, {LEAST_DRAWS} needed"


def _all_mus(df: pd.DataFrame) -> str:
    count = oscillators(df)["mu"].nunique()
    return "" if count == len(MUS) else f"{count} of {len(MUS)} oscillators"


def _share_of_published(df: pd.DataFrame) -> float:
    """Batches of the oscillator, of the ten that the statements ask for."""
    return len(of(oscillators(df), mu=JUDGED_MU, samples=LARGEST)) / LEAST_DRAWS


SIZE = Size("10 batches of 64 oscillators", _share_of_published)

CHECKS = [
    Check(
        "singles_are_the_flow",
        "Every sample that is solved alone at the checked tolerance ends where the flow does",
        _single_errors,
        Bounds(at_most=RECONSTRUCTION_LIMIT),
        "a count of a solve that is wrong says nothing; largest relative error of the samples of a"
        " batch",
    ),
    Check(
        "whole_steps",
        "Every joint count is that of whole steps",
        _beyond_whole_steps,
        Bounds(0, 0),
        WHOLE_STEPS,
    ),
]
_RESTS = tuple(check.name for check in CHECKS)

STATEMENTS = [
    Statement(
        "nets_hardly_more",
        f"A joint solve of {LARGEST_OF_NETS} samples of a trained net takes at most {HARDLY:g}"
        " times the evaluations of single solves",
        partial(_ratios_of_nets, trained=True),
        Better(Bounds(at_most=HARDLY), of="median"),
        "Chen et al. see no substantial increase in practice; ratio to the mean of single solves,"
        f" median over the batches of each net with {LEAST_DRAWS_OF_NET} or more, median over the"
        " nets",
        needs=(partial(_enough_nets, trained=True),),
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "oscillators_several_times",
        f"{LARGEST} oscillators of Van der Pol in one batch can take {SEVERAL:g} times the"
        " evaluations of single solves, or more",
        _reaches,
        Possible(),
        "torchode's authors find up to four times as many steps; mu = 10 and random phases",
        needs=(_enough_batches,),
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "up_to_four_times",
        "The largest ratio over the oscillators is about the published four",
        _largest,
        Exact(PUBLISHED_TIMES),
        "up to four times, without a setting in the abstract: 3 to 6 counts as the level; largest"
        " median over mu, batch sizes and tolerances",
        needs=(_enough_batches, _all_mus),
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "own_steps_hardly_more",
        f"{LARGEST} oscillators with steps of their own in one batch take at most {HARDLY:g} times"
        " the evaluations of single solves",
        _own_ratios,
        Better(Bounds(at_most=HARDLY), of="median"),
        "torchode's authors give each sample a step size for this reason: the batch then takes as"
        " many evaluations as its hardest sample; mu = 10 and random phases",
        needs=(_enough_batches,),
        rests_on=_RESTS,
    ),
    Statement(
        "larger_batches_cost_more",
        f"The ratio is larger in batches of {LARGEST} than in batches of {min(SAMPLES)}",
        _growth,
        Better(Bounds(at_least=0)),
        "the more samples, the more often one of them needs a small step; log of the ratio of the"
        " two, by draw",
        needs=(_enough_batches,),
        rests_on=_RESTS,
    ),
    Statement(
        "hardest_sample_errs_more",
        "In a joint solve the worst sample errs more than when each is solved alone",
        _hardest_error,
        Better(Bounds(at_least=0)),
        "the root mean square over a batch hides the error of one sample, so that the evaluations"
        " of a joint solve buy less accuracy; log of the ratio of the worst errors, by draw",
        needs=(_enough_batches,),
        rests_on=_RESTS,
    ),
    Statement(
        "untrained_hardly_more",
        "The same as of trained nets holds before their training",
        partial(_ratios_of_nets, trained=False),
        Better(Bounds(at_most=HARDLY), of="median"),
        "for comparison; at quick of the nets of points alone",
        needs=(partial(_enough_nets, trained=False),),
        rests_on=_RESTS,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """Which nets there are, what a loose tolerance and the other norm do."""
    nets = by_net(of_nets(df))
    sentences = [
        "Evaluations of the field are counted. Whether a joint solve is faster than single ones is"
        " another question: one evaluation of a batch costs less than one of each sample."
    ]
    if len(nets):
        kinds = nets.groupby(["recipe", "net"]).agg(["median", "count"]).reset_index()
        parts = [
            f"{row['median']:.3g} for {row['count']} of {row['recipe']}, {row['net']}"
            for row in kinds.to_dict("records")
        ]
        sentences.append(f"Ratios of the nets of the pool: {'; '.join(parts)}.")
        loose = by_net(of_nets(df, role="loose"))
        sentences.append(
            f"At 1e-3 the median ratio of the nets is {loose.median():.3g}. A solve there takes so"
            " few steps that a joint one can hardly take more."
        )
    own = of_nets(df)["ratio_own"].dropna()
    if len(own):
        sentences.append(
            f"With steps of their own {LARGEST_OF_NETS} samples of a trained net take"
            f" {own.median():.3g} times the evaluations of single solves, jointly"
            f" {of_nets(df)['ratio'].median():.3g}: the hardest of so many is far from their mean,"
            " and the norm over a batch hides it."
        )
    rms, largest = medians(df), medians(df, "max")
    if len(rms) and len(largest):
        sentences.append(
            f"With the maximum norm, which holds each sample to the tolerance, the largest ratio"
            f" of the oscillators is {largest['ratio'].max():.3g}; with the root mean square"
            f" {rms['ratio'].max():.3g}."
        )
    return sentences
