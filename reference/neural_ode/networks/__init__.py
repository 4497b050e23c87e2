"""Fields and the models built around them."""

from neural_ode.networks.augmented import (
    OdeModel,
    ReluField,
    ResidualModel,
    SecondOrderField,
    augmented_model,
    input_layer_model,
    second_order_model,
)
from neural_ode.networks.classifiers import (
    ImageClassifier,
    OdeClassifier,
    conv_stem,
    mlp_classifier,
    res_stem,
    residual_classifier,
)
from neural_ode.networks.conv import ConvField
from neural_ode.networks.image_odes import ImageField, ImageOdeModel
from neural_ode.networks.mlp import MLPField

__all__ = [
    "ConvField",
    "ImageClassifier",
    "ImageField",
    "ImageOdeModel",
    "MLPField",
    "OdeClassifier",
    "OdeModel",
    "ReluField",
    "ResidualModel",
    "SecondOrderField",
    "augmented_model",
    "conv_stem",
    "input_layer_model",
    "mlp_classifier",
    "res_stem",
    "residual_classifier",
    "second_order_model",
]
