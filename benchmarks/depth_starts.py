"""Starts of a deep plain network from a shallower one: layer by layer, and from trained layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoestring.kit import Supervised, Training, clone, train
from shoestring.models import PlainNetwork


def deepened(shallow: nn.Module, deep: PlainNetwork) -> PlainNetwork:
    """The deep network, in place, with the layers of the shallow one.

    Each stage begins with the shallow network's layers; the rest stay as they are.
    Source: Simonyan & Zisserman 2015, section 3.1 (a pretrained start).
    """
    given = _stages(shallow)
    for mine, theirs in zip(_stages(deep), given, strict=True):
        for layer, trained in zip(mine, theirs, strict=False):
            layer.load_state_dict(trained.state_dict())
    deep.last.load_state_dict(shallow.last.state_dict())  # type: ignore[union-attr]
    return deep


def with_identities(shallow: nn.Module, deep: PlainNetwork, task: Supervised) -> PlainNetwork:
    """The same, whose other layers hand on what comes in, on a batch of the task.

    Source: Chen, Goodfellow & Shlens 2016, Net2Net, section 2.4.
    """
    deepened(shallow, deep)
    handles = []
    for mine, theirs in zip(_stages(deep), _stages(shallow), strict=True):
        for layer in mine[len(theirs) :]:
            nn.init.dirac_(layer[0].weight)  # type: ignore[arg-type]
            handles.append(layer[1].register_forward_pre_hook(_undone))
    deep.train()
    with torch.no_grad():
        deep(next(iter(task.batches("train")))[0][0])
    for handle in handles:
        handle.remove()
    return deep


def _undone(norm: nn.Module, args: tuple[Tensor]) -> None:
    """Set a norm's scale and shift such that it gives what it gets."""
    values = args[0].transpose(0, 1).flatten(1)
    norm.weight.copy_((values.var(1, correction=0) + norm.eps).sqrt())  # type: ignore[operator]
    norm.bias.copy_(values.mean(1))  # type: ignore[operator]


def layer_wise(
    task: Supervised, depths: Sequence[int], width: int, training: Training
) -> nn.Module:
    """A plain network that grows: trained at each depth but the last, then deepened by identities.

    Source: Bengio et al. 2007, "Greedy layer-wise training of deep networks", with labels.
    """
    model = PlainNetwork(depths[0], width)
    for depth in depths[1:]:
        model = with_identities(train(model, task, training), PlainNetwork(depth, width), task)
    return clone(model)


def _stages(model: nn.Module) -> list[list[nn.Sequential]]:
    """The layers of each stage; the first convolution belongs to the first."""
    layers = list(model.layers)  # type: ignore[arg-type]
    each = (len(layers) - 1) // 3
    return [
        layers[: each + 1],
        layers[each + 1 : 2 * each + 1],
        layers[2 * each + 1 :],
    ]
