"""Compact embeddings: a large table of word vectors becomes shared numbers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import (
    AdamW,
    Parameters,
    Patterns,
    SkippedWarning,
    Training,
    Weight,
    check_finite,
    chosen,
    clone,
    parameters_of,
    recover,
)
from shoestring.kit.embeddings.fitting import by_hashes, low_rank, quotients, slim
from shoestring.kit.embeddings.layers import VectorsEmbedding, VectorsLinear
from shoestring.kit.embeddings.vectors import FullVectors, WordVectors
from shoestring.kit.surgery.replacing import failure, put_in_place
from shoestring.kit.tracing.example import examples_of

_WORTH = 0.9  # a table is replaced only if its numbers fall to this share or below
_LEAST = 1024  # numbers in a table that is worth replacing


def _check(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"the share is {share}: it must be above 0 and below 1")


@dataclass(frozen=True)
class Factored:
    """A short vector for each word, times a matrix that all words share.

    `share`: of the table's numbers that stay, above 0 and below 1; the rank is rounded down, and is
        at least 1.
    """

    share: float = 0.25

    def __post_init__(self) -> None:
        _check(self.share)

    def fitted(self, table: Tensor) -> WordVectors:
        """The nearest such vectors to a table V×D."""
        words, width = table.shape
        rank = max(1, int(self.share * words * width / (words + width)))
        return low_rank(table, min(rank, width))


@dataclass(frozen=True)
class SharedParts:
    """Vectors are cut into parts, and words share parts, by a hash.

    Source: Li et al. 2018 (slim embeddings).

    `share`: of the table's numbers that stay, above 0 and below 1.
    `parts`: of a vector; the largest divisor of the width up to this.
    """

    share: float = 0.1
    parts: int = 8

    def __post_init__(self) -> None:
        _check(self.share)
        if self.parts < 1:
            raise ValueError(f"{self.parts} parts: there must be 1 or more")

    def fitted(self, table: Tensor) -> WordVectors:
        """The nearest such vectors to a table V×D."""
        words, width = table.shape
        parts = next(n for n in range(min(self.parts, width), 0, -1) if width % n == 0)
        return slim(table, max(1, int(self.share * words)), parts)


@dataclass(frozen=True)
class SharedVectors:
    """A weighted sum of shared vectors, which hashes choose.

    Source: Svenstrup et al. 2017 (hash embeddings).

    `share`: of the table's numbers that stay as shared vectors, above 0 and below 1. The weights
        are `hashes` numbers a word more.
    `hashes`: how many shared vectors make one, 1 or more.
    """

    share: float = 0.1
    hashes: int = 2

    def __post_init__(self) -> None:
        _check(self.share)
        if self.hashes < 1:
            raise ValueError(f"{self.hashes} hashes: there must be 1 or more")

    def fitted(self, table: Tensor) -> WordVectors:
        """Such vectors, near to a table V×D."""
        return by_hashes(table, max(1, int(self.share * len(table))), self.hashes)


@dataclass(frozen=True)
class Quotients:
    """A vector of the id's quotient times one of its remainder: about 2·√V vectors in all.

    Source: Shi et al. 2020.
    """

    def fitted(self, table: Tensor) -> WordVectors:
        """The nearest such vectors to a table V×D."""
        return quotients(table)


@dataclass(frozen=True, kw_only=True)
class CompactEmbeddings(Technique):
    """Replace tables of word vectors, and outputs tied to them, by vectors of fewer numbers.

    Saves: bytes of the file.
    Costs: the time of `training`; score; some operations where words are looked up.
    Source: Li, Kulhanek, Wang, Zhao & Wu 2018; Svenstrup, Hansen & Winther 2017; Shi, Mudigere,
    Naumov & Yang 2020; low rank as in Lan et al. 2020, section 3.1. Differs: the vectors are fitted
    to the trained table, and then trained with the model as it was as teacher.

    `into`: which vectors: Factored(0.25), SharedParts(0.1), SharedVectors(0.1) or Quotients().
    `training`: after the replacement, with the model as it was as teacher; Training(0) trains
        nothing.
    `only`, `keep`: patterns of names of embeddings that are replaced, and of those that are not.

    An nn.Embedding becomes a layer with the same `weight`, computed where it is read; linear layers
    whose weight is the same parameter stay tied to it. FullVectors (of models.WordLSTM) become
    other WordVectors. To restore a file into the model's class, first call the technique with
    Training(0) on the model. Tables of fewer than 1,024 numbers stay, and so do those of which more
    than nine tenths would be left. Skipped with a SkippedWarning: tables that are frozen,
    parametrized, have a state (prune, share and quantize afterwards) or a max_norm, that other
    layers own too, and models that fail with a layer replaced. Raises ValueError for settings out
    of range, patterns that match no layer, and weights that are NaN or infinite.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(
        field="into", gentle=0.5, harsh=0.05, logarithmic=True, wrap=Factored
    )

    into: Factored | SharedParts | SharedVectors | Quotients = Factored()
    training: Training = Training(1000, AdamW(5e-4))
    only: Patterns = ()
    keep: Patterns = ()

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with compact embeddings."""
        check_finite(model)
        compact = clone(model)
        names = _embeddings(compact)
        if names or self.only or self.keep:
            names = chosen(names, self.only, self.keep, "CompactEmbeddings")
        examples, changed = examples_of(task), False
        for name in names:
            weight = _weight_of(compact, parameters_of(compact), name)
            assert weight is not None  # it is one of _embeddings
            table = weight.raw.detach()
            vectors = self.into.fitted(table.float().cpu()).to(table.device, table.dtype)
            if sum(p.numel() for p in vectors.parameters()) > _WORTH * table.numel():
                continue
            trial = _with(compact, name, vectors)
            if why := failure(trial, examples):
                text = (
                    f"CompactEmbeddings skipped {name}: the model fails with other vectors ({why})"
                )
                warnings.warn(text, SkippedWarning, stacklevel=2)
            else:
                compact, changed = trial, True
        if not changed:
            if any(isinstance(part, WordVectors) for part in compact.modules()) and not names:
                return compact  # they are compact already
            text = "CompactEmbeddings found no table of vectors in the model that it could shrink"
            warnings.warn(text, SkippedWarning, stacklevel=2)
            return compact
        return recover(
            compact, task, model, self.training, what="training compact vectors", key=repr(self)
        )

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may match."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)
            return _embeddings(model)


def _embeddings(model: nn.Module) -> list[str]:
    """The names of the layers whose tables can be replaced, one for each table.

    Those that cannot are named in a SkippedWarning.
    """
    reasons: dict[str, list[str]] = {}
    found: list[str] = []
    parameters, seen = parameters_of(model), set[int]()
    for name, module in model.named_modules():
        if not isinstance(module, nn.Embedding | FullVectors):
            continue
        weight = _weight_of(model, parameters, name)
        if weight is not None and (id(weight.raw) in seen or weight.raw.numel() < _LEAST):
            continue
        if reason := _reason_not(module, name, weight):
            reasons.setdefault(reason, []).append(name or type(module).__name__)
        elif weight is not None:
            seen.add(id(weight.raw))
            found.append(name)
    for reason, names in reasons.items():
        text = f"CompactEmbeddings skipped {', '.join(names)}: {reason}"
        warnings.warn(text, SkippedWarning, stacklevel=3)
    return found


def _weight_of(model: nn.Module, parameters: Parameters, name: str) -> Weight | None:
    return parameters.of(model.get_submodule(name))


def _reason_not(module: nn.Module, name: str, weight: Weight | None) -> str:
    """Why a table cannot be replaced; "" if it can."""
    if weight is None:
        return "its weight is computed by something else"
    if weight.state is not None:
        return "its weights have a state"
    if weight.is_foreign:
        return f"it is {weight.why_foreign}"
    if not weight.raw.requires_grad:
        return "it is frozen"
    if getattr(module, "max_norm", None) is not None:
        return "it has a max_norm"
    if not name:
        return "it is the model itself"
    others = [owner for owner, _ in weight.owners if type(owner) not in _TIED]
    if others:
        kinds = ", ".join(dict.fromkeys(type(owner).__name__ for owner in others))
        return f"its weight belongs to {kinds} too, whose class is the user's own or unknown"
    return ""


_TIED: tuple[type, ...] = (nn.Embedding, nn.Linear, FullVectors)


def _with(model: nn.Module, name: str, vectors: WordVectors) -> nn.Module:
    """A copy of the model in which every owner of a table has these vectors instead."""
    model = clone(model)
    weight = _weight_of(model, parameters_of(model), name)
    assert weight is not None
    for owner, _ in weight.owners:
        put_in_place(model, owner, _in_place_of(owner, vectors).train(owner.training))
    return model


def _in_place_of(owner: Any, vectors: WordVectors) -> nn.Module:
    """The layer that does with the vectors what `owner` does with its table."""
    if isinstance(owner, nn.Linear):
        return VectorsLinear(vectors, owner.bias)
    if isinstance(owner, nn.Embedding):
        padding = owner.padding_idx
        # A row of padding that was trained or set is a vector as any other.
        is_zero = padding is not None and not bool(owner.weight[padding].any())
        return VectorsEmbedding(vectors, padding if is_zero else None)
    return vectors
