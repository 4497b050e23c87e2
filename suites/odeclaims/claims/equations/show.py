"""The figure and the table, from the rows alone."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.equations.catalogue import SECTION_NAMES
from odeclaims.claims.equations.judge import TOLERANCE, WorstResiduals, worst_residuals
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, add_legend, in_column, label_panels, panels

# Residuals of zero have no logarithm; they are drawn on the left edge, which is labelled 0.
FLOOR = 1e-18
HALVES = {
    "Up to the adjoint": ("residual", "euler", "adjoint", "proof"),
    "From there to the end": ("algorithm", "change", "flows", "augmented"),
}


def figure(df: pd.DataFrame) -> Figure:
    """The residual of every equation as printed and as corrected, by section of the tutorial."""
    worst = worst_residuals(df)
    fig, axes = panels(1, 2, height=5.8)
    if in_column():
        fig.set_figheight(8.8)
    for ax, (title, sections) in zip(axes[0], HALVES.items(), strict=True):
        ax.set_title(title)
        _draw_sections(ax, [(s, [w for w in worst if w.equation.section == s]) for s in sections])
    handles = axes[0, 0].get_legend_handles_labels()[0]
    add_legend(fig, handles, ncols=len(handles))
    label_panels(axes[0])
    return fig


def _draw_sections(ax: Axes, sections: list[tuple[str, list[WorstResiduals]]]) -> None:
    y, names, headings = 0.0, {}, []
    for section, equations in sections:
        headings.append(len(names))
        names[y] = SECTION_NAMES[section]
        y += 1
        for worst in equations:
            names[y] = worst.equation.name
            _draw_equation(ax, y, worst)
            y += 1
        y += 0.4
    ax.axvline(TOLERANCE, color="0.4", linewidth=0.8, linestyle="--", label="tolerance")
    ax.set_yticks(list(names), list(names.values()), fontsize=6 if in_column() else 7)
    for i in headings:
        ax.get_yticklabels()[i].set_fontweight("bold")
    ax.set_ylim(y - 0.7, -0.7)
    ax.set_xscale("log")
    ax.set_xlim(FLOOR / 8, 1e16)
    ax.set_xticks([FLOOR, 1e-12, 1e-6, 1], ["0", "$10^{-12}$", "$10^{-6}$", "1"])
    ax.minorticks_off()
    ax.set_xlabel("Largest residual (relative)")
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def _draw_equation(ax: Axes, y: float, worst: WorstResiduals) -> None:
    printed, corrected = max(worst.printed, FLOOR), max(worst.corrected, FLOOR)
    if not worst.slips:
        ax.plot(printed, y, "o", color=COLOURS[0], label=_once(ax, "printed, holds"))
        return
    ax.plot([corrected, printed], [y, y], color="0.7", linewidth=1, zorder=1)
    ax.plot(printed, y, "X", color=COLOURS[3], markersize=5, label=_once(ax, "printed, slips"))
    ax.plot(corrected, y, "o", mfc="white", color=COLOURS[0], label=_once(ax, "corrected"))
    ax.annotate(
        worst.equation.kind or "not expected",
        (printed, y),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        color=COLOURS[3],
    )


def _once(ax: Axes, label: str) -> str:
    """The label at its first use, so that a legend has each entry once."""
    return "_" + label if label in ax.get_legend_handles_labels()[1] else label


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Every equation: place, both forms, worst residuals, verdict and kind of slip."""
    return pd.DataFrame(
        {
            "section": SECTION_NAMES[worst.equation.section],
            "equation": worst.equation.name,
            "as printed": worst.equation.printed,
            "residual": number(worst.printed, 2),
            "verdict": "slips" if worst.slips else "holds",
            "kind of slip": (worst.equation.kind or "not expected") if worst.slips else "",
            "corrected": worst.equation.corrected,
            "residual, corrected": number(worst.corrected, 2),
        }
        for worst in worst_residuals(df)
    )
