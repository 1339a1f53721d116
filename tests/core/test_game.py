"""What core promises holds for a task that has no inputs and no targets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring import kit
from shoestring.artifact import load
from shoestring.core import Ledger, SealedError, apply, chain, prove, score, seeded
from shoestring.kit import AdamW, Training
from shoestring.prune import Magnitude
from shoestring.quantize import WeightSharing

from .games import STONES, Nim, anyhow, greedy, perfect, play


def test_the_game_itself():
    heaps = torch.arange(1, STONES + 1)
    with seeded(0):
        assert (play(perfect, anyhow, heaps)[heaps % 4 > 0] == 1).all()
        assert (play(anyhow, perfect, heaps)[heaps % 4 == 0] == -1).all()
    assert play(perfect, perfect, torch.tensor([1, 3, 4, 8, 9])).tolist() == [1, 1, -1, -1, 1]


def test_training_improves_play(nim: Nim, beginner: nn.Module, expert: nn.Module):
    assert (
        score(nim, beginner) < 0.6 and score(nim, expert) > 0.87
    )  # perfect play loses some of the lost positions
    winnable = torch.tensor([heap for heap in range(1, STONES + 1) if heap % 4])
    with torch.no_grad():
        assert (play(greedy(expert), perfect, winnable) == 1).all()


def test_score_of_a_split_is_the_same_each_time_and_each_split_has_its_own(
    nim: Nim, beginner: nn.Module
):
    assert score(nim, beginner) == score(nim, beginner)
    assert score(nim, beginner) != score(nim, beginner, "test")


def test_prune_share_write_and_prove(nim: Nim, expert: nn.Module, tmp_path: Path):
    ledger, path = Ledger(tmp_path / "ledger.sqlite"), tmp_path / "nim.shoe"
    small = chain(
        Magnitude(density=0.4, training=Training(40)),
        WeightSharing(levels=8, training=Training(20, AdamW(1e-4))),
    )
    model = apply(small, expert, nim, ledger=ledger)
    assert nim.test_reads == []
    plain = kit.write(expert, nim, tmp_path / "plain.shoe")
    assert kit.write(model, nim, path) < 0.75 * plain
    assert score(nim, load(path)) == score(nim, model) > 0.85
    assert nim.test_reads == []
    assert prove(path, nim, ledger=ledger) == score(nim, model, "test")
    assert nim.test_reads == ["test", "test"]
    assert [row.kind for row in ledger.rows()] == ["apply", "apply", "prove"]


def test_a_teacher_teaches_play(nim: Nim, beginner: nn.Module, expert: nn.Module):
    with seeded(1):
        student = kit.train(
            kit.clone(beginner), nim.sealed().taught_by(expert), Training(60, AdamW(1e-2))
        )
    assert score(nim, student) > score(nim, beginner) + 0.1


def test_the_sealed_game_has_no_test_split(nim: Nim, beginner: nn.Module):
    with pytest.raises(SealedError):
        nim.sealed().score(beginner, "test")
    with pytest.raises(SealedError):
        nim.sealed().taught_by(beginner).batches("test")
    assert nim.test_reads == []
