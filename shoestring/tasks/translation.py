"""Translating sentences, as a Task whose score is BLEU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.artifact.errors import missing
from shoestring.core import Predict, Task, Vary, evaluating
from shoestring.kit import SkippedWarning
from shoestring.kit.sequences.decoding import Alphabet, beam, greedy, log_likelihoods
from shoestring.tasks.pieces import END, PADDING, START, Pieces, rows_of

Pairs = Sequence[tuple[str, str]]
_SPLITS = ("train", "validation", "test")
_AT_ONCE = 100  # sentences that are translated together


@dataclass(frozen=True, kw_only=True)
class Greedy:
    """The likeliest piece at each place."""

    def write(self, predict: Any, source: Tensor, alphabet: Alphabet) -> Tensor:
        """Ids N×T for sources N×S."""
        return greedy(predict, (source,), alphabet)


@dataclass(frozen=True, kw_only=True)
class Beam:
    """The best sentence of a beam: slower, and mostly half a point of BLEU to one better.

    `beams`: how many sentences are followed, 1 or more.
    `length_power`: by which power of its length a sentence's log-probability is divided.
    """

    beams: int = 4
    length_power: float = 1.0

    def write(self, predict: Any, source: Tensor, alphabet: Alphabet) -> Tensor:
        """Ids N×T for sources N×S."""
        found, _ = beam(
            predict, (source,), alphabet, beams=self.beams, length_power=self.length_power
        )
        return found[:, 0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Translation(Task):
    """Translate sentences; the score is BLEU on the decoded text, as a share: 0 to 1.

    In training the model gets `model(source, target)`, ids N×S and N×T, and returns logits
    N×T×pieces of the piece after each of the target. For scoring it has the entries `encode` and
    `step` (`kit.sequences`), as `models.Translator` has. The loss is the cross-entropy in nats with
    label smoothing, as a mean over the pieces of a batch.

    BLEU is sacrebleu's, of the whole split, with its own splitting into words (13a) and case.
    `scores` has `log_likelihood`, the mean of a piece in nats.

    `train`, `validation`, `test`: pairs of a sentence and its translation.
    `pieces`: the vocabulary of both languages.
    `tokens`: pieces of a training batch in the longer of source and target, with padding.
    `smoothing`: the share of probability that is spread over all pieces in training, 0 to 1.
    `longest`: pieces of a sentence, with its end. Longer training pairs are left out and longer
        sources are cut, with a SkippedWarning that counts them.
    `writing`: how sentences are written for the score, Greedy() or Beam().
    `name`: tells tasks apart in records.

    Source: Szegedy et al. 2016, section 7 (label smoothing); Papineni et al. 2002 and Post 2018
    (BLEU).
    Raises ValueError for numbers out of range, a split without pairs and an empty sentence.
    """

    train: Pairs = field(repr=False)
    validation: Pairs = field(repr=False)
    test: Pairs = field(repr=False)
    pieces: Pieces = field(repr=False)
    tokens: int = 4096
    smoothing: float = 0.1
    longest: int = 100
    writing: Greedy | Beam = Greedy()
    name: str = "translation"
    _ids: Mapping[str, list[tuple[list[int], list[int]]]] = field(init=False, repr=False)
    _chosen: tuple[int, ...] | None = field(default=None, repr=False)
    _state: Mapping[str, Vary] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1 or self.tokens < 1 or self.longest < 2:
            raise ValueError(
                f"smoothing is {self.smoothing}, tokens {self.tokens} and longest {self.longest}: "
                "they must be 0 to 1, at least 1 and at least 2"
            )
        found = dict[str, list[tuple[list[int], list[int]]]]()
        for split in _SPLITS:
            pairs: Pairs = getattr(self, split)
            if not pairs:
                raise ValueError(f"the {split} split has no pairs of sentences: give some")
            for number, pair in enumerate(pairs):
                if not all(side.strip() for side in pair):
                    raise ValueError(
                        f"pair {number} of {split} has an empty sentence: {pair!r}; leave it out"
                    )
            sources, targets = (self.pieces.all_ids(side) for side in zip(*pairs, strict=True))
            found[split] = list(zip(sources, targets, strict=True))
        fitting = [p for p in found["train"] if max(map(len, p)) < self.longest]
        if not fitting:
            raise ValueError(f"no training pair has at most {self.longest} pieces: raise longest=")
        if len(fitting) < len(found["train"]):
            warnings.warn(
                f"{len(found['train']) - len(fitting)} of {len(found['train'])} training pairs "
                f"have more than {self.longest} pieces and are left out: raise longest= or cut "
                "them",
                SkippedWarning,
                stacklevel=3,
            )
        object.__setattr__(self, "_ids", {**found, "train": fitting})

    @property
    def alphabet(self) -> Alphabet:
        """The ids that start and end a sentence, and its longest."""
        return Alphabet(start=START, end=END, most=self.longest)

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of sources N×S and targets N×(T+1), which begin with the start of a text.

        Sentences of like lengths are together. The order of "train" is drawn for each pass.
        """
        pairs = self._of(split)
        lengths = np.array([max(map(len, pair)) + 1 for pair in pairs])
        if split == "train":
            lengths = lengths + torch.rand(len(pairs)).numpy()
        parts = parts_of(lengths, self.tokens)
        order = torch.randperm(len(parts)).tolist() if split == "train" else range(len(parts))
        for index in order:
            chosen = [pairs[at] for at in parts[index]]
            yield rows_of([s for s, _ in chosen]), rows_of([t for _, t in chosen], start=True)

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The mean over pieces of the cross-entropy with label smoothing, in nats."""
        source, target = batch
        logits = model(source, target[:, :-1])
        return functional.cross_entropy(
            logits.flatten(0, 1).float(),
            target[:, 1:].flatten(),
            ignore_index=PADDING,
            label_smoothing=self.smoothing,
        )

    def score(self, predict: Predict, split: str) -> float:
        """BLEU as a share, 0 to 1."""
        references = [target for _, target in self._pairs(split)]
        return bleu(self.translated(predict, split), references) / 100

    def scores(self, predict: Predict, split: str) -> Mapping[str, float]:
        """`log_likelihood`: the mean of a piece, in nats."""
        total, count = 0.0, 0
        for source, target in self.batches(split):
            likely = log_likelihoods(predict, (source,), target)
            total, count = total + float(likely.sum()), count + int((target[:, 1:] != 0).sum())
        return {"log_likelihood": total / count}

    def translated(self, predict: Predict, split: str) -> list[str]:
        """The translations of the sources of a split, in its order."""
        return self.translations(predict, [source for source, _ in self._pairs(split)])

    def translations(self, predict: Predict, sentences: Sequence[str]) -> list[str]:
        """The translations of any sentences; longer ones than `longest` are cut, with a warning."""
        ids = self.pieces.all_ids(sentences)
        if long := sum(len(one) >= self.longest for one in ids):
            warnings.warn(
                f"{long} of {len(ids)} sentences have more than {self.longest} pieces and are cut "
                "there: split them, or raise longest=",
                SkippedWarning,
                stacklevel=2,
            )
        order = np.argsort([len(one) for one in ids], kind="stable").tolist()
        texts = [""] * len(ids)
        for begin in range(0, len(order), _AT_ONCE):
            rows = order[begin : begin + _AT_ONCE]
            source = rows_of([ids[row][: self.longest - 1] for row in rows])
            written = self.writing.write(predict, source, self.alphabet)
            for row, one in zip(rows, written.tolist(), strict=True):
                texts[row] = self.pieces.text(one)
        return texts

    def sampled(self, examples: int, seed: int) -> Translation:
        """The same task with at most `examples` validation pairs (1 or more)."""
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        if examples >= len(self.validation):
            return self
        drawn = np.random.default_rng(seed).choice(len(self.validation), examples, replace=False)
        return self._with(_chosen=tuple(np.sort(drawn).tolist()))

    def for_model(self, model: nn.Module) -> Translation:
        """The same task, whose example has a state as this model's `encode` gives it.

        Exporting and measuring call it; training and scoring do not need it.
        """
        with evaluating(model), torch.no_grad():
            short, long = (model.encode(_source(length)) for length in (5, 7))  # type: ignore[operator]
            after = {**short, **model.step(torch.full((2,), START), **short)}  # type: ignore[operator]
        state = dict[str, Vary]()
        for name, one in short.items():
            axes = {0: "N"}
            axes |= {a: "S" for a in range(1, one.ndim) if one.shape[a] != long[name].shape[a]}
            axes |= {a: "T" for a in range(1, one.ndim) if one.shape[a] != after[name].shape[a]}
            state[name] = Vary((after if "T" in axes.values() else short)[name], axes)
        return self._with(_state=state)

    def example(self) -> dict[str, Any]:
        """A source for `encode`, and a piece with a state for `step`.

        Raises ValueError before `for_model` has seen a state.
        """
        if self._state is None:
            raise ValueError(
                "what step() needs depends on the network: use task.for_model(model), the same "
                "task with an example of its state"
            )
        source = Vary(_source(5), {0: "N", 1: "S"})
        return {
            "encode": ((source,), {}),
            "step": ((Vary(torch.full((2,), START), {0: "N"}),), dict(self._state)),
        }

    def _with(self, **changed: Any) -> Translation:
        task = copy(self)
        for name, value in changed.items():
            object.__setattr__(task, name, value)
        return task

    def _pairs(self, split: str) -> Pairs:
        if split not in _SPLITS:
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        pairs: Pairs = getattr(self, split)
        if split == "validation" and self._chosen is not None:
            return [pairs[number] for number in self._chosen]
        return pairs

    def _of(self, split: str) -> list[tuple[list[int], list[int]]]:
        self._pairs(split)
        ids = self._ids[split]
        if split == "validation" and self._chosen is not None:
            return [ids[number] for number in self._chosen]
        return ids


def parts_of(lengths: np.ndarray, tokens: int) -> list[list[int]]:
    """Indices in batches of like lengths, each of at most `tokens` with padding, or one row."""
    parts, current, longest = list[list[int]](), list[int](), 0.0
    for index in np.argsort(lengths, kind="stable").tolist():
        longest = max(longest, float(np.floor(lengths[index])))
        if current and longest * (len(current) + 1) > tokens:
            parts.append(current)
            current, longest = [], float(np.floor(lengths[index]))
        current.append(index)
    return [*parts, current] if current else parts


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    """sacrebleu's BLEU of a corpus with one reference each, 0 to 100.

    Raises ModuleNotFoundError without the extra `translate`.
    """
    try:
        import sacrebleu
    except ImportError:
        raise missing("sacrebleu", extra="translate", what="BLEU") from None
    return float(sacrebleu.corpus_bleu(list(texts), [list(references)]).score)


def _source(length: int) -> Tensor:
    return torch.full((2, length), END)
