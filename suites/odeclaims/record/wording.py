"""Numbers, outcomes and verdicts as text, the same wherever a reader meets them."""

import math

import numpy as np
import pandas as pd

from odeclaims.claim import OUTCOMES, Judgement, Verdict
from odeclaims.record.files import escape_controls

# What a reader is shown for an outcome, and how it stands in Markdown.
LABELS = {outcome: outcome for outcome in OUTCOMES} | {"insufficient": "insufficient evidence"}
MARKS = LABELS | {"not reproduced": "**not reproduced**"}


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


def format_value(judgement: Judgement) -> str:
    """The value that decided, with its interval where there is one, or what is lacking."""
    if judgement.value is None:
        return judgement.lacking
    text = number(judgement.value)
    if judgement.interval and judgement.interval[0] != judgement.interval[1]:
        low, high = judgement.interval
        text += f" [{number(low)}, {number(high)}]"
    return text


def criteria_frame(verdict: Verdict) -> pd.DataFrame:
    """The criteria of a verdict as a table: what was asked, what was found."""
    return pd.DataFrame(
        {
            "criterion": j.criterion.name,
            "holds if": str(j.criterion.reproduced),
            "measured": format_value(j),
            "outcome": j.outcome if j.criterion.decides else f"{j.outcome} (does not decide)",
            "why this bound": j.criterion.because,
        }
        for j in verdict.judgements
    )


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
