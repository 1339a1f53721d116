"""What a generator makes pictures of: noise and classes, or pictures of a simulator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

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


@dataclass(frozen=True, eq=False)
class Simulated:
    """Pictures of a simulator, in place of noise: a generator that takes them refines them.

    `pictures`: N×C×H×W, made by a program that knows what it drew.
    `labels`: what it drew, N; None: nobody needs to know.

    Raises ValueError for what is not N×C×H×W of finite real numbers, with one picture or more, and
    for labels that are not one integer a picture.
    """

    classes: ClassVar[None] = None
    """A refiner is not told what a picture shows."""

    pictures: Tensor = field(repr=False)
    labels: Tensor | None = field(default=None, repr=False)
    digest: str = field(init=False)
    """Of the pictures: two trainings on different ones are told apart by it."""

    def __post_init__(self) -> None:
        given = self.pictures
        real = isinstance(given, Tensor) and given.is_floating_point()
        if not real or given.ndim != 4 or not len(given) or not given.isfinite().all():
            what = f"{list(given.shape)} of {given.dtype}" if isinstance(given, Tensor) else given
            raise ValueError(
                f"the simulated pictures are {what}: give a tensor of real numbers N×C×H×W, one "
                "picture or more, without NaN or infinity"
            )
        object.__setattr__(self, "pictures", given.float())
        labels = self.labels
        if labels is not None and (labels.shape != given.shape[:1] or labels.is_floating_point()):
            raise ValueError(
                f"{len(given)} simulated pictures have labels {list(labels.shape)} of "
                f"{labels.dtype}: give one integer each"
            )
        data = self.pictures.detach().cpu().contiguous().numpy().tobytes()
        object.__setattr__(self, "digest", hashlib.sha256(data).hexdigest()[:16])

    def drawn(self, labels: Tensor) -> tuple[Tensor, ...]:
        """As many pictures as there are labels N, from torch's generator."""
        rows = torch.randint(len(self.pictures), (len(labels),))
        return (self.pictures[rows].to(labels.device),)

    def evenly(self, count: int) -> Tensor:
        """Zeros for `count` pictures, since nothing is told of them."""
        return torch.zeros(count, dtype=torch.int64)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Pictures that a generator made.

    `pictures`: N×C×H×W.
    `labels`: what it was told to make, or of `refined` what the simulator drew, N; None: neither.
    """

    pictures: Tensor
    labels: Tensor | None


def samples(
    generator: Callable[..., Any], noise: Noise | Simulated, count: int | Tensor, *, seed: int = 0
) -> Samples:
    """Pictures of a generator, a module in evaluation mode or a loaded file.

    `count`: how many, 1 or more, of all classes in turn; or what to make, labels N.

    Raises ValueError for labels where the generator is not told what to make.
    """
    if isinstance(count, Tensor) and noise.classes is None:
        raise ValueError(
            f"a generator that takes {noise!r} is not told what to make, and {len(count)} labels "
            "were given: give a number of pictures, train it with Noise(classes=...), or take "
            "refined(generator, simulated), whose pictures have the simulator's labels"
        )
    labels = count if isinstance(count, Tensor) else noise.evenly(count)
    mode = evaluating(generator) if isinstance(generator, nn.Module) else nullcontext()
    with seeded(seed), mode, torch.no_grad():
        parts = [array(generator(*noise.drawn(part))) for part in labels.split(_PART)]
    pictures = torch.cat([torch.from_numpy(part) for part in parts])
    return Samples(pictures=pictures, labels=None if noise.classes is None else labels)


def refined(refiner: Callable[..., Any], simulated: Simulated) -> Samples:
    """Each simulated picture as a refiner makes it, with its label.

    `refiner`: a module in evaluation mode or a loaded file, from pictures to pictures.

    Raises ValueError where it gives pictures of another shape.
    """
    mode = evaluating(refiner) if isinstance(refiner, nn.Module) else nullcontext()
    with mode, torch.no_grad():
        parts = [array(refiner(part)) for part in simulated.pictures.split(_PART)]
    pictures = torch.cat([torch.from_numpy(part) for part in parts])
    if pictures.shape != simulated.pictures.shape:
        raise ValueError(
            f"the refiner makes {list(pictures.shape)} of {list(simulated.pictures.shape)}: it "
            "must give a picture of the same shape for each"
        )
    return Samples(pictures=pictures, labels=simulated.labels)
