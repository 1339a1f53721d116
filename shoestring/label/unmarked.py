"""Training on partly marked pictures: what nobody marked is not taken for background."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shoestring.kit.boxes.maps import Maps

_NEAR = 0.01  # heat of a place within a quarter of a side of a marked centre


@dataclass(frozen=True, kw_only=True)
class Forgiving:
    """How much a place of a partly marked picture counts as background.

    Give it to a `CentreLoss` as `unmarked`, or call it in a loss of your own over any dense map of
    logits. In a completely marked picture everything counts fully. In another, places around a
    marked box count fully too, as the annotator has looked there; any other place counts `weight`,
    and nothing for the class of which the model is surest there, where it is surer than `above`.

    Source: Wu et al. 2019, "Soft Sampling for Robust Object Detection" (a low weight far from what
    is marked); Zhang et al. 2020, "Solving Missing-Annotation Object Detection with Background
    Recalibration Loss" (confident places are no background). Differs: confident places are left out
    and do not become centres, of one class a place; and the weight has two levels.

    `weight`: of an unmarked place, 0 to 1; about the share of the boxes that are marked is good. 0
        leaves nothing that teaches what background is.
    `above`: the probability from which on an unmarked place does not count, 0 to 1; 1: never.
    Raises ValueError for numbers out of range.
    """

    weight: float = 0.1
    above: float = 0.3

    def __post_init__(self) -> None:
        for name in ("weight", "above"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} is {value}: give a number from 0 to 1")

    def __call__(self, logits_NCHW: Tensor, maps: Maps) -> Tensor:
        """Factors N×C×H×W, from 0 to 1."""
        near = maps.heat.amax(1, keepdim=True) > _NEAR
        known = near | maps.complete[:, None, None, None]
        heat = logits_NCHW.sigmoid()
        found = (heat > self.above) & (heat == heat.amax(1, keepdim=True))
        return torch.where(known, 1.0, torch.where(found, 0.0, self.weight))
