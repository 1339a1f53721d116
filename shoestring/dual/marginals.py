"""Marginals of a dual: how likely an example of a side is by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import evaluating
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


@dataclass(frozen=True, kw_only=True)
class Marginals:
    """Those of both sides; None where a side has none.

    `source`: of what the forward direction reads.
    `target`: of what it writes.
    """

    source: Any = None
    target: Any = None
