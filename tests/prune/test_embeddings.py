"""Tables of vectors in fewer numbers: bytes by hand, ties that stay, and what is skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_texts import sentences
from torch import Tensor, nn
from zoo import classified

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import AdamW, SkippedWarning, Supervised, Training, parameters_of, save
from shoestring.kit.embeddings.layers import VectorsEmbedding, VectorsLinear
from shoestring.kit.embeddings.vectors import FullVectors, LowRankVectors
from shoestring.models import WordLSTM
from shoestring.plan.moves import moves
from shoestring.prune import (
    CompactEmbeddings,
    Factored,
    Quotients,
    SharedParts,
    SharedVectors,
)

NONE = Training(0)


class Tied(nn.Module):
    """A vector for each id, and logits by the same table."""

    def __init__(self, words: int = 200, width: int = 16, padding: int | None = None) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width, padding_idx=padding)
        self.middle = nn.Linear(width, width)
        self.last = nn.Linear(width, words)
        self.last.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(torch.tanh(self.middle(self.words(ids).mean(1))))


class Reads(nn.Module):
    """Multiplies by the table of its embedding in forward()."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(200, 16)

    def forward(self, ids: Tensor) -> Tensor:
        return self.words(ids).mean(1) @ self.words.weight.T


def task(words: int = 200) -> Supervised:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, words, (128, 6), generator=draw)
    split = (ids, ids[:, 0])
    return Supervised(train=split, validation=split, test=split)


def of_rank(model: Any, rank: int) -> Any:
    with torch.no_grad(), seeded(0):
        table = torch.randn(200, rank) @ torch.randn(rank, 16)
        model.words.weight.copy_(table)
    return model.eval()


@pytest.mark.parametrize("kind", [Tied, Reads])
def test_a_table_of_low_rank_is_factored_without_loss(kind: type[nn.Module]):
    model = of_rank(kind(), 3)
    small = CompactEmbeddings(into=Factored(0.21), training=NONE)(model, task())
    vectors = small.words.vectors  # type: ignore[union-attr]
    assert isinstance(vectors, LowRankVectors)
    assert vectors.codes.shape == (200, 3)  # 0.21·200·16 / (200 + 16) = 3.1
    ids: Any = task().train[0]
    torch.testing.assert_close(small(ids), model(ids), rtol=1e-3, atol=1e-3)


def test_a_tied_output_stays_tied():
    small: Any = CompactEmbeddings(training=Training(3))(Tied(), task())
    assert isinstance(small.words, VectorsEmbedding) and isinstance(small.last, VectorsLinear)
    assert small.words.vectors is small.last.vectors
    names = [weight.name for weight in parameters_of(small)]
    assert len([name for name in names if "vectors" in name]) == 2


@pytest.mark.parametrize(
    ("into", "numbers"),
    [
        (Factored(0.5), 7 * (200 + 16)),
        (SharedParts(0.1), 20 * 16),
        (SharedVectors(0.1), 20 * 16 + 2 * 200),
        (Quotients(), (15 + 14) * 16),
    ],
)
def test_numbers_by_hand(into: Any, numbers: int):
    small: Any = CompactEmbeddings(into=into, training=NONE)(Tied(), task())
    assert sum(p.numel() for p in small.words.parameters()) == numbers


def test_padding_that_is_zero_stays_zero():
    small: Any = CompactEmbeddings(training=NONE)(Tied(padding=0), task())
    assert not small.words(torch.tensor([[0, 0]])).any()
    assert small.words(torch.tensor([[1]])).any()


@pytest.mark.slow
def test_a_language_model_shrinks_learns_again_and_becomes_a_file(tmp_path: Path):
    texts = sentences()
    with seeded(0):
        model = WordLSTM(FullVectors(100, 16))
        small: Any = CompactEmbeddings(into=Factored(0.3), training=Training(30))(model, texts)
    assert small.vectors is small.output.vectors
    assert score(texts, small) > score(texts, model)
    size = save(small, texts, tmp_path / "small.shoe")
    assert size < save(model, texts, tmp_path / "large.shoe")
    assert score(texts, load(tmp_path / "small.shoe")) == pytest.approx(score(texts, small))


def _subclass() -> nn.Module:
    class Own(nn.Linear):
        pass

    model = Tied()
    model.last = Own(16, 200)
    model.last.weight = model.words.weight
    return model


def _changed(change: Callable[[Any], object]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        model = Tied()
        change(model)
        return model

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_changed(lambda m: m.words.weight.requires_grad_(False)), "skipped words: it is frozen"),
        (_changed(lambda m: setattr(m.words, "max_norm", 1.0)), "skipped words: it has a max_norm"),
        (
            _changed(lambda m: parameters_of(m).of(m.words).prune(torch.ones(200, 16) > 0)),
            "skipped words: its weights have a state",
        ),
        (_subclass, "skipped words: its weight belongs to Own too"),
    ],
)
def test_what_cannot_be_replaced_is_named(make: Callable[[], nn.Module], said: str):
    model = make()
    with pytest.warns(SkippedWarning) as caught:
        small: Any = CompactEmbeddings(training=NONE)(model, task())
    told = [str(one.message) for one in caught]
    assert any(said in one for one in told), told
    assert isinstance(small.words, nn.Embedding)


def test_a_model_without_a_table_is_left():
    with pytest.warns(SkippedWarning, match="found no table of vectors"):
        CompactEmbeddings(training=NONE)(nn.Sequential(nn.Linear(12, 12)), classified((12,)))


def test_the_planner_finds_it():
    (move,) = [one for one in moves() if isinstance(one.technique, CompactEmbeddings)]
    assert move.trains and move.turns
    harsh = move.at(1.0, 10)
    assert harsh == CompactEmbeddings(into=Factored(0.05), training=Training(10, AdamW(5e-4)))


def test_only_and_keep():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Embedding(200, 16), nn.Embedding(200, 16)
            self.tiny = nn.Embedding(4, 16)

        def forward(self, ids: Tensor) -> Tensor:
            return (self.left(ids) + self.right(ids) + self.tiny(ids % 4)).mean(1)

    assert CompactEmbeddings().layers(Two(), task()) == ["left", "right"]
    small: Any = CompactEmbeddings(training=NONE, keep=("left",))(Two(), task())
    assert isinstance(small.left, nn.Embedding) and isinstance(small.right, VectorsEmbedding)


@pytest.mark.parametrize(
    "make", [lambda: Factored(0), lambda: SharedParts(1.0), lambda: SharedVectors(0.1, hashes=0)]
)
def test_settings_out_of_range_are_refused(make: Callable[[], object]):
    with pytest.raises(ValueError, match="must be"):
        make()
