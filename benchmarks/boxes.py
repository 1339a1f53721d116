"""Boxes: what a detector loses that gets few of them, and which pictures to ask for.

Partial labels: BCCD with all boxes, with three and with one a picture, trained as if that were all,
and with `Forgiving`; beside them as many boxes as one a picture makes, in fully marked pictures.
Acquisition: 10, 20 and 40 fully marked pictures of 128×96, chosen at random, by `peak_doubts`, and
far apart.
`PYTHONPATH` may name a folder with pycocotools. Continues after a kill; `--publish` writes what
there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import process_time

import torch
from boxes_classical import classical
from peers.coco_precision import coco_precision
from rows import Rows, start
from torch import Tensor

from shoestring.core import score, scores, seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.kit.boxes import (
    Unmarked,
    as_background,
    average_precisions,
    mean_average_precision,
)
from shoestring.kit.boxes.maps import HEAT
from shoestring.label import Forgiving, peak_doubts
from shoestring.recipes.partial_boxes import DETECTING, detector, with_few_boxes
from shoestring.tasks import BLOOD_CELLS, bccd

WIDTH = 16
SMALL = (96, 128)
QUICKER = Training(120, AdamW(5e-3, 1e-2))
"""Of the detectors that choose pictures, and the size of these: there are seven a seed."""
PARTIAL_SEEDS, ACTIVE_SEEDS = range(3), range(20)
SIZES = (10, 20, 40)
SPLITS = ("validation", "test")
Choose = Callable[[torch.nn.Module, Supervised, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Way:
    """Boxes that are given, and how what is not marked is taken.

    `boxes`: of each picture; None: all. `whole`: only so many whole pictures as have the boxes of
    one a picture.
    """

    boxes: int | None = None
    whole: bool = False
    unmarked: Unmarked = as_background


WAYS = {
    "all boxes": Way(),
    "one box, ordinary": Way(boxes=1),
    "one box, forgiving": Way(boxes=1, unmarked=Forgiving(weight=0.1)),
    "as many boxes, whole pictures": Way(whole=True),
    "three boxes, ordinary": Way(boxes=3),
    "three boxes, forgiving": Way(boxes=3, unmarked=Forgiving(weight=0.3)),
}


def main() -> None:
    torch.set_num_threads(1)
    rows = start("boxes", "bccd-cpu", __doc__ or "", seeds=True)
    task = bccd()
    _classical(rows, task)
    for seed in PARTIAL_SEEDS if not rows.quick else (0,):
        for name, way in WAYS.items():
            if rows.seed in (None, seed) and rows.wanted(name) and not rows.done(name, seed):
                _partial(rows, task, name, way, seed)
    small = bccd(size=SMALL)
    for seed in ACTIVE_SEEDS if not rows.quick else (0,):
        if rows.seed in (None, seed) and rows.wanted("active"):
            _active(rows, small, seed)
    if rows.seed is None:
        rows.close()


def _classical(rows: Rows, task: Supervised) -> None:
    """Rows of thresholds and connected components, which learn nothing but six numbers."""
    name = "thresholds and components"
    if rows.done(name, None) or not rows.wanted(name):
        return
    found = classical(task)
    for split in SPLITS:
        targets = getattr(task, split)[1].numpy()
        rows.add(name, f"{split} mAP", 100 * mean_average_precision(found[split], targets), "%")
        for kind, value in average_precisions(found[split], targets).items():
            rows.add(name, f"{split} AP, {BLOOD_CELLS[kind]}", 100 * value, "%")
    rows.add(name, "done", 1, "")


def _partial(rows: Rows, task: Supervised, name: str, way: Way, seed: int) -> None:
    given = with_few_boxes(task, way.boxes, way.unmarked, seed)
    if way.whole:
        given = _whole_pictures(given, int((task.train[1][:, 0, 0] >= 0).sum()), seed)
    began = process_time()
    training = replace(DETECTING, steps=80) if rows.quick else DETECTING
    model = _trained(given, training, seed)
    rows.add(name, "minutes of a core", (process_time() - began) / 60, "minutes of a core", seed)
    rows.add(name, "boxes", int((given.train[1][:, :, 0] >= 0).sum()), "boxes", seed)
    rows.add(name, "pictures", len(given.train[1]), "pictures", seed)
    for split in SPLITS:
        rows.add(name, f"{split} mAP", 100 * score(task, model, split), "%", seed)
        for kind, value in scores(task, model, split).items():
            rows.add(name, f"{split} AP, {kind}", 100 * value, "%", seed)
    if way == Way() and (other := coco_precision(task, model)) is not None:
        rows.add(name, "validation mAP by pycocotools", 100 * other, "%", seed)
    rows.add(name, "done", 1, "", seed)


def _whole_pictures(task: Supervised, boxes: int, seed: int) -> Supervised:
    """The task with as few of its pictures, drawn by the seed, as have so many boxes."""
    images, targets = task.train
    assert isinstance(images, Tensor)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    so_far = (targets[order, :, 0] >= 0).sum(1).cumsum(0)
    order = order[: int((so_far < boxes).sum()) + 1]
    return replace(task, train=(images[order], targets[order]))


def _trained(task: Supervised, training: Training, seed: int) -> torch.nn.Module:
    return detector(task, len(BLOOD_CELLS), WIDTH, training, seed)


def _active(rows: Rows, task: Supervised, seed: int) -> None:
    """Rows of the scores at each size, of each way to choose; they begin with the same pictures."""
    images, targets = task.train
    assert isinstance(images, Tensor)
    pool = replace(
        task,
        train=(images[:0], targets[:0]),
        unlabelled=images,
        answer=targets,
    )
    begin = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))[: SIZES[0]]
    training = replace(QUICKER, steps=40) if rows.quick else QUICKER
    first: torch.nn.Module | None = None
    for name, choose in CHOICES.items():
        subject = f"active, {name}"
        if rows.done(subject, seed) or not rows.wanted(subject):
            continue
        labelled = pool.buy(begin.tolist())
        if first is None:
            first = _trained(labelled, training, seed)
        model, chosen = first, labelled
        for size in SIZES:
            if size > len(chosen.known()):
                with seeded(1000 * seed + size):
                    picked = choose(model, chosen, size - len(chosen.known()))
                chosen = chosen.buy(picked.tolist())
                model = _trained(chosen, training, seed)
            boxes = int((chosen.train[1][:, :, 0] >= 0).sum())
            rows.add(subject, f"boxes at {size} pictures", boxes, "boxes", seed)
            for split in SPLITS:
                value = 100 * score(task, model, split)
                rows.add(subject, f"{split} mAP at {size} pictures", value, "%", seed)
        rows.add(subject, "done", 1, "", seed)


def _at_random(model: torch.nn.Module, task: Supervised, count: int) -> Tensor:
    pool = torch.as_tensor(task.pool())
    return pool[torch.randperm(len(pool))[:count]]


def _by_doubt(model: torch.nn.Module, task: Supervised, count: int) -> Tensor:
    pool = torch.as_tensor(task.pool())
    doubts = peak_doubts(task.outputs(model, task.inputs(pool))[HEAT])
    return pool[doubts.argsort(descending=True)[:count]]


def _far_apart(model: torch.nn.Module, task: Supervised, count: int) -> Tensor:
    """K-centre by the coarsest features, averaged over the picture."""
    pool = torch.as_tensor(task.pool())
    seen: list[Tensor] = []
    hook = model.coarse.register_forward_hook(lambda _, __, out: seen.append(out.mean((2, 3))))  # type: ignore[union-attr]
    for indices in (pool, task.known()):
        task.outputs(model, task.inputs(indices))
    hook.remove()
    points = torch.cat(seen)
    points = (points - points.mean(0)) / points.std(0).clamp(min=1e-6)
    mine, known = points[: len(pool)], points[len(pool) :]
    far = torch.cdist(mine, known).amin(1)
    picked: list[int] = []
    for _ in range(count):
        picked.append(int(far.argmax()))
        far = torch.minimum(far, (mine - mine[picked[-1]]).norm(dim=1))
    return pool[picked]


CHOICES: dict[str, Choose] = {
    "random": _at_random,
    "peak doubts": _by_doubt,
    "far apart": _far_apart,
}


if __name__ == "__main__":
    main()
