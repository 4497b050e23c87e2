"""The kinds of statement and the rule of each: how a number becomes an outcome.

A rule decides by an interval and not by a point: what is claimed is *reproduced* where the whole
interval lies on the claimed side of the bound, *not reproduced* where it lies on the other side,
and *undecided* where it holds the bound. The simulations in ``tests/odeclaims/test_rules.py`` and
on the page on verdicts say how often each rule errs, and how small an effect it sees.

To add a kind is to add a class here with ``kind``, ``least``, ``__str__`` and ``decide``.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from odeclaims import statistics

Outcome = Literal[
    "reproduced", "not reproduced", "undecided", "insufficient", "invalid", "not offered"
]

OUTCOMES: tuple[Outcome, ...] = (
    "reproduced",
    "not reproduced",
    "undecided",
    "insufficient",
    "invalid",
    "not offered",
)
# The outcomes of statements that no value has decided; each says what is lacking.
WITHOUT_A_VALUE: tuple[Outcome, ...] = ("insufficient", "invalid", "not offered")
LEVEL = 0.95
# One side of a 95% interval, and the power at which the seeds that would decide are counted.
_Z_LEVEL, _Z_POWER = 1.96, 0.84
# The power itself, and up to how many seeds the binomial distribution is asked for it.
_POWER, _MOST_EXACT = 0.8, 5000


@dataclass(frozen=True)
class Bounds:
    """A closed range that a value lies in or not.

    Raises:
        ValueError: for an empty range.
    """

    at_least: float = -math.inf
    at_most: float = math.inf

    def __post_init__(self) -> None:
        if not self.at_least <= self.at_most:
            raise ValueError(f"no value is at least {self.at_least} and at most {self.at_most}")

    def hold(self, value: float) -> bool:
        """Whether the value lies in the range; NaN lies in none."""
        return self.at_least <= value <= self.at_most

    def place(self, interval: statistics.Interval) -> Outcome:
        """The outcome for an interval: inside, outside, or across an end of the range.

        An interval that ends on an end of the range has a value in it that a test does not reject.
        """
        low, high = interval
        if self.at_least < low and high < self.at_most:
            return "reproduced"
        return "not reproduced" if high < self.at_least or low > self.at_most else "undecided"

    def distance(self, value: float) -> float:
        """How far the value is from the nearest end of the range."""
        return min(abs(value - end) for end in (self.at_least, self.at_most))

    def nearest(self, value: float) -> float:
        """The end of the range that is nearest to the value."""
        return min((self.at_least, self.at_most), key=lambda end: abs(value - end))

    def __str__(self) -> str:
        if math.isinf(self.at_least) and math.isinf(self.at_most):
            return "any value"
        if math.isinf(self.at_most):
            return f">= {self.at_least:g}"
        if math.isinf(self.at_least):
            return f"<= {self.at_most:g}"
        return f"{self.at_least:g} to {self.at_most:g}"


@dataclass(frozen=True)
class Decision:
    """What a rule makes of a quantity.

    Attributes:
        outcome: reproduced, not reproduced or undecided.
        value: the estimate.
        count: of the values that it comes from: seeds, unless the statement says otherwise.
        interval: the one that decided, if there is one.
        level: its level of confidence; ``None`` where it is the range of the values.
        words: what a bare number would hide, as "7 of 10".
        p: the two-sided p-value of the bound, for what is decided among several statements;
            ``None`` where nothing is random, or the interval decides by itself.
        seeds_needed: how many values would decide with a probability of 80% if the effect is as
            estimated; ``None`` where it is decided, or where more of them would not help.
    """

    outcome: Outcome
    value: float
    count: int
    interval: statistics.Interval | None = None
    level: float | None = None
    words: str = ""
    p: float | None = None
    seeds_needed: int | None = None


@runtime_checkable
class Rule(Protocol):
    """One kind of statement with its bound.

    ``kind`` is its name, ``least`` the fewest values that it judges, and its text says when it
    holds.
    """

    kind: ClassVar[str]

    @property
    def least(self) -> int:
        """The fewest values that it judges."""
        ...

    def decide(self, quantity: Any) -> Decision:
        """The decision on at least ``least`` finite values."""
        ...


@dataclass(frozen=True)
class Curve:
    """Points of which a slope of log over log is taken; nothing needs to be random."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Any:
        return iter((*self.x, *self.y))


