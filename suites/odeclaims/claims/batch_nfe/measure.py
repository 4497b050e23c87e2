"""Solve batches jointly, with steps of each sample, and sample by sample, and count evaluations."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from neural_ode import Solution, SolverFailure, solve
from neural_ode.data import concentric_spheres, mnist
from neural_ode.failures import NotOffered
from neural_ode.field import Field
from neural_ode.networks import OdeClassifier, OdeModel
from neural_ode.step.error import Norm, rms_norm
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.batch_nfe.settings import (
    JUDGED_MU,
    MUS,
    NET_SAMPLES,
    NORMS,
    PERIODS,
    SAMPLES,
    SLUG,
    TOLERANCES,
)
from odeclaims.kits.digits import STEP_LIMIT
from odeclaims.trained.provide import provide, published
from odeclaims.trained.recipes import recipe_of
from odeclaims.trained.specification import Specification

DATASETS = {"mnist": mnist.DIGEST}

# Tight enough to be the flow.
REFERENCE = {"method": "dopri8", "rtol": 1e-8, "atol": 1e-8, "max_num_steps": STEP_LIMIT}
# The nets of the pool whose batches are solved: one per recipe learns digits, two learn points.
NETS = {"reduced_ode_net": ("ode_net",), "toys": ("spheres_node", "spheres_anode")}
MOST_SEEDS = 10
# A tiny net for walking through the code.
SMALLEST = {
    "augment_dim": 0,
    "learning_rate": 1e-3,
    "width": 4,
    "points": 30,
    "test_points": 30,
    "batch_size": 10,
    "epochs": 1,
}


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each oscillator and tolerance, and for each net and its untrained twin."""
    draws = profile.pick(smoke=2, quick=10, paper=10)
    fewer = profile.pick(smoke=1, quick=2, paper=10)
    of_net = profile.pick(smoke=1, quick=3, paper=10)
    alone = {
        "largest": profile.pick(smoke=SAMPLES[0], quick=SAMPLES[-1], paper=SAMPLES[-1]),
        "singles": profile.pick(smoke=2, quick=4, paper=64),
    }
    for mu in profile.pick(smoke=MUS[:1], quick=MUS, paper=MUS):
        for role in TOLERANCES["vdp"]:
            count = draws if (mu, role) == (JUDGED_MU, "checked") else fewer
            params = {"task": "vdp", "mu": mu, "role": role, "draws": count, **alone}
            yield Cell(SLUG, params, 0, profile.device)
    nets = {
        "largest": profile.pick(smoke=NET_SAMPLES[0], quick=NET_SAMPLES[-1], paper=NET_SAMPLES[-1]),
        "singles": profile.pick(smoke=4, quick=8, paper=64),
    }
    for specification, weights in _networks(profile):
        # A batch of digits takes twenty seconds, one of points half a second.
        of_digits = specification.recipe == "reduced_ode_net"
        counts = {True: of_net if of_digits else draws, False: of_net}
        if of_digits and profile.name == "quick":
            # Those before training stand beside the others.
            del counts[False]
        for trained, count in counts.items():
            net = {"recipe": specification.recipe, "net": specification.net, "weights": weights}
            params = {"task": "net", **net, "trained": trained, "draws": count, **nets}
            yield Cell(SLUG, params, specification.seed, profile.device)


def _networks(profile: Profile) -> list[tuple[Specification, str]]:
    if profile.name == "smoke":
        return [(Specification("toys", NETS["toys"][0], 0, SMALLEST), "")]
    most = {
        "reduced_ode_net": profile.pick(smoke=0, quick=4, paper=MOST_SEEDS),
        "toys": MOST_SEEDS,
    }
    every = [pair for recipe in NETS for pair in published(recipe)]
    return [
        (each, weights)
        for each, weights in every
        if each.net in NETS[each.recipe] and each.seed < most[each.recipe]
    ]


