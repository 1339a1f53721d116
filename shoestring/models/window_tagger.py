"""A feed-forward network that scores the labels of each place from a window around it."""

from __future__ import annotations

import torch
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
    `clusters`: for each of the last ids the cluster of its words (uint8, 0: none), as many as the
        last place of a word has buckets: this place then has an embedding of the cluster instead.
        None: of the id, as the others.
    `unseen`: in training, the share of places whose first two ids, which are those of whole words,
        become padding, 0 to 1: so it learns to do without.
    """

    clusters: Tensor

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
        super().__init__()
        self.own = kinds if clusters is None else kinds - 1
        self.first = ids if clusters is None else ids - len(clusters)
        self.unseen = unseen
        self.ids = nn.Embedding(self.first, width)
        nn.init.normal_(self.ids.weight, std=1e-3)  # ids never seen say almost nothing
        if clusters is not None:
            self.register_buffer("clusters", clusters)
            self.of_clusters = nn.Embedding(int(clusters.max()) + 1, width)
            nn.init.normal_(self.of_clusters.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.vector = nn.Linear(kinds * width, vector)
        self.window = nn.Conv1d(vector, hidden, 2 * reach + 1, padding=reach)
        self.last = nn.Linear(hidden, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits N×T×labels."""
        is_place_NT1 = ids[:, :, :1] != 0
        own = ids[:, :, : self.own]
        if self.training and self.unseen:
            dropped = torch.rand(ids.shape[:2]).to(ids.device) < self.unseen
            own = torch.cat([own[:, :, :2] * ~dropped[:, :, None], own[:, :, 2:]], 2)
        embedded = self.ids(own).flatten(2)
        if self.own < ids.shape[2]:
            bucket_NT = (ids[:, :, -1] - self.first).clamp(min=0)
            cluster_NT = self.clusters[bucket_NT].to(ids.dtype)
            embedded = torch.cat([embedded, self.of_clusters(cluster_NT)], 2)
        vectors_NTC = self.vector(self.dropout(embedded)).relu() * is_place_NT1
        hidden_NCT = self.window(self.dropout(vectors_NTC).transpose(1, 2)).relu()
        return self.last(self.dropout(hidden_NCT.transpose(1, 2)))
