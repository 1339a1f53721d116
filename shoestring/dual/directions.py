"""Directions of a dual: how a model goes from one side to the other, whatever the sides are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import log, pi
from types import SimpleNamespace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core.entries import Call, calls_of
from shoestring.kit.sequences.decoding import Alphabet, beam, greedy, sampled

PADDING = 0


class Direction(ABC):
    """From one side of a dual to the other, as probabilities: p(wanted | given).

    A batch of a side is a tensor with N rows. The model of the direction is a part of the whole
    model, whose other part goes back.
    """

    @abstractmethod
    def of(self, predict: Any) -> Any:
        """The model of this direction inside a whole module or a loaded file."""

    @abstractmethod
    def entries(self, example: Any) -> Mapping[str, Call]:
        """The calls of the whole model that are calls of this part, by the entry's name.

        `example`: that of the direction's own task.
        """

    @abstractmethod
    def loss(self, part: Any, given: Tensor, wanted: Tensor) -> Tensor:
        """The loss of examples: a scalar tensor, a mean over items (pieces, pixels, labels)."""

    @abstractmethod
    def log_likelihood(self, part: Any, given: Tensor, wanted: Tensor) -> Tensor:
        """The log-probability, or log-density, of each example in nats: N, with gradients."""

    @abstractmethod
    def items(self, wanted: Tensor) -> Tensor:
        """Of how many items each example consists: N, at least 1."""

    @abstractmethod
    def sample(self, part: Any, given: Tensor) -> Tensor:
        """One example drawn for each row, by torch's generator; without gradients."""

    @abstractmethod
    def best(self, part: Any, given: Tensor, count: int) -> Tensor:
        """The likeliest examples found for each row: N·count rows, those of a row together.

        Raises ValueError where there are not so many.
        """

    @abstractmethod
    def is_empty(self, wanted: Tensor) -> Tensor:
        """Which examples say nothing: a sentence that is empty or has no end. N booleans."""


@final
@dataclass(frozen=True, kw_only=True)
class Sequences(Direction):
    """To sequences of ids, such as sentences in another language.

    Examples are ids N×T (int64), each with the id that ends it, 0 after that. The part is called as
    `part(given, target)`, with targets that begin with the id that starts a sequence, and returns
    logits N×T×V; it also has the entries `encode` and `step` (`kit.sequences`).

    `part`: the name of the part in the module.
    `alphabet`: the ids that start and end a sequence, and its longest.
    `encode`, `step`: the names of the part's entries in the whole model and in its file.
    `smoothing`: the share of probability that the loss spreads over all ids, 0 to 1.
    `reads`: makes what the part reads of what is given, where that is not the same: labels as ids.
    `growth`: items that are written at most for each item that is read, and ten more, above 0; a
        network that knows little goes on to the longest. None: up to the alphabet's longest.

    Raises ValueError for a growth out of range.
    """

    part: str
    alphabet: Alphabet
    encode: str = "encode"
    step: str = "step"
    smoothing: float = 0.1
    reads: Callable[[Tensor], Tensor] | None = None
    growth: float | None = None

    def __post_init__(self) -> None:
        if self.growth is not None and not self.growth > 0:
            raise ValueError(f"the growth is {self.growth}: it must be above 0, or None")

    def of(self, predict: Any) -> Any:
        """The part of a module, or the entries of a file under their own names."""
        if isinstance(predict, nn.Module):
            return predict.get_submodule(self.part)
        return SimpleNamespace(
            encode=getattr(predict, self.encode), step=getattr(predict, self.step)
        )

    def entries(self, example: Any) -> Mapping[str, Call]:
        """`encode` and `step`, under the names that they have here."""
        calls = calls_of(example)
        return {self.encode: calls["encode"], self.step: calls["step"]}

    def loss(self, part: Any, given: Tensor, wanted: Tensor) -> Tensor:
        """The cross-entropy of an item in nats, with label smoothing."""
        logits = part(self._read(given), self._target(wanted)[:, :-1])
        return functional.cross_entropy(
            logits.flatten(0, 1).float(),
            wanted.flatten(),
            ignore_index=PADDING,
            label_smoothing=self.smoothing,
        )

    def log_likelihood(self, part: Any, given: Tensor, wanted: Tensor) -> Tensor:
        """The sum over the items of each sequence."""
        logits = part(self._read(given), self._target(wanted)[:, :-1]).float()
        chosen = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
        return -(chosen.view(wanted.shape) * (wanted != PADDING)).sum(1)

    def items(self, wanted: Tensor) -> Tensor:
        """The ids of each sequence, with its end."""
        return (wanted != PADDING).sum(1).clamp(min=1)

    def sample(self, part: Any, given: Tensor) -> Tensor:
        """Sequences drawn id by id."""
        read = self._read(given)
        return sampled(part, (read,), self._alphabet(read))

    def best(self, part: Any, given: Tensor, count: int) -> Tensor:
        """The best sequences of a beam as wide as `count`; for 1, the likeliest id at each place.

        Raises ValueError for a beam wider than there are ids.
        """
        read = self._read(given)
        if count == 1:
            return greedy(part, (read,), self._alphabet(read))
        found, _ = beam(part, (read,), self._alphabet(read), beams=count, length_power=1.0)
        return found.flatten(0, 1)

    def is_empty(self, wanted: Tensor) -> Tensor:
        """Sequences that end at once, and those that were cut off at the longest."""
        ends = wanted == self.alphabet.end
        return ends[:, 0] | ~ends.any(1)

    def _read(self, given: Tensor) -> Tensor:
        return given if self.reads is None else self.reads(given)

    def _alphabet(self, read: Tensor) -> Alphabet:
        """The alphabet, whose longest is that of what was read where `growth` says so."""
        if self.growth is None:
            return self.alphabet
        most = int(self.growth * read.shape[1]) + 10
        return replace(self.alphabet, most=min(self.alphabet.most, most))

    def _target(self, wanted: Tensor) -> Tensor:
        return functional.pad(wanted, (1, 0), value=self.alphabet.start)


