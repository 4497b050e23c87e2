"""Count the evaluations of the adjoint's way back by each norm of its error."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from neural_ode import Adjoint, Checkpointed, Solution, solve
from neural_ode.data import mnist
from neural_ode.gradients.base import Gradient
from neural_ode.networks import OdeModel
from neural_ode.step.error import rms_norm
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.seminorm_nfe.settings import (
    DIGITS,
    LOSSES,
    NORMS,
    POOLED_POINTS,
    SLUG,
    TOLERANCES,
)
from odeclaims.claims.seminorm_nfe.tasks import (
    Problem,
    moons,
    motion,
    of_digits,
    of_points,
    spheres,
)
from odeclaims.kits import toy_models
from odeclaims.kits.constants import GRADIENT_LIMIT, RECONSTRUCTION_LIMIT, REFERENCE_LIMIT
from odeclaims.kits.digits import STEP_LIMIT
from odeclaims.kits.validity import relative_error
from odeclaims.trained.ode_nets import as_classifier, network_cells, take_network
from odeclaims.trained.provide import provide, published
from odeclaims.trained.store import Network

DATASETS = {"mnist": mnist.DIGEST}

# Nets of the pool that separate their points.
NETS_OF_POINTS = ("spheres_node", "spheres_anode")
# Samples that are solved as one batch.
IMAGES, POINTS = 16, 64
# Fields of tanh; the others have ReLUs, through which tight solves take thousands of steps: so does
# the reference, and on the way back a summed loss.
SMOOTH = ("moons", "pendulum", "hamiltonian")
REFERENCE, REFERENCE_OF_RELU = 1e-10, 1e-9
TIGHTEST_SUM_OF_RELU = 1e-5
# The adjoint's norm by name, where it has one.
NAMED_NORMS: dict[str, Literal["rms", "seminorm"]] = {"mixed": "rms", "seminorm": "seminorm"}
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"mean": torch.mean, "sum": torch.sum}


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net: those of the pool, but for smoke, and those that are trained here."""
    common: dict[str, float] = {
        "tolerances": profile.pick(smoke=2, quick=len(TOLERANCES), paper=len(TOLERANCES))
    }
    if profile.name != "smoke":
        yield from _pooled(profile, {**common, "reference": REFERENCE_OF_RELU})
    common["solved"] = profile.pick(smoke=4, quick=POINTS, paper=POINTS)
    for repetition in profile.repetitions(smoke=1, quick=8, hour=10, paper=10):
        for task, size in _sizes(profile).items():
            tight = REFERENCE if task in SMOOTH else REFERENCE_OF_RELU
            reference = profile.pick(smoke=1e-5, quick=tight, paper=tight)
            yield Cell(SLUG, {"task": task, **size, **common, "reference": reference}, repetition)


def _pooled(profile: Profile, common: dict[str, float]) -> Iterator[Cell]:
    """The cells of the nets that have learnt digits, the dearest first, and of those of points."""
    digits = profile.repetitions(smoke=1, quick=4, hour=10, paper=10)
    for cell in network_cells(profile, SLUG, task=DIGITS, solved=IMAGES, **common):
        if cell.repetition in digits:
            yield cell
    for specification, weights in published(POOLED_POINTS):
        if specification.net in NETS_OF_POINTS:
            net = {"recipe": POOLED_POINTS, "net": specification.net, "weights": weights}
            params = {"task": POOLED_POINTS, **net, "solved": POINTS, **common}
            yield Cell(SLUG, params, specification.seed)


def _sizes(profile: Profile) -> dict[str, dict[str, int]]:
    """The width and the training of the nets that are trained here, by task."""
    width = profile.pick(smoke=4, quick=64, hour=64, paper=300)
    updates = profile.pick(smoke=2, quick=300, hour=300, paper=1000)
    return {
        "moons": {"width": profile.pick(smoke=4, quick=32, paper=32), "updates": updates},
        "pendulum": {"width": width, "updates": updates},
        "hamiltonian": {"width": width, "updates": updates},
        "spheres": {
            "width": profile.pick(smoke=4, quick=32, paper=32),
            "points": profile.pick(smoke=60, quick=3000, paper=3000),
            "epochs": profile.pick(smoke=1, quick=2, hour=2, paper=50),
        },
    }


def measure(cell: Cell, context: Context) -> list[Row]:
    """A row for each tolerance, norm and loss."""
    problem = problem_of(cell, context)
    task = cell.params["task"]
    truth = refer(problem, cell.params["reference"])
    common: Row = {
        "error": problem.error,
        "state_size": problem.y0.numel(),
        "parameters": sum(p.numel() for p in problem.field.parameters()),
        "intervals": len(problem.ts) - 1,
        "reference_error": truth.error,
    }
    return [
        {**common, "tolerance": tolerance, "norm": norm, **row}
        for tolerance in TOLERANCES[: cell.params["tolerances"]]
        for norm in NORMS
        for row in _observe(problem, truth, tolerance, norm, _losses(task, tolerance))
    ]


def _losses(task: str, tolerance: float) -> tuple[str, ...]:
    return LOSSES if task in SMOOTH or tolerance >= TIGHTEST_SUM_OF_RELU else LOSSES[:1]


