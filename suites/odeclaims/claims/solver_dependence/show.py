"""The figure and the table, from the rows alone."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.solver_dependence.judge import NAMES, critical_steps, trained
from odeclaims.claims.solver_dependence.settings import COARSEST, FINEST
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels

# Numbers of steps in training whose tests are drawn, as far as they were measured.
DRAWN = (COARSEST, 8, 16, 32, FINEST)
LOOKS = {steps: (COLOURS[i], MARKERS[i]) for i, steps in enumerate(DRAWN)}
NET_LOOKS = {"conv": (COLOURS[5], MARKERS[5]), "mlp": (COLOURS[6], MARKERS[6])}
CHANCE = 0.5


def figure(df: pd.DataFrame) -> Figure:
    """Accuracy over the steps of the test (Fig. 1), what a net loses, and what hides it."""
    fig, axes = panels(1, 3, height=2.5)
    tests, drops, seen = axes[0]
    _draw_tests(tests, df)
    _draw_drops(drops, df)
    _draw_seen(seen, df)
    label_panels(axes[0])
    trainings = [
        marks.handle(f"trained in {steps} steps", color=colour, marker=marker)
        for steps, (colour, marker) in LOOKS.items()
        if len(trained_in(df, steps))
    ]
    nets = marks.arms(NET_LOOKS, {net: NAMES[net] for net in _nets(df)})
    add_legend(fig, [*trainings, *nets, marks.thin(), marks.dotted("chance")], ncols=4)
    return fig


def _nets(df: pd.DataFrame) -> list[str]:
    return [net for net in NET_LOOKS if len(trained(df, net))]


def trained_in(df: pd.DataFrame, steps: int) -> pd.DataFrame:
    """The tests by Euler's method of the conv nets that were trained in so many steps."""
    rows = ok(df, kind="test", net="conv", method="euler", steps=steps)
    own = of(rows, role="training").assign(test_steps=steps)
    finer = of(rows, role="finer", test_method="euler")
    learnt = of(trained(df, "conv"), steps=steps)["repetition"]
    both = pd.concat([own, finer])
    return both[both["repetition"].isin(learnt)]


def _draw_tests(ax: Axes, df: pd.DataFrame) -> None:
    for steps, (colour, marker) in LOOKS.items():
        rows = trained_in(df, steps)
        if len(rows):
            marks.seed_lines(ax, rows, "test_steps", "accuracy", color=colour)
            marks.median_line(ax, rows, "test_steps", "accuracy", color=colour, marker=marker)
    marks.limit(ax, CHANCE)
    ax.set(title="Solved more finely", xlabel="Euler steps of the test")
    ax.set(ylabel="accuracy", xscale="log", ylim=(0.4, 1.02))
    ax.set_xscale("log", base=2)


def _draw_drops(ax: Axes, df: pd.DataFrame) -> None:
    for net in _nets(df):
        colour, marker = NET_LOOKS[net]
        rows = trained(df, net).assign(percent=lambda r: 100 * r["drop"])
        marks.seed_lines(ax, rows, "steps", "percent", color=colour)
        marks.median_line(ax, rows, "steps", "percent", color=colour, marker=marker)
    ax.set(title="What a net loses", xlabel="Euler steps in training")
    ax.set(ylabel="lost accuracy (points)", ylim=(-2, 78))
    ax.set_xscale("log", base=2)


def _draw_seen(ax: Axes, df: pd.DataFrame) -> None:
    for net in _nets(df):
        colour, marker = NET_LOOKS[net]
        rows = trained(df, net)
        marks.median_line(ax, rows, "steps", "accuracy", color=colour, marker=marker)
        least = rows.assign(least=rows["accuracy"] - rows["drop"])
        marks.median_line(ax, least, "steps", "least", "--", color=colour, marker=marker)
    marks.limit(ax, CHANCE)
    ax.set(title="Least is dashed", xlabel="Euler steps in training")
    ax.set(ylabel="accuracy", ylim=(0.4, 1.02))
    ax.set_xscale("log", base=2)


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each training: how many nets learnt, and their accuracies, medians over the seeds."""
    rows = []
    keys = ["net", "method", "steps", "tolerance"]
    for _, group in ok(df, kind="test").groupby(keys, dropna=False, sort=False):
        net, method, steps, tolerance = group.iloc[0][keys]
        own, flow = of(group, role="training"), of(group, role="flow")
        finest = of(group, role="finer", test_method=method)
        finest = finest[finest["test_steps"] == finest["test_steps"].max()]
        learnt = of(trained(df, net, method), steps=steps)
        rows.append(
            {
                "net": NAMES[net],
                "trained by": method,
                "steps": f"{steps:.0f}" if steps == steps else f"tolerance {tolerance:g}",
                "accuracy as trained": number(own["accuracy"].median()),
                "in 64 times the steps": number(finest["accuracy"].median()),
                "by the flow": number(flow["accuracy"].median()),
                "largest loss (points)": number(100 * learnt["drop"].median()),
                "margin as trained": number(own["margin"].median()),
                "learnt": f"{len(learnt)} of {len(own)}" if steps == steps else "",
            }
        )
    for net in _nets(df):
        critical = critical_steps(df, net)
        # Where the numbers of steps lie far apart, the critical one lies anywhere between two.
        steps = np.sort(ok(df, kind="test", net=net, method="euler")["steps"].unique())
        doubled = len(steps) > 1 and bool((steps[1:] <= 2 * steps[:-1]).all())
        if doubled and len(critical) and np.isfinite(critical.median()):
            rows.append(
                {
                    "net": NAMES[net],
                    "trained by": "euler",
                    "steps": "critical",
                    "accuracy as trained": f"{critical.median():g} steps (median)",
                }
            )
    return pd.DataFrame(rows).fillna("")
