"""The norms by hand and by a solve of the whole vector, the gradients, and rows of a small run."""

from collections import Counter
from functools import cache

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from neural_ode import Backprop, solve
from neural_ode.data import mnist
from neural_ode.flows import CNF, StandardNormal
from neural_ode.flows.cnf import LogDensityField
from neural_ode.gradients.adjoint import AugmentedNorm
from neural_ode.gradients.parameters import kinds
from neural_ode.networks import OdeClassifier, augmented_model
from neural_ode.step.error import rms_norm
from odeclaims.cell import Cell, Context, Profile
from odeclaims.claims.seminorm_nfe import CLAIM, measure, tasks
from odeclaims.claims.seminorm_nfe.judge import STATEMENTS
from odeclaims.claims.seminorm_nfe.settings import NORMS, SLUG, TOLERANCES
from odeclaims.kits.validity import relative_error
from odeclaims.trained import ode_nets
from odeclaims.trained.specification import Specification
from odeclaims.trained.store import Network
from tests.odeclaims.claims.small_runs import measure_rows

TIGHT = 1e-10


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def free_problem(scale: float = 1.0) -> tasks.Problem:
    """Four samples of a small field, whose loss is the squares of the end times a scale."""
    field = tasks.FreeField(3, generator()).double()
    y0 = torch.randn(4, 2, generator=generator(1), dtype=torch.float64)
    ts = torch.tensor([0.0, 2.0], dtype=torch.float64)
    return tasks.Problem(field, y0, ts, lambda ys: scale * ys[-1].square(), error=0.0)


@pytest.mark.parametrize(("norm", "expected"), [("flat", 20.0), ("mixed", 36.0), ("seminorm", 4.0)])
def test_the_norms_are_those_of_hand_computation(norm, expected):
    # The mean squares are 1 (two entries), 4 (two), 36 (one) and 25 (three): 121 / 8 in all.
    params = (torch.zeros(1), torch.zeros(3))
    error = torch.tensor([[1.0, -1.0], [2.0, 2.0]])
    chosen = measure.adjoint_by(norm, None).norm
    whole = AugmentedNorm(rms_norm, chosen, kinds(params))
    integrals = None if norm == "seminorm" else torch.tensor([6.0, 5.0, -5.0, 5.0])
    expected = 121 / 8 if norm == "flat" else expected
    assert float(whole(error, integrals)) ** 2 == pytest.approx(expected)


def test_what_does_not_count_enters_neither_norm():
    x = torch.tensor([[3.0, 4.0, 100.0]])
    assert float(measure.counted_rms(2, x)) ** 2 == pytest.approx(12.5)
    norm = measure.flat_rms(2, x, torch.tensor([[1.0, 1.0, 100.0]]), [torch.tensor([3.0])])
    assert float(norm) ** 2 == pytest.approx((9 + 16 + 1 + 1 + 9) / 5)


def largest(parts: list[Tensor]) -> Tensor:
    return torch.stack([rms_norm(part) for part in parts]).amax()


@pytest.mark.parametrize("norm", NORMS)
def test_the_way_back_takes_the_steps_of_a_solve_of_the_whole_vector(norm):
    scale = 100.0
    problem = free_problem(scale)
    params, size = list(problem.field.parameters()), problem.y0.numel()

    def parts_of(vector: Tensor) -> list[Tensor]:
        return list(vector.split([size, size, *(p.numel() for p in params)]))

    def augmented(t: Tensor, vector: Tensor) -> Tensor:
        z, a = (part.view_as(problem.y0) for part in parts_of(vector)[:2])
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            f = problem.field(t, z)
            products = torch.autograd.grad(f, [z, *params], -a)
        return torch.cat([x.detach().reshape(-1) for x in (f, *products)])

    norms = {
        "flat": rms_norm,
        "mixed": lambda vector: largest(parts_of(vector)),
        "seminorm": lambda vector: largest(parts_of(vector)[:2]),
    }
    solution = measure.solve_by(problem, 1e-6, measure.adjoint_by(norm, None))
    gradient = measure.gradient_of(problem, solution, "sum")
    end = solution.ys[-1].detach()
    start = torch.cat([end.reshape(-1), 2 * scale * end.reshape(-1), torch.zeros(len(gradient))])
    by_hand = solve(augmented, start, problem.ts.flip(0), rtol=1e-6, atol=1e-6, norm=norms[norm])
    assert solution.stats.nfe_backward == by_hand.stats.nfe_forward
    torch.testing.assert_close(torch.cat(parts_of(by_hand.ys[-1])[2:]), gradient)


