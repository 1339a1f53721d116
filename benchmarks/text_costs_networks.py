"""The networks of `text_costs.py`: three ways to read what stands around a word.

All begin with the same hashed pieces of words, so that only the reading differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.artifact import HashedWords, Loaded
from shoestring.kit import Supervised
from shoestring.models import TextEncoder
from shoestring.tasks import Sentence

_BATCH = 1024  # words of a training batch, about
_AT_ONCE = 32  # sentences of a run of a file
_PADDING = -100


class Pieces(nn.Module):
    """Embeddings of a word's hashed pieces and a linear layer: one vector for a word.

    Ids N×T×K to vectors N×T×vector, as at the beginning of `WindowTagger`.
    """

    def __init__(self, step: HashedWords, vector: int, *, width: int = 16, unseen: float = 0.1):
        super().__init__()
        self.unseen = unseen
        self.ids = nn.Embedding(step.ids, width)
        nn.init.normal_(self.ids.weight, std=1e-3)
        self.dropout = nn.Dropout(0.3)
        self.vector = nn.Linear(step.kinds * width, vector)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors N×T×vector."""
        if self.training and self.unseen:
            dropped = torch.rand(ids.shape[:2]) < self.unseen
            ids = torch.cat([ids[:, :, :2] * ~dropped[:, :, None], ids[:, :, 2:]], 2)
        return self.vector(self.dropout(self.ids(ids).flatten(2))).relu()


class RecurrentTagger(nn.Module):
    """Pieces, an LSTM in each direction, a linear layer: ids N×T×K to logits N×T×labels.

    The backward LSTM begins at a sentence's last word, as in `BiLSTMTagger`.
    """

    def __init__(self, step: HashedWords, labels: int, width: int) -> None:
        super().__init__()
        self.pieces = Pieces(step, 64)
        self.dropout = nn.Dropout(0.3)
        self.forwards = nn.LSTM(64, width, batch_first=True)
        self.backwards = nn.LSTM(64, width, batch_first=True)
        self.last = nn.Linear(2 * width, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits N×T×labels."""
        vectors = self.dropout(self.pieces(ids))
        index_T = torch.arange(ids.shape[1])
        count_N1 = (ids[:, :, 0] != 0).sum(1, keepdim=True)
        turned_NT = torch.where(index_T < count_N1, count_N1 - 1 - index_T, index_T)
        forward_states, _ = self.forwards(vectors)
        backward_states, _ = self.backwards(_gathered(vectors, turned_NT))
        both = torch.cat([forward_states, _gathered(backward_states, turned_NT)], -1)
        return self.last(self.dropout(both))


class AttentionTagger(nn.Module):
    """Pieces, the layers of a `TextEncoder`, a linear layer: ids N×T×K to logits N×T×labels."""

    def __init__(self, step: HashedWords, labels: int, width: int, layers: int) -> None:
        super().__init__()
        encoder = TextEncoder(
            1, width=width, layers=layers, heads=4, hidden=2 * width, length=256, dropout=0.1
        )
        self.pieces = Pieces(step, width)
        self.positions, self.layers, self.norm = encoder.positions, encoder.layers, encoder.norm
        self.last = nn.Linear(width, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits N×T×labels."""
        is_word_NT = ids[:, :, 0] != 0
        states = self.pieces(ids) + self.positions(torch.arange(ids.shape[1]))
        for layer in self.layers:
            states = layer(states, is_word_NT)
        return self.last(self.norm(states))


def _gathered(states_NTC: Tensor, indices_NT: Tensor) -> Tensor:
    return states_NTC.gather(1, indices_NT.unsqueeze(-1).expand(-1, -1, states_NTC.shape[-1]))


@dataclass(frozen=True)
class Batches:
    """Batches of sentences of about one length, so that little is computed for padding.

    The order is drawn anew each time where `shuffled`. A batch is (ids N×T×K, tags N×T).
    """

    sentences: Sequence[Sentence]
    step: HashedWords
    labels: tuple[str, ...]
    shuffled: bool

    def __len__(self) -> int:
        return len(self._cuts(np.arange(len(self.sentences))))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.shuffled:
            parts = self._cuts(torch.randperm(len(self.sentences)).numpy())
            parts = [parts[at] for at in torch.randperm(len(parts)).tolist()]
        else:
            parts = self._cuts(np.arange(len(self.sentences)))
        known = {label: number for number, label in enumerate(self.labels)}
        for part in parts:
            some = [self.sentences[at] for at in part]
            longest = max(len(one.words) for one in some)
            tags = [
                [known.get(tag, -1) for tag in one.tags] + [_PADDING] * (longest - len(one.words))
                for one in some
            ]
            ids = self.step.of_sentences([one.words for one in some])
            yield torch.from_numpy(ids), torch.tensor(tags)

    def _cuts(self, order: np.ndarray) -> list[np.ndarray]:
        lengths = np.array([len(self.sentences[at].words) for at in order])
        order = order[np.argsort(lengths, kind="stable")]
        ends = np.cumsum(np.sort(lengths)) // _BATCH
        return np.split(order, np.flatnonzero(np.diff(ends)) + 1)


def padded(data: dict[str, list[Sentence]], step: HashedWords, labels: tuple[str, ...]):
    """The task of tagging sentences in `Batches`."""
    train, validation, test = (
        Batches(data[split], step, labels, split == "train")
        for split in ("train", "validation", "test")
    )
    return Supervised.from_loaders(
        train,
        validation,
        test,
        name="tagging sentences",
        criterion=_loss,
        merit=_right,
        axes={1: "T"},
    )


def _loss(logits_NTC: Tensor, tags: Tensor) -> Tensor:
    return functional.cross_entropy(
        logits_NTC.flatten(0, 1), tags.flatten().clamp(min=0), reduction="none"
    )[tags.flatten() >= 0].mean()


def _right(logits_NTC: np.ndarray, tags: np.ndarray) -> np.ndarray:
    return (logits_NTC.argmax(-1) == tags)[tags != _PADDING].astype(np.float64)


def tagged(
    loaded: Loaded, step: HashedWords, labels: Sequence[str], texts: Sequence[str]
) -> list[list[str]]:
    """The tags of the words of texts, by a network that reads whole sentences.

    Sentences of about one length are run together, 32 at a time.
    """
    sentences = [text.split() for text in texts]
    numbers: dict[str, int] = {}
    index = [[numbers.setdefault(word, len(numbers)) for word in words] for words in sentences]
    table = np.concatenate([step.of_words(list(numbers)), np.zeros((1, step.kinds), np.int64)])
    order = sorted(range(len(sentences)), key=lambda at: len(sentences[at]))
    found: list[list[str]] = [[]] * len(sentences)
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        rows = np.full((len(some), len(sentences[some[-1]])), len(numbers), np.int64)
        for row, at in zip(rows, some, strict=True):
            row[: len(index[at])] = index[at]
        best: list[list[int]] = np.asarray(loaded(table[rows])).argmax(-1).tolist()
        for row, at in zip(best, some, strict=True):
            found[at] = [labels[one] for one in row[: len(index[at])]]
    return found
