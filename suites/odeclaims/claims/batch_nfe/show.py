"""The figure and the table, from the rows alone."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.batch_nfe.judge import HARDLY, SEVERAL, by_net, medians, of_nets
from odeclaims.claims.batch_nfe.settings import MUS, NORMS
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels

LOOKS = {mu: (COLOURS[i], MARKERS[i]) for i, mu in enumerate(MUS)}
NET_NAMES = {
    ("reduced_ode_net", "ode_net"): "ODE-Net,\ndigits",
    ("toys", "spheres_node"): "NODE,\nspheres",
    ("toys", "spheres_anode"): "ANODE,\nspheres",
}
TRAINED_LOOKS = {True: (COLOURS[4], "o"), False: (COLOURS[7], "s")}
DASHES = {"rms": "-", "max": "--"}
OWN_DASH = "-."


def figure(df: pd.DataFrame) -> Figure:
    """Joint over single evaluations: of oscillators by batch size, of nets, and what they buy."""
    fig, axes = panels(1, 3, height=2.5)
    oscillators, nets, errors = axes[0]
    _draw_oscillators(oscillators, df)
    _draw_nets(nets, df)
    _draw_errors(errors, df)
    label_panels(axes[0])
    handles = [
        marks.handle(f"mu = {mu:g}", color=colour, marker=marker)
        for mu, (colour, marker) in LOOKS.items()
    ]
    norms = [
        marks.handle(f"norm {norm}", color=marks.NEUTRAL, linestyle=DASHES[norm]) for norm in NORMS
    ]
    kinds = [
        marks.handle(
            name, color=TRAINED_LOOKS[trained][0], marker=TRAINED_LOOKS[trained][1], linestyle=""
        )
        for trained, name in ((True, "trained net"), (False, "untrained net"))
    ]
    own = marks.handle("own steps, norm rms", color=marks.NEUTRAL, linestyle=OWN_DASH)
    add_legend(
        fig, [*handles, *norms, own, *kinds, marks.dotted("bounds of the statements")], ncols=4
    )
    return fig


def _draw_oscillators(ax: Axes, df: pd.DataFrame) -> None:
    for norm in NORMS:
        table = of(medians(df, norm), role="checked")
        for mu, (colour, marker) in LOOKS.items():
            rows = of(table, mu=mu)
            ax.plot(rows["samples"], rows["ratio"], DASHES[norm], color=colour, marker=marker)
    table = of(medians(df, ratio="ratio_own"), role="checked")
    for mu, (colour, marker) in LOOKS.items():
        rows = of(table, mu=mu)
        ax.plot(rows["samples"], rows["ratio_own"], OWN_DASH, color=colour, marker=marker)
    marks.limit(ax, SEVERAL)
    ax.set(
        title="Oscillators at 1e-5", xlabel="samples in the batch", ylabel="NFE of a batch / single"
    )
    ax.set_xscale("log", base=2)
    ax.set_ylim(0, None)


def _draw_nets(ax: Axes, df: pd.DataFrame) -> None:
    for trained, look in TRAINED_LOOKS.items():
        ratios = by_net(of_nets(df, trained=trained)).reset_index()
        for i, (recipe, net) in enumerate(NET_NAMES):
            values = of(ratios, recipe=recipe, net=net)["ratio"]
            if len(values):
                x = marks.abreast(i, int(not trained), 2, 0.7)
                marks.per_seed(ax, x, values, look, width=0.3, size=3.5)
    marks.limit(ax, HARDLY)
    ax.set_xticks(range(len(NET_NAMES)), list(NET_NAMES.values()))
    ax.set(title="Nets, 512 samples", ylabel="NFE joint / single", ylim=(0, 1.6))


def _draw_errors(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, task="vdp", norm="rms", role="checked")
    for mu, (colour, marker) in LOOKS.items():
        every = of(rows, mu=mu)
        ax.plot(every["error_single"], every["error_joint"], marker, color=colour, ms=3)
    ends = [rows[["error_single", "error_joint"]].min().min(), rows["error_joint"].max()]
    if len(rows):
        ax.plot(ends, ends, color=marks.NEUTRAL, linewidth=0.9)
    ax.set(title="Worst sample", xscale="log", yscale="log")
    ax.set(xlabel="error, solved alone", ylabel="error, solved jointly")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Oscillators by mu, norm, tolerance and size; nets by kind: medians over the batches."""
    rows = []
    keys = ["task", "mu", "recipe", "net", "trained", "norm", "tolerance", "samples"]
    for _, group in ok(df).groupby(keys, dropna=False, sort=False):
        first, middle = group.iloc[0], group.median(numeric_only=True)
        oscillator = first["task"] == "vdp"
        what = (
            f"Van der Pol, mu = {first['mu']:g}"
            if oscillator
            else f"{first['recipe']}, {first['net']}"
        )
        state = "" if oscillator else "trained" if first["trained"] else "untrained"
        rows.append(
            {
                "field": what,
                "net": state,
                "norm": first["norm"],
                "tolerance": f"{first['tolerance']:.0e}",
                "samples": f"{first['samples']:.0f}",
                "NFE joint": number(middle["nfe_joint"]),
                "NFE own steps": number(middle["nfe_own"]),
                "NFE single": number(middle["nfe_single"]),
                "joint / single": number(middle["ratio"]),
                "largest": number(group["ratio"].max()),
                "worst error, joint": number(middle["error_joint"], 2),
                "worst error, own steps": number(middle["error_own"], 2),
                "worst error, single": number(middle["error_single"], 2),
                "batches": str(len(group)),
            }
        )
    return pd.DataFrame(rows)
