"""A small transformer encoder that classifies texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TextEncoder(nn.Module):
    """Four transformer layers of width 256 with four heads, a mean over the words, a linear layer.

    Source: Vaswani et al. 2017, section 3.
    Differs: norms come before each part, GELU replaces ReLU, positions are learned.

    Ids N×T (0: padding, which changes no answer) to logits N×classes.

    `words`: the number of ids.
    `classes`: the number of classes.
    `width`: of a word's vector, a multiple of `heads`.
    `layers`: the number of transformer layers.
    `heads`: attention heads of a layer.
    `hidden`: the width inside the feed-forward parts.
    `length`: the most words of a text.
    `dropout`: the share of values that is dropped in training, 0 to 1.

    `forward` raises ValueError for texts longer than `length`.
    """

    def __init__(
        self,
        words: int,
        *,
        classes: int = 2,
        width: int = 256,
        layers: int = 4,
        heads: int = 4,
        hidden: int = 512,
        length: int = 128,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        # Without padding_idx: its row of zeros would be taken for a pruned one.
        self.words = nn.Embedding(words, width)
        self.positions = nn.Embedding(length, width)
        for table in (self.words, self.positions):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(_Layer(width, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits N×classes."""
        length = self.positions.num_embeddings
        if not torch.compiler.is_compiling() and ids.shape[1] > length:
            raise ValueError(
                f"a text of {ids.shape[1]} words is longer than this network reads ({length}): cut "
                "it, or make one with length="
            )
        is_word_NT = ids != 0
        states = self.dropout(
            self.words(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        )
        for layer in self.layers:
            states = layer(states, is_word_NT)
        weight_NT1 = is_word_NT.unsqueeze(-1).to(states.dtype)
        pooled = (self.norm(states) * weight_NT1).sum(1) / weight_NT1.sum(1).clamp(min=1)
        return self.last(self.dropout(pooled))


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = _Attention(width, heads, dropout)
        self.forward_part = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.before_attention = nn.LayerNorm(width)
        self.before_forward = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, is_word_NT: Tensor) -> Tensor:
        """States N×T×width."""
        states = states + self.dropout(self.attention(self.before_attention(states), is_word_NT))
        return states + self.dropout(self.forward_part(self.before_forward(states)))


class _Attention(nn.Module):
    """Each word attends to all words that are not padding.

    The number of heads is the width of `query` divided by that of a head, so heads can be pruned.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.size = width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, is_word_NT: Tensor) -> Tensor:
        """States N×T×width."""
        query, key, value = (
            part(states).unflatten(-1, (-1, self.size)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores_NHTT = query @ key.transpose(2, 3) * self.size**-0.5
        # Not infinity: the softmax of a text that is all padding would be NaN.
        weights_NHTT = scores_NHTT.masked_fill(~is_word_NT[:, None, None, :], -1e4).softmax(-1)
        return self.output((self.dropout(weights_NHTT) @ value).transpose(1, 2).flatten(2))
