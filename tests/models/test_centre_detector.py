"""The detector: shapes, parameters, what it learns of made pictures, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training, save, train
from shoestring.kit.boxes import BOX_STRIDE, box_rows, boxes_task, decode
from shoestring.models import CentreDetector


def test_shapes_and_parameters():
    model = CentreDetector(3)
    count = sum(one.numel() for one in model.parameters())
    assert f"{count:,} parameters" in (CentreDetector.__doc__ or "")
    maps = model(torch.rand(2, 3, 64, 96))
    assert {name: tuple(one.shape) for name, one in maps.items()} == {
        "heat": (2, 3, 16, 24),
        "sides": (2, 2, 16, 24),
        "offsets": (2, 2, 16, 24),
    }
    assert CentreDetector(1, 4, channels=1)(torch.rand(1, 1, 32, 32))["heat"].shape == (1, 1, 8, 8)
    with pytest.raises(ValueError, match="classes"):
        CentreDetector(0)


def test_sides_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiples of 16"):
        CentreDetector(2)(torch.rand(1, 3, 64, 100))


def squares(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey pictures of 32×48 with a bright and a dark rectangle each."""
    random = torch.Generator().manual_seed(seed)
    images, boxes = torch.full((count, 1, 32, 48), 0.5), []
    images += 0.05 * torch.randn(images.shape, generator=random)
    for image in images:
        own = []
        for kind, level in ((0, 1.0), (1, 0.0)):
            width, height = (int(one) for one in torch.randint(7, 12, (2,), generator=random))
            left = 24 * kind + int(torch.randint(0, 24 - width, (1,), generator=random))
            top = int(torch.randint(0, 32 - height, (1,), generator=random))
            image[:, top : top + height, left : left + width] = level
            own.append((kind, left, top, width, height))
        boxes.append(own)
    return images, box_rows(boxes)


def of_squares():
    return boxes_task(
        {"train": squares(64, 0), "validation": squares(16, 1), "test": squares(16, 2)},
        names=("bright", "dark"),
        name="squares",
    )


def test_it_learns():
    task = of_squares()
    with seeded(0):
        model = CentreDetector(2, 8, channels=1)
        before = score(task, model)
        train(model, task, Training(60, AdamW(8e-3)))
    assert before < 0.2 and score(task, model) > 0.8


@pytest.mark.slow
def test_its_file_finds_the_same(tmp_path: Path):
    task = of_squares()
    with seeded(0):
        model = train(CentreDetector(2, 8, channels=1), task, Training(100, AdamW(5e-3)))
    save(model, task, tmp_path / "squares.shoe")
    file = load(tmp_path / "squares.shoe")
    ours = score(task, model)
    assert ours > 0.9 and score(task, file) == pytest.approx(ours, abs=1e-3)
    images, rows = task.validation
    assert isinstance(images, torch.Tensor)
    found = decode(file(images.numpy()), stride=BOX_STRIDE, least=0.3)
    gaps = [abs(one.boxes[one.kinds == 0][0] - row[0, 1:].numpy()).max()
            for one, row in zip(found, rows, strict=True) if (one.kinds == 0).any()]  # fmt: skip
    assert sum(gap < 2 for gap in gaps) >= 14
