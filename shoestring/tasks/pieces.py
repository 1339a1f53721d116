"""Pieces of words: a vocabulary that can write any text, learned from texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.errors import missing

PADDING, START, END = 0, 1, 2
_SPECIAL = ["<pad>", "<start>", "<end>"]


@dataclass(frozen=True, eq=False)
class Pieces:
    """A vocabulary of frequent byte sequences; every text is a sequence of them, and back.

    The ids 0, 1 and 2 are padding, the start and the end of a text.
    Source: Sennrich, Haddow & Birch 2016, "Neural machine translation of rare words with subword
    units"; on bytes as in Radford et al. 2019, section 2.2.

    `content`: the vocabulary as JSON of the package tokenizers, which reads it in other programs.
    """

    content: str = field(repr=False)

    @cached_property
    def _tokenizer(self) -> Any:
        return _tokenizers().Tokenizer.from_str(self.content)

    def __len__(self) -> int:
        """The number of ids."""
        return self._tokenizer.get_vocab_size()

    def ids(self, text: str) -> list[int]:
        """The ids of a text, without its start and end."""
        return self._tokenizer.encode(text).ids

    def all_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without start and end."""
        return [one.ids for one in self._tokenizer.encode_batch(list(texts))]

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids up to the end of the text; padding is left out."""
        kept = list[int]()
        for number in ids:
            if number == END:
                break
            kept.append(int(number))
        return self._tokenizer.decode(kept).strip()


def pieces(texts: Iterable[str], *, size: int = 8000) -> Pieces:
    """The vocabulary of texts: the 256 bytes, and merges of the pairs that are most frequent.

    `texts`: of all languages together, so that names and numbers are alike in them.
    `size`: the number of ids, 259 or more; a few texts have fewer pairs to merge.
    Raises ValueError for a smaller size, ModuleNotFoundError without the extra `translate`.
    """
    if size < 259:
        raise ValueError(f"a vocabulary of {size} pieces: 256 bytes and 3 marks need 259 or more")
    package = _tokenizers()
    made = package.Tokenizer(package.models.BPE())
    made.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=_SPECIAL,
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return Pieces(made.to_str())


def rows_of(ids: Sequence[Sequence[int]], *, start: bool = False) -> Tensor:
    """Ids as a tensor N×T with the end of each text, and its start where wanted; 0 is padding."""
    first = [START] if start else []
    lists = [[*first, *one, END] for one in ids]
    rows = np.full((len(lists), max(map(len, lists), default=1)), PADDING, np.int64)
    for row, one in zip(rows, lists, strict=True):
        row[: len(one)] = one
    return torch.from_numpy(rows)


def _tokenizers() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise missing("tokenizers", extra="translate", what="pieces of words") from None
    return tokenizers
