"""Fields and the models built around them."""

from neural_ode.networks.classifiers import (
    ImageClassifier,
    OdeClassifier,
    conv_stem,
    mlp_classifier,
    res_stem,
    residual_classifier,
)
from neural_ode.networks.conv import ConvField
from neural_ode.networks.mlp import MLPField

__all__ = [
    "ConvField",
    "ImageClassifier",
    "MLPField",
    "OdeClassifier",
    "conv_stem",
    "mlp_classifier",
    "res_stem",
    "residual_classifier",
]
