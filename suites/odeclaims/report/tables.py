"""A claim's table as Markdown, LaTeX and CSV."""

from collections.abc import Mapping

import pandas as pd

from odeclaims.claim import Claim, Column, Verdict
from odeclaims.record.judged import Judged
from odeclaims.record.wording import MARKS, escape_latex, format_value


def ledger_frame(claim: Claim, verdict: Verdict) -> pd.DataFrame:
    """The evidence ledger: what others report, and ours out of the rows."""
    rows = [vars(evidence) for evidence in claim.ledger]
    rows += [
        {
            "who": "this run",
            "value": format_value(j),
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
    table = escaped.to_latex(
        index=False,
        escape=False,
        caption=escape_latex(claim.title),
        label=f"tab:{claim.slug}",
        position="tb",
        column_format="l" * len(frame.columns),
    )
    table = table.replace(r"\begin{tabular}", "\n".join([*_FITTED, r"\begin{tabular}"]))
    return f"{_NEEDS}\n{table.replace(_END, f'{_END}}}}}')}"


_NEEDS = r"% \usepackage{booktabs, graphicx}"
_END = r"\end{tabular}"
_FITTED = [
    r"\centering",
    r"\resizebox*{!}{\ifdim\totalheight>.8\textheight .8\textheight\else\totalheight\fi}{%",
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
]


def claim_markdown(judged: Judged) -> str:
    """All that a reader needs beside the figure: verdict, table, ledger, caveats, deviations."""
    claim, verdict = judged.claim, judged.verdict
    parts = [
        f"# {claim.title}",
        f"{claim.statement} ({claim.source})",
        f"Verdict: {MARKS[verdict.outcome]}.",
        markdown(judged.criteria),
        "## Table",
        markdown(judged.table),
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
