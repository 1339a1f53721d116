"""A feed-forward network that scores the labels of each place from a window around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlaceVectors(nn.Module):
    """A vector for each place of a text, from embeddings of its ids and a linear layer.

    `ids`: how many ids there are, 0 included.
    `kinds`: K, the ids of a place.
    `width`: of an embedding.
    `vector`: the width of a place's vector.
    `dropout`: the share of values that is dropped in training, 0 to 1.
    `clusters`: for each of the last ids the codes of its words (uint8, M×buckets, 0: none), as many
        as the last place of a word has buckets: this place then has an embedding of each of the M
        codes instead. None: of the id, as the others.
    `unseen`: in training, the share of places whose first two ids, which are those of whole words,
        become padding, 0 to 1: so it learns to do without.
    """

    clusters: Tensor

    def __init__(
        self,
        ids: int,
        kinds: int,
        *,
        width: int,
        vector: int,
        dropout: float,
        clusters: Tensor | None,
        unseen: float,
    ) -> None:
        super().__init__()
        self.own = kinds if clusters is None else kinds - 1
        self.first = ids if clusters is None else ids - clusters.shape[1]
        self.unseen = unseen
        self.ids = nn.Embedding(self.first, width)
        nn.init.normal_(self.ids.weight, std=1e-3)  # ids never seen say almost nothing
        embeddings = self.own
        if clusters is not None:
            self.register_buffer("clusters", clusters)
            self.codes = int(clusters.max()) + 1
            self.of_clusters = nn.Embedding(len(clusters) * self.codes, width)
            nn.init.normal_(self.of_clusters.weight, std=0.1)
            embeddings += len(clusters)
        self.dropout = nn.Dropout(dropout)
        self.vector = nn.Linear(embeddings * width, vector)

    def vectors(self, ids: Tensor) -> Tensor:
        """Ids N×T×K to N×T×vector, 0 or more; 0 where a place is padding."""
        is_place_NT1 = ids[:, :, :1] != 0
        own = ids[:, :, : self.own]
        if self.training and self.unseen:
            dropped = torch.rand(ids.shape[:2]).to(ids.device) < self.unseen
            own = torch.cat([own[:, :, :2] * ~dropped[:, :, None], own[:, :, 2:]], 2)
        embedded = self.ids(own).flatten(2)
        if self.own < ids.shape[2]:
            bucket_NT = (ids[:, :, -1] - self.first).clamp(min=0)
            codes_NTM = self.clusters[:, bucket_NT].permute(1, 2, 0).to(ids.dtype)
            first_M = torch.arange(len(self.clusters), device=ids.device) * self.codes
            embedded = torch.cat([embedded, self.of_clusters(codes_NTM + first_M).flatten(2)], 2)
        return self.vector(self.dropout(embedded)).relu() * is_place_NT1


class WindowTagger(PlaceVectors):
    """Embeddings of a place's ids, a vector for the place, a window of them, one hidden layer.

    Source: Botha et al. 2017, section 2.
    Differs: a linear layer makes one vector of the embeddings of a place before the window, so that
    most of the work is done once for each place.

    Ids N×T×K (0: padding) to logits N×T×labels. A place's logits depend on `reach` places to either
    side, and padding among these is as the end of the text.

    `labels`: the number of labels.
    `hidden`: the width of the hidden layer.
    `reach`: places to either side, 0 or more.
    `ids`, `kinds` and the others: as in PlaceVectors.
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
        self.window = nn.Conv1d(vector, hidden, 2 * reach + 1, padding=reach)
        self.last = nn.Linear(hidden, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits N×T×labels."""
        vectors_NTC = self.vectors(ids)
        hidden_NCT = self.window(self.dropout(vectors_NTC).transpose(1, 2)).relu()
        return self.last(self.dropout(hidden_NCT.transpose(1, 2)))
