"""A recurrent network over the same ids as the window's, which teaches it."""

from __future__ import annotations

from torch import Tensor, nn

from shoestring.models.window_tagger import PlaceVectors


class RecurrentTagger(PlaceVectors):
    """Embeddings of a place's ids, a vector for the place, an LSTM each way, a linear layer.

    Source: Plank, Søgaard & Goldberg 2016.
    Differs: hashed pieces of words instead of a network over the letters.

    Ids N×T×K (0: padding) to logits N×T×labels. A place's logits depend on the whole row: texts
    that stand in a row one after the other see each other, across the padding between them.

    `labels`: the number of labels.
    `hidden`: the width of each LSTM.
    `ids`, `kinds` and the others: as in PlaceVectors.
    """

    def __init__(
        self,
        ids: int,
        kinds: int,
        labels: int,
        *,
        width: int = 16,
        vector: int = 96,
        hidden: int = 128,
        dropout: float = 0.4,
        clusters: Tensor | None = None,
        unseen: float = 0.0,
    ) -> None:
        super().__init__(
            ids,
            kinds,
            width=width,
            vector=vector,
            dropout=dropout,
            clusters=clusters,
            unseen=unseen,
        )
        self.both_ways = nn.LSTM(vector, hidden, batch_first=True, bidirectional=True)
        self.last = nn.Linear(2 * hidden, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits N×T×labels."""
        states_NTC, _ = self.both_ways(self.dropout(self.vectors(ids)))
        return self.last(self.dropout(states_NTC))
