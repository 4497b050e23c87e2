"""The tutorial's sections on residual networks and on Euler's method."""

from collections.abc import Iterator

import torch
from torch import Tensor

from neural_ode import solve
from odeclaims.claims.equations.calculus import (
    MIDDLE,
    Generator,
    gradient_at,
    join,
    limit_at,
    randn,
    slope_at,
)
from odeclaims.claims.equations.evaluation import Evaluation, as_printed
from odeclaims.claims.equations.random_ode import DIM, TIGHT, flow


def residual(generator: Generator) -> Iterator[Evaluation]:
    """Three layers: matrices with tanh for the forward pass, numbers for the gradients."""
    layers = [randn(generator, DIM, DIM) for _ in range(3)]
    x0 = randn(generator, DIM)

    def F(n: int, x: Tensor) -> Tensor:  # noqa: N802 (the tutorial's name)
        return torch.tanh(layers[n - 1] @ x)

    x1 = F(1, x0) + x0
    x2 = F(2, x1) + x1
    y = F(3, x2) + x2
    repeated, indexed = x0, x0
    for n in range(3):
        repeated, indexed = F(1, repeated) + repeated, F(n + 1, indexed) + indexed
    yield Evaluation("residual_block", [[y, repeated]], [y, indexed])
    written_out = F(3, F(2, F(1, x0) + x0) + F(1, x0) + x0) + F(2, F(1, x0) + x0) + F(1, x0) + x0
    yield as_printed("residual_composition", y, written_out)

    w1, w2, w3, start = randn(generator, 4, 1)

    def plain(w: Tensor) -> Tensor:
        return w3 * (w2 * (w * start))

    def with_skips(w: Tensor) -> Tensor:
        first = w * start + start
        second = w2 * first + first
        return w3 * second + second

    inner = gradient_at(lambda w: w2 * (w * start), w1)
    chain = w3 * w2 * gradient_at(lambda w: w * start, w1)
    true = gradient_at(plain, w1)
    yield as_printed("plain_gradient", true, w3 * inner, chain, w3 * w2 * start)
    printed = w3 * w2 * start + w3 * start + w2 * start + start
    yield as_printed("residual_gradient", gradient_at(with_skips, w1), printed)


def euler(generator: Generator) -> Iterator[Evaluation]:
    """An equation of order two, random ones of order one, and the tutorial's own example."""
    yield _second_order(generator)
    yield _example(1 + torch.rand((), generator=generator, dtype=torch.float64))
    yield from _taylor(generator)
    yield from _table()


def _second_order(generator: Generator) -> Evaluation:
    """h'' = f(t, h, h') as the solver sees it, against differences of its solution."""
    damping, stiffness, *start = randn(generator, 4)

    def f(t: Tensor, h: Tensor, slope: Tensor) -> Tensor:
        return torch.sin(t) - damping * slope - stiffness * h

    def field(z: Tensor, t: Tensor) -> Tensor:
        return torch.stack([z[:, 1], f(t, z[:, 0], z[:, 1])], dim=1)

    def states(times: Tensor) -> Tensor:
        return flow(field, torch.stack(start).expand(len(times), 2), times * 0, times)

    z = states(MIDDLE)
    right = join(z[:, 1], f(MIDDLE, z[:, 0], z[:, 1]))
    return as_printed("ode_definition", slope_at(states, MIDDLE)[0], right)


def _example(h0: Tensor) -> Evaluation:
    """h' = 5h - 3, whatever the factor that "proportional" leaves open: from h(0), or from h(1)."""
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    h = solve(lambda t, h: 5 * h - 3, h0, times, **TIGHT).ys
    growth = torch.exp(5 * times)
    readings = [[h, h0 * growth], [h, h[-1] / growth[-1] * growth]]
    return Evaluation("example_solution", readings, [h, 3 / 5 + (h0 - 3 / 5) * growth])


def _taylor(generator: Generator) -> Iterator[Evaluation]:
    """Two sides agree to first order if their values and their slopes at step 0 do."""
    weight, shift, bias, start = randn(generator, 4)

    def f(h: Tensor, t: Tensor) -> Tensor:
        return torch.sin(weight * h + bias) + shift * t

    def states(times: Tensor) -> Tensor:
        return flow(f_column, start.expand(len(times), 1), times * 0, times)[:, 0]

    def f_column(h: Tensor, t: Tensor) -> Tensor:
        return f(h, t[:, None])

    t = MIDDLE
    h = states(t)
    ahead = join(limit_at(states, t), slope_at(states, t))
    yield as_printed("taylor", ahead, join(h, f(h, t)))
    yield Evaluation("plugging_in", [[ahead, join(h, f(t, h))]], [ahead, join(h, f(h, t))])

    step, steps = 0.1, [start]
    for n in range(5):
        steps.append(steps[-1] + step * f(steps[-1], torch.tensor(n * step, dtype=torch.float64)))
    times = step * torch.arange(6, dtype=torch.float64)
    solved = solve(lambda t, h: f(h, t), start, times, method="euler").ys
    yield as_printed("euler_step", solved, torch.stack(steps))


def _table() -> Iterator[Evaluation]:
    """The tutorial's table, h' = 5h - 3 from h(0) = 1 with step 1, and the solution of that."""
    times = torch.arange(3, dtype=torch.float64)
    start = torch.ones((), dtype=torch.float64)
    steps = solve(lambda t, h: 5 * h - 3, start, times, method="euler").ys
    printed = torch.tensor([[1, 2], [3, 12], [15, 72]], dtype=torch.float64)
    yield as_printed("euler_table", torch.stack([steps, 5 * steps - 3], dim=1), printed)
    solution = solve(lambda t, h: 5 * h - 3, start, times, **TIGHT).ys[1:]
    exact = 3 / 5 + 2 / 5 * torch.exp(5 * times[1:])
    yield Evaluation("euler_table_exact", [[solution, printed[1:, 0]]], [solution, exact])
