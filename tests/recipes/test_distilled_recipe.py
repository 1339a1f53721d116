"""The recipe of students, on a handful of random images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring import meters
from shoestring.artifact import load
from shoestring.core import Ledger, score, seeded
from shoestring.distill import SoftTargets
from shoestring.kit import Supervised
from shoestring.models import LeNet5
from shoestring.recipes import distilled_mnist, recipe


def images() -> Supervised:
    with seeded(0):
        splits = [(torch.rand(24, 1, 28, 28), torch.randint(0, 10, (24,))) for _ in range(3)]
    return Supervised(
        train=splits[0], validation=splits[1], test=splits[2], batch_size=8, name="random"
    )


def test_a_student_has_a_file_with_a_tenth_of_the_operations_and_goes_on(tmp_path: Path):
    with seeded(0):
        model, task = LeNet5(), images()
    ledger = Ledger(tmp_path / "ledger.sqlite")
    small = distilled_mnist(model, task, tmp_path / "small.shoe", steps=6, ledger=ledger)
    assert [row.kind for row in ledger.rows()] == ["apply", "prove"]
    full = meters.Operations()(model, task).operations
    assert full is not None and small.operations < full / 10
    assert small.bytes == (tmp_path / "small.shoe").stat().st_size
    assert small.validation == score(task, load(tmp_path / "small.shoe"))
    assert distilled_mnist(model, task, tmp_path / "small.shoe", steps=6) == small


@pytest.mark.slow
def test_a_weight_of_nothing_trains_without_the_teacher(tmp_path: Path):
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :10] * 0

    files = []
    for name, model in (("one", LeNet5()), ("other", Broken())):
        path = tmp_path / f"{name}.shoe"
        distilled_mnist(model, images(), path, targets=SoftTargets(0.0, 1.0), steps=4)
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_its_record_has_what_was_published():
    known = recipe("distilled_mnist")
    assert [one.value for one in known.published] == [0.74, 1.46, 0.67]
    assert known.results is not None and known.results.baselines
