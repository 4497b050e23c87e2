"""Both countings by hand, the counts against torchdiffeq, and the criteria on made-up rows."""

import pandas as pd
import pytest
import torch
import torchdiffeq
from odeclaims.validity import relative_error
from torch import nn

from neural_ode import Adjoint, Backprop
from neural_ode.networks import ConvField
from odeclaims.claim import Profile
from odeclaims.claims import backward_nfe
from odeclaims.claims.backward_nfe import CLAIM, METHODS, PUBLISHED, Block, Setting

TOLERANCES = [10.0**-i for i in range(6)]


# --- counting ------------------------------------------------------------------------------------


def test_the_logged_counts_are_those_of_a_counter_that_is_set_back_once_a_batch():
    batches = [(7, 6), (9, 5), (8, 8)]
    counter, logged = 0, []
    for forward, backward in batches:
        counter += forward
        logged.append(counter)
        # Set back here, not before the next batch; the adjoint evaluates once outside its solve.
        counter = 0
        counter += backward + 1
    assert logged == [7, 16, 14]
    before = [backward for _, backward in batches[:-1]]
    forwards = [forward for forward, _ in batches[1:]]
    pairs = zip(forwards, before, strict=True)
    assert [backward_nfe.logged_forward(*pair) for pair in pairs] == logged[1:]
    pairs = zip(logged[1:], before, strict=True)
    assert [backward_nfe.apart(*pair) for pair in pairs] == forwards


def test_both_countings_of_the_authors_loosest_tolerance():
    assert backward_nfe.counted(6, 6) == {
        "nfe_forward": 6,
        "nfe_backward": 6,
        "ratio": 1.0,
        "nfe_forward_cumulative": 13,
        "ratio_cumulative": 6 / 13,
    }


def test_the_authors_logs_show_a_half_that_is_none():
    for tolerance, (logged, backward) in backward_nfe.AUTHORS_LOGS.items():
        assert 0.4 <= backward / logged <= 0.47
        ratio = backward / backward_nfe.apart(logged, backward)
        assert 0.75 <= ratio <= (1.0 if tolerance == 1 else 0.86)


