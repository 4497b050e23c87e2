"""The latent ODE and the recurrent nets, those of all seeds as one module.

Tensors have a first dimension of seeds, and so do weights, so that an update costs little more than
that of one model. No seed enters another one's model. They share the steps of the solver, whose
error norm is that of the seed with the largest error.

Source: Chen et al. 2018, sec. 5.1 and appendix E, and torchdiffeq's ``latent_ode.py``: a recurrent
encoder of 25 units that runs backwards, 4 latent dimensions, a field and a decoder with hidden
layers of 20 units (ELU in the field, ReLU in the decoder), a standard normal prior and a Gaussian
likelihood of known deviation. The recurrent baselines have 25 units and the same likelihood.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from neural_ode import Backprop, solve
from neural_ode.networks.mlp import initialise
from odeclaims.claims.latent_ode_spirals.settings import BEYOND, LATENT, WINDOW
from odeclaims.claims.latent_ode_spirals.spirals import STEP, at_places

UNITS, LATENT_DIM, HIDDEN = 25, 4, 20
# A net sees time differences in units of so many steps of the grid.
GAP_UNIT = 10
# Far more steps than a solve takes that comes to an end.
STEP_LIMIT = 2000

Series = Float[Tensor, "seeds series count 2"]
Places = Int64[Tensor, "seeds series count"]
Latent = Float[Tensor, "seeds series latent"]


class Linear(nn.Module):
    """Linear layers, one a seed, with torch's default initialisation.

    Args:
        inputs: the size of an input.
        outputs: the size of an output.
        generators: the sources of the weights, one for each seed.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        layers = [nn.Linear(inputs, outputs) for _ in generators]
        for layer, generator in zip(layers, generators, strict=True):
            initialise(layer, generator)
        self.weight = nn.Parameter(torch.stack([each.weight.detach().mT for each in layers]))
        self.bias = nn.Parameter(torch.stack([each.bias.detach()[None] for each in layers]))

    def forward(self, x: Float[Tensor, "seeds *batch inputs"]) -> Float[Tensor, "seeds *batch out"]:
        """What the layer of each seed makes of its batch."""
        y = torch.baddbmm(self.bias, x.flatten(1, -2), self.weight)
        return y.view(*x.shape[:-1], -1)