def measure(cell: Cell, context: Context) -> list[Row]:
    """A row for each norm, size and draw of a batch."""
    if cell.params["task"] == "vdp":
        return _oscillator(cell)
    return _network(cell, context)


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one field over [0, end], of which the first are solved alone as well.

    Attributes:
        field: the field, in float64.
        y0: where the samples start.
        end: the last time.
        singles: the most samples that are solved alone.
    """

    field: Field
    y0: Float64[Tensor, "batch *state"]
    end: float
    singles: int

    def compare(self, counts: Sequence[int], tolerance: float, norm: str) -> list[Row]:
        """Evaluations and errors of so many samples solved in both ways, and of them alone."""
        solver = {"rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT}
        solver["norm"] = NORM_FUNCTIONS[norm]
        first = self.y0[: self.singles]
        alone = [self._solve(each[None], **solver) for each in first]
        singly = torch.cat([each.ys[-1] for each in alone])
        spent = [each.stats.nfe_forward for each in alone]
        rows: list[Row] = []
        for count in counts:
            joint, part = self._solve(self.y0[:count], **solver), min(count, len(first))
            own = self._with_own_steps(self.y0[:count], **solver)
            single = sum(spent[:part]) / part
            rows.append(
                {
                    "samples": count,
                    "nfe_joint": joint.stats.nfe_forward,
                    "nfe_single": single,
                    "nfe_hardest": max(spent[:part]),
                    "nfe_own": own and own.stats.nfe_forward,
                    "ratio": joint.stats.nfe_forward / single,
                    "ratio_own": own and own.stats.nfe_forward / single,
                    "error_joint": worst_error(joint.ys[-1][:part], self._truth[:part]),
                    "error_own": own and worst_error(own.ys[-1][:part], self._truth[:part]),
                    "error_single": worst_error(singly[:part], self._truth[:part]),
                }
            )
        return rows

    @cached_property
    def _truth(self) -> Tensor:
        return self._solve(self.y0[: self.singles], **REFERENCE).ys[-1]

    def _with_own_steps(self, y0: Tensor, **solver: Any) -> Solution | None:
        """The solution with steps of each sample; ``None`` where another solver has none."""
        try:
            return self._solve(y0, batch="independent", **solver)
        except NotOffered:
            return None

    def _solve(self, y0: Tensor, **solver: Any) -> Solution:
        return solve(self.field, y0, y0.new_tensor([0.0, self.end]), **solver)


def max_norm(x: Tensor) -> Tensor:
    """The largest entry by its size."""
    return x.abs().max()


NORM_FUNCTIONS: dict[str, Norm] = {"rms": rms_norm, "max": max_norm}


def worst_error(
    states: Float64[Tensor, "batch *state"], exact: Float64[Tensor, "batch *state"]
) -> float:
    """The largest relative L2 error of a sample."""
    flat, truth = states.flatten(1), exact.flatten(1)
    return float(((flat - truth).norm(dim=1) / truth.norm(dim=1)).max())


def van_der_pol(mu: float, t: Tensor, y: Float64[Tensor, "batch 2"]) -> Float64[Tensor, "batch 2"]:
    """Van der Pol's oscillator ``x'' = mu (1 - x^2) x' - x`` for a batch of states (x, x')."""
    x, v = y.unbind(dim=1)
    return torch.stack([v, mu * (1 - x * x) * v - x], dim=1)


def on_the_cycle(mu: float, count: int, generator: torch.Generator) -> Float64[Tensor, "count 2"]:
    """States on the limit cycle at times that are uniform in a period, in random order."""
    period = PERIODS[mu]
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    # After two periods the start is forgotten.
    ts = torch.cat([torch.zeros(1, dtype=torch.float64), 2 * period + period * uniform.sort()[0]])
    start = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    with torch.no_grad():
        ys = solve(partial(van_der_pol, mu), start, ts, **REFERENCE).ys[1:, 0]
    return ys[torch.randperm(count, generator=generator)]


def _oscillator(cell: Cell) -> list[Row]:
    params, generator = cell.params, cell.generator()
    mu, tolerance = params["mu"], TOLERANCES["vdp"][params["role"]]
    counts = [count for count in SAMPLES if count <= params["largest"]]
    rows: list[Row] = []
    for draw in range(params["draws"]):
        states = on_the_cycle(mu, counts[-1], generator)
        batch = Batch(partial(van_der_pol, mu), states, PERIODS[mu], params["singles"])
        for norm in NORMS:
            common = {"norm": norm, "draw": draw, "tolerance": tolerance}
            rows += _compare(batch, counts, tolerance, norm, common)
    return rows


def _compare(
    batch: Batch, counts: Sequence[int], tolerance: float, norm: str, common: Row
) -> list[Row]:
    """The rows of a batch, or one that says why there are none."""
    try:
        with torch.no_grad():
            return [{**common, **row} for row in batch.compare(counts, tolerance, norm)]
    except SolverFailure as failure:
        return [{**common, "status": failure.status}]


def _network(cell: Cell, context: Context) -> list[Row]:
    params, generator = cell.params, cell.generator()
    specification = _specify(cell)
    network = provide(specification, params["weights"], context, cell.device)
    model = network.model if params["trained"] else recipe_of(specification).build(specification)
    field, states = _flow_of(deepcopy(model).double(), generator, params)
    counts = [count for count in NET_SAMPLES if count <= params["largest"]]
    rows: list[Row] = []
    for draw, starts in enumerate(states):
        batch = Batch(field, starts, 1.0, params["singles"])
        for role, tolerance in TOLERANCES["net"].items():
            common = {"norm": "rms", "draw": draw, "tolerance": tolerance, "role": role}
            rows += _compare(batch, counts, tolerance, "rms", common)
    return rows


def _specify(cell: Cell) -> Specification:
    recipe, net = cell.params["recipe"], cell.params["net"]
    if not cell.params["weights"]:
        return Specification(recipe, net, cell.repetition, SMALLEST)
    every = (each for each, _ in published(recipe))
    return next(s for s in every if (s.net, s.seed) == (net, cell.repetition))


def _flow_of(
    model: Any, generator: torch.Generator, params: Mapping[str, Any]
) -> tuple[Field, list[Float64[Tensor, "batch *state"]]]:
    """The field of a net, and the states from which its batches start."""
    count, draws = params["largest"], range(params["draws"])
    with torch.no_grad():
        if isinstance(model, OdeClassifier):
            images = mnist.load("test").images
            places = [torch.randperm(len(images), generator=generator)[:count] for _ in draws]
            return model.field, [
                model.stem(mnist.normalised(images[batch]).double()) for batch in places
            ]
        if isinstance(model, OdeModel):
            points = [_points(count, generator) for _ in draws]
            return model.field, [model.lift(batch) for batch in points]
    raise TypeError(f"the network is a {type(model).__name__}, expected one with a flow")


def _points(count: int, generator: torch.Generator) -> Float64[Tensor, "count 2"]:
    """Points of the disc and of the ring, in random order."""
    inner = count // 3
    inputs = concentric_spheres(inner, count - inner, generator=generator).inputs
    return inputs[torch.randperm(count, generator=generator)].double()
