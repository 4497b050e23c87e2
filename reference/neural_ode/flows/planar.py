"""Planar flow: a stack of invertible layers of one hidden unit each, and its density.

One layer is ``z + u_hat tanh(w.z + b)``. It is invertible just as long as ``w.u_hat > -1``, which
holds for every value of the parameters because ``u_hat`` is u, moved along w:

    u_hat = u + (m(w.u) - w.u) w / |w|^2,   m(a) = -1 + log(1 + e^a),   so that w.u_hat = m(w.u).

The logarithm of its Jacobian's determinant is ``log(1 + m(w.u) (1 - tanh(w.z + b)^2))``.

Source: Rezende and Mohamed, Variational inference with normalizing flows, 2015, sec. 4.1 and
appendix A.1. There is no inverse in closed form, but along w the equation is one in a single
unknown, which is solved here to rounding.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.flows.cnf import StandardNormal
from neural_ode.flows.fields import Generators, affine, each_run

# Halving alone would need as many steps as the mantissa of float64 has digits, and some more.
_INVERSE_STEPS = 100


class PlanarFlow(nn.Module):
    """A stack of planar layers between a base distribution and data.

    Args:
        dim: the dimension of a point.
        layers: how many layers, K; the flow has ``(2 dim + 1) K`` parameters.
        base: the distribution at one end; the standard normal where ``None``.
        towards: which way the layers lead. ``"data"``: from the base to the data, so that drawing
            samples with their density is cheap and the density of a given point needs the inverse;
            this is how a flow is fitted to a density. ``"base"``: from the data to the base, the
            other way about, for maximum likelihood.
        runs: so many independent flows in one: points are [runs, batch, dim], and every parameter
            has the same leading axis; ``None`` for a single flow without it.
        generator: the source of the initial parameters; a sequence of one a run where there are
            runs.

    The initial w and b are uniform within ``1 / sqrt(dim)``, torch's rule for a linear layer, and
    so is ``sqrt(K) u_hat``: a stack starts near the identity, whatever its depth. If it were u that
    is drawn, the constraint would make every layer shrink the plane by a third along w.

    Raises:
        ValueError: for a ``dim`` or ``layers`` below 1, an unknown direction, or another number of
            generators than there are runs.
    """

    def __init__(
        self,
        dim: int,
        layers: int,
        *,
        base: StandardNormal | None = None,
        towards: Literal["data", "base"] = "data",
        runs: int | None = None,
        generator: Generators = None,
    ) -> None:
        super().__init__()
        if min(dim, layers) < 1:
            raise ValueError(f"dim and layers are {dim} and {layers}, expected at least 1")
        if towards not in ("data", "base"):
            raise ValueError(f"towards is {towards!r}, expected 'data' or 'base'")
        self.base = base or StandardNormal(dim)
        self.dim, self.towards, self.runs = dim, towards, runs
        drawn = [_initial(dim, layers, own) for own in each_run(self.runs, generator)]
        self.u, self.w, self.b = (
            nn.Parameter(torch.stack(parts) if runs else parts[0])
            for parts in zip(*drawn, strict=True)
        )

    def forward(
        self, z: Float[Tensor, "*batch dim"]
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
        """Where the layers take ``z``, and the log of the Jacobian's determinant, per point."""
        reach, layers = self._layers()
        activations = []
        for w, b, u_hat in layers:
            activations.append(torch.tanh(affine(z, w, b)))
            z = z + activations[-1] * u_hat
        slopes = 1 - torch.cat(activations, dim=-1).square()
        return z, torch.log1p(reach.unsqueeze(-2) * slopes).sum(dim=-1)

    def inverse(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """The points that ``forward`` takes to ``x``, to rounding; differentiable."""
        reach, layers = self._layers()
        # One at a time, with a trailing axis to go with the points of a batch.
        reaches = reach.unsqueeze(-2).split(1, dim=-1)
        for (w, b, u_hat), a in zip(reversed(layers), reversed(reaches), strict=True):
            x = x - torch.tanh(_solve(affine(x, w, b), a)) * u_hat
        return x

    def log_prob(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        """The log-density of the data's distribution at ``x``, nats."""
        if self.towards == "base":
            z, log_det = self(x)
            return self.base.log_prob(z) + log_det
        z = self.inverse(x)
        return self.base.log_prob(z) - self(z)[1]

    def sample(self, count: int, generator: Generators = None) -> Float[Tensor, "*runs count dim"]:
        """New points, ``count`` for each run."""
        return self.sample_with_log_prob(count, generator)[0]

    def sample_with_log_prob(
        self, count: int, generator: Generators = None
    ) -> tuple[Float[Tensor, "*runs count dim"], Float[Tensor, "*runs count"]]:
        """New points, ``count`` for each run, and the log-density of each, nats."""
        return self.carry(self.draw_base(count, generator))

    def draw_base(
        self, count: int, generator: Generators = None
    ) -> Float[Tensor, "*runs count dim"]:
        """Points of the base, in the parameters' dtype; a sequence of generators for runs.

        Raises:
            ValueError: for another number of generators than there are runs.
        """
        drawn = [self.base.sample(count, own) for own in each_run(self.runs, generator)]
        return (torch.stack(drawn) if self.runs else drawn[0]).to(self.w)

    def carry(
        self, z: Float[Tensor, "*batch dim"]
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
        """Where points of the base come to lie among the data, and the log-density there, nats."""
        if self.towards == "data":
            x, log_det = self(z)
            return x, self.base.log_prob(z) - log_det
        x = self.inverse(z)
        return x, self.base.log_prob(z) + self(x)[1]

    def _layers(self) -> tuple[Float[Tensor, "*runs layers"], list[tuple[Tensor, Tensor, Tensor]]]:
        """w.u_hat, which is above -1; and w [*runs, dim, 1], b and u_hat [*runs, 1, dim] of each.

        The parameters are taken apart once: a slice in each layer would cost a gradient of the
        whole parameter each.
        """
        inner = (self.w * self.u).sum(dim=-1)
        reach = nn.functional.softplus(inner) - 1
        along = self.w / self.w.square().sum(dim=-1, keepdim=True)
        u_hat = self.u + (reach - inner).unsqueeze(-1) * along
        parts = (self.w.unsqueeze(-1), self.b[..., None, None], u_hat.unsqueeze(-2))
        layer_axis = 0 if self.runs is None else 1
        return reach, list(zip(*(part.unbind(layer_axis) for part in parts), strict=True))


def _initial(
    dim: int, layers: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The initial u, w [layers, dim] and b [layers] of one flow."""
    bound = dim**-0.5
    u_hat, w = bound * (2 * torch.rand(2, layers, dim, generator=generator) - 1)
    b = bound * (2 * torch.rand(layers, generator=generator) - 1)
    u_hat = u_hat / math.sqrt(layers)
    # Away from the edge, where the inverse of m goes to minus infinity.
    reach = (w * u_hat).sum(dim=-1)
    inner = torch.log(torch.expm1(reach.clamp(min=-0.9) + 1))
    u = u_hat + ((inner - reach) / w.square().sum(dim=-1))[:, None] * w
    return u, w, b


def _solve(c: Tensor, reach: Tensor) -> Tensor:
    """The s with ``s + reach tanh(s) = c``, by Newton's method kept inside a shrinking bracket.

    The left side increases, since ``reach > -1``, and s lies within ``|reach|`` of c. A step that
    leaves the bracket, or is not half as long as the one before, is replaced by a halving, or
    Newton's method could swing between the two flanks of tanh for long. The last step is Newton's
    too, and the only one that autograd sees: it gives the implicit function's gradient.
    """
    with torch.no_grad():
        low, high, s = c - reach.abs(), c + reach.abs(), c
        before = high - low
        for _ in range(_INVERSE_STEPS):
            excess = s + reach * torch.tanh(s) - c
            low, high = torch.where(excess < 0, s, low), torch.where(excess > 0, s, high)
            newton = s - excess / _slope(s, reach)
            bad = (newton < low) | (newton > high) | ((newton - s).abs() > before.abs() / 2)
            following = torch.where(bad, (low + high) / 2, newton)
            before, s = following - s, following
            if not before.any():
                break
        slope = _slope(s, reach)
    return s - (s + reach * torch.tanh(s) - c) / slope


def _slope(s: Tensor, reach: Tensor) -> Tensor:
    """The derivative of ``s + reach tanh(s)``, kept above zero where rounding would reach it."""
    return (1 + reach * (1 - torch.tanh(s).square())).clamp(min=torch.finfo(s.dtype).eps)