def mlp(
    sizes: Sequence[int], activation: nn.Module, generators: Sequence[torch.Generator]
) -> nn.Sequential:
    """Linear layers with an activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [Linear(inputs, outputs, generators), activation]
    return nn.Sequential(*layers[:-1])


class Recurrent(nn.Module):
    """A recurrent layer: tanh of a linear map of input and state, or a gated recurrent unit.

    Args:
        inputs: the size of an input.
        gated: whether it is a gated recurrent unit.
        generators: the sources of the weights, one for each seed.
    """

    def __init__(self, inputs: int, gated: bool, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.gated, outputs = gated, UNITS * (3 if gated else 1)
        self.of_input = Linear(inputs, outputs, generators)
        self.of_state = Linear(UNITS, outputs, generators)

    def step(
        self, driven: Float[Tensor, "seeds series outputs"], h: Float[Tensor, "seeds series units"]
    ) -> Float[Tensor, "seeds series units"]:
        """The next state, from what ``of_input`` makes of an input and from the state."""
        kept = self.of_state(h)
        if not self.gated:
            return torch.tanh(driven + kept)
        gates = torch.sigmoid(driven[..., : 2 * UNITS] + kept[..., : 2 * UNITS])
        reset, update = gates.split(UNITS, dim=-1)
        new = torch.tanh(driven[..., 2 * UNITS :] + reset * kept[..., 2 * UNITS :])
        return new + update * (h - new)

    def forward(
        self, x: Float[Tensor, "count seeds series inputs"]
    ) -> Float[Tensor, "count seeds series units"]:
        """The states after each input of a series, from a state of zeros."""
        driven = self.of_input(x.transpose(0, 1)).transpose(0, 1)
        states = [x.new_zeros(*x.shape[1:3], UNITS)]
        for each in driven.unbind():
            states.append(self.step(each, states[-1]))
        return torch.stack(states[1:])


def with_gaps(
    x: Float[Tensor, "seeds series count 2"], gaps: Float[Tensor, "seeds series count"]
) -> Float[Tensor, "count seeds series 3"]:
    """Points with a time difference each, and the first dimension for the points."""
    return torch.cat([x, gaps[..., None] / GAP_UNIT], dim=-1).permute(2, 0, 1, 3)


class LatentOde(nn.Module):
    """An encoder of observed points, a field in the latent space, and a decoder.

    The latent state is that of the first point of the window, observed or not.

    Args:
        layers: hidden layers of the field.
        deviation: of the Gaussian likelihood.
        generators: the sources of the weights, one for each seed.
    """

    def __init__(
        self, layers: int, deviation: float, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.deviation = deviation
        self.encoder = Recurrent(3, False, generators)
        self.posterior = Linear(UNITS, 2 * LATENT_DIM, generators)
        self.net = mlp([LATENT_DIM, *[HIDDEN] * layers, LATENT_DIM], nn.ELU(), generators)
        self.decoder = mlp([LATENT_DIM, HIDDEN, 2], nn.ReLU(), generators)
        self.evaluations = 0

    def encode(self, x: Series, places: Places) -> tuple[Latent, Latent]:
        """Mean and log variance of the posterior of the latent state at the start of the window.

        The encoder goes backwards; with a point it sees how far it is to the one before.
        """
        gaps = places.diff(dim=-1, prepend=torch.zeros_like(places[..., :1])).to(x)
        h = self.encoder(with_gaps(x, gaps).flip(0))[-1]
        mean, log_variance = self.posterior(h).chunk(2, dim=-1)
        return mean, log_variance

    def flow(
        self, z0: Latent, points: int, tolerance: float
    ) -> Float[Tensor, "seeds series points latent"]:
        """The latent states at the first points of the grid, from the start of the window."""
        ts = STEP * torch.arange(points, dtype=z0.dtype)
        solution = solve(lambda t, z: self.net(z), z0, ts, gradient=Backprop(), **at(tolerance))
        self.evaluations += solution.stats.nfe_forward
        return solution.ys.permute(1, 2, 0, 3)

    def losses(
        self, x: Series, places: Places, draw: Latent, tolerance: float
    ) -> Float[Tensor, " seeds"]:
        """The mean negative ELBO of a series, but for its constant, by one draw of the posterior.

        Args:
            x: observed points.
            places: where in the window they are.
            draw: standard normal numbers.
            tolerance: of the solve.
        """
        mean, log_variance = self.encode(x, places)
        z0 = mean + (log_variance / 2).exp() * draw
        zs = at_places(self.flow(z0, WINDOW, tolerance), places)
        return _misfit(self.decoder(zs), x, self.deviation) + kl(mean, log_variance).mean(dim=1)

    def predict(
        self, x: Series, places: Places, tolerance: float
    ) -> Float[Tensor, "seeds series points 2"]:
        """The window and the points beyond it, from the mean of the posterior."""
        return self.decoder(self.trajectories(x, places, tolerance))

    def trajectories(
        self, x: Series, places: Places, tolerance: float
    ) -> Float[Tensor, "seeds series points latent"]:
        """The latent states of ``predict``."""
        return self.flow(self.encode(x, places)[0], WINDOW + BEYOND, tolerance)


class Predictor(nn.Module):
    """A recurrent net that says from the points up to one what the next one is.

    Args:
        gated: whether its layer is a gated recurrent unit.
        sees_time: whether it is told the time to the next point.
        deviation: of the Gaussian likelihood.
        generators: the sources of the weights, one for each seed.
    """

    def __init__(
        self,
        gated: bool,
        sees_time: bool,
        deviation: float,
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__()
        self.sees_time, self.deviation = sees_time, deviation
        self.layer = Recurrent(3 if sees_time else 2, gated, generators)
        self.head = Linear(UNITS, 2, generators)

    def inputs(
        self, x: Float[Tensor, "seeds series count 2"], gaps: Float[Tensor, "seeds series count"]
    ) -> Float[Tensor, "count seeds series inputs"]:
        """What the layer sees: points, with the time to the next one where it is told."""
        return with_gaps(x, gaps)[..., : 3 if self.sees_time else 2]

    def losses(
        self, x: Series, places: Places, draw: Latent, tolerance: float
    ) -> Float[Tensor, " seeds"]:
        """The mean negative log likelihood of a series but for its constant, point by point.

        Args:
            x: observed points.
            places: where in the window they are.
            draw: not used, nor is ``tolerance``.
        """
        states = self.layer(self.inputs(x[..., :-1, :], places.diff(dim=-1).to(x)))
        return _misfit(self._outputs(states), x[..., 1:, :], self.deviation)

    def _outputs(self, states: Float[Tensor, "count seeds series units"]) -> Series:
        return self.head(states.permute(1, 2, 0, 3))

    def predict(
        self, x: Series, places: Places, tolerance: float
    ) -> Float[Tensor, "seeds series beyond 2"]:
        """The points beyond the window, each from the net's own ones before it.

        A net that is not told the time goes on by one step for each point.
        """
        last = (WINDOW - places[..., -1:]).to(x)
        gaps = torch.cat([places.diff(dim=-1).to(x), last], dim=-1)
        h = self.layer(self.inputs(x, gaps))[-1]
        found, one = [self.head(h)], torch.ones_like(last)
        for _ in range(BEYOND - 1):
            (driven,) = self.inputs(found[-1][..., None, :], one)
            h = self.layer.step(self.layer.of_input(driven), h)
            found.append(self.head(h))
        return torch.stack(found, dim=2)


def _misfit(y: Series, x: Series, deviation: float) -> Float[Tensor, " seeds"]:
    """Half the squared distances in units of the deviation, summed over a series; their mean."""
    return ((y - x) / deviation).square().sum(dim=(2, 3)).mean(dim=1) / 2


def kl(mean: Latent, log_variance: Latent) -> Float[Tensor, "seeds series"]:
    """The Kullback-Leibler divergence of a diagonal normal from the standard normal, in nats."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=-1) / 2


def make(
    arm: str, deviation: float, generators: Sequence[torch.Generator]
) -> LatentOde | Predictor:
    """The models of an arm, one for each seed."""
    if arm in LATENT:
        return LatentOde(1 + LATENT.index(arm), deviation, generators)
    return Predictor(arm.startswith("gru"), arm.endswith("dt"), deviation, generators)


def parameters(model: nn.Module) -> int:
    """The trained numbers of one seed."""
    return sum(each[0].numel() for each in model.parameters())


def largest_rms(x: Float[Tensor, "seeds *state"]) -> Float[Tensor, ""]:
    """The root mean square of the entries of each seed, the largest of them."""
    return x.flatten(1).square().mean(dim=1).sqrt().max()


def at(tolerance: float) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for a tolerance that every seed meets."""
    limits = {"rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT}
    return {"method": "dopri5", "norm": largest_rms, **limits}
