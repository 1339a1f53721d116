"""Bags of embeddings in a file, against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoestring import Vary
from shoestring.artifact import load
from shoestring.core import Task, seeded
from shoestring.kit import Supervised, Training, clone, write
from shoestring.quantize import PerChannel, PostTraining, Rate, WeightOnly, WeightSharing


class Bags(nn.Module):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.words, self.last = nn.EmbeddingBag(50, 8, **settings), nn.Linear(8, 4)

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        return self.last(self.words(ids, offsets))


class Bagged(Task):
    """20 ids in 4 or 5 bags."""

    def __init__(self, ends: bool) -> None:
        self.offsets = torch.tensor([0, 4, 8, 12, 20] if ends else [0, 4, 8, 12, 16])

    def batches(self, split: str, *, model: Any = None):
        yield (torch.arange(20) % 7, self.offsets)

    def loss(self, model: Any, batch: Any) -> Tensor:
        return model(*batch).square().mean()

    def score(self, predict: Any, split: str) -> float:
        return 0.0

    def example(self):
        return (Vary(torch.arange(20) % 7, {0: "L"}), Vary(self.offsets, {0: "N"})), {}


@pytest.mark.by_default("*max_norm*-sum", "*padding_idx*-mean", "*last_offset*-max")
@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
@pytest.mark.parametrize(
    "settings", [{}, {"padding_idx": 3}, {"include_last_offset": True}, {"max_norm": 1.0}], ids=str
)
def test_bags_of_any_length(mode, settings, tmp_path):
    with seeded(0):
        model = Bags(mode=mode, **settings).eval()
    ends = bool(settings.get("include_last_offset"))
    write(model, Bagged(ends), tmp_path / "a.shoe")
    file = load(tmp_path / "a.shoe", threads=1)
    # An empty bag in the middle and one at the end; a bag with nothing in it but the id that is
    # left out; ids the example has not.
    for ids, offsets in (([3, 3, 1, 49, 3], [0, 2, 2, 3]), ([5], [0]), ([8, 9], [0, 2])):
        given = torch.tensor(ids), torch.tensor([*offsets, len(ids)] if ends else offsets)
        with torch.no_grad():
            wanted = clone(model)(*given).numpy()
        assert np.abs(file(*given) - wanted).max() < 1e-5


def test_bags_of_one_length_with_weights(tmp_path):
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.last = nn.EmbeddingBag(50, 8, mode="sum"), nn.Linear(8, 4)

        def forward(self, ids: Tensor, weights: Tensor) -> Tensor:
            return self.last(self.words(ids, per_sample_weights=weights))

    with seeded(0):
        split = ((torch.randint(0, 50, (64, 5)), torch.rand(64, 5)), torch.randint(0, 4, (64,)))
        task, model = Supervised(train=split, validation=split, test=split), Weighted().eval()
    quantised = PostTraining(only=("last",))(model, task.sealed())
    for one, tolerance in ((model, 1e-5), (quantised, 0.02)):
        write(one, task, tmp_path / "a.shoe")
        file = load(tmp_path / "a.shoe", threads=1)
        for count in (1, 9):
            given = tuple(part[:count] for part in split[0])
            with torch.no_grad():
                wanted = one(*given).numpy()
            assert np.abs(file(*given) - wanted).max() < tolerance


@pytest.mark.slow
def test_an_embedding_that_keeps_to_a_norm(tmp_path):
    with seeded(0):
        model = nn.Sequential(
            nn.Embedding(50, 8, max_norm=1.0), nn.Flatten(), nn.Linear(40, 4)
        ).eval()
        x, y = torch.randint(0, 20, (64, 5)), torch.randint(0, 4, (64,))
    task = Supervised(train=(x, y), validation=(x, y), test=(x, y))
    before, every = (
        model[0].weight.detach().clone(),
        torch.arange(50).view(10, 5),
    )  # most of them never seen
    made = {
        "as it is": model,
        "shared": WeightSharing(levels=64, training=Training(0))(model, task.sealed()),
        "rounded": WeightOnly(bits=8, granularity=PerChannel(), only=("0",))(model, task.sealed()),
        "rate": Rate(price=1e-6, training=Training(6))(model, task.sealed()),
        "whole": PostTraining(only=("2",))(model, task.sealed()),
    }
    for name, one in made.items():
        write(one, task, tmp_path / "a.shoe")
        with torch.no_grad():
            wanted = clone(one).eval()(every).numpy()
        assert (
            np.abs(load(tmp_path / "a.shoe", threads=1)(every) - wanted).max()
            < 1e-3 * np.abs(wanted).max()
        ), name
    assert torch.equal(before, model[0].weight)
    exact = F.embedding(torch.arange(50), before.clone(), max_norm=1.0)
    near = made["shared"].get_submodule("0")(torch.arange(50))
    assert (near - exact).abs().max() < 0.1 and float(exact.norm(dim=1).max()) <= 1.0001
