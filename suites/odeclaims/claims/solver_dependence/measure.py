"""Train the nets of all seeds by one solver, and test them by more accurate ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from neural_ode import SolverFailure
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.solver_dependence.nets import (
    FlowClassifiers,
    at_tolerance,
    in_steps,
    shells,
)
from odeclaims.claims.solver_dependence.settings import (
    BETTER_METHODS,
    COARSEST,
    FACTORS,
    FINEST,
    FLOW_METHOD,
    FLOW_TOLERANCE,
    SLUG,
)

# As released.
POINTS, BATCH = 2000, 128
# Updates between two records of the training loss.
RECORDED_EVERY = 500


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net and solver of its training; the most expensive first."""
    size = {
        "repetitions": len(profile.repetitions(smoke=2, quick=8, paper=8)),
        "updates": profile.pick(smoke=3, quick=3000, paper=10_000),
        # A training of fewer updates needs larger steps to come as far.
        "learning_rate": profile.pick(smoke=1e-3, quick=1e-3, paper=1e-4),
        "test_points": profile.pick(smoke=40, quick=1000, paper=1000),
    }
    powers = tuple(2**i for i in range(8))
    steps = {
        ("conv", "euler"): profile.pick(smoke=(COARSEST,), quick=(COARSEST, 16), paper=powers),
        ("conv", "rk4"): profile.pick(smoke=(), quick=(), hour=(), paper=powers[:5]),
        ("mlp", "euler"): profile.pick(smoke=(COARSEST,), quick=(), paper=(COARSEST, FINEST)),
    }
    for (net, method), counts in steps.items():
        for count in reversed(counts):
            yield Cell(SLUG, {"net": net, "method": method, "steps": count, **size})
    for tolerance in profile.pick(smoke=(1e-1,), quick=(1e-1,), hour=(1e-1,), paper=(1e-1, 1e-3)):
        adaptive = {"net": "conv", "method": "dopri5", "tolerance": tolerance}
        yield Cell(SLUG, {**adaptive, **size})


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train the nets of all seeds, and test each by every solver."""
    seeds = Seeds.of(cell)
    model = FlowClassifiers(cell.params["net"], seeds.generators("weights"))
    try:
        losses = _train(model, seeds, cell, context)
    except SolverFailure as failure:
        return seeds.rows({}, {"kind": "test", "role": "training", "status": failure.status})
    return losses + _test(model, seeds, cell)


@dataclass(frozen=True)
class Seeds:
    """The seeds that train as one batch, the same for every net and solver."""

    revision: int
    count: int

    @classmethod
    def of(cls, cell: Cell) -> "Seeds":
        """Those of a cell."""
        return cls(cell.revision, cell.params["repetitions"])

    def numbers(self, use: str) -> list[int]:
        """A number for each seed, another one for another use."""
        places = range(self.count)
        return [Cell(SLUG, {"use": use}, i, revision=self.revision).seed for i in places]

    def generators(self, use: str) -> list[torch.Generator]:
        """A new generator for each seed."""
        return [torch.Generator().manual_seed(number) for number in self.numbers(use)]

    def rows(self, columns: dict[str, list[float]], common: Row) -> list[Row]:
        """A row for each seed, from one value of each column for each."""
        return [
            {
                "repetition": i,
                "seed": number,
                **{name: values[i] for name, values in columns.items()},
                **common,
            }
            for i, number in enumerate(self.numbers("data"))
        ]


def _draw(
    count: int, generators: list[torch.Generator]
) -> tuple[Float[Tensor, "seeds count 2"], Int64[Tensor, "seeds count"]]:
    """Fresh points of every seed, and their classes."""
    points, classes = zip(*(shells(count, generator) for generator in generators), strict=True)
    return torch.stack(points), torch.stack(classes)


def solver_of(params: Any) -> dict[str, Any]:
    """The keyword arguments of ``solve`` in the training of a cell."""
    if "tolerance" in params:
        return at_tolerance(params["method"], params["tolerance"])
    return in_steps(params["method"], params["steps"])


def _train(model: FlowClassifiers, seeds: Seeds, cell: Cell, context: Context) -> list[Row]:
    """Train in place by Adam; a row for each seed at each record, its mean loss since the last."""
    generators, solver = seeds.generators("data"), solver_of(cell.params)
    points, classes = _draw(POINTS, generators)
    optimiser = torch.optim.Adam(model.parameters(), lr=cell.params["learning_rate"])
    every = torch.arange(seeds.count)[:, None]
    updates, total, rows = cell.params["updates"], torch.zeros(seeds.count), []
    for update in range(1, updates + 1):
        picks = [torch.randint(POINTS, (BATCH,), generator=source) for source in generators]
        batch = torch.stack(picks)
        losses = _losses(model(points[every, batch], **solver), classes[every, batch]).mean(dim=1)
        optimiser.zero_grad()
        # The seeds share no parameter, so that each is trained by its own loss.
        losses.sum().backward()
        optimiser.step()
        total += losses.detach()
        context.tell(f"update {update} of {updates}, mean loss {float(losses.detach().mean()):.3f}")
        if update % RECORDED_EVERY == 0 or update == updates:
            since = (update - 1) % RECORDED_EVERY + 1
            common: Row = {"kind": "training", "update": update}
            rows += seeds.rows({"loss": (total / since).tolist()}, common)
            total = torch.zeros(seeds.count)
    return rows


def _losses(
    logits: Float[Tensor, "seeds batch 2"], classes: Int64[Tensor, "seeds batch"]
) -> Float[Tensor, "seeds batch"]:
    """The cross-entropy of every point, nats."""
    flat = nn.functional.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none")
    return flat.view(classes.shape)


def _test(model: FlowClassifiers, seeds: Seeds, cell: Cell) -> list[Row]:
    """A row for each seed and solver: the solver of the training, and more accurate ones."""
    params = cell.params
    points, classes = _draw(params["test_points"], seeds.generators("test"))

    def test(role: str, look: Callable[[], Tensor], **said: Any) -> list[Row]:
        common: Row = {"kind": "test", "role": role, **said}
        try:
            logits = look()
        except SolverFailure as failure:
            return seeds.rows({}, {**common, "status": failure.status})
        return seeds.rows(_judge(logits, classes), common)

    with torch.no_grad():
        rows = test("training", lambda: model(points, **solver_of(params)))
        if steps := params.get("steps"):
            for method, count in _finer(params["method"], steps):
                solver = in_steps(method, count)
                said = {"test_method": method, "test_steps": count}
                rows += test("finer", lambda s=solver: model(points, **s), **said)
        double = model.double()
        flow = at_tolerance(FLOW_METHOD, FLOW_TOLERANCE)
        rows += test("flow", lambda: double(points.double(), **flow), test_method=FLOW_METHOD)
    return rows


def _finer(method: str, steps: int) -> list[tuple[str, int]]:
    """Methods and steps that are more accurate than those of the training."""
    more = [(method, factor * steps) for factor in FACTORS if factor > 1]
    return more + [(better, steps) for better in BETTER_METHODS if method == "euler"]


def _judge(
    logits: Float[Tensor, "seeds points 2"], classes: Int64[Tensor, "seeds points"]
) -> dict[str, list[float]]:
    """The accuracy of each seed, its mean loss, and the median lead of the right class."""
    signs = 2 * classes - 1
    margins = signs * (logits[..., 1] - logits[..., 0])
    return {
        "accuracy": (margins > 0).double().mean(dim=1).tolist(),
        "loss": _losses(logits, classes).mean(dim=1).tolist(),
        "margin": margins.median(dim=1).values.tolist(),
    }
