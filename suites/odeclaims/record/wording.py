"""Numbers, outcomes and verdicts as text, the same wherever a reader meets them."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from odeclaims.record.files import escape_controls
from odeclaims.rules import LEVEL, OUTCOMES, Impossible
from odeclaims.statement import LEVEL_OF_HOLM, SCALES, Judgement, Scale, Verdict, summarise

T = TypeVar("T")

# What a reader is shown for an outcome.
LABELS = {outcome: outcome for outcome in OUTCOMES} | {"insufficient": "insufficient evidence"}


def number(value: float | np.number | None, digits: int = 3) -> str:
    """A number with that many significant digits; an empty string where there is none."""
    if value is None or not math.isfinite(value):
        return ""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if -3 <= magnitude < 6:
        decimals = max(0, digits - 1 - magnitude)
        return f"{value:.{decimals}f}"
    return f"{value:.{digits - 1}e}"


def count_of(count: int, one: str, many: str = "") -> str:
    """The count with its noun; without ``many`` the plural takes an s: "1 rule", "2 rules"."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def format_value(judgement: Judgement) -> str:
    """The value with its interval and what decided, or what is lacking."""
    decision = judgement.decision
    if decision is None:
        return judgement.lacking
    return describe_value(decision.value, decision.interval, decision.level, decision.words)


def describe_value(
    value: float, interval: Sequence[float] | None, level: float | None, words: str
) -> str:
    """A value as a reader meets it: "0.917 [0.850, 0.960], 11 of 12 beyond the bound"."""
    if " [" in words:
        # It has the interval, and says more than the share alone.
        return words
    text = number(value)
    if interval and interval[0] != interval[1]:
        ends = f"{number(interval[0])}, {number(interval[1])}"
        text += f" [{ends}]" if level == LEVEL else f" ({_name_interval(level)} {ends})"
    return f"{text}, {words}" if words else text


def _name_interval(level: float | None) -> str:
    return "range" if level is None else f"{100 * level:g}%"


def statements_frame(verdict: Verdict) -> pd.DataFrame:
    """The statements of a verdict as a table: what is claimed, what was found."""
    return pd.DataFrame(
        {
            "statement": j.statement.text,
            "kind": j.statement.rule.kind,
            "holds if": str(j.statement.rule),
            "measured": format_value(j),
            "outcome": describe_outcome(j),
            "why this rule": j.statement.because,
        }
        for j in verdict.judgements
    )


def describe_outcome(judgement: Judgement) -> str:
    """The outcome with what belongs to it: that it is not central, why, how many seeds decide."""
    parts = [judgement.outcome]
    if judgement.lacking and judgement.decision:
        parts.append(judgement.lacking)
    if judgement.outcome == "undecided" and judgement.decision:
        needed = judgement.decision.seeds_needed
        parts += [f"{needed} values would decide"] if needed else []
    text = "; ".join(parts)
    return text if judgement.statement.central else f"{text} (not central)"


def checks_frame(verdict: Verdict) -> pd.DataFrame:
    """The checks of the instrument as a table."""
    return pd.DataFrame(
        {
            "check": c.check.text,
            "holds if": str(c.check.bounds),
            "passed": f"{c.count - c.outside} of {c.count}",
            "why it must hold": c.check.because,
        }
        for c in verdict.checks
    )


def describe_overall(verdicts: Sequence[Verdict]) -> str:
    """How many central statements came out how, and how many claims chance alone would get wrong.

    Chance enters every decision that rests on an interval with a level of confidence. That none of
    some seeds does a thing excludes no share below the end of its interval, so this is said.
    """
    central = [j for verdict in verdicts for j in verdict.central]
    risks = [risk for verdict in verdicts if (risk := _risk(verdict))]
    found = (
        f"Central statements: {summarise([j.outcome for j in central])}, over"
        f" {count_of(len(verdicts), 'claim')}."
    )
    if len(verdicts) == 1 and not risks:
        return f"{found} No decision rests on random numbers."
    at_most = f"{round(sum(risks), 2):g}"
    rare = any(j.decision and j.statement.rule.kind == Impossible.kind for j in central)
    end = (
        " That no seed did a thing shows only that it is rare: its share may be as high as the"
        " upper end of the interval."
        if rare
        else ""
    )
    if len(verdicts) == 1:
        return (
            f"{found} It rests on random numbers. If none of the effects existed, chance alone"
            f" would decide wrongly with a probability of at most {at_most}.{end}"
        )
    return (
        f"{found} Of these claims {len(risks)} rest on random numbers. If none of the effects"
        f" existed, chance alone would decide at most {at_most} of them wrongly, on average.{end}"
    )


def _risk(verdict: Verdict) -> float:
    """The largest probability with which chance alone decides a central statement wrongly.

    Holm's adjustment holds it for all decisions with a p-value together. Each other decision adds
    the probability that its own interval misses.
    """
    decisions = [j.decision for j in verdict.central if j.decision]
    adjusted = any(d.p is not None for d in decisions)
    alone = (1 - d.level for d in decisions if d.p is None and d.level is not None)
    return min(1.0, LEVEL_OF_HOLM * adjusted + sum(alone))


def choose_speaker(
    results: Iterable[T], scale: Callable[[T], Scale], seeds: Callable[[T], int]
) -> T | None:
    """The result that speaks for a claim: of the largest scale, then of the most seeds.

    Of several that are alike it is the last; where there are no results it is ``None``.
    """
    best = None
    for each in results:
        rank = (SCALES.index(scale(each)), seeds(each))
        if best is None or rank >= best[0]:
            best = (rank, each)
    return best[1] if best else None


def count_seeds(verdict: dict[str, Any]) -> int:
    """The most values that a statement of a stored verdict rests on."""
    return max(statement["values"] for statement in verdict["statements"])


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def escape_latex(text: str) -> str:
    """The text with every character that LaTeX reads as a command written out."""
    return "".join(_LATEX.get(character, character) for character in escape_controls(text))


def escape_bibtex(text: str) -> str:
    """The text as LaTeX in which no brace is left for BibTeX, which counts escaped ones too."""
    braces = str.maketrans({"{": r"\textbraceleft ", "}": r"\textbraceright "})
    return "".join(c.translate(braces) if c in "{}" else escape_latex(c) for c in text)
