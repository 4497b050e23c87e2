"""The meters on graphs whose bytes are known."""

import torch

from neural_ode import Adjoint, Backprop, solve
from neural_ode.memory import SavedBytes, peak_allocated
from neural_ode.networks import MLPField

CPU = torch.device("cpu")


def test_a_saved_tensor_counts_its_bytes_once_and_goes_with_its_graph():
    x = torch.randn(256, 64, requires_grad=True)
    with SavedBytes() as meter:
        y = x.exp()
        assert meter.held == 256 * 64 * 4
        z = (y * y).sum()
        assert meter.held == 256 * 64 * 4
        del y
        z.backward()
        del z
    assert meter.held == 0
    assert meter.peak == 256 * 64 * 4


def test_a_saved_output_is_given_back_though_its_graph_saw_it():
    with SavedBytes() as meter:
        for _ in range(3):
            torch.randn(100, requires_grad=True).tanh().sum().backward()
    assert (meter.held, meter.peak) == (0, 400)


def test_different_storages_add_and_views_of_one_do_not():
    weight = torch.randn(8, 8, requires_grad=True)
    x = torch.randn(16, 8, dtype=torch.float32)
    with SavedBytes() as meter:
        kept = (x[:8] @ weight, x[8:] @ weight)
        # The whole storage of x lives on for either half of it.
        assert meter.held == x.numel() * 4
        del kept
        assert meter.held == 0


def test_ignored_tensors_do_not_count():
    layer = torch.nn.Linear(32, 32)
    x = torch.randn(4, 32, requires_grad=True)
    with SavedBytes(ignore=[*layer.parameters(), x]) as meter:
        y = layer(x)
        assert meter.held == 0
        assert y.requires_grad


def test_without_a_graph_nothing_is_held():
    with SavedBytes() as meter, torch.no_grad():
        torch.randn(10, requires_grad=True).exp()
    assert meter.peak == 0


def test_backprop_holds_in_proportion_and_the_adjoint_does_not():
    generator = torch.Generator().manual_seed(0)
    field = MLPField(8, 8, depth=1, generator=generator)
    y0, ts = torch.randn(32, 8, generator=generator), torch.tensor([0.0, 1.0])

    def peak(gradient, steps: int) -> int:
        with SavedBytes(ignore=field.parameters()) as meter:
            loss = solve(field, y0, ts, method="euler", step_size=1 / steps, gradient=gradient)
            loss.ys[-1].sum().backward()
        return meter.peak

    # An evaluation keeps its input [32, 9] and the tanh's output [32, 8], in float32.
    growth = peak(Backprop(), 20) - peak(Backprop(), 10)
    assert growth == 10 * 32 * (9 + 8) * 4
    assert peak(Adjoint(), 20) == peak(Adjoint(), 10)


def test_the_allocators_peak_sees_temporaries():
    mib = 2**20

    def work() -> None:
        a = torch.empty(mib, dtype=torch.uint8)
        b = torch.empty(2 * mib, dtype=torch.uint8)
        del a
        c = torch.empty(mib, dtype=torch.uint8)
        del b, c

    work()
    assert abs(peak_allocated(work, CPU) - 3 * mib) < 4096