@dataclass(frozen=True)
class Attempts:
    """Which valid seeds did something, and which still did when solved again more tightly.

    Attributes:
        done: one truth value for each valid seed.
        again: the same, solved again at a tighter tolerance; ``None`` where that was not done.
    """

    done: tuple[bool, ...]
    again: tuple[bool, ...] | None = None

    def __len__(self) -> int:
        return len(self.done)

    def __iter__(self) -> Any:
        return iter(self.done)


def _of(count: int, total: int, interval: statistics.Interval) -> str:
    return f"{count} of {total} [{interval[0]:.2f}, {interval[1]:.2f}]"


@dataclass(frozen=True)
class Impossible:
    """ "X cannot": no valid seed does it, and there are enough.

    One that does, and still does when it is solved again at a tighter tolerance, refutes. One that
    was not solved again leaves it undecided. The interval is the exact binomial one (Clopper and
    Pearson); with none of n it ends near 3 / n, the rule of three.
    """

    least: int = 5
    kind: ClassVar[str] = "impossible"

    def __str__(self) -> str:
        return f"none of at least {self.least} valid seeds does"

    def decide(self, quantity: Attempts) -> Decision:
        """The decision on the attempts of the valid seeds."""
        count, total = sum(quantity.done), len(quantity)
        interval = statistics.share_interval(count, total, exact=True)
        outcome: Outcome = "undecided"
        if count == 0:
            outcome = "reproduced"
        elif quantity.again and any(map(all, zip(quantity.done, quantity.again, strict=True))):
            outcome = "not reproduced"
        return Decision(outcome, count / total, total, interval, LEVEL, _of(count, total, interval))


@dataclass(frozen=True)
class Possible:
    """ "X can": one valid seed that does it shows it; none of at least ``refuted_from`` refutes.

    How easy it is, the share with Wilson's interval, is reported and not judged.
    """

    least: int = 1
    refuted_from: int = 10
    kind: ClassVar[str] = "possible"

    def __str__(self) -> str:
        return f"at least one valid seed does; none of {self.refuted_from} refutes"

    def decide(self, quantity: Attempts) -> Decision:
        """The decision on the attempts of the valid seeds."""
        count, total = sum(quantity.done), len(quantity)
        interval = statistics.share_interval(count, total, exact=False)
        outcome: Outcome = "reproduced"
        if count == 0:
            outcome = "not reproduced" if total >= self.refuted_from else "undecided"
        needed = self.refuted_from if outcome == "undecided" else None
        return Decision(
            outcome,
            count / total,
            total,
            interval,
            LEVEL,
            _of(count, total, interval),
            seeds_needed=needed,
        )


@dataclass(frozen=True)
class Better:
    """The mean, or the median, over seeds lies beyond a bound: of a difference of paired seeds
    beyond a margin, or of a quantity of each seed beyond a number.

    The interval of a mean is that of the exact sign-flip test, which asks for a symmetric spread;
    that of a median is that of the order statistics, which asks for nothing. The words say how
    many values lie beyond the bound, with ties as one half.
    """

    bounds: Bounds
    of: Literal["mean", "median"] = "mean"
    least: int = 6
    kind: ClassVar[str] = "better"

    def __str__(self) -> str:
        return f"{self.of} {self.bounds}"

    def decide(self, quantity: ArrayLike) -> Decision:
        """The decision on one number for each seed."""
        values = np.asarray(quantity, dtype=float)
        mean = self.of == "mean"
        value = float(np.mean(values) if mean else np.median(values))
        interval = (statistics.mean_interval if mean else statistics.median_interval)(values)
        test = statistics.sign_flip_p if mean else statistics.median_p
        outcome = self.bounds.place(interval) if interval else "undecided"
        seeds = _seeds_of_mean if mean else _seeds_of_median
        return Decision(
            outcome,
            value,
            len(values),
            interval,
            LEVEL,
            self._beyond(values),
            test(values, self.bounds.nearest(value)),
            seeds(values, self.bounds, self.least) if outcome == "undecided" else None,
        )

    def _beyond(self, values: np.ndarray) -> str:
        """How many values lie beyond the bound, where there is one bound alone."""
        ends = [e for e in (self.bounds.at_least, self.bounds.at_most) if math.isfinite(e)]
        if len(ends) != 1:
            return ""
        sign = 1 if ends[0] == self.bounds.at_least else -1
        beyond = np.sum(sign * (values - ends[0]) > 0) + np.sum(values == ends[0]) / 2
        return f"{beyond:g} of {len(values)} beyond the bound"


