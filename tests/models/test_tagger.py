"""The tagger: its size, reading both ways, padding that changes nothing, and a file for sentences
of any number and length.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, write
from shoestring.models import BiLSTMTagger


@pytest.fixture(scope="module")
def model() -> BiLSTMTagger:
    with seeded(0):
        return BiLSTMTagger(50, 20, tags=5, width=16).eval()


def sentences(count: int, length: int) -> tuple[Tensor, Tensor]:
    """Ids 2..49 of words, 1..19 of endings; every second sentence ends in one word of padding."""
    draw = torch.Generator().manual_seed(length)
    words, endings = (
        torch.randint(2, 50, (count, length), generator=draw),
        torch.randint(1, 20, (count, length), generator=draw),
    )
    words[1::2, -1] = endings[1::2, -1] = 0
    return words, endings


def longer(ids: Tensor, by: int) -> Tensor:
    """The ids with so much more padding."""
    return torch.cat([ids, torch.zeros(len(ids), by, dtype=torch.int64)], 1)


def test_its_size():
    model = BiLSTMTagger(1000, 300)
    each_way = 4 * 64 * (64 + 32) + 4 * 64 * 64 + 2 * 4 * 64
    assert (
        sum(p.numel() for p in model.parameters())
        == 1000 * 64 + 300 * 32 + 2 * each_way + 128 * 17 + 17
    )
    assert not list(model.buffers())
    assert model(
        torch.ones(3, 7, dtype=torch.int64), torch.ones(3, 7, dtype=torch.int64)
    ).shape == (3, 7, 17)


def test_it_reads_as_a_bidirectional_lstm_of_torch_does(model: BiLSTMTagger):
    both = torch.nn.LSTM(96, 16, batch_first=True, bidirectional=True)
    own = {
        name: getattr(model.forwards, name)
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    }
    own |= {f"{name}_reverse": getattr(model.backwards, name) for name in list(own)}
    both.load_state_dict(own)
    words, endings = sentences(1, 8)  # without padding
    with torch.no_grad():
        states, _ = both(torch.cat([model.words(words), model.endings(endings)], -1))
        torch.testing.assert_close(model(words, endings), model.last(states))


def test_padding_changes_no_answer(model: BiLSTMTagger):
    words, endings = sentences(4, 9)
    with torch.no_grad():
        answers = model(words, endings)
        padded = model(longer(words, 7), longer(endings, 7))
        alone = model(words[1:2, :8], endings[1:2, :8])
        changed = words.clone()
        changed[0, -1], changed[0, 0] = words[0, 0], words[0, -1]
        moved = (model(changed, endings) - answers)[0].abs().amax(-1)
    there = words != 0
    torch.testing.assert_close(padded[:, :9][there], answers[there])
    torch.testing.assert_close(alone[0], answers[1, :8])
    assert (moved > 1e-4)[1:-1].any()  # but the words around it change a tag
    assert torch.isfinite(padded).all()


def test_every_weight_learns():
    with seeded(0):
        model = BiLSTMTagger(50, 20, tags=5, width=16)
    model(*sentences(4, 8)).logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.slow
def test_its_file_answers_alike_at_any_number_and_length(model: BiLSTMTagger, tmp_path: Path):
    inputs = sentences(4, 16)
    split = (inputs, torch.zeros(4, dtype=torch.int64))
    task = Supervised(
        train=split,
        validation=split,
        test=split,
        axes={1: "T"},
        criterion=lambda logits, _: logits.mean(),
        merit=lambda logits, _: logits.mean((1, 2)),
    )
    write(model, task, tmp_path / "t.shoe")
    file = load(tmp_path / "t.shoe")
    with torch.no_grad():
        for count, length in ((1, 16), (32, 16), (1, 1), (32, 5), (3, 40)):
            given = sentences(count, length)
            torch.testing.assert_close(
                torch.as_tensor(file(*given)), model(*given), rtol=1e-4, atol=1e-5
            )
