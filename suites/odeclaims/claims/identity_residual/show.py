"""The figure and the table, from the rows alone."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.identity_residual.judge import (
    KINDS,
    LAYERS,
    NAMES,
    TARGET_NAMES,
    best,
    lead,
)
from odeclaims.claims.identity_residual.settings import ARMS, DEEP, SHALLOW, TARGETS
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, add_legend, label_panels, panels
from odeclaims.statistics import mean_interval

LOOKS = {
    "residual": (COLOURS[0], "o"),
    "plain": (COLOURS[1], "s"),
    "plain_he": (COLOURS[2], "^"),
}
DASHES = {SHALLOW: "--", DEEP: "-"}


def figure(df: pd.DataFrame) -> Figure:
    """The error over training on each target, and the size of the branches."""
    fig, axes = panels(2, 2, height=2.5)
    for ax, target in zip(axes.flat, TARGETS, strict=False):
        _over_training(ax, of(df, target=target), "error", ARMS)
        ax.set(title=f"Learning {TARGET_NAMES[target]}", ylabel="relative squared error")
    _over_training(axes.flat[3], of(df, target="identity"), "branch", ("residual",))
    branches = axes.flat[3]
    branches.set(title="Branches, learning the identity", yscale="linear", ylim=(0, None))
    branches.set_ylabel(r"size of $F_n(x)$ beside $x$")
    label_panels(axes.flat)
    dashes = [
        marks.handle(LAYERS[blocks], color="0.3", linestyle=dash) for blocks, dash in DASHES.items()
    ]
    add_legend(fig, [*marks.arms(LOOKS, NAMES), *dashes], ncols=5)
    return fig


def _over_training(ax: Axes, df: pd.DataFrame, column: str, arms: tuple[str, ...]) -> None:
    """The median over the seeds, each at the learning rate that is best for it in the end."""
    for arm, blocks in product(arms, DASHES):
        rows = ok(df, arm=arm, blocks=blocks)
        end = rows[rows["iteration"] == rows["iterations"]].reset_index(drop=True)
        chosen = end.loc[
            end.groupby("repetition")["error"].idxmin(), ["repetition", "learning_rate"]
        ]
        rows = rows.merge(chosen, on=["repetition", "learning_rate"])
        colour, marker = LOOKS[arm]
        look = {"color": colour, "marker": marker, "markersize": 3}
        marks.median_line(ax, rows, "iteration", column, DASHES[blocks], **look)
    ax.set(xlabel="iterations", yscale="log")
    ax.set_xscale("symlog", linthresh=1)
    # The look before training stands at 0, and nothing stands to its left.
    ax.set_xlim(left=-0.2)


def table(df: pd.DataFrame) -> pd.DataFrame:
    """The best networks of each kind on each target, and the lead of the residual ones."""
    rows = []
    for target, blocks in product(TARGETS, (SHALLOW, DEEP)):
        found = {kind: best(df, kind, target, blocks) for kind in KINDS}
        leads = lead("residual", "plain", target, blocks, df)
        if not len(leads):
            continue
        ends = mean_interval(leads)
        rows.append(
            {
                "target": TARGET_NAMES[target],
                "layers": f"{2 * blocks}",
                "residual, median error": number(found["residual"]["error"].median()),
                "plain, median error": number(found["plain"]["error"].median()),
                "plain over residual": number(float(np.exp(leads.mean()))),
                "95% interval": " to ".join(number(float(np.exp(e))) for e in ends) if ends else "",
                "branches": number(found["residual"]["branch"].median()),
                "seeds": str(len(leads)),
            }
        )
    return pd.DataFrame(rows)
