"""The recipe of few boxes, on pictures that are made here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring import load
from shoestring.kit import AdamW, Training
from shoestring.kit.boxes import are_complete, as_background, box_rows, boxes_task
from shoestring.label import Forgiving
from shoestring.recipes import few_boxes
from shoestring.recipes.partial_boxes import with_few_boxes


def task_of_squares():
    random = torch.Generator().manual_seed(0)
    images, boxes = torch.rand(24, 3, 32, 32, generator=random) * 0.3, []
    for image in images:
        own = []
        for place in torch.randperm(4, generator=random)[:3].tolist():
            left, top = 16 * (place % 2) + 3, 16 * (place // 2) + 3
            image[:, top : top + 9, left : left + 9] += 0.6
            own.append((0, left, top, 9, 9))
        boxes.append(own)
    data = images, box_rows(boxes)
    return boxes_task(dict.fromkeys(("train", "validation", "test"), data), names=("a",), name="s")


def test_boxes_are_hidden_from_training_alone():
    task = task_of_squares()
    few = with_few_boxes(task, 1, Forgiving(), seed=0)
    assert int((few.train[1][:, :, 0] >= 0).sum()) == 24 and not are_complete(few.train[1]).any()
    assert torch.equal(few.validation[1], task.validation[1])
    assert with_few_boxes(task, None, as_background, seed=0).train[1] is task.train[1]


@pytest.mark.slow
def test_a_detector_and_its_file(tmp_path: Path):
    path = tmp_path / "squares.shoe"
    found = few_boxes(task_of_squares(), path, width=4, training=Training(60, AdamW(1e-2)))
    assert found.boxes == 24 and found.bytes == path.stat().st_size
    assert found.validation == pytest.approx(found.test, abs=0.02)
    assert load(path)(torch.rand(1, 3, 32, 32).numpy())["heat"].shape == (1, 1, 8, 8)
