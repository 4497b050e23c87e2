"""The convolutional field and the classifier of torchdiffeq's MNIST example.

Source: the released example (torchdiffeq, ``examples/odenet_mnist.py``), whose authors note that it
differs from the architecture of Chen et al. 2018, sec. 3, which was not released.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.networks.mlp import initialise
from neural_ode.solution import Stats
from neural_ode.solve import solve


class _TimeConv(nn.Module):
    """A 3x3 convolution that sees the time as one more channel, constant over the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + 1, channels, kernel_size=3, padding=1)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        time = t.expand(x.shape[0], 1, *x.shape[2:])
        return self.conv(torch.cat([time, x], dim=1))


class ConvField(nn.Module):
    """Norm, ReLU, conv, norm, ReLU, conv, norm, where each convolution sees the time.

    GroupNorm, because statistics over a batch would differ from one evaluation to the next.

    Args:
        channels: the number of channels of the state.
        groups: the number of groups of each normalisation.
        generator: the source of the initial weights, as for ``MLPField``.
    """

    def __init__(
        self, channels: int = 64, groups: int = 32, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv1 = _TimeConv(channels)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = _TimeConv(channels)
        self.norm3 = nn.GroupNorm(groups, channels)
        initialise(self, generator)

    def forward(
        self, t: Float[Tensor, ""], y: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The derivative at time ``t`` for a batch of feature maps."""
        y = self.conv1(t, torch.relu(self.norm1(y)))
        y = self.conv2(t, torch.relu(self.norm2(y)))
        return self.norm3(y)


def conv_stem(channels: int = 64, groups: int = 32) -> nn.Sequential:
    """From MNIST images [batch, 1, 28, 28] to feature maps [batch, channels, 6, 6]."""
    return nn.Sequential(
        nn.Conv2d(1, channels, kernel_size=3),
        nn.GroupNorm(groups, channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=4, stride=2, padding=1),
        nn.GroupNorm(groups, channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=4, stride=2, padding=1),
    )


class OdeClassifier(nn.Module):
    """The ODE-Net for MNIST: stem, the flow of a ``ConvField`` over [0, 1], and a linear head.

    Args:
        channels: channels of the feature maps; 64 gives the 208,266 parameters of the example.
        generator: the source of the initial weights.
        solver: keyword arguments of ``solve`` for the block, such as ``rtol`` and ``gradient``.
    """

    def __init__(
        self, channels: int = 64, *, generator: torch.Generator | None = None, **solver
    ) -> None:
        super().__init__()
        groups = min(32, channels)
        self.stem = conv_stem(channels, groups)
        self.field = ConvField(channels, groups)
        self.head = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, 10),
        )
        self.solver = solver
        self.stats: Stats | None = None
        initialise(self, generator)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        """The logits; ``self.stats`` then holds the cost of the solve."""
        features = self.stem(images)
        ts = features.new_tensor([0.0, 1.0])
        solution = solve(self.field, features, ts, **self.solver)
        self.stats = solution.stats
        return self.head(solution.ys[-1])
