"""Kinds of cheaper convolutions, each made from the weights of the dense one that it replaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from shoestring.kit.surgery.in_sequence import POINT, convolution_like, in_sequence, whole
from shoestring.prune.thin_pair import largest_rank, thin_pair


class Kind(Protocol):
    """What may replace a dense convolution. A frozen dataclass, so that its `repr` is its name."""

    def of(self, layer: Any) -> nn.Sequential | None:
        """Layers that answer nearly as a convolution (nn.Conv1d, 2d or 3d) does, with a bias.

        None where this kind does not fit the layer's shape.
        """
        ...


def _at_least_one(what: str, number: int) -> None:
    if number < 1:
        raise ValueError(f"{what} {number}: give 1 or more")


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"the share is {share}: it must be above 0 and below 1")


@dataclass(frozen=True)
class DepthwiseSeparable:
    """A convolution of each channel by itself, and a pointwise (1×1) one that mixes the channels.

    The kernels of an input channel, one for each output, are a matrix; its largest singular
    directions are the depthwise kernels.
    Source: Guo et al. 2018, section 3.2 (network decoupling); Howard et al. 2017 (MobileNet).

    `terms`: how many depthwise kernels each input channel gets, 1 or more.
    """

    terms: int = 1

    def __post_init__(self) -> None:
        _at_least_one("the terms are", self.terms)

    def of(self, layer: Any) -> nn.Sequential | None:
        """None for one input channel, kernels of one element, or as many terms as elements."""
        weight = _weight(layer)  # outputs × inputs × elements
        outputs, inputs, elements = weight.shape
        if inputs == 1 or self.terms >= min(outputs, elements):
            return None
        left, values, right = torch.linalg.svd(weight.transpose(0, 1), full_matrices=False)
        kernels = right[:, : self.terms]  # inputs × terms × elements
        mixed = left[:, :, : self.terms] * values[:, None, : self.terms]
        middle = inputs * self.terms
        halves = (
            convolution_like(layer, inputs, middle, groups=inputs, **whole(layer)),
            convolution_like(layer, middle, outputs, bias=True, **POINT),
        )
        mixing = mixed.permute(1, 0, 2)  # outputs × inputs × terms
        return in_sequence(layer, halves, (kernels, mixing), _bias(layer))


@dataclass(frozen=True)
class BlueprintSeparable:
    """A pointwise (1×1) convolution, and then a convolution of each output channel by itself.

    The kernels of an output channel, one for each input, are a matrix; its largest singular
    directions are the depthwise kernels.
    Source: Haase & Amthor 2020 (blueprint separable convolutions); weights: Guo et al. 2018,
    section 3.2.

    `terms`: how many pointwise channels each output channel has, 1 or more.
    """

    terms: int = 1

    def __post_init__(self) -> None:
        _at_least_one("the terms are", self.terms)

    def of(self, layer: Any) -> nn.Sequential | None:
        """None for one output channel, kernels of one element, or as many terms as elements."""
        weight = _weight(layer)
        outputs, inputs, elements = weight.shape
        if outputs == 1 or self.terms >= min(inputs, elements):
            return None
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        mixing = (left[:, :, : self.terms] * values[:, None, : self.terms]).transpose(1, 2)
        middle = outputs * self.terms
        halves = (
            convolution_like(layer, inputs, middle, **POINT),
            convolution_like(layer, middle, outputs, groups=outputs, bias=True, **whole(layer)),
        )
        return in_sequence(layer, halves, (mixing, right[:, : self.terms]), _bias(layer))


@dataclass(frozen=True)
class SpatiallySeparable:
    """Columns and then rows: a k×k convolution as a k×1 one to fewer channels and a 1×k one.

    Source: Jaderberg et al. 2014, section 2.1 (scheme 2).

    `share`: of the layer's operations that the two take at most, above 0 and below 1.
    `multiple`: channels between them that are more than this go in multiples of it, 1 or more.
    """

    share: float = 0.34
    multiple: int = 8

    def __post_init__(self) -> None:
        _check_share(self.share)
        _at_least_one("channels in multiples of", self.multiple)

    def of(self, layer: Any) -> nn.Sequential | None:
        """None for anything but an nn.Conv2d whose kernel is longer than 1 both ways."""
        if layer.weight.ndim != 4 or 1 in layer.kernel_size:
            return None
        weight = layer.weight.detach().double().cpu()
        outputs, inputs, height, width = weight.shape
        rank = largest_rank(self.share, inputs * height, outputs * width, self.multiple)
        matrix = weight.permute(1, 2, 0, 3).reshape(inputs * height, outputs * width)
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        if rank >= len(values):
            return None
        scale = values[:rank].sqrt()
        columns = (left[:, :rank] * scale).T  # rank × (inputs, height)
        rows = (scale[:, None] * right[:rank]).reshape(rank, outputs, width).transpose(0, 1)
        halves = (
            convolution_like(layer, inputs, rank, **_along(layer, 0)),
            convolution_like(layer, rank, outputs, bias=True, **_along(layer, 1)),
        )
        return in_sequence(layer, halves, (columns, rows), _bias(layer))


@dataclass(frozen=True)
class LowRankConvolution:
    """A convolution to fewer channels, and a pointwise (1×1) one back, as `LowRank` makes them.

    Source: Denton et al. 2014; Zhang et al. 2016, section 2.1. Differs: the directions are those of
    the weights, since what replaces a layer is fitted to the layer's outputs afterwards.

    `share`: of the layer's operations that the two take at most, above 0 and below 1.
    `multiple`: channels between them that are more than this go in multiples of it, 1 or more.
    """

    share: float = 0.5
    multiple: int = 8

    def __post_init__(self) -> None:
        _check_share(self.share)
        _at_least_one("channels in multiples of", self.multiple)

    def of(self, layer: Any) -> nn.Sequential | None:
        """None where the share leaves as many channels as there are."""
        weight = _weight(layer).flatten(1)
        outputs, inputs = weight.shape
        rank = largest_rank(self.share, outputs, inputs, self.multiple)
        if rank >= min(outputs, inputs):
            return None
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        scale = values[:rank].sqrt()
        first, second = scale[:, None] * right[:rank], left[:, :rank] * scale
        return thin_pair(layer, first, second, _bias(layer))


class Shuffled(nn.Module):
    """Channels in another order.

    `order`: for each channel of the output, which channel of the input it is.
    """

    order: Tensor
    weight = None  # it has none, as an activation

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)

    def forward(self, features: Tensor) -> Tensor:
        """Features N×C×… to N×C×…."""
        return features.index_select(1, self.order)


@dataclass(frozen=True)
class Grouped:
    """A group convolution behind a shuffle of its input channels.

    Each group of outputs reads as many input channels as it can, those of which most weight comes,
    so that the shuffle is chosen by the weights. A shuffle that changes nothing is left out.
    Source: Zhang et al. 2018 (ShuffleNet). Differs: the order of channels is found, not fixed.

    `groups`: 2 or more.
    `least`: channels of a group, 1 or more. With fewer than 16, ONNX Runtime takes longer for the
        groups than for one dense layer (docs/structure.md has the measurements).
    """

    groups: int = 2
    least: int = 16

    def __post_init__(self) -> None:
        if self.groups < 2:
            raise ValueError(f"there are {self.groups} groups: give 2 or more")
        _at_least_one("the least channels of a group are", self.least)

    def of(self, layer: Any) -> nn.Sequential | None:
        """None where the groups do not divide the channels, or are too small."""
        weight = _weight(layer)
        outputs, inputs, _ = weight.shape
        if outputs % self.groups or inputs % self.groups:
            return None
        if min(outputs, inputs) < self.least * self.groups:
            return None
        energies = weight.square().sum(2).reshape(self.groups, -1, inputs).sum(1)
        order = _order(energies)
        convolution = convolution_like(
            layer, inputs, outputs, groups=self.groups, bias=True, **whole(layer)
        )
        by_group = weight.reshape(self.groups, outputs // self.groups, inputs, -1)
        inside = [
            rows[:, members]
            for rows, members in zip(by_group, order.view(self.groups, -1), strict=True)
        ]
        shuffle = [] if bool((order.diff() == 1).all()) else [Shuffled(order)]
        return in_sequence(layer, (*shuffle, convolution), (torch.stack(inside),), _bias(layer))


def _order(energies: Tensor) -> Tensor:
    """The order of the inputs in which the groups' blocks have the most energy together.

    `energies`: groups × inputs.
    """
    from scipy.optimize import linear_sum_assignment

    groups, inputs = energies.shape
    seats = energies.repeat_interleave(inputs // groups, 0)  # a row for each place of a group
    _, chosen = linear_sum_assignment(-seats.numpy())
    order = torch.from_numpy(chosen).view(groups, -1)
    return order.sort(1).values.flatten()


def _weight(layer: Any) -> Tensor:
    """The weights, outputs × inputs × elements of a kernel, in double precision."""
    return layer.weight.detach().double().cpu().flatten(2)


def _bias(layer: Any) -> Tensor:
    """The bias; zeros where there is none, since the fit to the outputs may need one."""
    if layer.bias is None:
        return torch.zeros(layer.out_channels, dtype=torch.float64)
    return layer.bias.detach().double().cpu()


def _along(layer: Any, axis: int) -> dict[str, Any]:
    """The arguments of a convolution that does what a layer does along one axis of an image."""

    def only(values: Any, other: int) -> Any:
        if isinstance(values, str):  # "same" or "valid", which both halves then are
            return values
        return tuple(value if index == axis else other for index, value in enumerate(values))

    return {
        "kernel": only(layer.kernel_size, 1),
        "stride": only(layer.stride, 1),
        "padding": only(layer.padding, 0),
        "dilation": only(layer.dilation, 1),
    }
