"""What nobody marked: how it counts in the loss, and that forgiving it finds more."""

from __future__ import annotations

import pytest
import torch

from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training, train
from shoestring.kit.boxes import CentreLoss, box_rows, boxes_task, maps_of, only_some
from shoestring.label import Forgiving
from shoestring.models import CentreDetector

BOX = (0, 16.0, 16.0, 16.0, 16.0)


def test_factors_by_hand():
    maps = maps_of(box_rows([[BOX], [BOX], []], [True, False, False]), 2, (16, 16), 4)
    logits = torch.full((3, 2, 16, 16), -3.0)
    logits[:, 1, 12, 12] = 3.0
    factors = Forgiving(weight=0.2, above=0.5)(logits, maps)
    assert (factors[0] == 1).all(), "a completely marked picture counts fully"
    assert factors[1, 0, 6, 6] == factors[1, 1, 6, 6] == 1, "the annotator looked here"
    assert factors[1, 0, 0, 0] == pytest.approx(0.2) and factors[1, 1, 12, 12] == 0
    assert factors[1, 0, 12, 12] == pytest.approx(0.2), "it is surer of another class"
    assert (factors[2] == 1).sum() == 0 and factors[2, 1, 12, 12] == 0


@pytest.mark.parametrize("field", ["weight", "above"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_numbers_out_of_range_are_refused(field: str, value: float):
    with pytest.raises(ValueError, match=field):
        Forgiving(**{field: value})


def test_complete_pictures_have_the_ordinary_loss():
    rows = box_rows([[BOX]])
    with seeded(0):
        outputs = CentreDetector(2, 4)(torch.rand(1, 3, 64, 64))
    ordinary, forgiving = CentreLoss(stride=4), CentreLoss(stride=4, unmarked=Forgiving())
    assert ordinary(outputs, rows) == forgiving(outputs, rows)
    hidden = box_rows([[BOX]], [False])
    assert ordinary(outputs, hidden) > forgiving(outputs, hidden)


def herds(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures with six bright squares each, in a grid of places."""
    random = torch.Generator().manual_seed(seed)
    images, boxes = torch.rand(count, 1, 48, 48, generator=random) * 0.3, []
    for image in images:
        own = []
        for place in torch.randperm(9, generator=random)[:6].tolist():
            left, top = 16 * (place % 3) + 3, 16 * (place // 3) + 3
            image[:, top : top + 9, left : left + 9] += 0.6
            own.append((0, left, top, 9, 9))
        boxes.append(own)
    return images, box_rows(boxes)


@pytest.mark.slow
def test_one_box_of_the_herd_is_enough():
    images, rows = herds(64, 0)
    task = boxes_task(
        {"train": (images, only_some(rows, 1, 0)), "validation": herds(24, 1)},
        names=("one",),
        name="herds",
        unmarked=Forgiving(),
    )
    with seeded(0):
        model = train(CentreDetector(1, 8, channels=1), task, Training(150, AdamW(5e-3)))
    assert score(task, model) > 0.9
