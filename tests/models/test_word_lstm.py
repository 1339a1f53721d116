"""Networks that predict the next word: by torch's own layers, and files of each kind of vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_texts import sentences
from torch import nn

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training, save, train
from shoestring.kit.embeddings.vectors import (
    FullVectors,
    HashedVectors,
    LowRankVectors,
    QuotientRemainderVectors,
    SlimVectors,
)
from shoestring.models import AdaptiveSoftmax, WordLSTM

KINDS: dict[str, Callable[[], WordLSTM]] = {
    "full": lambda: WordLSTM(FullVectors(100, 16)),
    "gru": lambda: WordLSTM(FullVectors(100, 16), recurrent=nn.GRU),
    "adaptive": lambda: WordLSTM(
        FullVectors(100, 16), output=AdaptiveSoftmax(16, 100, cutoffs=(20, 60))
    ),
    "low rank": lambda: WordLSTM(LowRankVectors(100, 16, 4)),
    "slim": lambda: WordLSTM(SlimVectors(100, 16, 5)),
    "hashed": lambda: WordLSTM(HashedVectors(100, 16, 5)),
    "quotient-remainder": lambda: WordLSTM(QuotientRemainderVectors(100, 16)),
}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> WordLSTM:
    with seeded(0):
        return KINDS[request.param]().eval()


def test_the_full_one_is_a_tied_lstm():
    with seeded(0):
        model = KINDS["full"]().eval()
    ids = torch.tensor([[1, 5, 7, 99]])
    table = model.vectors.table()
    states, _ = model.recurrent(table[ids[:, :-1]])
    expected = (states @ table.T + model.output.bias).log_softmax(-1)  # type: ignore[union-attr]
    chosen = expected.gather(-1, ids[:, 1:, None]).squeeze(-1)
    torch.testing.assert_close(model(ids), chosen)
    lstm = 4 * 16 * 32 + 2 * 4 * 16
    assert sum(p.numel() for p in model.parameters()) == 100 * 16 + 100 + lstm


@torch.no_grad()
def test_all_next_words_agree_with_single_ones(model: WordLSTM):
    text = torch.tensor([[4, 17, 29], [1, 2, 0]])
    every = model.next(text)
    assert every.shape == (2, 100)
    torch.testing.assert_close(every.exp().sum(1), torch.ones(2))
    for word in (0, 1, 30, 99):
        ids = torch.cat([text, torch.full((2, 1), word)], 1)
        torch.testing.assert_close(every[:, word], model(ids)[:, -1])


def test_it_learns(model: WordLSTM):
    task = sentences()
    before = score(task, model)
    with seeded(0):
        train(model, task, Training(60, AdamW(1e-2)))
    assert score(task, model) > before + 0.15
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.slow
def test_its_file_answers_alike(model: WordLSTM, tmp_path: Path):
    task = sentences(entries=("next",))
    save(model, task, tmp_path / "words.shoe")
    file: Any = load(tmp_path / "words.shoe")
    for count, length in ((2, 17), (1, 2), (3, 6)):
        ids = torch.arange(count * length).reshape(count, length) % 100
        with torch.no_grad():
            expected = model(ids), model.next(ids)
        for ours, wanted in zip((file.forward(ids), file.next(ids)), expected, strict=True):
            torch.testing.assert_close(torch.as_tensor(ours), wanted, rtol=1e-4, atol=1e-4)
