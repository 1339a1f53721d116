"""What learns beside the labelling page: boxes. (Texts: tests/label/test_collect_command.py.)"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoestring.label import Annotation, Box, Choice, Collection, Example
from shoestring.recipes.labelling import learn_boxes, learner

image = pytest.importorskip("PIL.Image", reason="pictures are read with the extra `images`")


def bright(folder: Path, count: int, marked: int) -> Collection:
    """Pictures with one bright square each, of which the first are marked."""
    draw, examples = np.random.default_rng(0), []
    for number in range(count):
        left, top = (int(one) for one in draw.integers(0, 64, 2))
        pixels = np.full((96, 96), 60, np.uint8)
        pixels[top : top + 24, left : left + 24] = 220
        image.fromarray(pixels).save(folder / f"{number}.png")
        box = Box(left=left, top=top, width=24, height=24, name="square")
        said = (Annotation(labels=(box,)),) if number < marked else ()
        examples.append(
            Example(name=f"{number}.png", picture=folder / f"{number}.png", annotations=said)
        )
    return Collection(examples=tuple(examples), kind=Box)


@pytest.mark.slow
def test_boxes_are_proposed_for_what_is_not_marked(tmp_path: Path):
    whole, few = bright(tmp_path, 40, 40), bright(tmp_path, 40, 30)
    learned = learn_boxes(few, [])
    assert {one.name for one in learned.suggestions} == {f"{at}.png" for at in range(30, 40)}
    assert learned.point is not None and learned.point.labels == 30
    near = 0
    truth = {one.name: one.annotations[0].labels[0] for one in whole.examples}
    for one in learned.suggestions:
        assert one.prediction is not None and one.prediction.by == "the model"
        box = truth[one.name]
        assert isinstance(box, Box)
        near += any(
            isinstance(found, Box)
            and abs(found.left - box.left) < 6
            and abs(found.top - box.top) < 6
            for found in one.prediction.labels
        )
    assert near >= 7


def test_each_kind_of_label_has_what_learns_it(tmp_path: Path):
    assert learner(bright(tmp_path, 2, 0)) == (learn_boxes, "")
    texts = Collection(examples=(Example(name="a", text="b"),), kind=Choice)
    assert learner(texts)[0] is not learn_boxes
