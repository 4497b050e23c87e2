"""ResNet, RK-Net and ODE-Net side by side on MNIST (Chen et al. 2018, Table 1).

The paper's three nets and its MLP are trained by one recipe, and with them the two controls without
which the table cannot be read: a single residual block, and no block at all. What the table says of
memory and time, constant or linear in depth or evaluations, is measured and fitted: one update each
of nets of growing depth.
"""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor, nn

from neural_ode import Adjoint, Backprop, solve
from neural_ode.data import MNIST, mnist
from neural_ode.memory import SavedBytes
from neural_ode.networks import OdeClassifier, mlp_classifier, residual_classifier
from neural_ode.training import PUBLISHED_EPOCHS, train_as_published
from odeclaims.claim import (
    Bounds,
    Cell,
    Claim,
    Column,
    Criterion,
    Evidence,
    Profile,
    Row,
    guarded,
)
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels, plain_numbers
from odeclaims.report.tables import number
from odeclaims.statistics import interval, log_slope
from odeclaims.validity import STAMP_COLUMNS, reconstruction_error, relative_error, stamp

SLUG = "mnist_classifiers"
TOLERANCE = 1e-3
# The published budget, and the least one whose error rates the criteria look at.
LEAST_EPOCHS, ALL_IMAGES = 5, 60_000
# What two cores manage in an hour, all six nets taken together.
HOUR_EPOCHS = 4
# Test digits whose flow and gradient are checked, and the steps of the reference and half of it.
CHECKED = 8
REFERENCE_STEPS = 64
COST_REPEATS = 5

NETS = {
    "mlp": "MLP, one hidden layer",
    "resnet": "ResNet, six blocks",
    "rk_net": "RK-Net",
    "ode_net": "ODE-Net",
    "one_block": "control: one block",
    "no_block": "control: no block",
}
COMPARED = ("resnet", "rk_net", "ode_net")
# What the paper prints: error in percent, parameters in millions, order of memory and of time.
PUBLISHED = {
    "mlp": ("1.60", "0.24M", "", ""),
    "resnet": ("0.41", "0.60M", "O(L)", "O(L)"),
    "rk_net": ("0.47", "0.22M", "O(L~)", "O(L~)"),
    "ode_net": ("0.42", "0.22M", "O(1)", "O(L~)"),
}

LEDGER = [
    Evidence(
        "paper",
        "error 1.60% (MLP), 0.41% (ResNet), 0.47% (RK-Net), 0.42% (ODE-Net);"
        " 0.24M, 0.60M, 0.22M, 0.22M parameters; memory O(L), O(L~), O(1)",
        "Chen et al. 2018, Table 1",
        "one run each, no intervals; implicit Adams of SciPy at 1e-3; the MLP's error is quoted"
        " from LeCun et al. 1998, on deskewed digits",
    ),
    Evidence(
        "authors' code",
        "208,266 parameters (ODE-Net, conv stem); SGD, 160 epochs, rate 0.1 falling three times",
        "torchdiffeq, examples/odenet_mnist.py and issue 32",
        "dopri5 at 1e-3; its authors note that net and solver differ from the paper's",
    ),
    Evidence(
        "issue thread",
        "one residual block instead of six gives the same error, and an author agreed that the"
        " baseline was too large",
        "torchdiffeq, issue 25",
    ),
    Evidence(
        "issue thread",
        "no block between stem and head still gives less than 0.6% error",
        "torchdiffeq, issue 32",
    ),
    Evidence(
        "paper, later version",
        "the claim of parameter efficiency was withdrawn",
        "Chen et al. 2018, arXiv version 5",
    ),
]

DEVIATIONS = [
    "The released example's nets and recipe, since those of the paper were not released.",
    "dopri5 at 1e-3 instead of implicit Adams, and the adjoint with the default norm.",
    "The budget is that of the columns channels, images and epochs; only 160 epochs of all 60,000"
    " images at 64 channels is the published one. Shorter runs keep the rate at 0.1, but where the"
    " column schedule says that its fall was pressed into so many epochs.",
    "At the profile hour two nets are trained side by side, on a machine that did other work as"
    " well, and on a GPU several: the times of such epochs say nothing. The orders of time are"
    " measured with nothing beside.",
    "Test error after the last epoch; the released script reports the best one, which is chosen on"
    " the test set and stands in the table apart.",
    "Depth and evaluations for the orders of memory and time are set by residual blocks and by"
    " steps of rk4, so that both are known; what stem and head need is subtracted.",
]

