"""A feed-forward network that scores the labels of each place from a window around it."""

from __future__ import annotations

from torch import Tensor, nn


class WindowTagger(nn.Module):
    """Embeddings of a place's ids, a vector for the place, a window of them, one hidden layer.

    Source: Botha et al. 2017, section 2.
    Differs: a linear layer makes one vector of the embeddings of a place before the window, so that
    most of the work is done once for each place.

    Ids N×T×K (0: padding) to logits N×T×labels. A place's logits depend on `reach` places to either
    side, and padding among these is as the end of the text.

    `ids`: how many ids there are, 0 included.
    `kinds`: K, the ids of a place.
    `labels`: the number of labels.
    `width`: of an embedding.
    `vector`: the width of a place's vector.
    `hidden`: the width of the hidden layer.
    `reach`: places to either side, 0 or more.
    `dropout`: the share of values that is dropped in training, 0 to 1.
    """

    def __init__(
        self,
        ids: int,
        kinds: int,
        labels: int,
        *,
        width: int = 16,
        vector: int = 64,
        hidden: int = 96,
        reach: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.ids = nn.Embedding(ids, width)
        nn.init.normal_(self.ids.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.vector = nn.Linear(kinds * width, vector)
        self.window = nn.Conv1d(vector, hidden, 2 * reach + 1, padding=reach)
        self.last = nn.Linear(hidden, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits N×T×labels."""
        vectors_NTC = self.vector(self.dropout(self.ids(ids).flatten(2))).relu()
        vectors_NTC = vectors_NTC * (ids[:, :, :1] != 0)
        hidden_NCT = self.window(self.dropout(vectors_NTC).transpose(1, 2)).relu()
        return self.last(self.dropout(hidden_NCT.transpose(1, 2)))
