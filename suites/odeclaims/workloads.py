"""Named pieces of work, timed by the speed suite on every solver and by asv at every commit.

A workload is a field, a batch of states, output times and a tolerance, all from fixed seeds. The
caller chooses the way to the gradient, since that is what the suites compare. Weights and states
are float32, as in training. asv runs this file with older commits of ``neural_ode``, so it imports
nothing else of these packages.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural_ode.data import mnist
from neural_ode.networks import ConvField, MLPField, OdeClassifier


@dataclass(frozen=True)
class Problem:
    """A field, a batch of initial states and the output times, ready to be solved.

    Attributes:
        field: the field, with its parameters.
        y0: the initial states, shape [batch, *features].
        ts: the output times, shape [time].
        tol: relative and absolute tolerance.
        training: the net around the field, if it is trained with one; else ``None``.
    """

    field: nn.Module
    y0: Float[Tensor, "batch *features"]
    ts: Float[Tensor, " time"]
    tol: float
    training: "Training | None" = None


@dataclass(frozen=True)
class Training:
    """The other parts of a classifier around a field, and a batch to train all of it on.

    Attributes:
        stem, head: from images to states, and from states to logits.
        images, labels: the batch.
    """

    stem: nn.Module
    head: nn.Module
    images: Float[Tensor, "batch 1 28 28"]
    labels: Int[Tensor, " batch"]

    def loss(self, y1: Float[Tensor, "batch *features"]) -> Float[Tensor, ""]:
        """The mean cross-entropy of the final states."""
        return nn.functional.cross_entropy(self.head(y1), self.labels)


@dataclass(frozen=True)
class Workload:
    """One piece of work.

    Attributes:
        name: its name in the tables.
        what: its description, in one line.
        field: makes the field, with weights drawn from the generator.
        shape: the shape of the batch of states, which are standard normal.
        tol: relative and absolute tolerance.
        end: the last output time; the first is 0.
        times: how many output times there are, equally spaced.
        differentiated: whether a loss, the summed squares of the final states, is differentiated
            with respect to the initial states and the parameters.
        trains: whether the work is one iteration of training a whole net: forward pass, mean
            cross-entropy, backward pass, update.
    """

    name: str
    what: str
    field: Callable[[torch.Generator], nn.Module]
    shape: tuple[int, ...]
    tol: float
    end: float = 1.0
    times: int = 2
    differentiated: bool = False
    trains: bool = False

    def problem(self, device: str = "cpu") -> Problem:
        """The same problem at every call."""
        generator = torch.Generator().manual_seed(0)
        if self.trains:
            return _training(generator, self.shape[0], self.tol, device)
        field = self.field(generator).to(device)
        y0 = torch.randn(self.shape, generator=generator).to(device)
        return Problem(field, y0, torch.linspace(0, self.end, self.times, device=device), self.tol)


def _small(generator: torch.Generator) -> nn.Module:
    return MLPField(2, 32, generator=generator)


def _wide(generator: torch.Generator) -> nn.Module:
    return MLPField(64, 64, generator=generator)


def _conv(generator: torch.Generator) -> nn.Module:
    return ConvField(64, 32, generator=generator)


# On [0, 1] these smooth fields would take the same two steps at most tolerances.
_MLP_END = 10.0


def _training(generator: torch.Generator, batch: int, tol: float, device: str) -> Problem:
    """The ODE-Net on the first digits of MNIST; the states are those behind its stem."""
    net = OdeClassifier(generator=generator).to(device)
    data = mnist.load("train")
    images = mnist.normalised(data.images[:batch]).to(device)
    with torch.no_grad():
        y0 = net.stem(images)
    training = Training(net.stem, net.head, images, data.labels[:batch].to(device))
    return Problem(net.field, y0, torch.tensor([0.0, 1.0], device=device), tol, training)


_ALL = [
    Workload(
        "mlp_forward", "MLP 2-32-32-2, batch 64: all overhead", _small, (64, 2), 1e-3, _MLP_END
    ),
    Workload(
        "mlp_outputs",
        "the same with 50 output times: dense output",
        _small,
        (64, 2),
        1e-3,
        _MLP_END,
        times=50,
    ),
    Workload(
        "mlp_gradient",
        "the same at 1e-5, summed squares as loss",
        _small,
        (64, 2),
        1e-5,
        _MLP_END,
        differentiated=True,
    ),
    Workload("wide_forward", "MLP 64-64-64-64, batch 512", _wide, (512, 64), 1e-5, _MLP_END),
    Workload(
        "wide_gradient",
        "the same, summed squares as loss",
        _wide,
        (512, 64),
        1e-5,
        _MLP_END,
        differentiated=True,
    ),
    Workload(
        "conv_forward",
        "the ODE-Net's conv field on 64 x 6 x 6, batch 128",
        _conv,
        (128, 64, 6, 6),
        1e-3,
    ),
    Workload(
        "conv_gradient",
        "the same, summed squares as loss",
        _conv,
        (128, 64, 6, 6),
        1e-3,
        differentiated=True,
    ),
    Workload(
        "mnist_training",
        "one iteration of training the ODE-Net, batch 128, mean cross-entropy",
        _conv,
        (128, 64, 6, 6),
        1e-3,
        differentiated=True,
        trains=True,
    ),
]
WORKLOADS = {workload.name: workload for workload in _ALL}


def loss_of(ys: Float[Tensor, "time batch *features"]) -> Float[Tensor, ""]:
    """The loss of the differentiated workloads: the summed squares of the final states.

    Squares are summed since the conv field ends in a normalisation: its flow does not change the
    plain sum, whose adjoint would be constant. The function also takes arrays of JAX.
    """
    return (ys[-1] ** 2).sum()
