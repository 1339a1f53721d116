"""The task of a generator: what a file of it is scored by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Predict, Task, Vary, seeded
from shoestring.core.entries import Call
from shoestring.generate.frechet import frechet_distance
from shoestring.generate.noise import Noise, Simulated, samples
from shoestring.generate.quality import features


@dataclass(frozen=True, eq=False, kw_only=True)
class Generation(Task):
    """Make pictures like those of a task: `save(generator, Generation(...), "digits.shoe")`.

    The score is the Fréchet distance from the pictures of a split, in the features of a classifier,
    below 0: higher is better, and 0 is best. `prove` reads that of the file itself. Its batches are
    what the generator takes; its loss is none, since `GAN` trains generators.

    `pictures`: a task whose inputs are pictures.
    `noise`: what the generator takes.
    `classifier`: whose features are compared (`features`).
    `count`: pictures that are made and compared, 2 or more.
    """

    pictures: Task
    noise: Noise | Simulated
    classifier: nn.Module
    count: int = 1000

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError(f"{self.count!r} pictures have no distance: give 2 or more")

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the pictures' task."""
        return f"pictures like {self.pictures.name}"

    @property
    def has_test(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the pictures' task has a test split."""
        return self.pictures.has_test

    def batches(
        self, split: str, *, model: Any = None
    ) -> Iterator[tuple[tuple[Tensor, ...], None]]:
        """Noise, and classes in turn, as many as there are pictures in each batch of the split."""
        for inputs, *_ in self.pictures.batches(split):
            count = len(inputs[0] if isinstance(inputs, tuple) else inputs)
            yield self.noise.drawn(self.noise.evenly(count)), None

    def loss(self, model: Any, batch: Any) -> Any:
        """None: raises TypeError."""
        raise TypeError("a generator has no loss without a discriminator: train it with GAN")

    def score(self, predict: Predict, split: str) -> float:
        """The Fréchet distance below 0."""
        made = samples(predict, self.noise, self.count).pictures
        real = _first(self.pictures.batches(split), self.count)
        ours, theirs = (features(self.classifier, one)[0].numpy() for one in (made, real))
        return -frechet_distance(ours, theirs)

    def example(self) -> Call:
        """Noise for two pictures, and their classes."""
        with seeded(0):
            drawn = self.noise.drawn(self.noise.evenly(2))
        return tuple(Vary(one, {0: "N"}) for one in drawn), {}


def _first(batches: Iterable[Any], count: int) -> Tensor:
    """The first pictures of batches, and all where there are fewer."""
    found: list[Tensor] = []
    for inputs, *_ in batches:
        found.append(inputs[0] if isinstance(inputs, tuple) else inputs)
        if sum(map(len, found)) >= count:
            break
    return torch.cat(found)[:count]
