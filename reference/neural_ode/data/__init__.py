"""Data sets: bundled or generated, so that nothing is ever fetched from a network."""

from neural_ode.data import mnist
from neural_ode.data.mnist import MNIST

__all__ = ["MNIST", "mnist"]
