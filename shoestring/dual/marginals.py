"""Marginals of a dual: how likely an example of a side is by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import evaluating
from shoestring.dual.directions import Direction
from shoestring.kit import clone
from shoestring.kit.sequences.decoding import Alphabet


class Marginal(Protocol):
    """The log-probability, or log-density, of examples without the other side.

    Any callable will do. Techniques call it without gradients.
    """

    def __call__(self, examples: Tensor) -> Tensor:
        """Of each example, in nats: N."""
        ...


@final
@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A marginal of sequences, by a language model.

    `module`: takes ids N×(T+1) and gives the log-probability in nats of each id after the first,
        N×T, as `models.WordLSTM` does.
    `alphabet`: the ids that start and end a sequence.
    """

    module: nn.Module
    alphabet: Alphabet

    def __call__(self, examples: Tensor) -> Tensor:
        """The sum over the ids of each sequence N×T, with its end."""
        rows = functional.pad(examples, (1, 0), value=self.alphabet.start)
        with evaluating(self.module), torch.no_grad():
            likely = self.module(rows)
        return (likely.float() * (examples != 0)).sum(1)


@final
@dataclass(frozen=True)
class Frequencies:
    """A marginal of classes, by how frequent each is.

    `counts`: of each class; one is added to each, so that no class is impossible.
    Raises ValueError for no classes or a count below 0.
    """

    counts: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 0:
            raise ValueError(f"counts of classes are {self.counts}: give numbers of 0 or more")

    def __call__(self, examples: Tensor) -> Tensor:
        """The log of the frequency of each class."""
        counts = torch.tensor(self.counts, dtype=torch.float32) + 1
        return (counts / counts.sum()).log()[examples]


@final
@dataclass(frozen=True, eq=False)
class Mixture:
    """A marginal of examples by what a direction from classes to them says: all classes together.

    log of the sum over the classes of p(class) p(example | class). It is on the scale of the
    direction, where a marginal from elsewhere may be so much better or worse that no p(class |
    example) explains the difference; and as good as the part was when it was given.

    `direction`: from classes to examples.
    `part`: its model, which was trained; a copy is kept, which training does not change.
    `counts`: how frequent each class is.
    """

    direction: Direction
    part: nn.Module
    counts: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "part", clone(self.part).requires_grad_(False))

    def __call__(self, examples: Tensor) -> Tensor:
        """Of each example, in nats; it costs as much as the direction does for each class."""
        shares = Frequencies(self.counts)(torch.arange(len(self.counts)))
        with evaluating(self.part), torch.no_grad():
            likely = [
                share
                + self.direction.log_likelihood(
                    self.part, torch.full((len(examples),), number), examples
                )
                for number, share in enumerate(shares)
            ]
        return torch.stack(likely).logsumexp(0)


@dataclass(frozen=True, kw_only=True)
class Marginals:
    """Those of both sides; None where a side has none.

    `source`: of what the forward direction reads.
    `target`: of what it writes.
    """

    source: Any = None
    target: Any = None
