"""The convolutional field of torchdiffeq's MNIST example (``examples/odenet_mnist.py``)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import check_call, check_count
from neural_ode.networks.mlp import initialise


class _TimeConv(nn.Module):
    """A 3x3 convolution that sees the time as one more channel, constant over the image.

    A convolution is linear, so the share of that channel is ``t`` times what the channel's weights
    make of ones. It is computed for one image and added to the others, which costs less than a
    channel more for every image.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + 1, channels, kernel_size=3, padding=1)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        weight = self.conv.weight
        ones = x.new_ones(1, 1, *x.shape[2:])
        of_time = nn.functional.conv2d(ones, weight[:, :1], padding=1)
        return nn.functional.conv2d(x, weight[:, 1:], self.conv.bias, padding=1) + t * of_time


class ConvField(nn.Module):
    """Norm, ReLU, conv, norm, ReLU, conv, norm, where each convolution sees the time.

    GroupNorm, because statistics over a batch would differ from one evaluation to the next.

    Args:
        channels: the number of channels of the state.
        groups: the number of groups of each normalisation.
        generator: the source of the initial weights, as for ``MLPField``.

    Raises:
        ValueError: for a number below 1, or groups that do not divide the channels.
        TypeError: for an argument of another type. What it is called with is checked as well.
    """

    def __init__(
        self, channels: int = 64, groups: int = 32, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        check_groups(channels, groups)
        self.channels = channels
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv1 = _TimeConv(channels)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = _TimeConv(channels)
        self.norm3 = nn.GroupNorm(groups, channels)
        initialise(self, generator)

    def forward(
        self, t: Float[Tensor, "*each"], y: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The derivative at time ``t``, or at one for each, for a batch of feature maps."""
        try:
            x = self.conv1(t, torch.relu(self.norm1(y)))
            x = self.conv2(t, torch.relu(self.norm2(x)))
            return self.norm3(x)
        except Exception:
            check_call(self, t, "y", y, "batch", self.channels, "height", "width")
            raise


def check_groups(channels: int, groups: int) -> None:
    """Check that channels can be normalised in so many groups."""
    check_count("channels", channels)
    check_count("groups", groups)
    if channels % groups:
        raise ValueError(f"channels is {channels}, expected a multiple of the {groups} groups")
