"""A small transformer that reads a sequence and writes another: translation and the like."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

PADDING = 0
"""The id of what is no word."""


class Translator(nn.Module):
    """A transformer encoder and decoder over one vocabulary, with one table of vectors for all.

    Source: Vaswani et al. 2017, section 3; Press & Wolf 2017 for the table that embeds words and
    predicts them.
    Differs: norms come before each part, positions are learned, and each word of the decoder can
    also attend to nothing (a key and a value of zeros), so that a state is never empty.

    It is called in three ways. `forward(source, target)` gives the logits of every next word of a
    target that is known, for training. `encode(source)` and then `step(last, ...)`, again and
    again, write a target word by word; these are the entries of a file.

    Ids are N×S (source) and N×T (target, beginning with the id that starts a text); 0 is padding.

    `words`: the number of ids.
    `width`: of a word's vector, a multiple of `heads`.
    `layers`: of the encoder, and as many of the decoder.
    `heads`: attention heads of a layer.
    `hidden`: the width inside the feed-forward parts.
    `length`: the most words of a source or target.
    `dropout`: the share of values that is dropped in training, 0 to 1.

    Raises ValueError for a width that is no multiple of `heads`. `forward` and `encode` raise
    ValueError for texts longer than `length`; `step` must not be called more than `length` times.
    """

    def __init__(
        self,
        words: int,
        *,
        width: int = 256,
        layers: int = 3,
        heads: int = 4,
        hidden: int = 512,
        length: int = 128,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} is no multiple of {heads} heads: give one")
        self.words = nn.Embedding(words, width)
        self.positions = nn.Embedding(length, width)
        for table in (self.words, self.positions):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.readers = nn.ModuleList(_Reader(width, heads, hidden, dropout) for _ in range(layers))
        self.writers = nn.ModuleList(_Writer(width, heads, hidden, dropout) for _ in range(layers))
        self.read_norm, self.write_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = _Dropout(dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits N×T×words of the word after each word of `target`."""
        memory, is_word_NS = self._read(source), source != PADDING
        states = self._embedded(target)
        for index, writer in enumerate(self._writers()):
            key, value = memory[:, 2 * index], memory[:, 2 * index + 1]
            states = writer.whole(states, key, value, is_word_NS)
        return self._logits(states)

    def encode(self, source: Tensor) -> dict[str, Tensor]:
        """What `step` needs, all with N rows: the sources as the decoder sees them.

        `memory`: N×2L×S×width, a key and a value of each word for each layer.
        `is_word`: N×S, true where the source has a word.
        `written`: N×2L×1×width, keys and values of what was written so far, zeros.
        `place`: N, how many words were written so far.
        """
        memory = self._read(source)
        count, _, _, width = memory.shape
        return {
            "memory": memory,
            "is_word": source != PADDING,
            "written": memory.new_zeros(count, 2 * len(self.writers), 1, width),
            "place": source[:, 0] * 0,
        }

    def step(
        self, last: Tensor, memory: Tensor, is_word: Tensor, written: Tensor, place: Tensor
    ) -> dict[str, Tensor]:
        """Write one word: `last` N is the word before, the others are as `encode` names them.

        Returns `logits` N×words of the next word, and the new `written` and `place`.
        """
        states = (self.words(last) + self.positions(place)).unsqueeze(1)
        kept = list[Tensor]()
        for index, writer in enumerate(self._writers()):
            states, key, value = writer.one(
                states,
                written[:, 2 * index],
                written[:, 2 * index + 1],
                memory[:, 2 * index],
                memory[:, 2 * index + 1],
                is_word,
            )
            kept += [key, value]
        return {
            "logits": self._logits(states).squeeze(1),
            "written": torch.stack(kept, 1),
            "place": place + 1,
        }

    def _writers(self) -> list[_Writer]:
        return cast("list[_Writer]", list(self.writers))

    def _read(self, source: Tensor) -> Tensor:
        """The keys and values of the sources for each layer of the decoder, N×2L×S×width."""
        is_word_NS = source != PADDING
        states = self._embedded(source)
        for reader in self.readers:
            states = reader(states, is_word_NS)
        states = self.read_norm(states)
        return torch.stack([part for writer in self._writers() for part in writer.seen(states)], 1)

    def _embedded(self, ids: Tensor) -> Tensor:
        length = self.positions.num_embeddings
        if not torch.compiler.is_compiling() and ids.shape[1] > length:
            raise ValueError(
                f"a text of {ids.shape[1]} words is longer than this network reads ({length}): cut "
                "it, or make one with length="
            )
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.dropout(self.words(ids) + self.positions(places))

    def _logits(self, states: Tensor) -> Tensor:
        return self.write_norm(states) @ self.words.weight.T


