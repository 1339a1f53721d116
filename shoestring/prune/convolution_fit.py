"""What layers of a model see on training data, and cheaper layers fitted to what they answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, seeded
from shoestring.kit import clone
from shoestring.kit.surgery.on_batches import on_batches

_POSITIONS = 2**16
"""Output positions of a layer up to which whole examples are kept, one example at least."""
_ELEMENTS = 2**25
"""Elements of all patches of a layer's input up to which examples are used for a fit."""
_ROWS = 2**13
"""Output positions that a fit uses, drawn from all of them."""
_MOST_TERMS = 2048
"""Inputs of an output above which the last layer keeps its weights: the fit would take too long."""
_ROWS_A_TERM = 4
"""Positions for each input of an output, with fewer of which there is no fit."""
_RIDGE = 1e-3
"""Strength with which fitted weights are drawn to what they were, of the inputs' mean square."""


@dataclass(frozen=True)
class Seen:
    """What a layer saw and answered: inputs N×C×… and outputs N×C×…, in single precision."""

    inputs: Tensor
    outputs: Tensor

    @property
    def positions(self) -> int:
        """Output positions of an example."""
        return self.outputs[0, 0].numel()


def seen(model: nn.Module, task: Task, names: list[str], batches: int, who: str) -> dict[str, Seen]:
    """What the layers see on so many batches of the training split.

    A layer that is not called is left out; of one that is called several times in a run the calls
    are in one. `who`: names the technique in warnings about outliers.
    """
    pieces: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in names}

    def hook_for(name: str) -> Any:
        def hook(layer: Any, features: Tensor, output: Tensor) -> None:
            have = sum(piece[1][:, 0].numel() for piece in pieces[name])
            room = (_POSITIONS - have) // max(output[0, 0].numel(), 1)
            # A layer may be called with an image that has no axis for examples.
            if output.ndim == layer.weight.ndim and (room > 0 or not pieces[name]):
                first = slice(max(room, 1))
                pieces[name].append((_kept(features[first]), _kept(output[first])))

        return hook

    on_batches(model, task, {name: hook_for(name) for name in names}, batches, who)
    return {
        name: Seen(*(torch.cat(halves) for halves in zip(*same_size(found), strict=True)))
        for name, found in pieces.items()
        if found
    }


def _kept(features: Tensor) -> Tensor:
    """A copy in single precision: an in-place activation may change the features afterwards."""
    return features.detach().to("cpu", torch.float32, copy=True)


def same_size(found: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """The pieces of the first one's size: texts and sounds may have several lengths."""
    return [piece for piece in found if piece[0].shape[1:] == found[0][0].shape[1:]]


def fitted(layers: nn.Sequential, what: Seen) -> float:
    """Fit the last of some layers, in place, to what the layer that they replace answered.

    It is a least-squares fit on positions that are drawn with a fixed seed. Returns how much of the
    variance of the outputs the layers do not explain, 0 for all of it explained. Where there are
    too few positions for a fit, or the last layer has more than 2,048 inputs for an output, only
    its bias is fitted.
    """
    last: Any = layers[-1]
    # on a copy in single precision: half precision is slow and coarse
    plain: Any = clone(layers).float().cpu().eval()
    terms = last.weight[0].numel()
    positions = what.positions
    patches = last.in_channels * last.weight[0, 0].numel() * positions
    examples = max(1, min(len(what.inputs), _ELEMENTS // max(patches, 1)))
    with torch.no_grad():
        middle = plain[:-1](what.inputs[:examples])
        missing = what.outputs[:examples] - plain[-1](middle)
        rows = _drawn(examples * positions)
        wanted = _by_position(missing)[rows].double()
        total = _by_position(what.outputs[:examples])[rows].double()
        variance = float((total - total.mean(0)).square().sum())
        mean, spread = wanted.mean(0), wanted - wanted.mean(0)
        change = torch.zeros_like(mean)
        fits = terms <= _MOST_TERMS and len(rows) >= _ROWS_A_TERM * terms
        if fits:
            given = _by_position(_patches(plain[-1], middle))[rows].double()
            weight, change, spread = _least_squares(given, spread, last.groups)
            last.weight.add_(weight.reshape(last.weight.shape).to(last.weight))
        last.bias.add_((mean - change).to(last.bias))
        left = float(spread.square().sum())
    # as much more as it would be on positions that the fit has not seen
    return (
        left / max(variance, 1e-30) / (1 - terms / len(rows)) ** 2
        if fits
        else (left / max(variance, 1e-30))
    )


def _least_squares(given: Tensor, wanted: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Change of the weights, of the outputs' mean, and what of the outputs remains.

    `given`: positions × (groups, terms); `wanted`: positions × (groups, outputs of a group).
    """
    center = given.mean(0)
    inputs = (given - center).view(len(given), groups, -1).transpose(0, 1)
    outputs = wanted.view(len(wanted), groups, -1).transpose(0, 1)
    products = inputs.transpose(1, 2) @ inputs
    ridge = _RIDGE * products.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)
    products = products + ridge[:, None, None] * torch.eye(products.shape[1], dtype=torch.float64)
    found = torch.linalg.solve(products, inputs.transpose(1, 2) @ outputs)  # groups × terms × o
    left = (outputs - inputs @ found).transpose(0, 1).flatten(1)
    by_output = found.transpose(1, 2).flatten(0, 1)
    moved = (center.view(groups, 1, -1) * found.transpose(1, 2)).sum(2).flatten()
    return by_output, moved, left


def _patches(layer: Any, features: Tensor) -> Tensor:
    """What each output position of a convolution reads: N×(C, elements of a kernel)×…."""
    elements = layer.weight[0, 0].numel()
    with seeded(0):
        reader = type(layer)(
            layer.in_channels,
            layer.in_channels * elements,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            groups=layer.in_channels,
            bias=False,
            padding_mode=layer.padding_mode,
        )
    one = torch.eye(elements).view(elements, 1, *layer.kernel_size)
    reader.weight.copy_(one.repeat(layer.in_channels, *[1] * (one.ndim - 1)))
    return reader(features)


def _by_position(features: Tensor) -> Tensor:
    """N×C×… as (N, …)×C."""
    return features.movedim(1, -1).flatten(0, -2)


def _drawn(positions: int) -> Tensor:
    """Indices of the positions that a fit uses, in order."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(positions, generator=generator)[:_ROWS].sort().values
