"""Batches for the tests of steps of each sample."""

import torch

from neural_ode import solve

F64 = torch.float64
TS = torch.tensor([0.0, 0.4, 1.0, 3.0], dtype=F64)


def driven(t, y):
    """A pendulum, driven by the time; samples that start far out need shorter steps."""
    angle, speed = y[:, :1], y[:, 1:]
    return torch.cat([speed * torch.cos(t), t - 3 * torch.sin(angle)], dim=1)


def starts(count, seed=0, dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linspace(0.1, 5, max(count, 1), dtype=dtype)[:count, None]
    return spread * torch.randn(count, 2, generator=generator, dtype=dtype)


def independent(field, y0, ts, **how):
    return solve(field, y0, ts, batch="independent", **how)
