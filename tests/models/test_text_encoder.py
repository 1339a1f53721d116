"""The text encoder: attention by hand, padding that changes nothing, and a file for texts of any
number and length.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, write
from shoestring.models import TextEncoder
from shoestring.models.text_encoder import _Attention


@pytest.fixture(scope="module")
def model() -> TextEncoder:
    with seeded(0):
        return TextEncoder(50, width=32, hidden=48, length=16).eval()


def texts(count: int, length: int) -> Tensor:
    """Ids 2..49, of which every second text ends in one word of padding."""
    ids = torch.randint(2, 50, (count, length), generator=torch.Generator().manual_seed(length))
    ids[1::2, -1] = 0
    return ids


def test_its_size():
    model = TextEncoder(1000)
    layer = 4 * (256 * 256 + 256) + 2 * 256 * 512 + 512 + 256 + 4 * 256
    assert (
        sum(p.numel() for p in model.parameters())
        == (1000 + 128) * 256 + 4 * layer + 2 * 256 + 2 * 256 + 2
    )
    assert not list(model.buffers())
    assert TextEncoder(10, classes=5)(torch.ones(3, 7, dtype=torch.int64)).shape == (3, 5)


def test_attention_by_hand():
    attention = _Attention(4, 2, 0.0)
    with torch.no_grad():
        for part in (attention.query, attention.key, attention.value, attention.output):
            part.weight.copy_(torch.eye(4))
            part.bias.zero_()
    states = torch.tensor([[[1.0, 0, 0, 2], [0, 1, 2, 0], [9, 9, 9, 9]]])
    there = torch.tensor([[True, True, False]])
    # Of each head the first word has a product of 1 (or 4) with itself, 0 with the second, over the
    # root of 2; the third is not there.
    one, four = (1 / (1 + math.exp(-x / math.sqrt(2))) for x in (1, 4))
    torch.testing.assert_close(
        attention(states, there)[0, 0], torch.tensor([one, 1 - one, 2 * (1 - four), 2 * four])
    )


def test_padding_changes_no_answer(model: TextEncoder):
    ids = texts(4, 9)
    padded = torch.cat([ids, torch.zeros(4, 7, dtype=torch.int64)], 1)
    with torch.no_grad():
        torch.testing.assert_close(model(padded), model(ids), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model(padded[:1]), model(padded)[:1], rtol=1e-5, atol=1e-6)
        assert (
            model(ids) - model(ids.flip(1))
        ).abs().max() > 1e-3  # but the order of the words does
        assert torch.isfinite(model(torch.zeros(2, 3, dtype=torch.int64))).all()


def test_too_long_a_text(model: TextEncoder):
    with pytest.raises(
        ValueError, match=r"a text of 17 words is longer than this network reads \(16\)"
    ):
        model(texts(1, 17))


def test_every_weight_learns():
    with seeded(0):
        model = TextEncoder(50, width=32, hidden=48, length=8)
    model(texts(4, 8)).logsumexp(-1).sum().backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0
        for p in model.parameters()
        if p is not model.last.bias
    )


@pytest.mark.slow
def test_its_file_answers_alike_at_any_number_and_length(model: TextEncoder, tmp_path: Path):
    split = (texts(4, 16), torch.arange(4) % 2)
    write(
        model,
        Supervised(train=split, validation=split, test=split, axes={1: "T"}),
        tmp_path / "t.shoe",
    )
    file = load(tmp_path / "t.shoe")
    with torch.no_grad():
        for count, length in ((1, 16), (32, 16), (1, 1), (32, 5)):
            ids = texts(count, length)
            torch.testing.assert_close(torch.as_tensor(file(ids)), model(ids), rtol=1e-4, atol=1e-5)
