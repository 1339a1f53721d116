"""How unsure a model is of a picture, by the peaks of its dense maps."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

_LEAST = 0.05  # of a peak: lower ones are background


def peak_doubts(logits_NCHW: Tensor) -> Tensor:
    """The doubt of each picture: N numbers, 0 or more.

    A peak is a place of a class that no neighbour exceeds. Its doubt is 1 minus the difference of
    the probabilities of "something is here" and "nothing is", and that of a picture is the sum over
    its peaks, so that a picture with many unsure boxes is worth more than one with few.

    `logits_NCHW`: of the heat map of a detector, or of the mask of each class.
    Source: Brust, Käding & Denzler 2019, "Active Learning for Deep Object Detection", section 3.2
    (1-vs-2 margins, summed). Differs: the peaks of a map stand in for boxes, and the margin is that
    of yes and no.
    """
    heat = logits_NCHW.sigmoid()
    peaks = (functional.max_pool2d(heat, 3, 1, 1) == heat) & (heat > _LEAST)
    return ((1 - (2 * heat - 1).abs()) * peaks).flatten(1).sum(1)
