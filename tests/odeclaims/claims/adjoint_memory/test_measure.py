from functools import partial

import torch

from neural_ode import solve
from odeclaims.cell import Profile
from odeclaims.claims.adjoint_memory.measure import (
    GRADIENTS,
    build,
    cells,
    meter_gradient,
    output_times,
    solver_settings,
)
from odeclaims.claims.adjoint_memory.settings import ARMS


def test_every_arm_has_a_gradient_method():
    assert tuple(GRADIENTS) == ARMS


def test_quick_is_a_part_of_paper_and_all_arms_share_weights_and_data():
    quick, paper = (list(cells(Profile(name))) for name in ("quick", "paper"))
    assert {cell.key("source") for cell in quick} <= {cell.key("source") for cell in paper}
    seeds = {(cell.params["field"], cell.repetition, cell.seed) for cell in paper}
    assert len(seeds) == 2 * 3


def test_only_the_sweep_over_outputs_has_times_between_the_ends():
    assert output_times("steps", 16).tolist() == [0, 1]
    assert output_times("tolerance", 1e-3).tolist() == [0, 1]
    assert output_times("outputs", 5).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_the_reversible_arm_takes_four_steps_for_one():
    assert solver_settings("adjoint", "steps", 8) == {"method": "rk4", "step_size": 1 / 8}
    ours = solver_settings("reversible", "steps", 8)
    assert ours == {"method": "reversible_heun", "step_size": 1 / 32}
    assert solver_settings("reversible", "tolerance", 1e-2)["rtol"] == 1e-2
    assert solver_settings("reversible", "outputs", 30)["rtol"] == 1e-3


def test_the_adjoint_holds_the_same_bytes_for_more_steps_and_backprop_does_not():
    def peak(arm: str, steps: int) -> int:
        settings = solver_settings(arm, "steps", steps)
        solver = partial(solve, gradient=GRADIENTS[arm], **settings)
        meter, _, solution, _ = meter_gradient(build("mlp", 1, "cpu"), solver, torch.arange(2.0))
        assert solution.stats.nfe_forward == 4 * steps
        return meter.peak

    assert peak("adjoint", 1) == peak("adjoint", 8)
    assert peak("backprop", 8) > 7 * peak("backprop", 1)


def test_both_fields_are_float32_and_the_same_again():
    for field in ("mlp", "conv"):
        first, double = build(field, 1, "cpu"), build(field, 1, "cpu").double()
        assert first.y0.dtype == torch.float32
        assert double.y0.dtype == torch.float64
        assert torch.equal(first.y0, double.y0.float())
