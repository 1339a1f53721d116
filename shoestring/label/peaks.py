"""How unsure a model is of a picture, by the peaks of its dense maps."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

_LEAST = 0.05  # of a peak: lower ones are background


def peak_doubts(logits_NCHW: Tensor) -> Tensor:
    """The doubt of each picture: N numbers, 0 or more; give all pictures of the pool at once.

    A peak is a place of a class that no neighbour exceeds. Its doubt is 1 minus the difference of
    the probabilities of "something is here" and "nothing is". A picture has the sum over its peaks,
    so that one with many unsure boxes is worth more than one with few. The sum of a class is
    divided by its mean over the pictures, so that a rare class counts as much as a frequent one.

    `logits_NCHW`: of the heat map of a detector, or of the mask of each class.
    Source: Brust, Käding & Denzler 2019, "Active Learning for Deep Object Detection", section 3.2
    (1-vs-2 margins, summed; weights against imbalance). Differs: the peaks of a map stand in for
    boxes, the margin is that of yes and no, and classes count by their doubts in place of their
    examples.
    """
    heat = logits_NCHW.sigmoid()
    peaks = (functional.max_pool2d(heat, 3, 1, 1) == heat) & (heat > _LEAST)
    doubts_NC = ((1 - (2 * heat - 1).abs()) * peaks).flatten(2).sum(2)
    return (doubts_NC / doubts_NC.mean(0).clamp(min=1e-9)).sum(1)
