"""Recurrent networks that predict the next of many words, with several kinds of vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoestring.kit.embeddings.softmax import log_probabilities
from shoestring.kit.embeddings.vectors import WordVectors

RECURRENT: tuple[type[nn.LSTM] | type[nn.GRU], ...] = (nn.LSTM, nn.GRU)


class WordLSTM(nn.Module):
    """A recurrent layer as wide as the words' vectors, and a softmax over all words.

    Source: Zaremba, Sutskever & Vinyals 2014; Inan, Khosravi & Socher 2017 (the vectors of the
    inputs are those of the outputs).

    `model(ids)` takes ids N×(T+1) and gives the log-probability, in nats, of each id after the
    first, N×T. `model.next(ids)` takes ids N×T and gives the log-probabilities of every word that
    may follow, N×V.

    `vectors`: of the words; `kit.embeddings.vectors` has several kinds.
    `output`: None: the same vectors (TiedSoftmax); or an AdaptiveSoftmax.
    `recurrent`: nn.LSTM or nn.GRU.
    `dropout`: the share of values that is dropped from inputs and states in training, 0 to 1.
    """

    def __init__(
        self,
        vectors: WordVectors,
        *,
        output: TiedSoftmax | AdaptiveSoftmax | None = None,
        recurrent: type[nn.LSTM] | type[nn.GRU] = nn.LSTM,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.vectors = vectors
        self.output = TiedSoftmax(vectors) if output is None else output
        self.recurrent = recurrent(vectors.width, vectors.width, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Log-probabilities N×T of the ids after the first, of N×(T+1)."""
        states = self._states(ids[:, :-1])
        words = ids[:, 1:]
        chosen = self.output(states.reshape(-1, states.shape[-1]), words.reshape(-1))
        return chosen.reshape(words.shape)

    def next(self, ids: Tensor) -> Tensor:
        """Log-probabilities N×V of every word that may follow ids N×T."""
        return self.output.all(self._states(ids)[:, -1])

    def _states(self, ids: Tensor) -> Tensor:
        states, _ = self.recurrent(self.dropout(self.vectors(ids)))
        return self.dropout(states)


class TiedSoftmax(nn.Module):
    """A softmax whose weights are the vectors of the words, with a bias for each word."""

    def __init__(self, vectors: WordVectors) -> None:
        super().__init__()
        self.vectors = vectors
        self.bias = nn.Parameter(torch.zeros(vectors.words))

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """Log-probabilities M of words M, from states M×D."""
        return log_probabilities(states, self.vectors.table(), self.bias, words)

    def all(self, states: Tensor) -> Tensor:
        """Log-probabilities N×V of all words, from states N×D."""
        return nn.functional.linear(states, self.vectors.table(), self.bias).log_softmax(-1)


class AdaptiveSoftmax(nn.Module):
    """The frequent words and a few clusters of rare ones; rare words have shorter vectors.

    Ids must be in the order of falling frequency.
    Source: Grave, Joulin, Cissé, Grangier & Jégou 2017, section 4.

    `width`: of the states, D.
    `words`: V.
    `cutoffs`: the first id of each cluster, rising, between 1 and V - 1.
    """

    def __init__(self, width: int, words: int, cutoffs: Sequence[int]) -> None:
        super().__init__()
        self.clusters = nn.AdaptiveLogSoftmaxWithLoss(width, words, list(cutoffs))

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """Log-probabilities M of words M, from states M×D."""
        if torch.compiler.is_compiling():  # which words are rare must not decide a file's shapes
            return self.all(states).gather(-1, words.unsqueeze(-1)).squeeze(-1)
        return self.clusters(states, words).output

    def all(self, states: Tensor) -> Tensor:
        """Log-probabilities N×V of all words, from states N×D."""
        head = self.clusters.head(states).log_softmax(-1)
        short = self.clusters.shortlist_size
        parts = [head[:, :short]]
        for number, tail in enumerate(self.clusters.tail):
            parts.append(tail(states).log_softmax(-1) + head[:, short + number, None])
        return torch.cat(parts, -1)
