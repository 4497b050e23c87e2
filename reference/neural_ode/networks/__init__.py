"""Fields and the models built around them."""

from neural_ode.networks.conv import ConvField, OdeClassifier, conv_stem
from neural_ode.networks.mlp import MLPField

__all__ = ["ConvField", "MLPField", "OdeClassifier", "conv_stem"]