class _Reader(nn.Module):
    """A layer of the encoder: states N×S×width."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = _Attention(width, heads)
        self.forward_part = _feed_forward(width, hidden, dropout)
        self.before_attention, self.before_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = _Dropout(dropout)

    def forward(self, states: Tensor, is_word_NS: Tensor) -> Tensor:
        normed = self.before_attention(states)
        attended = self.attention(
            normed, *self.attention.seen(normed), is_word_NS[:, None, None, :]
        )
        states = states + self.dropout(attended)
        return states + self.dropout(self.forward_part(self.before_forward(states)))


class _Writer(nn.Module):
    """A layer of the decoder: states N×T×width, all at once or one after the other."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = _Attention(width, heads)
        self.to_source = _Attention(width, heads)
        self.forward_part = _feed_forward(width, hidden, dropout)
        self.before_attention, self.before_source = nn.LayerNorm(width), nn.LayerNorm(width)
        self.before_forward = nn.LayerNorm(width)
        self.dropout = _Dropout(dropout)

    def seen(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of source states N×S×width."""
        return self.to_source.seen(states)

    def whole(self, states: Tensor, key: Tensor, value: Tensor, is_word_NS: Tensor) -> Tensor:
        """All words at once; each sees those before it, and nothing."""
        normed = self.before_attention(states)
        own_key, own_value = self.attention.seen(normed)
        nothing = own_key.new_zeros(own_key.shape[0], 1, own_key.shape[2])
        length = states.shape[1]
        sees_TT = torch.ones(length, length + 1, dtype=torch.bool, device=states.device).tril(1)
        attended = self.attention(
            normed,
            torch.cat([nothing, own_key], 1),
            torch.cat([nothing, own_value], 1),
            sees_TT[None, None],
        )
        return self._rest(states + self.dropout(attended), key, value, is_word_NS)

    def one(
        self,
        states: Tensor,
        old_key: Tensor,
        old_value: Tensor,
        key: Tensor,
        value: Tensor,
        is_word_NS: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One word N×1×width after those before it; also returns the keys and values with it."""
        normed = self.before_attention(states)
        new_key, new_value = self.attention.seen(normed)
        new_key, new_value = torch.cat([old_key, new_key], 1), torch.cat([old_value, new_value], 1)
        attended = self.attention(normed, new_key, new_value, None)
        states = self._rest(states + self.dropout(attended), key, value, is_word_NS)
        return states, new_key, new_value

    def _rest(self, states: Tensor, key: Tensor, value: Tensor, is_word_NS: Tensor) -> Tensor:
        normed = self.before_source(states)
        sees = is_word_NS[:, None, None, :]
        states = states + self.dropout(self.to_source(normed, key, value, sees))
        return states + self.dropout(self.forward_part(self.before_forward(states)))


class _Dropout(nn.Module):
    """Drops the same values of a vector at every place of a text, N×T×width.

    A mask for each place would cost a fifth of the training time on a processor.
    Source: Gal & Ghahramani 2016, "A theoretically grounded application of dropout in recurrent
    neural networks", section 4.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, states: Tensor) -> Tensor:
        if not self.training or not self.share:
            return states
        kept = torch.rand(states.shape[0], 1, states.shape[2], device=states.device) >= self.share
        return states * (kept / (1 - self.share)).to(states.dtype)


def _feed_forward(width: int, hidden: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), _Dropout(dropout), nn.Linear(hidden, width)
    )


class _Attention(nn.Module):
    """Queries look at keys; the number of heads is the width of `query` by that of a head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.size = width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def seen(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of states N×S×width."""
        return self.key(states), self.value(states)

    def forward(self, states: Tensor, key: Tensor, value: Tensor, sees: Tensor | None) -> Tensor:
        """States N×T×width look at keys and values N×S×width where `sees` (N×1×T×S) is true."""
        query, key, value = (
            part.unflatten(-1, (-1, self.size)).transpose(1, 2)
            for part in (self.query(states) * self.size**-0.5, key, value)
        )
        scores_NHTS = query @ key.transpose(2, 3)
        if sees is not None:  # not infinity: the softmax of a text of padding would be NaN
            scores_NHTS = scores_NHTS.masked_fill(~sees, -1e4)
        return self.output((scores_NHTS.softmax(-1) @ value).transpose(1, 2).flatten(2))
