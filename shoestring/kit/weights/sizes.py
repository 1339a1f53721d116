"""Layers whose attributes say how large they are, set to the sizes of their weights."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from shoestring.kit.weights.parameters import Weight

RESIZABLE: tuple[Any, ...] = (
    nn.Linear,
    _ConvNd,
    _NormBase,
    nn.Embedding,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.PReLU,
)
"""Layers of torch that `resize` knows."""


def resize(weight: Weight, each: int | None = None) -> None:
    """Set the size attributes of the layer that owns a weight to the sizes of the weight.

    Layers of other classes are left alone.
    `each`: of a depthwise convolution, the outputs for each input channel. 0: the number of groups
        stays as it is, as when each group keeps a single channel of several. None: the layer is
        depthwise where its `groups` and `in_channels` are equal.
    """
    module: Any = weight.owners[0][0]
    name, shape = weight.owners[0][1], weight.raw.shape
    if isinstance(module, _NormBase):
        module.num_features = shape[0]
    elif name != "weight":
        return
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape
    elif isinstance(module, _ConvNd) and module.transposed:
        module.in_channels, module.out_channels = shape[0], shape[1] * module.groups
    elif isinstance(module, _ConvNd):
        if each is None and 1 < module.groups == module.in_channels:
            each = module.out_channels // module.groups
        if each:  # there are as many groups as channels
            module.groups = shape[0] // each
        module.out_channels, module.in_channels = shape[0], shape[1] * module.groups
    elif isinstance(module, nn.Embedding):
        module.embedding_dim = shape[1]
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        module.normalized_shape = tuple(shape)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = shape[0]
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = shape[0]
