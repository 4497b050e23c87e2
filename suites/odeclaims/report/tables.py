"""A claim's table as Markdown, LaTeX and CSV, and the numbers in it as text."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from odeclaims.claim import OUTCOMES, Claim, Column, Judgement, Verdict

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


def measured(judgement: Judgement) -> str:
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
            "measured": measured(j),
            "outcome": j.outcome if j.criterion.decides else f"{j.outcome} (does not decide)",
            "why this bound": j.criterion.because,
        }
        for j in verdict.judgements
    )


def ledger_frame(claim: Claim, verdict: Verdict) -> pd.DataFrame:
    """The evidence ledger: what others report, and ours out of the rows."""
    rows = [vars(evidence) for evidence in claim.ledger]
    rows += [
        {
            "who": "this run",
            "value": measured(j),
            "source": "data.csv",
            "setting": j.criterion.name,
        }
        for j in verdict.judgements
    ]
    return pd.DataFrame(rows, columns=["who", "value", "source", "setting"])


def column_frame(columns: Mapping[str, Column]) -> pd.DataFrame:
    """The data dictionary of these columns."""
    return pd.DataFrame(
        {
            "column": f"`{name}`",
            "meaning": column.meaning,
            "differs between runs": "yes" if column.varies else "no",
        }
        for name, column in columns.items()
    )


def markdown(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table."""
    # A bracket after a bracket would make a link of them.
    escaped = frame.astype(str).map(lambda text: text.replace("|", r"\|").replace("](", r"]\("))
    return escaped.to_markdown(index=False, disable_numparse=True)


def latex(frame: pd.DataFrame, claim: Claim) -> str:
    """The frame as a floating LaTeX table in the style of booktabs, special characters escaped.

    One that is wider than a line or higher than a page is made smaller until it fits.
    """
    escaped = frame.astype(str).map(escape_latex).rename(columns=escape_latex)
    made = escaped.to_latex(
        index=False,
        escape=False,
        caption=escape_latex(claim.title),
        label=f"tab:{claim.slug}",
        position="tb",
        column_format="l" * len(frame.columns),
    )
    made = made.replace(r"\begin{tabular}", "\n".join([*_FITTED, r"\begin{tabular}"]))
    return f"{_NEEDS}\n{made.replace(_END, f'{_END}}}}}')}"


_NEEDS = r"% \usepackage{booktabs, graphicx}"
_END = r"\end{tabular}"
_FITTED = [
    r"\centering",
    r"\resizebox*{!}{\ifdim\totalheight>.8\textheight .8\textheight\else\totalheight\fi}{%",
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
]
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
    return "".join(_LATEX.get(character, character) for character in text)


def claim_markdown(claim: Claim, df: pd.DataFrame, verdict: Verdict) -> str:
    """All that a reader needs beside the figure: verdict, table, ledger, caveats, deviations."""
    parts = [
        f"# {claim.title}",
        f"{claim.statement} ({claim.source})",
        f"Verdict: {MARKS[verdict.outcome]}.",
        markdown(criteria_frame(verdict)),
        "## Table",
        markdown(claim.table(df)),
        "## Evidence ledger",
        markdown(ledger_frame(claim, verdict)),
    ]
    if verdict.caveats:
        parts += ["## Caveats", "\n".join(f"- {caveat}" for caveat in verdict.caveats)]
    if claim.deviations:
        parts += [
            "## Deviations from the published set-up",
            "\n".join(f"- {deviation}" for deviation in claim.deviations),
        ]
    return "\n\n".join(parts) + "\n"
