"""Matrices in groups of a few bits."""

from __future__ import annotations

import pytest
from torch import nn

from shoestring.artifact import load, read
from shoestring.core import score, seeded
from shoestring.kit import AdamW, SkippedWarning, Supervised, Training, train, write
from shoestring.models import DigitsLeNet
from shoestring.quantize import WeightOnly
from shoestring.tasks import digits


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Supervised]:
    task = digits()
    with seeded(0):
        return train(DigitsLeNet(), task, Training(120, AdamW(3e-3))), task


def test_weight_only_names_what_does_not_divide(trained, tmp_path):
    model, task = trained
    with pytest.warns(SkippedWarning, match=r"layers\.0\.weight \(a tensor \[32, 1, 3, 3\] does not divide"):
        rounded = WeightOnly()(model, task.sealed())
    size = write(rounded, task, tmp_path / "a.shoe")
    plain = write(model, task, tmp_path / "b.shoe")
    elements = {one.bits.shape: one.element for one in read(tmp_path / "a.shoe").tensors}
    assert elements[128, 256] == 3 and elements[10, 128] == 3 and size < 0.6 * plain
    assert abs(score(task, load(tmp_path / "a.shoe", threads=1)) - score(task, rounded)) < 1e-9
