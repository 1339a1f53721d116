"""A moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move an average of a network's weights and buffers to those after `step` steps, in place.

    Source: Polyak & Juditsky 1992; Tarvainen & Valpola 2017, section 3.

    `average`: a copy of the network.
    `decay`: the share of the average that stays, 0 to 1; less in the first steps.
    `step`: 1 or more.
    """
    decay = min(decay, step / (step + 10))
    for mine, theirs in zip(_tensors(average), _tensors(network), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs.to(mine), 1 - decay)
        else:
            mine.copy_(theirs)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