class Still(nn.Module):
    """A convolutional field that stands still in time and counts its calls.

    Where a field depends on the time, torchdiffeq's norm holds the adjoint of the time as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.field = ConvField(4, 2, generator=torch.Generator().manual_seed(0))
        self.calls = 0

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.field(torch.zeros_like(t), y)


def block() -> Block:
    """The same float64 problem at every call, with a field of its own."""
    torch.manual_seed(1)
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 9, 10)).double()
    y0 = torch.randn(3, 4, 3, 3, dtype=torch.float64)
    return Block(Still().double(), head, y0, torch.tensor([3, 1, 4]))


@pytest.mark.parametrize("loss", ["mean", "sum", "squares"])
@pytest.mark.parametrize("norm", ["rms", "seminorm"])
def test_counts_and_gradient_are_those_of_torchdiffeq(norm, loss):
    tolerance = 1e-3
    flow = block().solve(rtol=tolerance, atol=tolerance, gradient=Adjoint(norm=norm))
    gradient = flow.gradient(loss)

    theirs = block()
    field = Still().double()
    y0 = theirs.y0.clone().requires_grad_()
    ys = torchdiffeq.odeint_adjoint(
        field,
        y0,
        theirs.ts,
        rtol=tolerance,
        atol=tolerance,
        method="dopri5",
        adjoint_options={"norm": norm} if norm == "seminorm" else {},
    )
    assert isinstance(ys, torch.Tensor)
    forward = field.calls
    found = torch.autograd.grad(theirs.loss(loss, ys[-1]), [y0, *field.parameters()])
    stats = flow.solution.stats
    assert (stats.nfe_forward, stats.nfe_backward) == (forward, field.calls - forward)
    expected = torch.cat([g.reshape(-1) for g in found])
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-10)


def test_losses_that_share_a_solve_have_the_counts_of_their_own():
    solver = {"rtol": 1e-3, "atol": 1e-3, "gradient": Adjoint()}
    shared, found = block().solve(**solver), []
    for loss in ("mean", "squares", "mean"):
        alone = block().solve(**solver)
        torch.testing.assert_close(shared.gradient(loss), alone.gradient(loss), rtol=0, atol=0)
        assert shared.solution.stats.nfe_backward == alone.solution.stats.nfe_backward
        found.append(shared.solution.stats.nfe_backward)
    assert found[0] == found[2] < found[1]


def test_references_are_the_gradients_of_the_flow():
    problem = block()
    settings = [Setting(loss=loss) for loss in ("mean", "sum", "squares")]
    truths = backward_nfe._truths(problem, settings, 64)
    flow = problem.solve(rtol=1e-6, atol=1e-6, gradient=Backprop())
    for loss, truth in truths.items():
        assert relative_error(flow.gradient(loss), truth.gradient) < 3e-2
    torch.testing.assert_close(truths["sum"].gradient, 3 * truths["mean"].gradient)


# --- what is run ---------------------------------------------------------------------------------


def test_a_star_changes_one_thing_at_a_time_and_a_full_grid_everything():
    def count(grid, trained, tolerance):
        return len(backward_nfe._settings(grid, trained, tolerance))

    assert backward_nfe._settings("star", False, 1e-5) == [PUBLISHED]
    # Seminorm, two losses and what adjoint tolerance up to 1 is left, beside the published one.
    assert [count("star", True, t) for t in TOLERANCES] == [4, 5, 6, 6, 5, 5]
    assert [count("full", False, t) for t in TOLERANCES] == [6, 12, 18, 18, 18, 18]


def test_trained_and_untrained_net_start_from_the_same_seed():
    cells = list(CLAIM.cells(Profile("quick")))
    assert len(cells) == 6
    assert {cell.params["epochs"] > 0 for cell in cells} == {True, False}
    assert all(len({c.seed for c in cells if c.repetition == r}) == 1 for r in range(3))


@pytest.fixture(scope="module")
def smoke() -> pd.DataFrame:
    rows = []
    for cell in CLAIM.cells(Profile("smoke")):
        common = {"status": "ok", "repetition": cell.repetition, "device": "cpu"}
        rows += [{**cell.params, **common, **row} for row in CLAIM.measure(cell)]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def test_smoke_measures_every_setting_of_the_star(smoke):
    trained = smoke[smoke["epochs"] > 0]
    assert (smoke["status"] == "ok").all()
    assert (len(trained), len(smoke)) == (3 * (4 + 5 + 6), 3 * (4 + 5 + 6) + 3 * 3)
    assert (smoke["adjoint_tolerance"] <= 1).all()
    assert smoke["test_error"].between(0, 1).all()
    assert (smoke["ratio"] == smoke["nfe_backward"] / smoke["nfe_forward"]).all()
    difference = smoke["nfe_forward_cumulative"] - smoke["nfe_forward"]
    assert (difference == smoke["nfe_backward"] + 1).all()
    assert smoke["gradient_error"].gt(0).all()
    # The forward solve knows nothing of the way back.
    assert (trained.groupby(["method", "tolerance"])["nfe_forward"].nunique() == 1).all()


def test_smoke_is_too_little_for_a_verdict_but_not_for_a_figure_and_a_table(smoke):
    verdict = CLAIM.judge(smoke)
    assert verdict.outcome == "insufficient"
    assert verdict.judgements[0].lacking == "3 tolerances solved by adams, at least 4 needed"
    assert len(CLAIM.figure(smoke).axes) == 3
    table = CLAIM.table(smoke)
    assert len(table) == 6 + 3 * 3 + 7 * 3
    assert set(table["net"]) == {"authors' logs", "trained", "untrained"}


# --- how it is judged ----------------------------------------------------------------------------


def made(ratio: float | dict = 0.5, *, seeds=3, tolerances=TOLERANCES, **changed) -> pd.DataFrame:
    """Rows of the trained net at the published setting, with one ratio for each solver."""
    size = {"epochs": 2, "images": 100, "batch_size": 10, "channels": 8, "test_error": 0.3}
    checks = {"reconstruction_error": 1e-3, "gradient_error": 1e-3, "valid": True, "status": "ok"}
    setting = {"adjoint_factor": 1, "norm": "rms", "loss": "mean"}
    rows = []
    for method in METHODS:
        of_method = ratio[method] if isinstance(ratio, dict) else ratio
        counts = backward_nfe.counted(100, round(100 * of_method))
        for repetition in range(seeds):
            for tolerance in tolerances:
                which = {"method": method, "repetition": repetition, "tolerance": tolerance}
                rows.append({**size, **checks, **setting, **counts, **which, **changed})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [criterion.judge(df).outcome for criterion in CLAIM.criteria]


@pytest.mark.parametrize(
    ("ratio", "apart", "beside_logs", "cumulative"),
    [
        (0.5, "reproduced", "not reproduced", "not reproduced"),
        (0.39, "partly", "not reproduced", "not reproduced"),
        (0.8, "partly", "reproduced", "reproduced"),
        (0.99, "partly", "not reproduced", "reproduced"),
        (1.0, "not reproduced", "not reproduced", "reproduced"),
        (4.0, "not reproduced", "not reproduced", "not reproduced"),
    ],
)
def test_every_outcome_can_come_about(ratio, apart, beside_logs, cumulative):
    df = made(ratio)
    assert outcomes(df) == [apart] * 4 + [beside_logs, cumulative]
    assert CLAIM.judge(df).outcome == apart


def test_the_paper_s_solver_alone_decides():
    ratio = {"adams": 0.5, "dopri5": 2.0, "bosh3": 0.9}
    assert outcomes(made(ratio))[:3] == ["reproduced", "not reproduced", "partly"]
    assert CLAIM.judge(made(ratio)).outcome == "reproduced"


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 0},
        {"adjoint_factor": 100},
        {"norm": "seminorm"},
        {"loss": "sum"},
        {"status": "max_steps"},
    ],
)
def test_rows_of_another_setting_have_no_say(changed):
    others = made(0.5, seeds=9, **changed)
    assert outcomes(pd.concat([made(2.0), others], ignore_index=True)) == outcomes(made(2.0))
    assert set(outcomes(others)) == {"insufficient"}


def test_a_median_needs_seeds_and_tolerances():
    assert set(outcomes(made(seeds=2))) == {"insufficient"}
    assert set(outcomes(made(tolerances=TOLERANCES[:3]))) == {"insufficient"}
    assert outcomes(made(tolerances=TOLERANCES[:4]))[0] == "reproduced"


def test_rows_that_fail_a_check_are_counted_where_all_are_and_not_where_valid_ones_are():
    loose = made(2.0, tolerances=TOLERANCES[:4], valid=False)
    df = pd.concat([loose, made(0.5, tolerances=TOLERANCES[4:])], ignore_index=True)
    found = outcomes(df)
    assert (found[0], found[3]) == ("not reproduced", "reproduced")
    assert outcomes(made(0.5, valid=False))[3] == "insufficient"


def test_caveats_say_where_the_ratio_turns():
    loose, tight = made(1.2, tolerances=TOLERANCES[:2]), made(0.8, tolerances=TOLERANCES[2:])
    sum_ = made(3.0, loss="sum")
    text = " ".join(CLAIM.caveats(pd.concat([loose, tight, sum_], ignore_index=True)))
    assert "test error 30.0% (median of 3 nets)" in text
    assert (
        "adams, trained, published setting: the ratio is below 1 at 0.01, 0.001, 0.0001, 1e-05 and"
        " not below 1 at 1, 0.1." in text
    )
    assert "from 0.800 (adams, trained" not in text
    assert "from 0.8 (adams, trained, adjoint at the forward tolerance" in text
    assert "3 (adams, trained, adjoint at the forward tolerance, norm rms, loss sum)" in text


def test_the_table_has_the_logs_with_their_correction_and_medians():
    table = CLAIM.table(made(0.8))
    log = table[table["net"] == "authors' logs"].iloc[0]
    shown = ["NFE forward", "NFE backward", "backward / forward", "logged forward"]
    assert list(log[shown]) == ["6", "6", "1.00", "13"]
    ours = table[(table["net"] == "trained") & (table["solver"] == "adams")]
    assert list(ours["tolerance"])[-1] == "1e-02 to 1e-05"
    assert set(ours["backward / forward"]) == {"0.800"}
    assert set(ours["valid"]) == {"3 of 3", "12 of 12"}
