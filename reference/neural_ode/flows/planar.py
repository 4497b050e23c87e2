"""Planar flow: a stack of invertible layers of one hidden unit each, and its density.

One layer is ``z + u_hat tanh(w.z + b)``. It is invertible just as long as ``w.u_hat > -1``, which
holds for every value of the parameters because ``u_hat`` is u, moved along w:

    u_hat = u + (m(w.u) - w.u) w / |w|^2,   m(a) = -1 + log(1 + e^a),   so that w.u_hat = m(w.u).

The logarithm of its Jacobian's determinant is ``log(1 + m(w.u) (1 - tanh(w.z + b)^2))``.

Source: Rezende and Mohamed, Variational inference with normalizing flows, 2015, sec. 4.1 and
appendix A.1. There is no inverse in closed form, but along w the equation is one in a single
unknown, which is solved here to rounding.

Where w is zero (to the rounding of ``|w|^2``) a layer is the translation by ``u tanh(b)``. It is
invertible whatever u is, so u_hat is u there, and the determinant is 1. The formula above has no
limit at that place: ``|u_hat|`` grows like ``(1 - log 2) / |w|``, along the direction from which w
comes. A flow should therefore not be started with w = 0, but near it with u_hat = 0, as here.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import MOST_LAYERS, check_choice, check_count, check_input
from neural_ode.flows.bases import Base, StandardNormal, check_base, draw_points
from neural_ode.flows.fields import Generators, affine, each_run
from neural_ode.generators import device_of
from neural_ode.transforms import transforming, unwrap

# Halving alone would need as many steps as the mantissa of float64 has digits, and some more.
_INVERSE_STEPS = 100


class PlanarFlow(nn.Module):
    """A stack of planar layers between a base distribution and data.

    Args:
        dim: the dimension of a point.
        layers: how many layers, K; the flow has ``(2 dim + 1) K`` parameters.
        base: the distribution at one end, as for ``CNF``; the standard normal where ``None``.
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
        ValueError: for a ``dim`` or ``layers`` below 1, a base of another dimension, an unknown
            direction, or another number of generators than there are runs.
        TypeError: for an argument of another type. What its methods are called with is checked as
            well.
    """

    def __init__(
        self,
        dim: int,
        layers: int,
        *,
        base: Base | None = None,
        towards: Literal["data", "base"] = "data",
        runs: int | None = None,
        generator: Generators = None,
    ) -> None:
        super().__init__()
        check_count("dim", dim)
        check_count("layers", layers, most=MOST_LAYERS)
        check_choice("towards", towards, ("data", "base"))
        self.base = StandardNormal(dim) if base is None else base
        check_base(self.base, dim)
        self.dim, self.towards, self.runs = dim, towards, runs
        drawn = [_initial(dim, layers, own) for own in each_run(self.runs, generator)]
        self.u, self.w, self.b = (
            nn.Parameter((torch.stack(parts) if runs else parts[0]).to(device_of(None)))
            for parts in zip(*drawn, strict=True)
        )

    def forward(
        self, z: Float[Tensor, "*batch dim"]
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
        """Where the layers take ``z``, and the log of the Jacobian's determinant, per point."""
        reach, layers = self._layers()
        activations, x = [], z
        try:
            for w, b, u_hat in layers:
                activations.append(torch.tanh(affine(x, w, b)))
                x = x + activations[-1] * u_hat
        except Exception:
            self._check("z", z)
            raise
        slopes = 1 - torch.cat(activations, dim=-1).square()
        return x, torch.log1p(reach.unsqueeze(-2) * slopes).sum(dim=-1)

    def inverse(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """The points that ``forward`` takes to ``x``, to rounding; differentiable."""
        reach, layers = self._layers()
        # One at a time, with a trailing axis to go with the points of a batch.
        reaches = reach.unsqueeze(-2).split(1, dim=-1)
        z = x
        try:
            for (w, b, u_hat), a in zip(reversed(layers), reversed(reaches), strict=True):
                z = z - torch.tanh(_root(affine(z, w, b), a)) * u_hat
        except Exception:
            self._check("x", x)
            raise
        return z

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
        """Points of the base, in the parameters' dtype and on their device.

        Without a generator, a sequence of one a run where there are runs, they come from torch's
        global one.

        Raises:
            ValueError: for a count below 1, or another number of generators than there are runs.
        """
        return draw_points(self.base, count, self.runs, generator, self.w)

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
        squares = self.w.square().sum(dim=-1)
        reach = nn.functional.softplus(inner) - 1
        # Autograd would keep the mask, so it is made only where a layer needs it.
        unknown = torch.compiler.is_compiling() or transforming() or squares.is_meta
        if unknown or not squares.all():
            still = squares == 0
            reach, squares = torch.where(still, inner, reach), torch.where(still, 1.0, squares)
        along = self.w / squares.unsqueeze(-1)
        u_hat = self.u + (reach - inner).unsqueeze(-1) * along
        parts = (self.w.unsqueeze(-1), self.b[..., None, None], u_hat.unsqueeze(-2))
        layer_axis = 0 if self.runs is None else 1
        return reach, list(zip(*(part.unbind(layer_axis) for part in parts), strict=True))

    def _check(self, name: str, points: Tensor) -> None:
        """Say what is wrong with points on which the layers have failed, if anything."""
        lead = () if self.runs is None else (self.runs,)
        check_input(self, name, points, *lead, "batch", self.dim)


def _initial(
    dim: int, layers: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The initial u, w [layers, dim] and b [layers] of one flow."""
    bound, device = dim**-0.5, device_of(generator)
    u_hat, w = bound * (2 * torch.rand(2, layers, dim, generator=generator, device=device) - 1)
    b = bound * (2 * torch.rand(layers, generator=generator, device=device) - 1)
    u_hat = u_hat / math.sqrt(layers)
    # Away from the edge, where the inverse of m goes to minus infinity.
    reach = (w * u_hat).sum(dim=-1)
    inner = torch.log(torch.expm1(reach.clamp(min=-0.9) + 1))
    u = u_hat + ((inner - reach) / w.square().sum(dim=-1))[:, None] * w
    return u, w, b


def _root(c: Float[Tensor, "*batch 1"], reach: Float[Tensor, "*runs 1 1"]) -> Tensor:
    """The s with ``s + reach tanh(s) = c``, with the derivatives of the implicit function."""
    if not transforming():
        return _Root.apply(c, reach) if torch.is_grad_enabled() else _find(c, reach)
    # A transform of torch.func differentiates plain operations as often as it likes. Of k steps of
    # Newton's method from the root all derivatives below the order 2^k are right.
    with torch.no_grad():
        s = _find(c.detach(), reach.detach())
    for _ in range(2):
        excess, slope = _excess(s, c, reach)
        s = s - excess / slope
    return s


class _Root(torch.autograd.Function):
    """``_find`` with a derivative that is written so that it can be differentiated again."""

    @staticmethod
    def forward(ctx, c, reach):
        s = _find(c, reach)
        ctx.save_for_backward(s, reach)
        return s

    @staticmethod
    def backward(ctx, *grads):
        s, reach = ctx.saved_tensors
        tanh = torch.tanh(s)
        by_c = grads[0] / _slope(tanh, reach)
        return by_c, (-by_c * tanh).sum_to_size(reach.shape)


def _find(c: Tensor, reach: Tensor) -> Tensor:
    """The s with ``s + reach tanh(s) = c``, by Newton's method kept inside a shrinking bracket.

    The left side increases, since ``reach > -1``, and s lies within ``|reach|`` of c. A step that
    leaves the bracket, or is not half as long as the one before, is replaced by a halving, or
    Newton's method could swing between the two flanks of tanh for long.
    """
    low, high, s = c - reach.abs(), c + reach.abs(), c
    before = high - low
    for _ in range(_INVERSE_STEPS):
        excess, slope = _excess(s, c, reach)
        low, high = torch.where(excess < 0, s, low), torch.where(excess > 0, s, high)
        newton = s - excess / slope
        bad = (newton < low) | (newton > high) | ((newton - s).abs() > before.abs() / 2)
        following = torch.where(bad, (low + high) / 2, newton)
        before, s = following - s, following
        if not unwrap(before).any():
            break
    excess, slope = _excess(s, c, reach)
    return s - excess / slope


def _excess(s: Tensor, c: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """``s + reach tanh(s) - c`` and its derivative by s."""
    tanh = torch.tanh(s)
    return s + reach * tanh - c, _slope(tanh, reach)


def _slope(tanh: Tensor, reach: Tensor) -> Tensor:
    """The derivative of ``s + reach tanh(s)``, kept above zero where rounding would reach it."""
    return (1 + reach * (1 - tanh.square())).clamp(min=torch.finfo(tanh.dtype).eps)
