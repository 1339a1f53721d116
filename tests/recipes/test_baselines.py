"""The recipe of the reference networks with little training.

Its file, going on after a kill, and the committed files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, restore
from shoestring.models import BiLSTMTagger, LeNet5, MobileNet, ResNet20, TabularNet, TextEncoder
from shoestring.recipes.baselines import SETTINGS, baseline, pictures, shown

FILES = Path(__file__).parents[2] / "benchmarks" / "results" / "files"
ADULT = (10, 17, 8, 16, 7, 6, 3, 43)  # ids of each column of categories


def pictures_of(side: int, channels: int) -> Supervised:
    """Sixty-four images whose label is in their brightness."""
    labels = torch.arange(64) % 10
    images = (labels.view(-1, 1, 1, 1) / 10).expand(-1, channels, side, side) + 0.02 * torch.rand(
        64, channels, side, side
    )
    return Supervised(train=(images, labels), validation=(images, labels), test=(images, labels))


def made(network: type[nn.Module]) -> nn.Module:
    with seeded(0):
        return network()


def test_a_file_and_going_on(tmp_path: Path):
    with seeded(0):
        task = pictures_of(28, 1)
    little = replace(SETTINGS[LeNet5], passes=20, batch_size=16)
    untrained = made(LeNet5)
    before = [p.clone() for p in untrained.parameters()]
    model = baseline(untrained, task, tmp_path / "a.shoe", settings=little)
    assert all(torch.equal(a, b) for a, b in zip(before, untrained.parameters(), strict=True))
    assert task.score(model, "validation") > 0.5 > task.score(untrained, "validation")
    assert task.score(load(tmp_path / "a.shoe"), "validation") == task.score(model, "validation")
    # Without the file but with what the training kept, nothing is trained again; nor with the file
    # alone.
    kept = [path.stat().st_mtime_ns for path in (tmp_path / "a.unfinished").iterdir()]
    (tmp_path / "a.shoe").unlink()
    again = baseline(made(LeNet5), task, tmp_path / "a.shoe", settings=little)
    assert kept == [path.stat().st_mtime_ns for path in (tmp_path / "a.unfinished").iterdir()]
    read = baseline(made(LeNet5), task, tmp_path / "a.shoe", settings=little)
    for one in (again, read):
        assert all(
            torch.equal(a, b) for a, b in zip(model.parameters(), one.parameters(), strict=True)
        )


@pytest.mark.slow
@pytest.mark.parametrize("network", [ResNet20, MobileNet])
def test_networks_for_pictures(network: type[nn.Module], tmp_path: Path):
    with seeded(0):
        task = pictures_of(32, 3)
    model = baseline(
        made(network),
        task,
        tmp_path / "p.shoe",
        settings=replace(SETTINGS[network], passes=1, batch_size=32),
    )
    assert 0 <= task.score(model, "validation") <= 1 and (tmp_path / "p.shoe").exists()


@pytest.mark.slow
def test_the_network_for_texts(tmp_path: Path):
    with seeded(0):
        ids = torch.randint(2, 30, (64, 6))
        untrained = TextEncoder(30, width=32, hidden=32)
    labels = (ids == 5).any(1).long()
    task = Supervised(
        train=(ids, labels), validation=(ids, labels), test=(ids, labels), axes={1: "T"}
    )
    model = baseline(
        untrained, task, tmp_path / "t.shoe", settings=replace(SETTINGS[TextEncoder], passes=1)
    )
    assert isinstance(model, TextEncoder) and load(tmp_path / "t.shoe")(ids[:1, :2]).shape == (1, 2)


@pytest.mark.slow
def test_networks_of_two_inputs(tmp_path: Path):
    with seeded(0):
        ids = torch.randint(1, 30, (64, 6))
        tagger, table = BiLSTMTagger(30, 30, tags=3, width=8), TabularNet((30,) * 6, [0.0], [1.0])
    tags, labels, numbers = (ids == 5).long(), (ids == 5).any(1).long(), ids[:, :1].float()
    words = Supervised(
        train=((ids, ids), tags),
        validation=((ids, ids), tags),
        test=((ids, ids), tags),
        axes={1: "T"},
        criterion=lambda logits, tags: torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), tags.flatten()
        ),
        merit=lambda logits, tags: (logits.argmax(-1) == tags).mean(-1),
    )
    model = baseline(
        tagger, words, tmp_path / "w.shoe", settings=replace(SETTINGS[BiLSTMTagger], passes=1)
    )
    assert isinstance(model, BiLSTMTagger) and load(tmp_path / "w.shoe")(
        ids[:1, :2], ids[:1, :2]
    ).shape == (1, 2, 3)
    rows = Supervised(
        train=((ids, numbers), labels),
        validation=((ids, numbers), labels),
        test=((ids, numbers), labels),
    )
    model = baseline(
        table, rows, tmp_path / "r.shoe", settings=replace(SETTINGS[TabularNet], passes=1)
    )
    assert isinstance(model, TabularNet) and load(tmp_path / "r.shoe")(
        ids[:1], numbers[:1]
    ).shape == (1, 2)


def test_what_training_sees():
    with seeded(0):
        task = pictures_of(32, 3)
        assert pictures(task.train[0][:2]).is_contiguous(memory_format=torch.channels_last)  # type: ignore[index]
    seen = shown(task, SETTINGS[ResNet20])
    assert (seen.augment, seen.batch_size, seen.autocast) == (pictures, 128, torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("lenet5", LeNet5),
        ("resnet20", ResNet20),
        ("mobilenet", MobileNet),
        ("text_encoder", lambda: TextEncoder(7121)),
        ("tagger", lambda: BiLSTMTagger(8867, 3296)),
        ("tabular", lambda: TabularNet(ADULT, [0.0] * 6, [1.0] * 6)),
    ],
)
def test_the_committed_files_are_of_these_networks(name: str, network: Callable[[], nn.Module]):
    restored = restore(FILES / f"baseline_{name}.shoe", network())
    assert all(torch.isfinite(p).all() for p in restored.parameters())
