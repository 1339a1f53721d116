"""Classification and its way back: pictures of a class, and sentences of a mood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from shoestring.core import Task, Vary, array
from shoestring.dual import (
    Classes,
    Direction,
    DualTask,
    Frequencies,
    Gaussians,
    Marginals,
    Pool,
    Sequences,
    TwoWay,
)
from shoestring.kit import Supervised
from shoestring.kit.sequences.decoding import Alphabet, log_likelihoods
from shoestring.models import Translator

_BATCH = 64
_CLASSES_DRAWN = 1024  # of a pass over the classes alone


@dataclass(frozen=True, eq=False)
class _Likely(Task):
    """How likely examples are by their class, in nats an item: the mean over a split.

    `likely`: of a module or file, classes and examples: a log-likelihood each, N.
    """

    of: Supervised
    direction: Direction
    inputs: Any = field(repr=False)
    likely: Any = field(repr=False)
    given: Any = field(repr=False)
    name: str = "examples of a class"

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Tensor, Tensor]]:
        examples, labels = getattr(self.of, split)
        for rows in torch.arange(len(labels)).split(256):
            yield labels[rows], self.inputs(examples[rows])

    def loss(self, model: Any, batch: Any) -> Tensor:
        return self.direction.loss(model, *batch)

    def score(self, predict: Any, split: str) -> float:
        sums = [0.0, 0.0]
        for labels, examples in self.batches(split):
            sums[0] += float(self.likely(predict, labels, examples).sum())
            sums[1] += float(self.direction.items(examples).sum())
        return sums[0] / sums[1]

    def example(self) -> Any:
        return self.given()


def pictures_both_ways(
    task: Supervised, pictures: Tensor | None = None, *, source: Any = None, least: float = 0.1
) -> DualTask:
    """A task of reading pictures and of making them by their class.

    The model is `nn.ModuleDict({"read": classifier, "portray": generator})`, with a generator such
    as `models.Portraits`. The score is that of the classifier.

    `task`: a classification of pictures, N×C×H×W from 0 to 1.
    `pictures`: those without a class; None for none.
    `source`: the marginal of pictures, a callable; None for none.
    `least`: the smallest deviation of a pixel, above 0.
    """
    backward = Gaussians(part="portray", least=least)

    def likely(predict: Any, labels: Tensor, examples: Tensor) -> Tensor:
        def part(given: Tensor) -> tuple[Tensor, Tensor]:
            mean, logarithm = predict(given)
            return torch.as_tensor(array(mean)), torch.as_tensor(array(logarithm))

        return backward.log_likelihood(part, labels, examples)

    back = _Likely(task, backward, _same, likely, lambda: ((torch.tensor([0, 1]),), {}))
    counts = _counts(task)
    return DualTask(
        ahead=task,
        back=back,
        forward=Classes(part="read"),
        backward=backward,
        marginals=Marginals(source=source, target=Frequencies(counts)),
        sources=() if pictures is None else Pool(pictures, _BATCH),
        targets=_classes_alone(counts),
        pair=_picture_and_class,
        shares=(1, 0),
        name=f"{task.name}, both ways",
    )


@dataclass(frozen=True, kw_only=True)
class Words:
    """Ids of words, and those besides that a writer of sentences needs.

    `words`: how many ids the sentences have; 0 is padding.
    `classes`: how many there are.
    `longest`: words of a sentence, with its end.
    """

    words: int
    classes: int = 2
    longest: int = 60

    @property
    def ids(self) -> int:
        """Of all: the words, a start, an end, and a word for each class."""
        return self.words + 2 + self.classes

    @property
    def alphabet(self) -> Alphabet:
        """The ids that start and end a sentence."""
        return Alphabet(start=self.words, end=self.words + 1, most=self.longest)

    def ended(self, ids: Tensor) -> Tensor:
        """Sentences N×T with the end of each, cut at `longest`."""
        ids = ids[:, : self.longest - 1]
        lengths = (ids != 0).sum(1)
        rows = torch.nn.functional.pad(ids[:, : max(1, int(lengths.max()))], (0, 1))
        rows[torch.arange(len(rows)), lengths] = self.words + 1
        return rows

    def of_class(self, labels: Tensor) -> Tensor:
        """The word of each class, N×1."""
        return (labels + self.words + 2).unsqueeze(1)

    def writer(self, *, width: int = 128, layers: int = 2, dropout: float = 0.3) -> Translator:
        """A network that writes sentences of a class, untrained."""
        return Translator(
            self.ids,
            width=width,
            layers=layers,
            hidden=2 * width,
            length=self.longest + 1,
            dropout=dropout,
        )


def sentences_both_ways(
    task: Supervised, words: Words, sentences: Tensor | None = None, *, source: Any = None
) -> DualTask:
    """A task of telling the class of sentences, and of writing sentences of a class.

    The model is `TwoWay(classifier, words.writer())`, whose classifier reads `words.ids` ids, such
    as `models.TextEncoder(words.ids)`. In a file its entries are `ahead` (the classifier),
    `encode_back` and `step_back`. The score is that of the classifier.

    `task`: a classification of ids N×T, 0 where there is no word, as `tasks.sst2` is.
    `words`: the ids.
    `sentences`: those without a class, N×T; None for none.
    `source`: the marginal of sentences, such as `dual.LanguageModel`; None for none.
    """
    backward = Sequences(
        part="back",
        alphabet=words.alphabet,
        encode="encode_back",
        step="step_back",
        smoothing=0.0,
        reads=words.of_class,
    )

    def likely(predict: Any, labels: Tensor, examples: Tensor) -> Tensor:
        target = torch.nn.functional.pad(examples, (1, 0), value=words.alphabet.start)
        return log_likelihoods(predict, (words.of_class(labels),), target)

    back = _Likely(task, backward, words.ended, likely, _no_example)
    counts = _counts(task)

    def pair(batch: Any) -> tuple[Tensor, Tensor]:
        (ids,), labels, *_ = batch
        return words.ended(ids), labels

    return DualTask(
        ahead=task,
        back=back,
        forward=Classes(part="ahead"),
        backward=backward,
        marginals=Marginals(source=source, target=Frequencies(counts)),
        sources=() if sentences is None else Pool(_as_lists(words, sentences), 40 * _BATCH),
        targets=_classes_alone(counts),
        pair=pair,
        shares=(1, 0),
        name=f"{task.name}, both ways",
    )


def with_states(task: DualTask, model: TwoWay, words: Words) -> DualTask:
    """The task of sentences with an example of this model's states, for files of it."""
    labels = words.of_class(torch.tensor([0, 1]))
    back = model.back.eval()
    with torch.no_grad():
        state = back.encode(labels)  # type: ignore[operator]
        after = {**state, **back.step(labels[:, 0], **state)}  # type: ignore[operator]
    held: dict[str, Any] = {}
    for name, value in state.items():
        grown = [a for a in range(1, value.ndim) if value.shape[a] != after[name].shape[a]]
        held[name] = Vary(after[name] if grown else value, {0: "N"} | dict.fromkeys(grown, "T"))
    calls = {
        "encode": ((Vary(labels, {0: "N"}),), {}),
        "step": ((Vary(labels[:, 0], {0: "N"}),), held),
    }
    assert isinstance(task.back, _Likely)
    return replace(task, back=replace(task.back, given=lambda: calls))


def _no_example() -> Any:
    raise ValueError(
        "what step() needs depends on the network: use with_states(task, model, words)"
    )


def _same(examples: Tensor) -> Tensor:
    return examples


def _picture_and_class(batch: Any) -> tuple[Tensor, Tensor]:
    (pictures,), labels, *_ = batch
    return pictures, labels


def _counts(task: Supervised) -> tuple[float, ...]:
    """How often each class is among the training labels."""
    _, labels = task.train
    return tuple(float(one) for one in torch.bincount(torch.as_tensor(labels)))


def _classes_alone(counts: Sequence[float]) -> Pool:
    """Classes without an example, in the shares of the labels; they cost nothing."""
    shares = torch.tensor(counts) / sum(counts)
    times = (shares * _CLASSES_DRAWN).round().long().clamp(min=1)
    return Pool(torch.arange(len(counts)).repeat_interleave(times), _BATCH)


def _as_lists(words: Words, sentences: Tensor) -> list[list[int]]:
    return [[one for one in row if one] for row in words.ended(sentences).tolist()]
