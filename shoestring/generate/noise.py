"""What a generator makes pictures of: noise, and classes where it is told what to make."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import array, seeded
from shoestring.core.task import evaluating

_PART = 500  # pictures of a call


@dataclass(frozen=True)
class Noise:
    """Normal noise N×size, and classes N where the generator takes them.

    `size`: numbers of which a picture is made, 1 or more.
    `classes`: how many classes there are; None: the generator is not told what to make.

    Raises ValueError for numbers out of range.
    """

    size: int = 64
    classes: int | None = None

    def __post_init__(self) -> None:
        if self.size < 1 or (self.classes is not None and self.classes < 2):
            raise ValueError(
                f"noise of size {self.size!r} and {self.classes!r} classes: give a size of 1 or "
                "more, and 2 classes or more or None"
            )

    def drawn(self, labels: Tensor) -> tuple[Tensor, ...]:
        """The inputs of a generator, one for each of the labels N, which tell it what to make.

        From torch's generator. Labels are left out where it is not told what to make.
        """
        noise = torch.randn(len(labels), self.size, device=labels.device)
        return (noise,) if self.classes is None else (noise, labels)

    def evenly(self, count: int) -> Tensor:
        """Labels for `count` pictures, of all classes in turn; 0 where there are none."""
        return torch.arange(count) % (self.classes or 1)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Pictures that a generator made.

    `pictures`: N×C×H×W.
    `labels`: what it was told to make, N; None: it was not told.
    """

    pictures: Tensor
    labels: Tensor | None


def samples(
    generator: Callable[..., Any], noise: Noise, count: int | Tensor, *, seed: int = 0
) -> Samples:
    """Pictures of a generator, a module in evaluation mode or a loaded file.

    `count`: how many, 1 or more, of all classes in turn; or what to make, labels N.
    """
    labels = count if isinstance(count, Tensor) else noise.evenly(count)
    mode = evaluating(generator) if isinstance(generator, nn.Module) else nullcontext()
    with seeded(seed), mode, torch.no_grad():
        parts = [array(generator(*noise.drawn(part))) for part in labels.split(_PART)]
    pictures = torch.cat([torch.from_numpy(part) for part in parts])
    return Samples(pictures=pictures, labels=None if noise.classes is None else labels)
