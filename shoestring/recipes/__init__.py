"""Results end to end: task, model, techniques and the number to expect. A recipe is a function."""

from shoestring.recipes.baselines import baseline
from shoestring.recipes.channels import channels_resnet
from shoestring.recipes.deep_compression import deep_compression
from shoestring.recipes.digits import digits_lenet
from shoestring.recipes.int8 import int8_resnet, int8_transformer
from shoestring.recipes.rate import rate_cifar, rate_lenet
from shoestring.recipes.xnor import xnor_convnet

__all__ = [
    "baseline",
    "channels_resnet",
    "deep_compression",
    "digits_lenet",
    "int8_resnet",
    "int8_transformer",
    "rate_cifar",
    "rate_lenet",
    "xnor_convnet",
]