@dataclass(frozen=True)
class Equal:
    """Two things are equal within delta: two one-sided tests at 5%, that is a 90% interval.

    The quantity is the difference of each pair of seeds, or an array [seeds, items] of the
    differences on each item of one test set: then seeds and items are drawn again together.
    """

    delta: float
    least: int = 5
    kind: ClassVar[str] = "equal"

    def __str__(self) -> str:
        return f"within {self.delta:g} of 0"

    def decide(self, quantity: ArrayLike) -> Decision:
        """The decision on [seeds], or on [seeds, items]."""
        values = np.asarray(quantity, dtype=float)
        bounds, level = Bounds(-self.delta, self.delta), 0.90
        per_seed = values if values.ndim == 1 else values.mean(axis=1)
        if values.ndim == 1:
            interval = statistics.mean_interval(values, level)
        else:
            interval = statistics.two_way_interval(values, level)
        outcome = bounds.place(interval) if interval else "undecided"
        value = float(per_seed.mean())
        needed = None
        if outcome == "undecided":
            needed = _seeds_of_mean(per_seed, bounds, self.least)
        return Decision(outcome, value, len(values), interval, level, seeds_needed=needed)


@dataclass(frozen=True)
class Scales:
    """A slope of log over log lies in a range: of each seed, or of one curve by regression."""

    bounds: Bounds
    least: int = 3
    kind: ClassVar[str] = "scales as"

    def __str__(self) -> str:
        return f"slope {self.bounds}"

    def decide(self, quantity: ArrayLike | Curve) -> Decision:
        """The decision on the slope of each seed, or on one curve."""
        if isinstance(quantity, Curve):
            x, y = np.array(quantity.x), np.array(quantity.y)
            value, interval = statistics.log_slope(x, y), statistics.slope_interval(x, y)
            outcome = self.bounds.place(interval) if interval else "undecided"
            return Decision(outcome, value, len(quantity), interval, LEVEL, "one curve")
        return Better(self.bounds).decide(quantity)


@dataclass(frozen=True)
class Share:
    """The share of seeds that do something lies in a range; Wilson's interval decides.

    It is the rule for what falls into two groups, right or wrong, of which a median says nothing.
    """

    bounds: Bounds
    least: int = 10
    kind: ClassVar[str] = "share"

    def __str__(self) -> str:
        return f"share of seeds {self.bounds}"

    def decide(self, quantity: ArrayLike) -> Decision:
        """The decision on one truth value for each seed."""
        done = [bool(each) for each in np.asarray(quantity)]
        count, total = sum(done), len(done)
        interval = statistics.share_interval(count, total, exact=False)
        outcome, value = self.bounds.place(interval), count / total
        needed = None
        if outcome == "undecided":
            needed = _seeds_needed(
                math.sqrt(max(value * (1 - value), 1 / (4 * total))),
                self.bounds.distance(value),
                max(self.least, total + 1),
            )
        return Decision(
            outcome,
            value,
            total,
            interval,
            LEVEL,
            f"{count} of {total}",
            statistics.share_p(count, total, self.bounds.nearest(value)),
            needed,
        )


