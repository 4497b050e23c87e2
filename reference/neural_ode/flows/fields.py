"""The fields of continuous normalizing flows, for one model or for many that run as one batch.

With ``runs=R`` a module holds R independent models of one shape: every parameter has a leading axis
R, and so has the state, [runs, batch, dim] in the place of [batch, dim]. Model r draws its weights
from the r-th generator alone, so that it is the model which that generator gives by itself.

Sources: Chen et al. 2018, sec. 4, and the released example (torchdiffeq, ``examples/cnf.py``) for
the planar field; Grathwohl et al., FFJORD, 2019, and its code (``diffeq_layers/basic.py``,
``train_toy.py``) for the concatsquash one.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import (
    check_call,
    check_choice,
    check_count,
    check_counts,
    check_flag,
    describe,
)
from neural_ode.generators import fill_uniform

# One for a single model, a sequence of one a run otherwise; None takes torch's global one.
Generators = torch.Generator | Sequence[torch.Generator] | None


class Affine(nn.Module):
    """``x W + b``, for one model or for each run by itself.

    Args:
        fan_in, fan_out: dimensions of the input and of the output.
        runs: the number of models; ``None`` for one without a leading axis.
        bias: whether there is a b.
    """

    def __init__(
        self, fan_in: int, fan_out: int, runs: int | None = None, *, bias: bool = True
    ) -> None:
        super().__init__()
        lead = () if runs is None else (runs,)
        self.weight = nn.Parameter(torch.empty(*lead, fan_in, fan_out))
        self.bias = nn.Parameter(torch.empty(*lead, 1, fan_out)) if bias else None

    def forward(self, x: Float[Tensor, "*batch fan_in"]) -> Float[Tensor, "*batch fan_out"]:
        """The outputs for inputs of shape [batch, fan_in] or [runs, batch, fan_in]."""
        return affine(x, self.weight, self.bias)

    @torch.no_grad()
    def draw(self, run: int | None, generator: torch.Generator | None) -> None:
        """Draw the weights of a run: uniform within one over the square root of the fan-in."""
        bound = self.weight.shape[-2] ** -0.5
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                fill_uniform(parameter if run is None else parameter[run], bound, generator)


def affine(
    x: Float[Tensor, "*lead batch fan_in"],
    weight: Float[Tensor, "*lead fan_in fan_out"],
    bias: Float[Tensor, "*lead 1 fan_out"] | None = None,
) -> Float[Tensor, "*lead batch fan_out"]:
    """``x weight + bias`` in one operation, with or without a leading run axis."""
    if bias is None:
        return x @ weight
    return (torch.addmm if x.ndim == 2 else torch.baddbmm)(bias, x, weight)


def initialise(module: nn.Module, runs: int | None, generator: Generators) -> None:
    """Draw the weights of every ``Affine`` in the module, layer by layer, run by run.

    Raises:
        ValueError: for another number of generators than there are runs.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, Affine)]
    for run, own in enumerate(each_run(runs, generator)):
        for layer in layers:
            layer.draw(None if runs is None else run, own)


def each_run(runs: int | None, generator: Generators) -> Sequence[torch.Generator | None]:
    """The generator of each run; of the only model where ``runs`` is ``None``.

    Raises:
        ValueError: for fewer than one run, or another number of generators than there are runs.
        TypeError: for anything but generators.
    """
    if runs is not None:
        check_count("runs", runs)
    if generator is None:
        return [None] * (runs or 1)
    single = isinstance(generator, torch.Generator)
    parts = [generator] if isinstance(generator, torch.Generator) else generator
    if not isinstance(parts, list | tuple) or not all(
        part is None or isinstance(part, torch.Generator) for part in parts
    ):
        raise TypeError(
            f"generator is {describe(generator)}, expected a torch.Generator, or a list of one for"
            " each run"
        )
    if single != (runs is None) or len(parts) != (runs or 1):
        given = "a single one" if single else f"a sequence of {len(parts)}"
        wanted = "a single one" if runs is None else f"a sequence of {runs}"
        raise ValueError(f"generator does not fit the runs, expected {wanted}, got {given}")
    return parts