COLUMNS = {
    "kind": Column("training: one row an epoch; cost: one update of a net of a given size"),
    "net": Column("mlp, resnet, rk_net, ode_net, one_block or no_block"),
    "downsampling": Column("stem of the released example: conv or res; conv for the mlp, unused"),
    "channels": Column("channels of the feature maps; 64 in the released example"),
    "images": Column("training images, the first of the shuffled set"),
    "test_images": Column("test images, the first of the set"),
    "batch_size": Column("images in a batch"),
    "epochs": Column("epochs of the whole training"),
    "schedule": Column(
        "epochs over which the rate falls as over 160 in the published recipe; blank: 160"
    ),
    "size": Column("cost: residual blocks or steps of rk4; 0 without a block"),
    "epoch": Column("training: number of the epoch, from 1"),
    "parameters": Column("trained numbers of the net"),
    "loss": Column("mean cross-entropy over the epoch's training batches"),
    "test_error": Column("error rate on the test images after the epoch, as a fraction"),
    "nfe_forward": Column("mean field evaluations of the forward pass of a batch"),
    "nfe_backward": Column("mean evaluations on the way back, empty where there are none"),
    "peak_saved_bytes": Column(
        "most bytes that autograd holds in one update beside the parameters; training: at its end"
    ),
    "time_s": Column(
        "seconds, one thread on a CPU; training: of the epoch's updates; cost: of one forward and"
        f" backward pass, median of {COST_REPEATS}",
        varies=True,
    ),
    **STAMP_COLUMNS,
}