@cache
def flow_problem() -> tasks.Problem:
    return tasks.moons({"width": 3, "updates": 1, "solved": 3}, generator())


def hamiltonian_problem() -> tasks.Problem:
    size = {"task": "hamiltonian", "width": 3, "updates": 1, "solved": 3}
    return tasks.motion(size, generator())


@pytest.mark.parametrize("make", [free_problem, flow_problem, hamiltonian_problem])
def test_every_norm_has_the_gradient_of_backpropagation_at_a_tight_tolerance(make):
    problem = make()
    exact = measure.gradient_of(problem, measure.solve_by(problem, TIGHT, Backprop()), "mean")
    assert relative_error(measure.refer(problem, 1e-8).gradient, exact) < 1e-6
    for norm in NORMS:
        solution = measure.solve_by(problem, TIGHT, measure.adjoint_by(norm, problem.counted))
        assert relative_error(measure.gradient_of(problem, solution, "mean"), exact) < 1e-6


def test_the_losses_of_the_moons_are_the_negative_log_densities_of_the_flow():
    problem = flow_problem()
    assert isinstance(problem.field, LogDensityField)
    model = CNF(problem.field.field, StandardNormal(2), rtol=1e-8, atol=1e-8)
    ys = measure.solve_by(problem, 1e-8, Backprop()).ys
    expected = -model.log_prob(problem.y0[:, :2])
    torch.testing.assert_close(problem.losses(ys), expected, rtol=1e-6, atol=1e-6)


def test_a_hamiltonian_field_is_that_of_its_network_and_the_true_motion_keeps_its_energy():
    field = tasks.HamiltonianField(4, generator()).double()
    y = torch.randn(5, 2, generator=generator(1), dtype=torch.float64)
    t, h = torch.tensor(0.0), 1e-6
    slopes = [
        (field.net(y + h * unit) - field.net(y - h * unit))[:, 0] / (2 * h)
        for unit in torch.eye(2, dtype=torch.float64)
    ]
    with torch.no_grad():
        torch.testing.assert_close(field(t, y), torch.stack([slopes[1], -slopes[0]], dim=1))
    ys = tasks.true_motion(y, torch.linspace(0, 4, 5, dtype=torch.float64))
    energy = ys[..., 1].square() / 2 - ys[..., 0].cos()
    torch.testing.assert_close(energy, energy[:1].expand_as(energy), rtol=1e-7, atol=1e-7)


def test_digits_have_their_cross_entropy_and_points_their_outputs():
    digits = mnist.spread(mnist.load("test"), 2)
    net = OdeClassifier(4, generator=generator())
    problem = tasks.of_digits(net, 2, 0.01)
    states = torch.stack([problem.y0, problem.y0])
    logits = net.double().head(problem.y0)
    expected = nn.functional.cross_entropy(logits, digits.labels)
    torch.testing.assert_close(problem.losses(states).mean(), expected)
    model = augmented_model(2, 4, augment_dim=1, generator=generator())
    points = tasks.toy_models.spheres(6, generator=generator())
    problem = tasks.of_points(model, points, 0.0)
    assert problem.y0.shape == (6, 3)
    head = model.double().head(problem.y0)
    torch.testing.assert_close(problem.losses(torch.stack([problem.y0, problem.y0])), head)


