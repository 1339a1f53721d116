"""Texts made here for models that predict the next word."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from shoestring.core import seeded
from shoestring.tasks import NextWord


def text(words: int, length: int, seed: int) -> Tensor:
    """A text in which the class of a word (its remainder by 10) tells that of the next.

    The class after c is 3·c + 1, nine times in ten; within a class words are drawn by Zipf's law.
    """
    with seeded(seed):
        likely = (torch.rand(length) < 0.9).tolist()
        noise = torch.randint(0, 10, (length,)).tolist()
        members = words // 10
        weights = 1 / torch.arange(1, members + 1)
        ranks = torch.multinomial(weights, length, replacement=True).tolist()
    ids, kind = [], 0
    for place in range(length):
        kind = (3 * kind + 1) % 10 if likely[place] else noise[place]
        ids.append(kind + 10 * ranks[place])
    return torch.tensor(ids)


def sentences(words: int = 100, **settings: Any) -> NextWord:
    """A task of such texts, in windows of 16 words."""
    splits = {
        split: text(words, length, seed)
        for seed, (split, length) in enumerate(
            {"train": 8000, "validation": 1000, "test": 1000}.items()
        )
    }
    return NextWord(**splits, **{"words": words, "window": 16, **settings})