# --- what is run ---------------------------------------------------------------------------------


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net and seed, and one for each net and size whose cost is measured."""
    training = {
        "kind": "training",
        "channels": profile.pick(smoke=4, quick=32, paper=64),
        "images": profile.pick(smoke=16, quick=2048, paper=ALL_IMAGES),
        "test_images": profile.pick(smoke=16, quick=1000, paper=10_000),
        "batch_size": profile.pick(smoke=8, quick=32, paper=128),
        "epochs": profile.pick(smoke=1, quick=2, hour=HOUR_EPOCHS, paper=PUBLISHED_EPOCHS),
    }
    if profile.name == "hour":
        training["schedule"] = HOUR_EPOCHS
    both = ("conv", "res")
    stems = profile.pick(smoke=("conv",), quick=("conv",), hour=("conv",), paper=both)
    for repetition in profile.repetitions(smoke=1, quick=3, hour=1, paper=3):
        for downsampling in stems:
            for net in NETS:
                if net == "mlp" and downsampling == "res":
                    continue
                yield _cell(profile, repetition, net, downsampling, training)
    cost = {
        "kind": "cost",
        "channels": profile.pick(smoke=4, quick=32, hour=32, paper=64),
        "batch_size": profile.pick(smoke=2, quick=16, hour=16, paper=128),
    }
    few = (1, 2, 4, 8, 16)
    sizes = profile.pick(smoke=(1, 2), quick=few, hour=few, paper=(*few, 32))
    for net in COMPARED:
        for size in sizes:
            yield _cell(profile, 0, net, "conv", {**cost, "size": size})
    yield _cell(profile, 0, "no_block", "conv", {**cost, "size": 0})


def _cell(
    profile: Profile, repetition: int, net: str, downsampling: str, params: dict[str, Any]
) -> Cell:
    return Cell(
        SLUG,
        {"net": net, "downsampling": downsampling, **params},
        repetition,
        profile.device,
        # Times are measured; but in an hour both cores have to train, each a net of its own, and on
        # a GPU, which one such net does not fill, as many as --jobs says.
        alone=params["kind"] == "cost"
        or not (profile.name == "hour" or profile.device.startswith("cuda")),
        paired=("net", "downsampling", "size"),
        timeout_s=14 * 24 * 3600.0,
    )


@dataclass(frozen=True)
class Spec:
    """What a net is made of beside its kind."""

    channels: int
    downsampling: str
    size: int | None = None

    def build(self, net: str, generator: torch.Generator) -> nn.Module:
        """The net, its weights from the generator."""
        blocks = {"resnet": self.size or 6, "one_block": 1, "no_block": 0}
        if net == "mlp":
            return mlp_classifier(generator=generator)
        made = {"downsampling": self.downsampling, "generator": generator}
        if net in blocks:
            return residual_classifier(blocks[net], self.channels, **made)
        gradient = Adjoint() if net == "ode_net" else Backprop()
        return OdeClassifier(self.channels, gradient=gradient, **made, **self.solver)

    @property
    def solver(self) -> dict[str, Any]:
        """How the flow is solved: adaptively, or in as many steps as the size says."""
        if self.size:
            return {"method": "rk4", "step_size": 1 / self.size}
        return {"rtol": TOLERANCE, "atol": TOLERANCE}


# --- what is observed ----------------------------------------------------------------------------


def measure(cell: Cell) -> list[Row]:
    """The epochs of one training, or the cost of one update."""
    return _train(cell) if cell.params["kind"] == "training" else [guarded(lambda: _cost(cell))]


def _train(cell: Cell) -> list[Row]:
    params, generator = cell.params, cell.generator()
    net = str(params["net"])
    model = Spec(params["channels"], params["downsampling"]).build(net, generator)
    model.to(cell.device)
    train = _part(mnist.load("train"), params["images"], generator)
    test = _part(mnist.load("test"), params["test_images"])
    history = train_as_published(
        model,
        train,
        test,
        epochs=params["epochs"],
        batch_size=params["batch_size"],
        schedule=params.get("schedule", PUBLISHED_EPOCHS),
        generator=generator,
        checkpoint=cell.checkpoint,
        on_batch=cell.tell,
    )
    count = sum(p.numel() for p in model.parameters())
    rows: list[Row] = [
        {
            "epoch": epoch.number,
            "parameters": count,
            "loss": epoch.loss,
            "test_error": epoch.test_error,
            "nfe_forward": epoch.nfe_forward,
            "nfe_backward": epoch.nfe_backward,
            "time_s": epoch.seconds,
        }
        for epoch in history
    ]
    batch = _part(train, params["batch_size"])
    rows[-1]["peak_saved_bytes"] = _metered(model, batch, cell.device)
    if isinstance(model, OdeClassifier):
        rows[-1].update(_checked(model, _part(test, min(CHECKED, params["test_images"]))))
    return rows


def _part(data: MNIST, count: int, generator: torch.Generator | None = None) -> MNIST:
    """The first images, of an order drawn from the generator where there is one."""
    if generator is None:
        return MNIST(data.images[:count], data.labels[:count])
    chosen = torch.randperm(len(data.images), generator=generator)[:count]
    return MNIST(data.images[chosen], data.labels[chosen])


def _loss(model: nn.Module, data: MNIST, device: str) -> Tensor:
    logits = model(mnist.normalised(data.images.to(device)))
    return nn.functional.cross_entropy(logits, data.labels.to(device))


def _metered(model: nn.Module, data: MNIST, device: str) -> int:
    """The most bytes held for the backward pass while a batch goes through and back."""
    gc.collect()
    with SavedBytes(ignore=model.parameters()) as meter:
        _loss(model, data, device).backward()
    model.zero_grad(set_to_none=True)
    return meter.peak


def _checked(model: OdeClassifier, data: MNIST) -> Row:
    """The stamp of the trained flow, on a few test digits."""
    device = next(model.parameters()).device
    solver: dict[str, Any] = {"rtol": TOLERANCE, "atol": TOLERANCE}
    ts = torch.tensor([0.0, 1.0], device=device)
    with torch.no_grad():
        y0 = model.stem(mnist.normalised(data.images.to(device)))
        y1 = solve(model.field, y0, ts, **solver).ys[-1]
    found = partial(_gradient, model, y0, data.labels.to(device))
    gradient = found({**solver, "gradient": model.block.solver["gradient"]})
    model.double()
    fine, coarse = (
        found({"method": "rk4", "step_size": 1 / steps})
        for steps in (REFERENCE_STEPS, REFERENCE_STEPS // 2)
    )
    model.float()
    reconstruction = reconstruction_error(model.field, y0, y1, ts, solver)
    return {**stamp(reconstruction, relative_error(gradient, fine), relative_error(coarse, fine))}


def _gradient(model: OdeClassifier, y0: Tensor, labels: Tensor, solver: dict[str, Any]) -> Tensor:
    """The gradient of the mean cross-entropy by the features and the field, as one vector."""
    y0 = y0.to(next(model.parameters()).dtype).detach().requires_grad_(True)
    ys = solve(model.field, y0, y0.new_tensor([0.0, 1.0]), **solver).ys
    loss = nn.functional.cross_entropy(model.head(ys[-1]), labels)
    gradients = torch.autograd.grad(loss, [y0, *model.field.parameters()])
    return torch.cat([g.reshape(-1) for g in gradients])


def _cost(cell: Cell) -> Row:
    """Bytes and seconds of one forward and backward pass of an untrained net."""
    params, generator = cell.params, cell.generator()
    spec = Spec(params["channels"], params["downsampling"], params["size"])
    model = spec.build(str(params["net"]), generator).to(cell.device)
    data = _part(mnist.load("train"), params["batch_size"], generator)
    peak = _metered(model, data, cell.device)
    stats = getattr(model, "stats", None)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "nfe_forward": stats.nfe_forward if stats else None,
        "nfe_backward": stats.nfe_backward if stats else None,
        "peak_saved_bytes": peak,
        "time_s": _median_time(lambda: _loss(model, data, cell.device).backward(), cell.device),
    }


def _median_time(work: Callable[[], object], device: str) -> float:
    times = []
    for _ in range(COST_REPEATS):
        started = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


# --- how it is judged ----------------------------------------------------------------------------


def _training(df: pd.DataFrame) -> pd.DataFrame:
    return df[(df["kind"] == "training") & (df["status"] == "ok")]


def _last(df: pd.DataFrame) -> pd.DataFrame:
    """The last epoch of every training."""
    rows = _training(df)
    return rows[rows["epoch"] == rows["epochs"]]


def _errors(df: pd.DataFrame) -> pd.DataFrame:
    """The test errors in percent after the last epoch: a row a stem and seed, a column a net."""
    return 100 * _last(df).pivot_table("test_error", ["downsampling", "repetition"], "net")


def _lacking_budget(df: pd.DataFrame) -> str:
    """Error rates speak only after a training that deserves the name."""
    rows = _last(df)
    absent = [net for net in COMPARED if net not in set(rows["net"])]
    if absent:
        return f"no finished training of {', '.join(absent)}"
    epochs, images = int(rows["epochs"].max()), int(rows["images"].max())
    if epochs < LEAST_EPOCHS or images < ALL_IMAGES:
        return f"{epochs} epochs of {images} images, at least {LEAST_EPOCHS} of {ALL_IMAGES} needed"
    return ""


def _gaps(df: pd.DataFrame) -> list[float]:
    """How far the ODE-Net's error is from the ResNet's, for each stem and seed, in points."""
    errors = _errors(df)
    return [abs(gap) for gap in errors["ode_net"] - errors["resnet"]]


def _worst(df: pd.DataFrame) -> list[float]:
    """The largest error of the three nets, for each stem and seed, in percent."""
    return list(_errors(df)[list(COMPARED)].max(axis=1))


def _control_gaps(df: pd.DataFrame) -> list[float]:
    """By how much the better control is worse than the ODE-Net, for each stem and seed."""
    errors = _errors(df)
    return list(errors[["one_block", "no_block"]].min(axis=1) - errors["ode_net"])


def _cost_rows(df: pd.DataFrame, net: str) -> pd.DataFrame:
    """A net's costs beyond those of stem and head alone, by size."""
    rows = df[(df["kind"] == "cost") & (df["status"] == "ok")]
    base = rows[rows["net"] == "no_block"]
    if base.empty:
        return rows.iloc[:0]
    own = rows[rows["net"] == net].sort_values("size")
    columns = ["peak_saved_bytes", "time_s"]
    return own.assign(**{c: own[c] - base[c].iloc[0] for c in columns})