class PlanarField(nn.Module):
    """``f(t, z) = sum_m s_m(t) u_m(t) tanh(w_m(t) . z + b_m(t))``, a layer of planar units.

    The weights come from a hypernetwork t -> h -> h -> (3 dim + 1) units with tanh between, which
    gives w, u, b and the gates s = sigmoid(g), one for each entry of u as in the released example;
    or they are constant in time. For dim = 2 and h = 32 those are 231 units + 1120 parameters; the
    constant ones are (2 dim + 1) units, since a constant gate is a part of u.

    Args:
        dim: the dimension of the state.
        units: how many units there are, the paper's M.
        runs: the number of models in the batch, ``None`` for one without a run axis.
        hidden: the width h of the hypernetwork; ``None`` for weights that are constant in time.
        reduce: ``"sum"`` over the units, as in the paper, or ``"mean"``, as in the example.
        gated: whether u is gated; without gates a hypernetwork gives (2 dim + 1) units weights.
        generator: the source of the initial weights, which are uniform within one over the square
            root of the fan-in of their layer; a sequence of one a run where there are runs.

    Raises:
        ValueError: for fewer than one dimension or unit, another ``reduce``, or another number of
            generators than there are runs.
        TypeError: for an argument of another type. What it is called with is checked as well.
    """

    def __init__(
        self,
        dim: int,
        units: int,
        *,
        runs: int | None = None,
        hidden: int | None = None,
        reduce: Literal["sum", "mean"] = "sum",
        gated: bool = True,
        generator: Generators = None,
    ) -> None:
        super().__init__()
        check_count("dim", dim)
        check_count("units", units)
        check_choice("reduce", reduce, ("sum", "mean"))
        check_flag("gated", gated)
        for name, count in (("runs", runs), ("hidden", hidden)):
            if count is not None:
                check_count(name, count)
        self.dim, self.units, self.runs, self.gated = dim, units, runs, gated
        self.factor = 1.0 if reduce == "sum" else 1 / units
        if hidden is None:
            self.hypernet = None
            self.inner = Affine(dim, units, runs)
            self.outer = Affine(units, dim, runs, bias=False)
        else:
            outputs = ((3 if gated else 2) * dim + 1) * units
            self.hypernet = nn.Sequential(
                Affine(1, hidden, runs),
                nn.Tanh(),
                Affine(hidden, hidden, runs),
                nn.Tanh(),
                Affine(hidden, outputs, runs),
            )
        initialise(self, runs, generator)

    def weights(
        self, t: Float[Tensor, ""]
    ) -> tuple[
        Float[Tensor, "*runs dim units"],
        Float[Tensor, "*runs 1 units"],
        Float[Tensor, "*runs units dim"],
    ]:
        """w, b, and u with its gates and the factor of the mean, at time ``t``."""
        if self.hypernet is None:
            assert self.inner.bias is not None
            return self.inner.weight, self.inner.bias, self._scale(self.outer.weight)
        lead = () if self.runs is None else (self.runs,)
        flat = self.hypernet(t.expand(*lead, 1, 1))
        size = self.dim * self.units
        w, b, u, *gates = flat.split([size, self.units, *[size] * (1 + self.gated)], dim=-1)
        if gates:
            u = u * torch.sigmoid(gates[0])
        w = w.reshape(*lead, self.dim, self.units)
        return w, b, self._scale(u.reshape(*lead, self.units, self.dim))

    def _scale(self, u: Tensor) -> Tensor:
        return u if self.factor == 1 else u * self.factor

    def forward(
        self, t: Float[Tensor, ""], z: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim"]:
        """The derivative of states [batch, dim] or [runs, batch, dim] at time ``t``."""
        try:
            w, b, u = self.weights(t)
            return torch.tanh(affine(z, w, b)) @ u
        except Exception:
            _check_call(self, t, z)
            raise

    def field_and_trace(
        self, t: Float[Tensor, ""], z: Float[Tensor, "*batch dim"]
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
        """The derivative and the trace of its Jacobian, ``sum_m (1 - tanh^2) w_m . s_m u_m``."""
        try:
            w, b, u = self.weights(t)
            h = torch.tanh(affine(z, w, b))
            products = (w * u.mT).sum(dim=-2, keepdim=True).mT
            return h @ u, (products.sum(dim=-2, keepdim=True) - h.square() @ products).squeeze(-1)
        except Exception:
            _check_call(self, t, z)
            raise

    def trace(
        self, t: Float[Tensor, ""], z: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch"]:
        """The trace of the Jacobian by z, in closed form."""
        return self.field_and_trace(t, z)[1]


class ConcatSquash(nn.Module):
    """``(x W + b) sigmoid(t g + c) + t v``: a layer whose scale and shift follow the time."""

    def __init__(self, fan_in: int, fan_out: int, runs: int | None = None) -> None:
        super().__init__()
        self.layer = Affine(fan_in, fan_out, runs)
        self.gate = Affine(1, fan_out, runs)
        self.shift = Affine(1, fan_out, runs, bias=False)

    def forward(
        self, t: Float[Tensor, "*each 1"], x: Float[Tensor, "*batch fan_in"]
    ) -> Float[Tensor, "*batch fan_out"]:
        """The outputs at a time, which is repeated for each run, or at one for each state."""
        return torch.addcmul(self.shift(t), self.layer(x), torch.sigmoid(self.gate(t)))


class ConcatSquashField(nn.Module):
    """A multilayer perceptron of ``ConcatSquash`` layers with tanh between.

    The default widths are those of FFJORD's toy problems; for dim = 2 it has 9,224 parameters. Its
    trace has no closed form: ``exact_trace`` or ``Hutchinson`` find it.

    Args:
        dim: the dimension of the state.
        widths: those of the hidden layers, at least one.
        runs, generator: as for ``PlanarField``.

    Raises:
        ValueError: without a hidden layer, or for another number of generators than runs.
        TypeError: for an argument of another type. What it is called with is checked as well.
    """

    def __init__(
        self,
        dim: int,
        widths: Sequence[int] = (64, 64, 64),
        *,
        runs: int | None = None,
        generator: Generators = None,
    ) -> None:
        super().__init__()
        check_count("dim", dim)
        check_counts("widths", widths)
        if runs is not None:
            check_count("runs", runs)
        self.dim, self.runs = dim, runs
        sizes = pairwise([dim, *widths, dim])
        self.layers = nn.ModuleList(ConcatSquash(*size, runs) for size in sizes)
        initialise(self, runs, generator)

    def forward(
        self, t: Float[Tensor, "*each"], z: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim"]:
        """The derivative of states [batch, dim] or [runs, batch, dim] at time ``t``.

        Without runs each state may have its own time: [batch, 1].
        """
        lead = () if self.runs is None else (self.runs,)
        try:
            time = t if t.ndim else t.expand(*lead, 1, 1)
            first, *rest = self.layers
            x = first(time, z)
            for layer in rest:
                x = layer(time, torch.tanh(x))
            return x
        except Exception:
            _check_call(self, t, z)
            raise


def _check_call(field: PlanarField | ConcatSquashField, t: Tensor, z: Tensor) -> None:
    """Say what is wrong with the time or the states with which a field has failed, if anything."""
    lead = () if field.runs is None else (field.runs,)
    check_call(field, t, "z", z, *lead, "batch", field.dim)
