"""Segmentation masks bought tile by tile, against whole pictures: membranes of ISBI 2012.

Sections are reduced to 256×256 and cut in quarters of 128×128, of which 96 are the pool. Each way
begins with the pixels of one quarter, drawn at random, and buys as many as four have: tiles of
16×16 at random or by margin, or quarters at random or by margin. Each network is trained anew, with
equally many steps: 360, since with 120 the networks of tiles were not trained to their end. Beside
them: all pixels of the pool.
`--seed` runs one seed; it continues after a kill, and `--publish` writes what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import process_time
from typing import Any

import torch
from rows import Rows, start
from torch import Tensor, nn

from shoestring.core import LabelTask, score, scores, seeded
from shoestring.kit import AdamW, Supervised, Training, train
from shoestring.label import Margin, Random, Regions
from shoestring.models import UNet
from shoestring.tasks import isbi

SIDE = 16
SIZES = (1, 4)
"""How many quarters have as many pixels as are labelled: at first, and in the end."""
SEEDS = range(3)
TRAINING = Training(360, AdamW(5e-3, 1e-2))
ALL = "all pixels"


@dataclass(frozen=True, kw_only=True)
class Way:
    """What is bought, by what. `each`: how many labels a quarter is."""

    tiles: bool
    technique: Any

    def pool(self, pictures: Supervised, masks: Tensor) -> LabelTask:
        """The task that sells them."""
        if self.tiles:
            return Regions(task=pictures, side=SIDE, answer=masks)  # type: ignore[return-value]
        return replace(pictures, answer=masks)

    @property
    def each(self) -> int:
        return (128 // SIDE) ** 2 if self.tiles else 1


WAYS: Mapping[str, Way] = {
    "random tiles": Way(tiles=True, technique=Random()),
    "margin tiles": Way(tiles=True, technique=Margin()),
    "random pictures": Way(tiles=False, technique=Random()),
    "margin pictures": Way(tiles=False, technique=Margin()),
}


def main() -> None:
    torch.set_num_threads(1)
    rows = start("regions", "isbi-cpu", __doc__ or "", seeds=True)
    task = isbi()
    images, masks = task.train
    assert isinstance(images, Tensor)
    pictures = replace(task, train=(images[:0], masks[:0]), unlabelled=images)
    training = replace(TRAINING, steps=30) if rows.quick else TRAINING
    sizes = SIZES
    for seed in SEEDS if not rows.quick else (0,):
        if rows.seed not in (None, seed):
            continue
        for name, way in WAYS.items():
            if rows.wanted(name) and not rows.done(name, seed):
                _bought(rows, way.pool(pictures, masks), name, sizes, training, seed)
        if rows.wanted(ALL) and not rows.done(ALL, seed):
            model = _trained(task, replace(training, steps=2 * training.steps), seed)
            _told(rows, task, model, ALL, len(masks), seed)
            rows.add(ALL, "done", 1, "", seed)
    if rows.seed is None:
        rows.close()


def _bought(
    rows: Rows, task: Any, name: str, sizes: tuple[int, ...], training: Training, seed: int
) -> None:
    """Rows of the scores at each size."""
    way, began, model = WAYS[name], process_time(), None
    for size in sizes:
        wanted = size * way.each - len(task.known())
        with seeded(1000 * seed + size):
            technique = Random() if model is None else way.technique
            task = task.buy(technique.choose(model or UNet(2), task, wanted))
        model = _trained(task, training, seed)
        _told(rows, task, model, name, size, seed)
    rows.add(name, "minutes of a core", (process_time() - began) / 60, "minutes of a core", seed)
    rows.add(name, "done", 1, "", seed)


def _trained(task: Any, training: Training, seed: int) -> nn.Module:
    with seeded(seed):
        return train(UNet(2), task, training)


def _told(rows: Rows, task: Any, model: nn.Module, name: str, size: int, seed: int) -> None:
    for split in ("validation", "test"):
        rows.add(name, f"{split} mean IoU at {size}", 100 * score(task, model, split), "%", seed)
    more = scores(task, model, "test")
    rows.add(name, f"test membrane F1 at {size}", 100 * more["membrane F1"], "%", seed)
    rows.add(name, f"test pixel error at {size}", 100 * (1 - more["pixel accuracy"]), "%", seed)


if __name__ == "__main__":
    main()