def _order(net: str, column: str) -> Callable[[pd.DataFrame], list[float]]:
    def slope(df: pd.DataFrame) -> list[float]:
        rows = _cost_rows(df, net)
        return [log_slope(rows["size"], rows[column])]

    return slope


def _lacking_sizes(df: pd.DataFrame) -> str:
    sizes = df[(df["kind"] == "cost") & (df["size"] > 0)]["size"]
    span = sizes.max() / sizes.min() if len(sizes) else 0
    return "" if span >= 8 else f"sizes span a factor of {span:.3g}, at least 8 needed"


def _orders(column: str, what: str, expected: dict[str, Bounds], because: str) -> list[Criterion]:
    return [
        Criterion(
            f"{NETS[net]}: order of {what} in depth or steps",
            _order(net, column),
            bounds,
            because,
            lacking=_lacking_sizes,
        )
        for net, bounds in expected.items()
    ]


_LINEAR, _CONSTANT = Bounds(at_least=0.9, at_most=1.1), Bounds(at_least=-0.1, at_most=0.1)
_LINEAR_TIME = Bounds(at_least=0.8, at_most=1.2)
CRITERIA = [
    Criterion(
        "|error of ODE-Net - error of ResNet|, percentage points",
        _gaps,
        Bounds(at_most=0.15),
        "the table's gap is 0.01 points; 0.15 is what 15 of 10,000 test digits make",
        partly=Bounds(at_most=0.4),
        least_seeds=3,
        lacking=_lacking_budget,
    ),
    Criterion(
        "largest error of ResNet, RK-Net and ODE-Net, percent",
        _worst,
        Bounds(at_most=0.6),
        "the table's largest is 0.47%; after a short budget 1.0% is still the same kind of net",
        partly=Bounds(at_most=1.0),
        least_seeds=3,
        lacking=_lacking_budget,
    ),
    Criterion(
        "error of the better control - error of ODE-Net, percentage points",
        _control_gaps,
        Bounds(at_least=0.15),
        "where the block is left out or replaced by one residual block for less than 0.15 points,"
        " the table is no evidence for ODE blocks; the paper does not make this comparison",
        least_seeds=3,
        lacking=_lacking_budget,
        decides=False,
    ),
    *_orders(
        "peak_saved_bytes",
        "memory",
        {"resnet": _LINEAR, "rk_net": _LINEAR, "ode_net": _CONSTANT},
        "the table has O(L), O(L~) and O(1); slope of log bytes over log size, stem and head apart",
    ),
    *_orders(
        "time_s",
        "time",
        {"resnet": _LINEAR_TIME, "rk_net": _LINEAR_TIME, "ode_net": _LINEAR_TIME},
        "the table has O(L), O(L~) and O(L~); slope of log seconds over log size, wider as timings"
        " are noisy",
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, what the controls say, and whether the trained flows were solved well."""
    rows = _last(df)
    if rows.empty:
        return []
    epochs, images = int(rows["epochs"].max()), int(rows["images"].max())
    found = []
    if (epochs, images) != (PUBLISHED_EPOCHS, ALL_IMAGES):
        found.append(
            f"Trained for {epochs} epochs of {images} images at {rows['channels'].max():.0f}"
            f" channels, not for {PUBLISHED_EPOCHS} of {ALL_IMAGES} at 64: the error rates are"
            " those of beginners and say nothing about the table's."
        )
    errors = _errors(df)
    if {"ode_net", "one_block", "no_block"} <= set(errors):
        gap = float(np.median(_control_gaps(df)))
        found.append(
            f"The better control has {abs(gap):.2f} points"
            f" {'more' if gap > 0 else 'less'} error than the ODE-Net (median)"
            + (": not evidence of a benefit of the ODE block." if gap < 0.15 else ".")
        )
    flows = rows[rows["nfe_forward"].notna()]
    valid = flows["valid"].astype(bool)
    found.append(
        f"{valid.sum()} of {len(flows)} trained flows pass the validity checks at {TOLERANCE:g}."
    )
    return found


# --- how it looks --------------------------------------------------------------------------------


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Published rows and ours: errors with their interval, parameters, memory, time and NFE."""
    rows: list[dict[str, str]] = []
    for net, name in NETS.items():
        if net in PUBLISHED:
            error, parameters, memory, duration = PUBLISHED[net]
            rows.append(
                {
                    "net": name,
                    "from": "published",
                    "test error (%)": error,
                    "parameters": parameters,
                    "memory": memory,
                    "time": duration,
                }
            )
        for stem, group in _training(df)[_training(df)["net"] == net].groupby("downsampling"):
            rows.append(_own_row(df, net, name, str(stem), group))
    return pd.DataFrame(rows).fillna("")


def _own_row(
    df: pd.DataFrame, net: str, name: str, stem: str, group: pd.DataFrame
) -> dict[str, str]:
    last = group[group["epoch"] == group["epochs"]]
    errors = 100 * last["test_error"]
    spread = interval(errors)
    best = 100 * group.groupby("repetition")["test_error"].min()
    middle = last.median(numeric_only=True)
    return {
        "net": name,
        "from": f"ours, {len(last)} seeds" + (", res stem" if stem == "res" else ""),
        "test error (%)": number(errors.median())
        + (f" [{number(spread[0])}, {number(spread[1])}]" if spread else ""),
        "best epoch (%)": number(best.median()),
        "parameters": f"{middle['parameters']:,.0f}",
        "memory": _fitted(df, net, "peak_saved_bytes"),
        "time": _fitted(df, net, "time_s"),
        "held (MiB)": number(middle["peak_saved_bytes"] / 2**20),
        "time per epoch (s)": number(group["time_s"].median()),
        "NFE": _nfe(middle),
    }


def _fitted(df: pd.DataFrame, net: str, column: str) -> str:
    """The fitted order, as the exponent of depth or steps."""
    rows = _cost_rows(df, net)
    return f"L^{log_slope(rows['size'], rows[column]):.2f}" if len(rows) > 1 else ""


def _nfe(middle: pd.Series) -> str:
    forward, backward = middle["nfe_forward"], middle["nfe_backward"]
    if np.isnan(forward):
        return ""
    return f"{forward:.0f}" + ("" if np.isnan(backward) else f" + {backward:.0f}")


def figure(df: pd.DataFrame) -> Figure:
    """Test error over the epochs, and memory and time of one update over depth or steps."""
    fig, axes = panels(1, 3, height=2.9)
    error, memory, duration = axes[0]
    looks = _looks()
    trained = _training(df)
    for (net, stem), group in trained.groupby(["net", "downsampling"], sort=False):
        middle = 100 * group.groupby("epoch")["test_error"].median()
        look = looks[str(net)]
        error.plot(group["epoch"], 100 * group["test_error"], ".", **_small(look))
        error.plot(middle.index, middle, linestyle="--" if stem == "res" else "-", **look)
    for net in COMPARED:
        rows = _cost_rows(df, net)
        memory.plot(rows["size"], rows["peak_saved_bytes"] / 2**20, **looks[net])
        duration.plot(rows["size"], rows["time_s"] * 1e3, **looks[net])
    error.set(title="Training", xlabel="epoch", ylabel="test error (%)", yscale="log")
    for ax, title, label in (
        (memory, "Memory", "bytes held in an update (MiB)"),
        (duration, "Time", "time of an update (ms)"),
    ):
        ax.set(title=title, xlabel="blocks (ResNet), steps of rk4", ylabel=label)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
    for ax in axes[0]:
        plain_numbers(ax.yaxis)
    _whole_epochs(error, trained)
    label_panels(axes[0])
    handles = [Line2D([], [], label=NETS[net], **looks[net]) for net in NETS]
    if "res" in set(trained["downsampling"]):
        handles.append(Line2D([], [], color="0.4", linestyle="--", label="residual stem"))
    add_legend(fig, handles, ncols=4)
    return fig


def _whole_epochs(ax: Any, trained: pd.DataFrame) -> None:
    """No ticks between epochs where they are few."""
    if len(trained) and trained["epoch"].max() <= 10:
        ax.set_xticks(sorted(trained["epoch"].unique()))


def _looks() -> dict[str, dict[str, Any]]:
    return {
        net: {"color": COLOURS[i], "marker": MARKERS[i % len(MARKERS)]}
        for i, net in enumerate(NETS)
    }


def _small(look: dict[str, Any]) -> dict[str, Any]:
    return {"color": look["color"], "markersize": 2, "alpha": 0.6}


CLAIM = Claim(
    slug=SLUG,
    title="ODE-Nets classify MNIST as well as ResNets, with fewer parameters and constant memory",
    statement="ResNet, RK-Net and ODE-Net reach the same error; their memory is O(L), O(L~), O(1).",
    source="Chen et al. 2018, Table 1",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    table=table,
    caveats=caveats,
    datasets={"mnist": mnist.DIGEST},
)