@dataclass(frozen=True)
class Level:
    """The published number is one that a new run of ours could give.

    It is where it lies in our 95% prediction interval, and that interval is no wider than declared.

    Attributes:
        published: the number.
        widest: the widest prediction interval that is an answer.
        theirs: of how many runs the published number is the mean.
    """

    published: float
    widest: float
    theirs: int = 1
    least: int = 3
    kind: ClassVar[str] = "level"

    def __str__(self) -> str:
        return f"{self.published:g} in a prediction interval of at most {self.widest:g}"

    def decide(self, quantity: ArrayLike) -> Decision:
        """The decision on one number for each seed."""
        values = np.asarray(quantity, dtype=float)
        interval = statistics.prediction_interval(values, self.theirs)
        outcome: Outcome = "undecided"
        if interval and not interval[0] <= self.published <= interval[1]:
            outcome = "not reproduced"
        elif interval and interval[1] - interval[0] <= self.widest:
            outcome = "reproduced"
        words = "prediction interval"
        return Decision(outcome, float(values.mean()), len(values), interval, LEVEL, words)


@dataclass(frozen=True)
class Exact:
    """Every value lies in a range; nothing is random, or the worst case is what is claimed.

    Where there are several values, of tolerances, methods or problems, their range is shown.
    """

    bounds: Bounds
    least: int = 1
    kind: ClassVar[str] = "exact"

    def __str__(self) -> str:
        return str(self.bounds)

    def decide(self, quantity: ArrayLike) -> Decision:
        """The decision on one or several values."""
        values = np.asarray(quantity, dtype=float)
        low, high = float(values.min()), float(values.max())
        # The value that is nearest to leaving the range, or farthest outside.
        worst = min(
            (low, high), key=lambda v: min(v - self.bounds.at_least, self.bounds.at_most - v)
        )
        interval = (low, high) if len(values) > 1 else None
        holds = self.bounds.hold(low) and self.bounds.hold(high)
        outcome: Outcome = "reproduced" if holds else "not reproduced"
        return Decision(outcome, worst, len(values), interval)


def _seeds_of_mean(values: np.ndarray, bounds: Bounds, least: int) -> int | None:
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    # As many as there are have not decided.
    least = max(least, len(values) + 1)
    return _seeds_needed(spread, bounds.distance(float(values.mean())), least)


def _seeds_of_median(values: np.ndarray, bounds: Bounds, least: int) -> int | None:
    """The seeds by which a sign test decides, if the share beyond the nearest bound stays.

    The test is that of the binomial distribution, at 5% on both sides and with a power of 80%.
    """
    if not len(values):
        return None
    ends = [e for e in (bounds.at_least - values, values - bounds.at_most) if np.isfinite(e).all()]
    held = min(float(np.mean(end < 0) + np.mean(end == 0) / 2) for end in ends)
    share = max(held, 1 - held)
    least = max(least, len(values) + 1)
    spread = (_Z_LEVEL / 2 + _Z_POWER * math.sqrt(share * (1 - share))) / (_Z_LEVEL + _Z_POWER)
    about = _seeds_needed(spread, share - 0.5, least)
    if about is None or about > _MOST_EXACT:
        return about
    from scipy import stats

    counts = np.arange(least, 2 * about + 20)
    # The least number of seeds on one side that refutes one half.
    refutes = stats.binom.isf(0.025, counts, 0.5) + 1
    decided = np.asarray(stats.binom.sf(refutes - 1, counts, share) >= _POWER)
    return int(counts[decided][0]) if decided.any() else about


def _seeds_needed(spread: float, effect: float, least: int) -> int | None:
    """The seeds that show an effect with 80% power, for a normal spread; ``None`` for no effect."""
    if not (math.isfinite(spread) and effect > 0):
        return None
    needed = ((_Z_LEVEL + _Z_POWER) * spread / effect) ** 2
    return max(least, math.ceil(needed)) if needed < 1e6 else None
