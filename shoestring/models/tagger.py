"""A recurrent network that tags the words of a sentence."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BiLSTMTagger(nn.Module):
    """Vectors of each word (64) and of its ending (32), one LSTM of 64 each way, a linear layer
    (Plank, Søgaard & Goldberg 2016).

    Differs: endings in place of a network over the letters. The LSTM that reads backwards begins at
    a sentence's last word, not at the padding after it.
    `words`, `endings`: how many ids there are.
    `tags`: how many answers.
    `width`: of an LSTM; `dropout` is a share, in training. Ids N×T of words (0: padding, which
        stands at the end and changes no answer) and of endings to logits N×T×tags.
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
        place_T = torch.arange(words.shape[1], device=words.device)
        count_N1 = (words != 0).sum(1, keepdim=True)
        turned_NT = torch.where(
            place_T < count_N1, count_N1 - 1 - place_T, place_T
        )  # its own inverse
        read_on, _ = self.forwards(vectors_NTC)
        read_back, _ = self.backwards(_taken(vectors_NTC, turned_NT))
        return self.last(self.dropout(torch.cat([read_on, _taken(read_back, turned_NT)], -1)))


def _taken(states_NTC: Tensor, places_NT: Tensor) -> Tensor:
    """Of each sentence the states at these places."""
    return states_NTC.gather(1, places_NT.unsqueeze(-1).expand(-1, -1, states_NTC.shape[-1]))
