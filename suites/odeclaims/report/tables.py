"""A claim's table as Markdown, LaTeX and CSV."""

import re
from collections.abc import Callable, Mapping

import pandas as pd

from odeclaims.claim import Claim, Column
from odeclaims.record.files import escape_controls
from odeclaims.record.judged import Judged
from odeclaims.record.wording import checks_frame, escape_latex, format_value
from odeclaims.statement import Verdict


def ledger_frame(claim: Claim, verdict: Verdict) -> pd.DataFrame:
    """The evidence ledger: what others report, and ours out of the rows."""
    rows = [vars(evidence) for evidence in claim.ledger]
    rows += [
        {
            "who": "this run",
            "value": format_value(j),
            "source": "data.csv",
            "setting": j.statement.text,
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


def escape_html(text: str) -> str:
    """The text with what Markdown would hand on as HTML escaped: tags and entities, not "a < b".

    Links become plain text.
    """
    text = re.sub(r"&(?=#|\w+;)", "&amp;", text.replace("](", r"]\("))
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def markdown(frame: pd.DataFrame, escape: Callable[[str], str] = escape_html) -> str:
    """The frame as a Markdown table.

    Args:
        frame: what stands in it; control characters, line ends among them, are written out.
        escape: what becomes of the markup in its texts.
    """

    def cell(value: object) -> str:
        text = escape(escape_controls(str(value)))
        # A bar ends the cell, unless an odd number of backslashes stands before it.
        return re.sub(r"(\\*)\|", lambda bar: bar[1] + "\\" * (len(bar[1]) % 2) + r"\|", text)

    escaped = frame.map(cell).rename(columns=cell)
    return escaped.to_markdown(index=False, disable_numparse=True)


def latex(frame: pd.DataFrame, claim: Claim) -> str:
    """The frame as a floating LaTeX table in the style of booktabs, special characters escaped.

    One that is wider than a line or higher than a page is made smaller until it fits.
    """
    escaped = frame.map(_latex_cell).rename(columns=_latex_cell)
    if len(escaped.columns):
        # After the end of a line LaTeX would take these for an option of the line's end.
        first = escaped.columns[0]
        escaped[first] = escaped[first].str.replace(r"^([\[*])", r"{\1}", regex=True)
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


def _latex_cell(value: object) -> str:
    # A frame's astype(str) would leave a gap what it is.
    return escape_latex(str(value))


_NEEDS = r"% \usepackage{booktabs, graphicx}"
_END = r"\end{tabular}"
_FITTED = [
    r"\centering",
    r"\resizebox*{!}{\ifdim\totalheight>.8\textheight .8\textheight\else\totalheight\fi}{%",
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
]


def claim_markdown(judged: Judged) -> str:
    """All that a reader needs beside the figure: statements, table, ledger, caveats, deviations."""
    claim, verdict = judged.claim, judged.verdict
    parts = [
        f"# {claim.title}",
        f"What is claimed: {claim.statement} ({claim.source})",
        f"Central statements: {verdict.summary}. Scale: {verdict.scale}, {verdict.size}.",
        f"{registered_sentence(judged)}",
        markdown(judged.statements),
    ]
    if verdict.checks:
        parts += [
            "## Checks of the instrument",
            "They must hold whether or not the paper is right, so that they are no evidence.",
            markdown(checks_frame(verdict)),
        ]
    parts += [
        "## Table",
        markdown(judged.table),
        "## Evidence ledger",
        markdown(ledger_frame(claim, verdict)),
    ]
    sections = {
        "Caveats": [escape_html(caveat) for caveat in verdict.caveats],
        "Earlier revisions of the rules": claim.earlier,
        "Deviations from the published set-up": claim.deviations,
    }
    for heading, sentences in sections.items():
        if sentences:
            parts += [f"## {heading}", "\n".join(f"- {sentence}" for sentence in sentences)]
    return "\n\n".join(parts) + "\n"


def registered_sentence(judged: Judged) -> str:
    """Whether the rules were registered before the rows were measured, in a sentence."""
    why_not = judged.unregistered
    answer = f"no: {why_not}" if why_not else "yes"
    return f"Rules of revision {judged.verdict.revision}, registered before measured: {answer}."