@pytest.fixture(scope="module")
def smoke() -> pd.DataFrame:
    cells = list(CLAIM.cells(Profile("smoke")))
    return pd.concat([measure_rows(CLAIM, cell) for cell in cells], ignore_index=True)


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_smoke_walks_through_what_is_trained_here(smoke):
    assert set(smoke["status"]) == {"ok"}
    assert set(smoke["task"]) == {"moons", "pendulum", "hamiltonian", "spheres"}
    assert len(smoke) == 4 * 2 * len(NORMS) * 2
    assert (smoke.groupby(["task", "tolerance"])["nfe_forward"].nunique() == 1).all()
    assert ((smoke["nfe_backward"] - 2 * smoke["intervals"]) % 6 == 0).all()
    assert smoke["gradient_error"].gt(0).all()


def test_the_rows_of_smoke_are_judged_drawn_and_tabulated(smoke):
    df = smoke.reindex(columns=list(CLAIM.all_columns)).assign(error=0.0)
    assert STATEMENTS[0].judge(df).outcome == "insufficient"
    assert len(CLAIM.figure(df).axes) == 3
    assert len(CLAIM.table(df)) == 4 * 2 * 2


def test_a_solve_that_fails_is_a_row(monkeypatch):
    problem = free_problem()
    truth = measure.refer(problem, 1e-6)
    monkeypatch.setattr(measure, "STEP_LIMIT", 1)
    rows = list(measure._observe(problem, truth, 1e-6, "flat", ("mean", "sum")))
    assert rows == [{"loss": loss, "status": "max_steps"} for loss in ("mean", "sum")]


def test_a_summed_loss_ends_early_where_a_field_has_relus():
    assert measure._losses("digits", 1e-5) == measure._losses("moons", 1e-7) == ("mean", "sum")
    assert measure._losses("digits", 1e-6) == measure._losses("toys", 1e-7) == ("mean",)


def test_quick_takes_nets_of_the_pool_and_eight_of_each_task(monkeypatch):
    pairs = [(Specification("toys", net, 0, {}), "digest") for net in ("spheres_node", "other")]
    monkeypatch.setattr(measure, "published", lambda recipe: pairs)
    digits = [(Specification("reduced_ode_net", "ode_net", i, {}), "digest") for i in range(10)]
    monkeypatch.setattr(ode_nets, "published", lambda recipe: digits)
    for profile, seeds, of_digits in ((Profile("quick"), 8, 4), (Profile("hour"), 10, 10)):
        cells = list(CLAIM.cells(profile))
        counts = Counter(cell.params["task"] for cell in cells)
        assert counts.pop("digits") == of_digits
        assert counts.pop("toys") == 1
        assert set(counts.values()) == {seeds}
        assert {cell.params["tolerances"] for cell in cells} == {len(TOLERANCES)}


def test_a_net_of_the_pool_is_frozen_as_it_is_published(monkeypatch):
    specification = Specification("toys", "spheres_node", 1, {})
    model = augmented_model(2, 4, generator=generator())
    monkeypatch.setattr(measure, "published", lambda recipe: [(specification, "digest")])

    history = pd.DataFrame({"test_error": [None, 0.25]})
    network = Network(specification, {}, history, {})
    network.__dict__["model"] = model
    monkeypatch.setattr(measure, "provide", lambda *_: network)
    params = {"task": "toys", "recipe": "toys", "net": "spheres_node", "weights": "digest"}
    problem = measure.problem_of(Cell(SLUG, {**params, "solved": 6}, 1), Context())
    assert problem.error == 0.25
    assert problem.y0.shape == (6, 2)
    network.__dict__["model"] = nn.Linear(1, 1)
    with pytest.raises(TypeError, match="Linear"):
        measure.problem_of(Cell(SLUG, {**params, "solved": 6}, 1), Context())
