"""Statements: the sentences of a claim that are true or false, and the verdict that they give.

A statement is written with its rule and its reason before the run, is registered by its digest, and
is not moved when a result is seen. What must hold whether or not the paper is right is a check of
the instrument: where it fails, what rests on it is invalid; where it passes, it is no evidence.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from odeclaims.rules import OUTCOMES, Bounds, Decision, Outcome, Rule
from odeclaims.statistics import holm

# What the rows lack before a statement can be judged, in words; "" where they lack nothing.
Need = Callable[[pd.DataFrame], str]
Scale = Literal["published size", "reduced", "toy"]

T = TypeVar("T")

# From the smallest to the largest.
SCALES: tuple[Scale, ...] = ("toy", "reduced", "published size")

# Above this a decision among several statements may be chance.
LEVEL_OF_HOLM = 0.05
# Less than this share of the published size is a toy.
TOY_SHARE = 0.01
# What a statement lacks whose quantity expects rows that failed.
NOT_OF_THE_REST = "it cannot be worked out of the rows that did not fail"


@dataclass(frozen=True)
class Statement:
    """One sentence that is true or false.

    Attributes:
        name: its name in files, in lower case with underscores.
        text: the sentence.
        quantity: from the claim's rows to what the rule decides on. A function with a name, since
            its code is registered.
        rule: the kind and the bound.
        because: why this rule and this bound.
        needs: the least evidence; the first need that the rows do not meet makes it insufficient.
        central: whether the paper is cited for it. What the paper does not state, as a control, is
            not central.
        rests_on: the names of the checks of the instrument without which it says nothing.

    Raises:
        ValueError: for a name that is not an identifier, or a lambda as the quantity.
        TypeError: for a quantity that is not a function, or a rule that is not a ``Rule``.
    """

    name: str
    text: str
    quantity: Callable[[pd.DataFrame], Any]
    rule: Rule
    because: str
    needs: Sequence[Need] = ()
    central: bool = False
    rests_on: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check_name("statement", self.name, self.quantity)
        if not isinstance(self.rule, Rule):
            raise TypeError(
                f"the statement {self.name} has the rule {self.rule!r}, expected a rule"
            )

    def judge(self, df: pd.DataFrame) -> "Judgement":
        """The judgement of these rows alone; insufficient evidence is a judgement too.

        Where evidence is lacking, and rows that another solver does not offer would change that, it
        is not offered.
        """
        judgement = make_of_the_rest(self._judge, df, None)
        if judgement and (judgement.outcome != "insufficient" or not _lacks_rows(df)):
            return judgement
        if not _lacks_rows(df):
            return Judgement(self, "insufficient", None, NOT_OF_THE_REST)
        # It is for want of these rows if it would be judged otherwise where they were there.
        if judgement and judgement == make_of_the_rest(self._judge, _as_if_offered(df), None):
            return judgement
        lacking = judgement.lacking if judgement else "no row of an arm is left"
        lacking += ", since the solver does not offer it"
        return Judgement(self, "not offered", None, lacking)

    def _judge(self, df: pd.DataFrame) -> "Judgement":
        lacking = next(filter(None, (need(df) for need in self.needs)), "")
        if lacking:
            return Judgement(self, "insufficient", None, lacking)
        quantity = self.quantity(df)
        values = np.array(_flat(quantity), dtype=float)
        count, least = len(quantity), self.rule.least
        if count < least:
            lacking = f"{count} of at least {least} values"
        elif not np.isfinite(values).all():
            lacking = f"{np.sum(~np.isfinite(values))} of {len(values)} values are not finite"
        if lacking:
            return Judgement(self, "insufficient", None, lacking)
        decision = self.rule.decide(quantity)
        return Judgement(self, decision.outcome, decision, "")


@dataclass(frozen=True)
class Check:
    """What must hold whether or not the paper is right.

    Attributes:
        name: its name in files.
        text: the sentence.
        quantity: from the rows to the values that must all lie in the range; no values pass.
        bounds: the range.
        because: why it must hold.

    Raises:
        ValueError: for a name that is not an identifier, or a lambda as the quantity.
        TypeError: for a quantity that is not a function.
    """

    name: str
    text: str
    quantity: Callable[[pd.DataFrame], Iterable[float]]
    bounds: Bounds
    because: str

    def __post_init__(self) -> None:
        _check_name("check", self.name, self.quantity)

    def run(self, df: pd.DataFrame) -> "CheckResult":
        """What comes of it on these rows.

        Where it cannot be worked out for want of rows that failed, or that another solver does not
        offer, nothing speaks against the instrument.
        """
        values = make_of_the_rest(self._values, df, [])
        outside = [value for value in values if not self.bounds.hold(value)]
        return CheckResult(self, len(values), len(outside), outside[0] if outside else None)

    def _values(self, df: pd.DataFrame) -> list[float]:
        return [float(value) for value in self.quantity(df)]


@dataclass(frozen=True)
class CheckResult:
    """A check with the number of its values, of those outside its range, and the first of these."""

    check: Check
    count: int
    outside: int
    example: float | None

    @property
    def passed(self) -> bool:
        """Whether every value lies in the range."""
        return not self.outside

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``verdict.json``."""
        finite = self.example is not None and math.isfinite(self.example)
        return {
            "name": self.check.name,
            "text": self.check.text,
            "passed": self.passed,
            "values": self.count,
            "outside": self.outside,
            "example": self.example if finite else None,
            "holds_if": str(self.check.bounds),
            "because": self.check.because,
        }


