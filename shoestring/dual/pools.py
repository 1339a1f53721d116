"""Examples of one side alone, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pool:
    """Examples without the other side; each iteration is a pass in an order drawn by torch.

    `examples`: a tensor with a row for each, or id sequences of any length (with their ends), which
        are padded with 0 and batched with others of about their length.
    `tokens`: of a batch: rows of a tensor, or ids with padding of sequences, 1 or more.

    Raises ValueError for fewer tokens.
    """

    examples: Tensor | Sequence[Sequence[int]] = field(repr=False)
    tokens: int = 64

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ValueError(f"{self.tokens} tokens a batch: give 1 or more")

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.examples)

    def __iter__(self) -> Iterator[Tensor]:
        """The batches of a pass."""
        if isinstance(self.examples, Tensor):
            for rows in torch.randperm(len(self.examples)).split(self.tokens):
                yield self.examples[rows]
            return
        parts = self._parts()
        for index in torch.randperm(len(parts)).tolist():
            chosen = [torch.tensor(self.examples[row]) for row in parts[index]]
            yield torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)

    def _parts(self) -> list[list[int]]:
        """The rows of each batch, of about one length."""
        noise = torch.rand(len(self.examples)).tolist()
        order = sorted(
            range(len(self.examples)), key=lambda row: len(self.examples[row]) + noise[row]
        )
        parts, current, longest = list[list[int]](), list[int](), 0
        for row in order:
            longest = max(longest, len(self.examples[row]))
            if current and longest * (len(current) + 1) > self.tokens:
                parts.append(current)
                current, longest = [], len(self.examples[row])
            current.append(row)
        return [*parts, current] if current else parts
