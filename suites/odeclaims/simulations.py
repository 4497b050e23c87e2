"""How often each rule errs, and how small an effect it sees, on simulated data sets.

``python -m odeclaims.simulations`` prints the table that stands on the page on verdicts: 2,000
data sets a line. An error is to call *reproduced* what just fails to hold; the power is the share
of data sets in which an effect of the stated size is called *reproduced*.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from odeclaims.rules import (
    Attempts,
    Better,
    Bounds,
    Curve,
    Equal,
    Impossible,
    Level,
    Outcome,
    Possible,
    Rule,
    Scales,
    Share,
)
from odeclaims.statement import Judgement, Statement, decide_among_several

SETS = 2000
POSITIVE = Bounds(at_least=0)

Draw = Callable[[np.random.Generator], Any]


@dataclass(frozen=True)
class Case:
    """A rule on data of a known kind.

    Attributes:
        rule: the rule.
        truth: what the data are, in words.
        draw: one data set.
        error: the outcome that would be wrong here; its share is to stay below 5%.
        power: the outcome that is right here, and the share that it is to reach.
    """

    rule: Rule
    truth: str
    draw: Draw
    error: Outcome | None = None
    power: tuple[Outcome, float] | None = None


def _normal(mean: float, n: int, spread: float = 1.0) -> Draw:
    return lambda rng: rng.normal(mean, spread, n)


def _laplace(n: int) -> Draw:
    return lambda rng: rng.laplace(0, 1, n)


def _skewed(median: float, n: int) -> Draw:
    return lambda rng: rng.lognormal(0, 1, n) - 1 + median


def _binary(share: float, n: int) -> Draw:
    return lambda rng: rng.random(n) < share


def _attempts(share: float, n: int) -> Draw:
    def draw(rng: np.random.Generator) -> Attempts:
        done = tuple(bool(each) for each in rng.random(n) < share)
        return Attempts(done, done)

    return draw


def _curve(slope: float, n: int) -> Draw:
    x = np.geomspace(1, 100, n)

    def draw(rng: np.random.Generator) -> Curve:
        y = x**slope * rng.lognormal(0, 0.1, n)
        return Curve(tuple(x), tuple(y))

    return draw


def _items(gap: float, seeds: int, items: int) -> Draw:
    """Differences of two classifiers in percent: on each item, with a spread between seeds."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        of_seed = rng.normal(0, 0.02, (seeds, 1))
        wrong = rng.random((2, seeds, items)) < np.array([0.5, 0.5])[:, None, None] / 100
        return 100.0 * (wrong[0].astype(float) - wrong[1]) + gap + of_seed

    return draw


def cases() -> Iterator[Case]:
    """The rules at equality and at an effect that they are to see."""
    better, of_median = Better(POSITIVE), Better(POSITIVE, of="median")
    for n in (6, 8, 10, 20):
        yield Case(better, f"normal, mean 0, {n} seeds", _normal(0, n), "reproduced")
    yield Case(better, "heavy tails (Laplace), mean 0, 10 seeds", _laplace(10), "reproduced")
    yield Case(better, "normal, mean 2 spreads, 6 seeds", _normal(2, 6), power=("reproduced", 0.8))
    yield Case(
        better, "normal, mean 1 spread, 10 seeds", _normal(1, 10), power=("reproduced", 0.75)
    )
    yield Case(of_median, "skewed, median 0, 10 seeds", _skewed(0, 10), "reproduced")
    yield Case(
        of_median, "skewed, median 1 spread, 20 seeds", _skewed(1, 20), power=("reproduced", 0.9)
    )
    yield Case(Equal(1.0), "normal, difference delta, 10 seeds", _normal(1, 10), "reproduced")
    yield Case(
        Equal(1.0),
        "normal, difference 0, spread delta, 10 seeds",
        _normal(0, 10),
        power=("reproduced", 0.75),
    )
    yield Case(
        Equal(0.15),
        "difference delta, 5 seeds x 500 items",
        _items(0.15, 5, 500),
        "reproduced",
    )
    yield Case(Share(Bounds(at_least=0.5)), "share 0.5, 20 seeds", _binary(0.5, 20), "reproduced")
    yield Case(
        Share(Bounds(at_least=0.5)),
        "share 0.75, 40 seeds",
        _binary(0.75, 40),
        power=("reproduced", 0.8),
    )
    yield Case(
        Scales(Bounds(0, 0.5)), "a curve of slope 0.5, 10 points", _curve(0.5, 10), "reproduced"
    )
    yield Case(
        Scales(Bounds(0.4, 0.6)),
        "a curve of slope 0.5, 10 points",
        _curve(0.5, 10),
        power=("reproduced", 0.8),
    )
    yield Case(
        Level(0.0, widest=100),
        "the published number is one of ours, 5 seeds",
        lambda rng: rng.normal(rng.normal(0, 1), 1, 5),
        "not reproduced",
    )
    yield Case(
        Level(0.0, widest=100),
        "it lies 5 spreads away, 5 seeds",
        _normal(5, 5),
        power=("not reproduced", 0.75),
    )
    yield Case(Impossible(), "46% of seeds do it, 5 seeds", _attempts(0.46, 5), "reproduced")
    yield Case(
        Impossible(),
        "1 in 2 seeds does it, 5 seeds",
        _attempts(0.5, 5),
        power=("not reproduced", 0.95),
    )
    yield Case(Possible(), "no seed does it, 10 seeds", _attempts(0.0, 10), "reproduced")
    yield Case(
        Possible(), "3 in 10 seeds do it, 10 seeds", _attempts(0.3, 10), power=("reproduced", 0.95)
    )


def simulate(case: Case, sets: int = SETS, seed: int = 0) -> dict[Outcome, float]:
    """The share of data sets with each outcome."""
    rng = np.random.default_rng(seed)
    outcomes = [case.rule.decide(case.draw(rng)).outcome for _ in range(sets)]
    return {o: outcomes.count(o) / sets for o in ("reproduced", "not reproduced", "undecided")}


def simulate_several(count: int, seeds: int, sets: int = SETS, seed: int = 0) -> float:
    """How often any of several central statements without an effect is decided, after Holm."""
    rng = np.random.default_rng(seed)
    rule = Better(POSITIVE)
    statements = [
        Statement(f"s{i}", "An effect.", len, rule, "a simulation", central=True)
        for i in range(count)
    ]
    wrong = 0
    for _ in range(sets):
        decisions = [rule.decide(rng.normal(0, 1, seeds)) for _ in statements]
        judgements = [
            Judgement(s, d.outcome, d, "") for s, d in zip(statements, decisions, strict=True)
        ]
        wrong += any(j.outcome != "undecided" for j in decide_among_several(judgements))
    return wrong / sets


def table(sets: int = SETS) -> pd.DataFrame:
    """Every case as a line: what is claimed to happen in at most or at least how many, and did."""
    rows = []
    for case in cases():
        shares = simulate(case, sets)
        asked = f"{case.error} in at most 5%" if case.error else ""
        if case.power:
            asked = f"{case.power[0]} in at least {100 * case.power[1]:.0f}%"
        rows.append(
            {
                "kind": case.rule.kind,
                "holds if": str(case.rule),
                "the data": case.truth,
                "asked": asked,
                **{name: f"{100 * share:.1f}%" for name, share in shares.items()},
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    print(table().to_markdown(index=False, disable_numparse=True))
    print(f"\nAny of 4 without an effect decided, 10 seeds: {100 * simulate_several(4, 10):.1f}%")
