"""The classifiers that Table 1 of Chen et al. 2018 compares, and the controls it lacks.

All convolutional ones share a down-sampling stem and a linear head and differ in what lies between:
residual blocks, the flow of a field, or nothing at all.

Source: the released example (torchdiffeq, ``examples/odenet_mnist.py``), whose authors note that it
differs from the architecture of the paper, sec. 3, which was not released.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import (
    MOST_LAYERS,
    check_choice,
    check_count,
    check_input,
    check_keywords,
    check_module,
    check_tensor,
)
from neural_ode.networks.conv import ConvField, check_groups
from neural_ode.networks.mlp import initialise
from neural_ode.solution import Stats
from neural_ode.solve import solve

CLASSES = 10


class ResBlock(nn.Module):
    """A residual block with its activations first: ``x + conv(relu(norm(conv(relu(norm(x))))))``.

    Args:
        channels: the number of channels, in and out.
        groups: the number of groups of each normalisation.
        stride: the step of the first convolution; above 1 the shortcut is a convolution too, of the
            normalised input.

    Raises:
        ValueError: for a number below 1, or groups that do not divide the channels.
        TypeError: for an argument of another type. What it is called with is checked as well.

    Source: He et al., Identity mappings in deep residual networks, 2016, with GroupNorm.
    """

    def __init__(self, channels: int = 64, groups: int = 32, *, stride: int = 1) -> None:
        super().__init__()
        check_groups(channels, groups)
        check_count("stride", stride)
        self.channels = channels
        self.norm1 = nn.GroupNorm(groups, channels)
        self.shortcut = (
            nn.Conv2d(channels, channels, kernel_size=1, stride=stride, bias=False)
            if stride > 1
            else None
        )
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels new_height new_width"]:
        """The feature maps after the block."""
        try:
            out = torch.relu(self.norm1(x))
            kept = x if self.shortcut is None else self.shortcut(out)
            out = self.conv1(out)
            return kept + self.conv2(torch.relu(self.norm2(out)))
        except Exception:
            check_input(self, "x", x, "batch", self.channels, "height", "width")
            raise


class OdeBlock(nn.Module):
    """The flow of a field over [0, 1].

    Attributes:
        stats: the cost of the last solve; ``None`` before the first.

    Args:
        field: the field.
        solver: keyword arguments of ``solve``, such as ``rtol`` and ``gradient``.

    Raises:
        TypeError: for a field that is not a module, a keyword that ``solve`` does not know, or
            states that are not a floating-point tensor.
    """

    def __init__(self, field: nn.Module, **solver: Any) -> None:
        super().__init__()
        check_module("field", field)
        check_keywords(solver, solve)
        self.field, self.solver = field, solver
        self.stats: Stats | None = None

    def forward(self, x: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch *features"]:
        """The states at time 1."""
        check_tensor("x", x)
        solution = solve(self.field, x, x.new_tensor([0.0, 1.0]), **self.solver)
        self.stats = solution.stats
        return solution.ys[-1]


class ImageLayers(nn.Sequential):
    """Layers for MNIST images; they say so when they are called with anything else."""

    # A Sequential takes one argument, whatever its stub says.
    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Tensor:  # type: ignore[override]
        """What the last layer gives."""
        try:
            return super().forward(images)
        except Exception:
            check_input(self, "images", images, "batch", 1, 28, 28)
            raise


def conv_stem(channels: int = 64, groups: int = 32) -> nn.Sequential:
    """From MNIST images [batch, 1, 28, 28] to feature maps [batch, channels, 6, 6]."""
    check_groups(channels, groups)
    return ImageLayers(
        nn.Conv2d(1, channels, kernel_size=3),
        nn.GroupNorm(groups, channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=4, stride=2, padding=1),
        nn.GroupNorm(groups, channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=4, stride=2, padding=1),
    )


def res_stem(channels: int = 64, groups: int = 32) -> nn.Sequential:
    """The same by two residual blocks, to feature maps [batch, channels, 7, 7]."""
    check_groups(channels, groups)
    return ImageLayers(
        nn.Conv2d(1, channels, kernel_size=3),
        ResBlock(channels, groups, stride=2),
        ResBlock(channels, groups, stride=2),
    )


STEMS: dict[str, Callable[[int, int], nn.Sequential]] = {"conv": conv_stem, "res": res_stem}


class ImageClassifier(nn.Module):
    """Stem, middle and linear head for MNIST images.

    Args:
        middle: what lies between, from feature maps to feature maps of the same shape.
        channels: channels of the feature maps; 64 in the released example.
        downsampling: ``"conv"`` or ``"res"``, the two stems of the released example.
        generator: the source of the initial weights.

    Raises:
        ValueError: for another ``downsampling``, or channels that cannot be normalised: more than
            32 have to be a multiple of 32.
        TypeError: for an argument of another type. What it is called with is checked as well.
    """

    def __init__(
        self,
        middle: nn.Module,
        channels: int = 64,
        *,
        downsampling: str = "conv",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_module("middle", middle)
        check_choice("downsampling", downsampling, STEMS)
        groups = group_count(channels)
        self.stem = STEMS[downsampling](channels, groups)
        self.middle = middle
        self.head = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, CLASSES),
        )
        initialise(self, generator)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        """The logits."""
        return self.head(self.middle(self.stem(images)))


def group_count(channels: int) -> int:
    """How many groups each normalisation has: 32, as in the released example, where there are."""
    check_count("channels", channels)
    return min(32, channels)


class OdeClassifier(ImageClassifier):
    """The classifier whose middle is the flow of a ``ConvField`` over [0, 1].

    With backpropagation through the solver it is the paper's RK-Net, with the adjoint its ODE-Net.

    Args:
        channels, downsampling, generator: as for ``ImageClassifier``.
        solver: keyword arguments of ``solve`` for the block, such as ``rtol`` and ``gradient``.
    """

    def __init__(
        self,
        channels: int = 64,
        *,
        downsampling: str = "conv",
        generator: torch.Generator | None = None,
        **solver: Any,
    ) -> None:
        block = OdeBlock(ConvField(channels, group_count(channels)), **solver)
        super().__init__(block, channels, downsampling=downsampling, generator=generator)

    @property
    def block(self) -> OdeBlock:
        """The middle."""
        return cast(OdeBlock, self.middle)

    @property
    def field(self) -> nn.Module:
        """The field."""
        return self.block.field

    @property
    def stats(self) -> Stats | None:
        """The cost of the last solve; ``None`` before the first."""
        return self.block.stats


def residual_classifier(
    blocks: int = 6,
    channels: int = 64,
    *,
    downsampling: str = "conv",
    generator: torch.Generator | None = None,
) -> ImageClassifier:
    """The classifier whose middle is a stack of residual blocks: the paper's ResNet has six.

    One block and none are the controls without which a comparison with it says little.
    """
    check_count("blocks", blocks, 0, MOST_LAYERS)
    groups = group_count(channels)
    middle = nn.Sequential(*[ResBlock(channels, groups) for _ in range(blocks)])
    return ImageClassifier(middle, channels, downsampling=downsampling, generator=generator)


def mlp_classifier(hidden: int = 300, *, generator: torch.Generator | None = None) -> nn.Sequential:
    """One hidden layer on the pixels, 784-300-10, with tanh.

    Source: LeCun et al. 1998, sec. III-C; the paper's Table 1 quotes its error.
    """
    check_count("hidden", hidden)
    layers = ImageLayers(
        nn.Flatten(), nn.Linear(28 * 28, hidden), nn.Tanh(), nn.Linear(hidden, CLASSES)
    )
    initialise(layers, generator)
    return layers
