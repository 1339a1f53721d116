"""A recurrent network that tags the words of a sentence."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BiLSTMTagger(nn.Module):
    """An LSTM of 64 in each direction over words (64) and their endings (32), then a linear layer.

    Source: Plank, Søgaard & Goldberg 2016.
    Differs: endings instead of a network over the letters. The backward LSTM begins at a sentence's
    last word, not at the padding after it.

    Ids N×T of words (0: padding, which stands at the end and changes no answer) and of endings to
    logits N×T×tags.

    `words`, `endings`: the number of ids of each.
    `tags`: the number of tags.
    `width`: of each LSTM.
    `dropout`: the share of values that is dropped in training, 0 to 1.
    """

    def __init__(
        self, words: int, endings: int, *, tags: int = 17, width: int = 64, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, 64)
        self.endings = nn.Embedding(endings, 32)
        self.dropout = nn.Dropout(dropout)
        self.forwards = nn.LSTM(64 + 32, width, batch_first=True)
        self.backwards = nn.LSTM(64 + 32, width, batch_first=True)
        self.last = nn.Linear(2 * width, tags)

    def forward(self, words: Tensor, endings: Tensor) -> Tensor:
        """Logits N×T×tags."""
        vectors_NTC = self.dropout(torch.cat([self.words(words), self.endings(endings)], -1))
        index_T = torch.arange(words.shape[1], device=words.device)
        count_N1 = (words != 0).sum(1, keepdim=True)
        reversed_NT = torch.where(
            index_T < count_N1, count_N1 - 1 - index_T, index_T
        )  # its own inverse
        forward_states, _ = self.forwards(vectors_NTC)
        backward_states, _ = self.backwards(_gathered(vectors_NTC, reversed_NT))
        return self.last(
            self.dropout(torch.cat([forward_states, _gathered(backward_states, reversed_NT)], -1))
        )


def _gathered(states_NTC: Tensor, indices_NT: Tensor) -> Tensor:
    """The states at these indices of each sentence."""
    return states_NTC.gather(1, indices_NT.unsqueeze(-1).expand(-1, -1, states_NTC.shape[-1]))
