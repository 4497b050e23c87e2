"""The two ways to the change of a log-density: by the determinant, and by the integrated trace."""

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from neural_ode import solve
from neural_ode.delegate import solve_with
from neural_ode.flows import LogDensityField
from neural_ode.flows.traces import Trace

END = 1.0
# The determinants come from another method, at a tolerance below any that is judged.
TIGHT: dict[str, Any] = {"method": "dopri8", "rtol": 1e-12, "atol": 1e-12}


def at(tolerance: float) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for a tolerance."""
    return {"rtol": tolerance, "atol": tolerance}


def largest(x: Tensor) -> float:
    """The largest magnitude of an entry."""
    return float(x.abs().max())


# The truth is the same for every solver that is measured.
@solve_with(None)
def flow(
    field: nn.Module, z: Float64[Tensor, "batch dim"], start: float, end: float, **solver: Any
) -> tuple[Float64[Tensor, "batch dim"], Float64[Tensor, " batch"]]:
    """Where the flow takes z, and log |det| of the Jacobian of that map, by backprop."""
    z = z.detach().requires_grad_(True)
    x = solve(field, z, z.new_tensor([start, end]), **TIGHT | solver).ys[-1]
    rows = [torch.autograd.grad(x[:, i].sum(), z, retain_graph=True)[0] for i in range(z.shape[1])]
    return x.detach(), torch.linalg.slogdet(torch.stack(rows, dim=1)).logabsdet


@torch.no_grad()
def trace_fall(
    field: nn.Module, z: Float64[Tensor, "batch dim"], trace: Trace, tolerance: float
) -> tuple[Float64[Tensor, " batch"], int]:
    """By how much the integrated trace lowers the log-density, and the evaluations it took."""
    state, ts = nn.functional.pad(z, (0, 1)), z.new_tensor([0.0, END])
    solution = solve(LogDensityField(field, trace), state, ts, **at(tolerance))
    return -solution.ys[-1, :, -1], solution.stats.nfe_forward