@final
@dataclass(frozen=True, kw_only=True)
class Classes(Direction):
    """To one of several classes: the part is a classifier, inputs N×… to logits N×C.

    `part`: the name of the part in the module, and of its entry in a file.
    """

    part: str

    def of(self, predict: Any) -> Any:
        """The classifier."""
        return getattr(predict, self.part)

    def entries(self, example: Any) -> Mapping[str, Call]:
        """The classifier, under its name."""
        return {self.part: calls_of(example)[""]}

    def loss(self, part: Any, given: Tensor, wanted: Tensor) -> Tensor:
        """The cross-entropy in nats."""
        return functional.cross_entropy(part(given).float(), wanted)

    def log_likelihood(self, part: Any, given: Tensor, wanted: Tensor) -> Tensor:
        """The log-probability of the class."""
        return -functional.cross_entropy(part(given).float(), wanted, reduction="none")

    def items(self, wanted: Tensor) -> Tensor:
        """One each."""
        return torch.ones_like(wanted)

    def sample(self, part: Any, given: Tensor) -> Tensor:
        """A class drawn for each input."""
        return part(given).softmax(-1).multinomial(1).squeeze(1)

    def best(self, part: Any, given: Tensor, count: int) -> Tensor:
        """The likeliest classes of each input; raises ValueError for more than there are."""
        logits = part(given)
        if count > logits.shape[-1]:
            raise ValueError(
                f"{count} classes of each input are asked for and there are {logits.shape[-1]}: "
                "ask for fewer"
            )
        return logits.topk(count, -1).indices.flatten()

    def is_empty(self, wanted: Tensor) -> Tensor:
        """None is."""
        return torch.zeros_like(wanted, dtype=torch.bool)


@final
@dataclass(frozen=True, kw_only=True)
class Gaussians(Direction):
    """To arrays of numbers, such as pictures: each number has a mean and a deviation of its own.

    The part takes what is given and returns the means and the logarithms of the deviations, both
    N×… in the shape of the examples.

    `part`: the name of the part in the module, and of its entry in a file.
    `least`: the smallest deviation; numbers that never vary would have an endless density. Above 0.
    `lowest`, `highest`: where samples are cut, as pixels are from 0 to 1.
    """

    part: str
    least: float = 0.1
    lowest: float = 0.0
    highest: float = 1.0

    def of(self, predict: Any) -> Any:
        """The part that gives means and deviations."""
        return getattr(predict, self.part)

    def entries(self, example: Any) -> Mapping[str, Call]:
        """The part, under its name."""
        return {self.part: calls_of(example)[""]}

    def loss(self, part: Any, given: Tensor, wanted: Tensor) -> Tensor:
        """Minus the log-density of a number, in nats."""
        return -(self.log_likelihood(part, given, wanted) / self.items(wanted)).mean()

    def log_likelihood(self, part: Any, given: Tensor, wanted: Tensor) -> Tensor:
        """The log-density of each array."""
        mean, deviation = self._given(part, given)
        apart = (wanted - mean) / deviation
        density = -0.5 * apart.square() - deviation.log() - 0.5 * log(2 * pi)
        return density.flatten(1).sum(1)

    def items(self, wanted: Tensor) -> Tensor:
        """The numbers of an array."""
        return torch.full((len(wanted),), wanted[0].numel(), device=wanted.device)

    def sample(self, part: Any, given: Tensor) -> Tensor:
        """An array drawn for each row."""
        mean, deviation = self._given(part, given)
        drawn = mean + deviation * torch.randn_like(mean)
        return drawn.clamp(self.lowest, self.highest)

    def best(self, part: Any, given: Tensor, count: int) -> Tensor:
        """The means; raises ValueError for a count above 1, as there is one likeliest array."""
        if count != 1:
            raise ValueError(
                f"{count} likeliest arrays are asked for and a density has one: draw them with "
                "Drawn() in place of Best()"
            )
        return self._given(part, given)[0]

    def is_empty(self, wanted: Tensor) -> Tensor:
        """None is."""
        return torch.zeros(len(wanted), dtype=torch.bool, device=wanted.device)

    def _given(self, part: Any, given: Tensor) -> tuple[Tensor, Tensor]:
        mean, logarithm = part(given)
        return mean, logarithm.float().exp().clamp(min=self.least)