def problem_of(cell: Cell, context: Context) -> Problem:
    """The frozen net of a cell, trained first where it is not one of the pool."""
    size, generator = cell.params, cell.generator()
    if size["task"] == DIGITS:
        network = take_network(cell, context)
        return of_digits(as_classifier(network.model), size["solved"], _error(network))
    if size["task"] == POOLED_POINTS:
        return _of_pool(cell, context)
    makers = {"moons": moons, "spheres": spheres}
    return makers.get(size["task"], motion)(size, generator)


def _of_pool(cell: Cell, context: Context) -> Problem:
    net, seed = cell.params["net"], cell.repetition
    every = (each for each, _ in published(POOLED_POINTS))
    specification = next(s for s in every if (s.net, s.seed) == (net, seed))
    network = provide(specification, cell.params["weights"], context)
    if not isinstance(network.model, OdeModel):
        raise TypeError(f"the network is a {type(network.model).__name__}, expected an OdeModel")
    points = toy_models.spheres(cell.params["solved"], generator=cell.generator())
    return of_points(network.model, points, _error(network))


def _error(network: Network) -> float:
    """The test error of a net of the pool at the end of its training."""
    return float(network.history["test_error"].dropna().iloc[-1])


@dataclass(frozen=True, eq=False)
class Truth:
    """What a tight solve finds: the states, the gradient of the mean loss, and its uncertainty."""

    states: Float64[Tensor, "time batch *state"]
    gradient: Float64[Tensor, " entries"]
    error: float


def refer(problem: Problem, tolerance: float) -> Truth:
    """The gradient through the steps of dopri5, and its distance from that at ten times more."""
    (states, fine), (_, coarse) = (
        _solve_tightly(problem, factor * tolerance) for factor in (1, 10)
    )
    return Truth(states, fine, relative_error(coarse, fine))


def _solve_tightly(
    problem: Problem, tolerance: float
) -> tuple[Float64[Tensor, "time batch *state"], Float64[Tensor, " entries"]]:
    solution = solve_by(problem, tolerance, Checkpointed())
    return solution.ys.detach(), gradient_of(problem, solution, "mean")


def solve_by(problem: Problem, tolerance: float, gradient: Gradient) -> Solution:
    """A solve by dopri5 whose steps are chosen by the entries of the state that count."""
    return solve(
        problem.field,
        problem.y0,
        problem.ts,
        rtol=tolerance,
        atol=tolerance,
        norm=partial(counted_rms, problem.counted),
        max_num_steps=STEP_LIMIT,
        gradient=gradient,
    )


def gradient_of(problem: Problem, solution: Solution, loss: str) -> Float64[Tensor, " entries"]:
    """The gradient of a loss by the parameters of the field, as one vector."""
    value = REDUCTIONS[loss](problem.losses(solution.ys))
    parameters = list(problem.field.parameters())
    gradients = torch.autograd.grad(value, parameters, retain_graph=True)
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def counted_rms(counted: int | None, x: Float[Tensor, "*state"]) -> Float[Tensor, ""]:
    """The root mean square of the first entries of the last dimension."""
    return rms_norm(x[..., :counted])


def flat_rms(
    counted: int | None,
    z: Float[Tensor, "*state"],
    a: Float[Tensor, "*state"],
    gradients: Sequence[Tensor],
) -> Float[Tensor, ""]:
    """One root mean square over all entries of z, a and the gradients of the parameters."""
    parts = [z[..., :counted], a[..., :counted], *gradients]
    return rms_norm(torch.cat([part.reshape(-1) for part in parts]))


def adjoint_by(norm: str, counted: int | None) -> Adjoint:
    """The adjoint whose steps are chosen by a norm; ``counted`` as for a ``Problem``."""
    return Adjoint(norm=NAMED_NORMS.get(norm, partial(flat_rms, counted)))


def _observe(
    problem: Problem, truth: Truth, tolerance: float, norm: str, losses: Sequence[str]
) -> Iterator[Row]:
    """A row for each loss; they share the forward solve."""

    @cache
    def solved() -> Solution:
        return solve_by(problem, tolerance, adjoint_by(norm, problem.counted))

    def observe(loss: str) -> Row:
        solution = solved()
        gradient = gradient_of(problem, solution, loss)
        if loss == "sum":
            gradient = gradient / problem.losses(solution.ys).numel()
        states, true = (ys[1:, ..., : problem.counted] for ys in (solution.ys, truth.states))
        return {
            "nfe_forward": solution.stats.nfe_forward,
            "nfe_backward": solution.stats.nfe_backward,
            **checked(
                relative_error(states, true), relative_error(gradient, truth.gradient), truth.error
            ),
        }

    for loss in losses:
        yield {"loss": loss, **guarded(partial(observe, loss))}


def checked(state_error: float, gradient_error: float, reference_error: float) -> Row:
    """The errors of a solve, and whether all of them are small enough."""
    valid = (
        state_error < RECONSTRUCTION_LIMIT
        and gradient_error < GRADIENT_LIMIT
        and reference_error < REFERENCE_LIMIT
    )
    return {"state_error": state_error, "gradient_error": gradient_error, "valid": valid}
