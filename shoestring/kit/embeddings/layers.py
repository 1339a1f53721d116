"""Layers that take the place of nn.Embedding and of a linear layer tied to it."""

from __future__ import annotations

from torch import Tensor, nn

from shoestring.kit.embeddings.vectors import WordVectors


class VectorsEmbedding(nn.Module):
    """Looks words up as nn.Embedding does, in WordVectors.

    `weight` is the table V×D, computed where it is read, so that a forward() that multiplies by it
    works as before.

    `vectors`: of the words.
    `padding`: an id whose vector is zeros; None: there is none.
    """

    def __init__(self, vectors: WordVectors, padding: int | None = None) -> None:
        super().__init__()
        self.vectors, self.padding_idx = vectors, padding
        self.num_embeddings, self.embedding_dim = vectors.words, vectors.width

    def forward(self, ids: Tensor) -> Tensor:
        """Ids N×… to vectors N×…×D."""
        vectors = self.vectors(ids)
        if self.padding_idx is None:
            return vectors
        return vectors * (ids != self.padding_idx).unsqueeze(-1).to(vectors.dtype)

    @property
    def weight(self) -> Tensor:
        """The table V×D."""
        return self.vectors.table()


class VectorsLinear(nn.Module):
    """A linear layer whose weights are the table of WordVectors: states …×D to logits …×V.

    `vectors`: of the words.
    `bias`: V, or None.
    """

    def __init__(self, vectors: WordVectors, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.vectors, self.bias = vectors, bias
        self.in_features, self.out_features = vectors.width, vectors.words

    def forward(self, states: Tensor) -> Tensor:
        """States …×D to logits …×V."""
        return nn.functional.linear(states, self.vectors.table(), self.bias)

    @property
    def weight(self) -> Tensor:
        """The table V×D."""
        return self.vectors.table()
