"""Data sets: bundled or generated, so that nothing is ever fetched from a network."""

from neural_ode.data import mnist
from neural_ode.data.mnist import MNIST
from neural_ode.data.toys import (
    Points,
    concentric_spheres,
    crossing,
    shifted_sines,
    split_wedge,
)

__all__ = [
    "MNIST",
    "Points",
    "concentric_spheres",
    "crossing",
    "mnist",
    "shifted_sines",
    "split_wedge",
]
