"""Classes and sentences both ways: what the directions read and write, and one file of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from made_rules import made
from torch import nn

from shoestring.artifact import load
from shoestring.core import score, scores, seeded
from shoestring.dual import BackTranslation, DualSupervised, LanguageModel, TwoWay
from shoestring.kit import AdamW, Supervised, Training, train, write
from shoestring.kit.embeddings.vectors import FullVectors
from shoestring.models import Portraits, TextEncoder, WordLSTM
from shoestring.recipes.labels_both_ways import (
    Words,
    pictures_both_ways,
    sentences_both_ways,
    with_states,
)
from shoestring.tasks import digits

WORDS = Words(words=241, classes=3, longest=12)


def texts(count: int = 60) -> Supervised:
    generator = torch.Generator().manual_seed(0)
    return Supervised(
        train=made(count, generator),
        validation=made(200, generator),
        test=made(200, generator),
        axes={1: "T"},
        name="made texts",
    )


def networks() -> TwoWay:
    with seeded(0):
        return TwoWay(
            TextEncoder(
                WORDS.ids, classes=3, width=16, layers=1, heads=2, hidden=16, length=16, dropout=0.0
            ),
            WORDS.writer(width=16, layers=1, dropout=0.0),
        )


def test_ends_and_words_of_classes_by_hand():
    ids = torch.tensor([[5, 6, 0, 0], [7, 0, 0, 0]])
    assert WORDS.ended(ids).tolist() == [[5, 6, 242], [7, 242, 0]]
    assert WORDS.ended(torch.full((1, 20), 9)).tolist() == [[9] * 11 + [242]]
    assert WORDS.of_class(torch.tensor([0, 2])).tolist() == [[243], [245]]
    assert WORDS.alphabet.start == 241 and WORDS.ids == 246


def test_sentences_are_learnt_both_ways_and_their_marginals_count():
    task = texts()
    with seeded(0):
        model = WordLSTM(FullVectors(WORDS.ids, 8))
    both = sentences_both_ways(
        task, WORDS, made(100, torch.Generator().manual_seed(5))[0],
        source=LanguageModel(model, WORDS.alphabet),
    )  # fmt: skip
    begun = networks()
    before = score(both.back, begun.back)
    with seeded(0):
        train(begun, both.sealed(), Training(40, AdamW(1e-2)))
    assert score(both.back, begun.back) > before + 0.1
    for technique in (
        DualSupervised(training=Training(2)),
        BackTranslation(training=Training(2)),
    ):
        with seeded(0):
            result = technique(begun, both.sealed())
        assert all(torch.isfinite(one).all() for one in result.parameters())
        assert score(both, result) == scores(both, result)["forward"]


@pytest.mark.slow
def test_one_file_tells_the_class_and_writes_sentences(tmp_path: Path):
    task, model = texts(), networks()
    both = sentences_both_ways(task, WORDS)
    with pytest.raises(ValueError, match="use with_states"):
        both.example()
    ready = with_states(both, model, WORDS)
    write(model.eval(), ready, tmp_path / "both.shoe")
    file: Any = load(tmp_path / "both.shoe")
    assert set(file.entries) == {"ahead", "encode_back", "step_back"}
    assert score(both, file) == score(both, model)
    part = both.backward.of(file)
    assert score(both.back, part) == pytest.approx(score(both.back, model.back), abs=1e-4)


def test_pictures_of_a_class_are_the_mean_of_its_pictures():
    """With many steps, a portrait is the mean of the pictures of its class."""
    task = digits()
    both = pictures_both_ways(task)
    model = nn.ModuleDict(
        {
            "read": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
            "portray": Portraits(10, (1, 8, 8)),
        }
    )
    with seeded(0):
        train(model, both.sealed(), Training(150, AdamW(3e-2)))
    images, labels = task.train
    assert isinstance(images, torch.Tensor)
    wanted = torch.stack([images[labels == one].mean(0) for one in range(10)])
    found = model["portray"](torch.arange(10))[0].detach()
    assert float((found - wanted).abs().mean()) < 0.03
    assert not both.sources and score(both, model) > 0.9
    drawn = torch.cat(list(both.targets))
    assert set(drawn.tolist()) == set(range(10))
