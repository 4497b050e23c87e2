"""Both countings by hand, the counts against torchdiffeq, and what the smoke run gives."""

import pandas as pd
import pytest
import torch
import torchdiffeq
from torch import nn

from neural_ode import Adjoint, Backprop
from neural_ode.networks import ConvField
from odeclaims.cell import Context, Profile
from odeclaims.claims.backward_nfe import CLAIM, measure
from odeclaims.claims.backward_nfe.authors_logs import AUTHORS_LOGS, forward_alone
from odeclaims.claims.backward_nfe.settings import PUBLISHED, Setting
from odeclaims.claims.backward_nfe.show import figure, table
from odeclaims.kits.digits import FrozenBlock
from odeclaims.kits.validity import relative_error
from tests.odeclaims.claims.backward_nfe.examples import TOLERANCES


@pytest.fixture(scope="module")
def smoke() -> pd.DataFrame:
    """The rows of the smoke run, on which all tests of it look."""
    rows = []
    for cell in CLAIM.cells(Profile("smoke")):
        common = {"status": "ok", "repetition": cell.repetition, "device": "cpu"}
        rows += [{**cell.params, **common, **row} for row in CLAIM.measure(cell, Context())]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


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
    assert [measure.logged_forward(*pair) for pair in pairs] == logged[1:]
    pairs = zip(logged[1:], before, strict=True)
    assert [forward_alone(*pair) for pair in pairs] == forwards


def test_both_countings_of_the_authors_loosest_tolerance():
    assert measure.both_counts(6, 6) == {
        "nfe_forward": 6,
        "nfe_backward": 6,
        "ratio": 1.0,
        "nfe_forward_cumulative": 13,
        "ratio_cumulative": 6 / 13,
    }


def test_the_authors_logs_show_a_half_that_the_correction_takes_away():
    for tolerance, (logged, backward) in AUTHORS_LOGS.items():
        assert 0.4 <= backward / logged <= 0.47
        ratio = backward / forward_alone(logged, backward)
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


def block() -> FrozenBlock:
    """The same float64 block at every call, with a field of its own."""
    torch.manual_seed(1)
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 9, 10)).double()
    y0 = torch.randn(3, 4, 3, 3, dtype=torch.float64)
    return FrozenBlock(Still().double(), head, y0, torch.tensor([3, 1, 4]))


@pytest.mark.parametrize("loss", ["mean", "sum", "squares"])
@pytest.mark.parametrize("norm", ["rms", "seminorm"])
def test_counts_and_gradient_are_those_of_torchdiffeq(norm, loss):
    tolerance = 1e-3
    solved = block().forward(rtol=tolerance, atol=tolerance, gradient=Adjoint(norm=norm))
    gradient = solved.gradient(loss)

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
    gradients = torch.autograd.grad(theirs.loss(loss, ys[-1]), [y0, *field.parameters()])
    stats = solved.solution.stats
    assert (stats.nfe_forward, stats.nfe_backward) == (forward, field.calls - forward)
    expected = torch.cat([g.reshape(-1) for g in gradients])
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-10)


def test_references_are_the_gradients_of_the_flow():
    frozen = block()
    settings = [Setting(loss=loss) for loss in ("mean", "sum", "squares")]
    truths = measure._truths(frozen, settings, 64)
    solved = frozen.forward(rtol=1e-6, atol=1e-6, gradient=Backprop())
    for loss, truth in truths.items():
        assert relative_error(solved.gradient(loss), truth.gradient) < 3e-2
    torch.testing.assert_close(truths["sum"].gradient, 3 * truths["mean"].gradient)


def test_one_thing_at_a_time_is_changed():
    # Seminorm, two losses and what adjoint tolerance up to 1 is left, beside the published one.
    trained = [len(measure._settings(True, tolerance)) for tolerance in TOLERANCES]
    assert trained == [4, 5, 6, 6, 5, 5, 1, 1]
    untrained = [measure._settings(False, tolerance) for tolerance in TOLERANCES]
    assert untrained == [[PUBLISHED]] * 6 + [[]] * 2


def test_calls_are_counted_beside_the_solver():
    field = Still().double()
    calls = measure.Calls(field)
    with calls:
        _, count = calls.during(lambda: [field(torch.zeros(()), block().y0) for _ in range(3)])
    field(torch.zeros(()), block().y0)
    assert (count, calls.count, field.calls) == (3, 3, 4)


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_smoke_measures_every_setting_of_the_star(smoke):
    trained = smoke[smoke["trained"]]
    assert (smoke["status"] == "ok").all()
    assert (len(trained), len(smoke)) == (3 * (4 + 5 + 6), 3 * (4 + 5 + 6) + 3 * 3)
    assert (smoke["adjoint_tolerance"] <= 1).all()
    assert smoke["test_error"].between(0, 1).all()
    assert (smoke["calls_forward"] == smoke["nfe_forward"]).all()
    assert (smoke["calls_backward"] == smoke["nfe_backward"]).all()
    assert (smoke["ratio"] == smoke["nfe_backward"] / smoke["nfe_forward"]).all()
    difference = smoke["nfe_forward_cumulative"] - smoke["nfe_forward"]
    assert (difference == smoke["nfe_backward"] + 1).all()
    assert smoke["gradient_error"].gt(0).all()
    # The forward solve knows nothing of the way back.
    assert (trained.groupby(["method", "tolerance"])["nfe_forward"].nunique() == 1).all()


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_smoke_is_too_little_for_a_verdict(smoke):
    verdict = CLAIM.judge(smoke)
    assert verdict.scale == "toy"
    assert verdict.summary == "0 of 2 reproduced, 2 insufficient"
    assert verdict.judgements[0].lacking == "1 of at least 6 seeds"


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_smoke_is_enough_for_a_figure_and_a_table(smoke):
    assert len(figure(smoke).axes) == 3
    rows = table(smoke)
    assert len(rows) == 6 + 3 * 3 + 7 * 3
    assert set(rows["net"]) == {"authors' logs", "trained", "untrained"}
