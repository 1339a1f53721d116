"""A language model over bytes, whose state is carried from byte to byte."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BYTES = 256
BEFORE = 3
"""Bytes before the one that is read, which a state has after its other numbers."""
_FACTORS = (257, 66_173, 17_038_493)  # of the hash of a byte and those before it, the nearest first


class ByteGRU(nn.Module):
    """Vectors of a byte and of the pieces that end with it, a recurrent layer, and logits.

    A piece is two, three or four bytes in a row. It shares a vector with the others of its hash,
    which costs no products. The layer is gated (GRU), and its states give the logits of the next
    byte.

    `model(rows)` takes bytes N×(T+1) (int64) and gives logits N×T×256 of the bytes after the first,
    from a state of zeros. `model(ids, state)` takes one byte of each text, N, and the states before
    it, N×H; it gives the log-probabilities N×256 of the byte that follows, in nats, and the states
    after it, whose last three numbers are the bytes before. The second way consists of lookups,
    matrix products, sigmoids and tangents: a runtime without recurrent layers computes it.
    Source: Cho et al. 2014 (GRU), with the reset gate as in PyTorch; Botha et al. 2017 (vectors of
    hashed pieces).

    `width`: of the vectors of bytes.
    `pieces`: of pieces of two bytes, three and four, how many vectors there are and their width;
        fewer pairs leave out the longest.
    `states`: how many numbers a state has, H, 4 or more: three of them are the bytes before.
    `dropout`: the share of states that is dropped before the logits in training, 0 to 1.

    Raises ValueError for other pieces or states.
    """

    def __init__(
        self,
        *,
        width: int = 32,
        pieces: tuple[tuple[int, int], ...] = ((2048, 24), (4096, 16), (8192, 16)),
        states: int = 195,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if states <= BEFORE or len(pieces) > BEFORE:
            raise ValueError(
                f"{states} states and {len(pieces)} kinds of pieces: give more than {BEFORE} "
                f"states, and {BEFORE} kinds at most"
            )
        self.vectors = nn.Embedding(BYTES, width)
        self.pieces = nn.ModuleList(nn.Embedding(count, each) for count, each in pieces)
        for table in self.pieces:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=0.1)
        whole = width + sum(each for _, each in pieces)
        self.recurrent = nn.GRU(whole, states - BEFORE, batch_first=True)
        self.output = nn.Linear(states - BEFORE, BYTES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Logits N×T×256 of rows; given states, log-probabilities N×256 and the next states."""
        if state is None:
            rows = ids[:, :-1]
            before = [nn.functional.pad(rows, (n, 0))[:, : rows.shape[1]] for n in (1, 2, 3)]
            states, _ = self.recurrent(self._read(rows, before))
            return self.output(self.dropout(states))
        kept, bytes_before = state[:, :-BEFORE], state[:, -BEFORE:]
        read = self._read(ids, list(bytes_before.long().unbind(1)))
        kept = self._step(read, kept)
        bytes_after = torch.cat([ids.unsqueeze(1).to(state.dtype), bytes_before[:, :-1]], 1)
        return self.output(kept).log_softmax(-1), torch.cat([kept, bytes_after], 1)

    def _read(self, ids: Tensor, before: list[Tensor]) -> Tensor:
        """The vectors of bytes and of the pieces that they end. `before`: the nearest first."""
        parts, code = [self.vectors(ids)], ids
        for table, earlier, factor in zip(self.pieces, before, _FACTORS, strict=False):
            assert isinstance(table, nn.Embedding)
            code = code + factor * earlier
            parts.append(table(code % table.num_embeddings))
        return torch.cat(parts, -1)

    def _step(self, read: Tensor, kept: Tensor) -> Tensor:
        """One step of the recurrent layer."""
        layer: Any = self.recurrent
        of_read = nn.functional.linear(read, layer.weight_ih_l0, layer.bias_ih_l0)
        of_kept = nn.functional.linear(kept, layer.weight_hh_l0, layer.bias_hh_l0)
        read_reset, read_update, read_new = of_read.chunk(3, -1)
        kept_reset, kept_update, kept_new = of_kept.chunk(3, -1)
        update = torch.sigmoid(read_update + kept_update)
        new = torch.tanh(read_new + torch.sigmoid(read_reset + kept_reset) * kept_new)
        return new + update * (kept - new)