@dataclass(frozen=True)
class Size:
    """The published size of a claim's measurement, and how much of it was spent.

    Attributes:
        published: in words, as "500 points x 50 epochs, 20 seeds".
        share: from the rows to the share of it that they took; 1 or more is published size.
        floor: the quality below which a result is a toy whatever its size; ``None`` where there is
            no such thing.
    """

    published: str
    share: Callable[[pd.DataFrame], float]
    floor: Need | None = None

    def label(self, df: pd.DataFrame) -> Scale:
        """The label of these rows."""
        share = self._share(df)
        if not share >= TOY_SHARE or self._missed(df):
            return "toy"
        return "published size" if share >= 1 else "reduced"

    def words(self, df: pd.DataFrame) -> str:
        """The share, and the floor that was missed, in a few words."""
        missed = self._missed(df)
        return f"{100 * self._share(df):.3g}% of {self.published}" + (
            f"; {missed}" if missed else ""
        )

    def _share(self, df: pd.DataFrame) -> float:
        share = make_of_the_rest(self.share, df, 0.0)
        return 0.0 if math.isnan(share) else share

    def _missed(self, df: pd.DataFrame) -> str:
        return make_of_the_rest(self.floor, df, NOT_OF_THE_REST) if self.floor else ""


@dataclass(frozen=True)
class Judgement:
    """A statement with its outcome, and the decision or what is lacking.

    Attributes:
        statement: the statement.
        outcome: its outcome beside the others of its claim.
        decision: that of its rule; ``None`` where it did not come to one.
        lacking: why there is none, or why it does not stand.
    """

    statement: Statement
    outcome: Outcome
    decision: Decision | None
    lacking: str

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``verdict.json``."""
        s, d = self.statement, self.decision
        return {
            "name": s.name,
            "text": s.text,
            "kind": s.rule.kind,
            "central": s.central,
            "outcome": self.outcome,
            "value": d.value if d else None,
            "interval": list(d.interval) if d and d.interval else None,
            "level": d.level if d else None,
            "values": d.count if d else 0,
            "words": d.words if d else "",
            "p": d.p if d else None,
            "seeds_needed": d.seeds_needed if d else None,
            "holds_if": str(s.rule),
            "because": s.because,
            "lacking": self.lacking,
        }


@dataclass(frozen=True)
class Verdict:
    """The judgements of all statements of a claim, its checks, and every caveat that applied."""

    claim: str
    title: str
    revision: int
    scale: Scale
    size: str
    judgements: tuple[Judgement, ...]
    checks: tuple[CheckResult, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def central(self) -> list[Judgement]:
        """The judgements of the statements that the paper is cited for."""
        return [j for j in self.judgements if j.statement.central]

    @property
    def seeds(self) -> int:
        """The most values that a statement rests on."""
        return max((j.decision.count for j in self.judgements if j.decision), default=0)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many central statements came out how; outcomes that none has are left out."""
        outcomes = [j.outcome for j in self.central]
        return {outcome: outcomes.count(outcome) for outcome in OUTCOMES if outcome in outcomes}

    @property
    def summary(self) -> str:
        """The line of the claim: "4 of 4 reproduced", "3 of 4 reproduced, 1 undecided"."""
        return summarise([j.outcome for j in self.central])

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``verdict.json``."""
        return {
            "claim": self.claim,
            "title": self.title,
            "revision": self.revision,
            "scale": self.scale,
            "size": self.size,
            "summary": self.summary,
            "statements": [j.as_dict() for j in self.judgements],
            "checks": [c.as_dict() for c in self.checks],
            "caveats": list(self.caveats),
        }


def summarise(outcomes: Sequence[Outcome]) -> str:
    """Outcomes of central statements as a line: how many of how many, and the rest by name."""
    counts = {outcome: outcomes.count(outcome) for outcome in OUTCOMES}
    head = f"{counts.pop('reproduced')} of {len(outcomes)} reproduced"
    return ", ".join([head, *(f"{count} {name}" for name, count in counts.items() if count)])


def judge_statements(
    df: pd.DataFrame, statements: Sequence[Statement], checks: Sequence[CheckResult], scale: Scale
) -> tuple[Judgement, ...]:
    """The judgements of some rows, beside one another.

    A failed check makes what rests on it invalid, a toy can only be insufficient, and a decision of
    a central statement stands where it does among all of them (Holm, at 5%).
    """
    failed = {result.check.name for result in checks if not result.passed}
    judgements = [statement.judge(df) for statement in statements]
    judgements = [_for_a_toy(j) if scale == "toy" else j for j in judgements]
    judgements = [_for_failed_checks(j, failed) for j in judgements]
    return tuple(decide_among_several(judgements))


def _for_a_toy(judgement: Judgement) -> Judgement:
    if judgement.decision is None or judgement.statement.rule.kind == "exact":
        return judgement
    return replace(judgement, outcome="insufficient", lacking="too little training to judge")


def _for_failed_checks(judgement: Judgement, failed: set[str]) -> Judgement:
    names = [name for name in judgement.statement.rests_on if name in failed]
    if not names:
        return judgement
    return replace(judgement, outcome="invalid", lacking=f"the check {names[0]} failed")


def decide_among_several(judgements: list[Judgement]) -> list[Judgement]:
    """Decisions of central statements that chance could explain among so many are undecided."""
    places = [
        i
        for i, j in enumerate(judgements)
        if j.statement.central and j.lacking == "" and j.decision and j.decision.p is not None
    ]
    adjusted = holm([judgements[i].decision.p for i in places])  # pyright: ignore
    result = list(judgements)
    for i, p in zip(places, adjusted, strict=True):
        j = judgements[i]
        if j.outcome != "undecided" and p > LEVEL_OF_HOLM:
            why = f"alone it is {j.outcome}; among {len(places)} statements chance may explain it"
            result[i] = replace(j, outcome="undecided", lacking=why)
    return result


def make_of_the_rest(make: Callable[[pd.DataFrame], T], df: pd.DataFrame, otherwise: T) -> T:
    """What a claim's code makes of rows of which some failed, or are not offered.

    It may expect an arm of which no row is left. Then it is ``otherwise``; where no row failed, the
    error is one of the code or of the rows, and is raised.
    """
    try:
        return make(df)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        if "status" not in df or (df["status"] == "ok").all():
            raise
        return otherwise


def _lacks_rows(df: pd.DataFrame) -> bool:
    """Whether some rows ask for what another solver does not have."""
    return "status" in df and bool((df["status"] == "not_offered").any())


def _as_if_offered(df: pd.DataFrame) -> pd.DataFrame:
    """The rows as if those that are not offered were there and valid, with a number in each gap."""
    missing, filled = df["status"] == "not_offered", df.copy()
    filled.loc[missing, "status"] = "ok"
    for name in filled.columns[filled.isna().any()]:
        gaps = missing & filled[name].isna()
        present = filled[name].dropna()
        if len(present) and gaps.any() and not isinstance(present.iloc[0], str):
            filled[name] = filled[name].where(~gaps, type(present.iloc[0])(1))
    return filled


def _check_name(what: str, name: str, quantity: object) -> None:
    if not name.isidentifier() or name != name.lower():
        raise ValueError(f"the {what} {name!r} needs a name in lower case, as node_cannot_cross")
    if not callable(quantity):
        raise TypeError(f"the {what} {name} has a quantity that is not a function of rows")
    if getattr(quantity, "__name__", "") == "<lambda>":
        raise ValueError(
            f"the {what} {name} has a lambda as its quantity; expected a function with a name,"
            " since its code is registered"
        )


def _flat(quantity: Any) -> Any:
    return np.ravel(quantity) if isinstance(quantity, np.ndarray) else list(quantity)
