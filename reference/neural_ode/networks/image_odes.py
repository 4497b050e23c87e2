"""The image classifiers of the ANODE paper: a flow of the pixels themselves, then a linear head.

There is no convolutional stem before the flow, so that what a flow cannot do shows: with features
extracted beforehand the ODE layer hardly matters, its first author notes.

Source: Dupont et al., Augmented Neural ODEs, 2019, sec. 5, and the code released with it
(``anode/conv_models.py``).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import check_call, check_count, check_counts, check_flag, check_input
from neural_ode.networks.classifiers import CLASSES, OdeBlock
from neural_ode.networks.mlp import initialise
from neural_ode.solution import Stats


class ImageField(nn.Module):
    """Convolutions 1x1, 3x3, 1x1 with ReLU between them, on the channels of an image.

    Args:
        channels: the channels of the state.
        filters: the channels between the convolutions.
        time_dependent: whether each convolution sees the time as one more channel, constant over
            the image.

    Raises:
        ValueError: for fewer than one channel or filter.
        TypeError: for an argument of another type. What it is called with is checked as well.
    """

    def __init__(self, channels: int, filters: int, *, time_dependent: bool = False) -> None:
        super().__init__()
        check_count("channels", channels)
        check_count("filters", filters)
        check_flag("time_dependent", time_dependent)
        self.channels = channels
        self.time_dependent = time_dependent
        extra = int(time_dependent)
        self.conv1 = nn.Conv2d(channels + extra, filters, kernel_size=1)
        self.conv2 = nn.Conv2d(filters + extra, filters, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(filters + extra, channels, kernel_size=1)

    def forward(
        self, t: Float[Tensor, "*each"], y: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The derivative at time ``t``, or at one for each, for a batch of images."""
        try:
            x = torch.relu(self.conv1(self._with_time(t, y)))
            x = torch.relu(self.conv2(self._with_time(t, x)))
            return self.conv3(self._with_time(t, x))
        except Exception:
            check_call(self, t, "y", y, "batch", self.channels, "height", "width")
            raise

    def _with_time(self, t: Tensor, y: Tensor) -> Tensor:
        if not self.time_dependent:
            return y
        return torch.cat([y, t.expand(y.shape[0], 1, *y.shape[2:])], dim=1)


class ChannelPad(nn.Module):
    """``augment_dim`` channels of zeros behind those of an image."""

    def __init__(self, augment_dim: int) -> None:
        super().__init__()
        self.augment_dim = augment_dim

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch more_channels height width"]:
        """The padded images."""
        return nn.functional.pad(x, (0, 0, 0, 0, 0, self.augment_dim))


class ImageOdeModel(nn.Module):
    """``head(flow(lift(image)))``: a NODE of the pixels, or with ``augment_dim`` an ANODE.

    On MNIST the paper sets 92 filters without augmentation against 64 with five channels of zeros,
    which have almost the same number of parameters.

    Args:
        filters: the channels inside the field.
        augment_dim: how many channels of zeros are appended to an image.
        time_dependent: whether the field depends on time. The parameter counts of the paper are
            those of fields that do not, the released configuration has fields that do.
        shape: channels, height and width of an image.
        shrink: pixels of a side of the square whose mean becomes one pixel of the state; 1 as
            published.
        generator: the source of the initial weights.
        solver: keyword arguments of ``solve``, such as ``rtol`` and ``gradient``.

    Raises:
        ValueError: for a negative ``augment_dim``, a number below 1 elsewhere, or a ``shrink`` that
            does not divide height and width.
        TypeError: for an argument of another type, or a keyword that ``solve`` does not know. What
            it is called with is checked as well.
    """

    def __init__(
        self,
        filters: int,
        *,
        augment_dim: int = 0,
        time_dependent: bool = False,
        shape: tuple[int, int, int] = (1, 28, 28),
        shrink: int = 1,
        generator: torch.Generator | None = None,
        **solver: Any,
    ) -> None:
        super().__init__()
        check_count("augment_dim", augment_dim, 0)
        check_counts("shape", shape, 3)
        check_count("shrink", shrink)
        self.shape = shape
        channels, height, width = shape
        if height % shrink or width % shrink:
            raise ValueError(f"shrink is {shrink}, expected a divisor of {height} and {width}")
        channels, height, width = channels + augment_dim, height // shrink, width // shrink
        field = ImageField(channels, filters, time_dependent=time_dependent)
        pad = ChannelPad(augment_dim)
        self.lift = nn.Sequential(nn.AvgPool2d(shrink), pad) if shrink > 1 else pad
        self.block = OdeBlock(field, **solver)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, CLASSES))
        initialise(self, generator)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 10"]:
        """The logits."""
        try:
            return self.head(self.block(self.lift(images)))
        except Exception:
            check_input(self, "images", images, "batch", *self.shape)
            raise

    @property
    def field(self) -> nn.Module:
        """The field."""
        return self.block.field

    @property
    def stats(self) -> Stats | None:
        """The cost of the last solve; ``None`` before the first."""
        return self.block.stats
