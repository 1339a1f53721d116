"""Mean average precision by pycocotools, where it is installed: what ours is checked against."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from shoestring.core import array, evaluating
from shoestring.kit import Supervised
from shoestring.kit.boxes import BOX_STRIDE, decode


def coco_precision(task: Supervised, model: Any) -> float | None:
    """The mAP at an overlap of 0.5 on validation, 101 points of the curve; None without the tool.

    `task`: of pictures and boxes. `model`: a module.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError:
        return None
    images, rows = task.validation
    with evaluating(model):
        outputs = task.outputs(model, (images,))
    answers = [
        {"image_id": number, "category_id": int(kind), "bbox": box.tolist(), "score": float(sure)}
        for number, found in enumerate(decode(outputs, stride=BOX_STRIDE))
        for kind, box, sure in zip(found.kinds, found.boxes, found.scores, strict=True)
    ]
    true = [
        {"image_id": number, "category_id": int(row[0]), "bbox": row[1:].tolist(),
         "area": float(row[3] * row[4]), "iscrowd": 0}
        for number, own in enumerate(array(rows))
        for row in own
        if row[0] >= 0
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": number} for number in range(len(rows))],
            "categories": [{"id": kind} for kind in sorted({one["category_id"] for one in true})],
            "annotations": [{"id": place, **one} for place, one in enumerate(true, 1)],
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(answers), "bbox")
        judge.params.maxDets = [1, 10, 100]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[1])
