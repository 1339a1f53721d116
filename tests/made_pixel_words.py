"""Digits as texts: each pixel that is not black is a word, which says where it is and how light."""

from __future__ import annotations

from dataclasses import replace

import torch
from getting import few_labels
from torch import Tensor, nn

from shoestring.kit import Supervised
from shoestring.models import NgramClassifier
from shoestring.tasks import digits

_LEVELS = 3
WORDS = 2 + 64 * _LEVELS
"""How many ids there are: padding, an unknown word, and those of the pixels."""


class BagOfPixels(NgramClassifier):
    """A bag of such words."""

    def __init__(self) -> None:
        super().__init__(WORDS, 10, width=128, dropout=0.0)
        nn.init.normal_(self.ids.weight, std=0.2)  # so that it knows most digits soon


def _words(images: Tensor) -> Tensor:
    """Ids N×64 of images N×1×8×8 in 0..1; 0 where a pixel is black."""
    levels = (images.flatten(1) * _LEVELS).round().long().clamp(0, _LEVELS)
    return torch.where(levels > 0, 1 + _LEVELS * torch.arange(64) + levels, levels)


def pixel_words(labels: int | None = None) -> Supervised:
    """The digits as texts; with a number of labels, the others are unlabelled."""
    whole = digits(batch_size=64) if labels is None else few_labels(labels, 0)
    train, validation, test = whole.train, whole.validation, whole.test
    assert isinstance(train[0], Tensor) and isinstance(validation[0], Tensor) and test is not None
    assert isinstance(test[0], Tensor)
    free = whole.unlabelled
    return replace(
        whole,
        train=(_words(train[0]), train[1]),
        validation=(_words(validation[0]), validation[1]),
        test=(_words(test[0]), test[1]),
        unlabelled=_words(free) if isinstance(free, Tensor) else None,
    )
