"""A task of images as pictures in a folder, to look at, label and audit."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shoestring.artifact import save
from shoestring.artifact.errors import missing
from shoestring.kit import Supervised
from shoestring.label import Annotation, Choice, Collection, Example


def collected(
    task: Supervised, folder: Path, *, names: tuple[str, ...] = (), labelled: bool = True
) -> Collection:
    """A task of images as a collection of pictures, PNG files that are written to `folder`.

    Examples are named by their split and number. Files that are there already are left as they are.

    `task`: with images N×1×H×W or N×3×H×W in 0..1, and one class for each.
    `names`: of the classes, by their number; (): the numbers are the names.
    `labelled`: whether the training and validation examples keep their labels.
    Raises ValueError for a task of other inputs or targets.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise missing("PIL", extra="images", what="pictures are written with Pillow") from None
    examples: list[Example] = []
    most = 0
    for split, (given, targets) in (("train", task.train), ("validation", task.validation)):
        images, *others = given if isinstance(given, tuple) else (given,)
        _check(task.name, (images, *others), targets)
        most = max(most, int(targets.max()) + 1 if len(targets) else 0)
        pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        for number, (picture, target) in enumerate(zip(pixels, targets.tolist(), strict=True)):
            path = folder / split / f"{number:06}.png"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                grey = picture.shape[2] == 1
                save(path, _png(Image.fromarray(picture[..., 0] if grey else picture)))
            name = names[target] if names else str(target)
            said = (Annotation(labels=(Choice(name=name),)),) if labelled else ()
            examples.append(
                Example(
                    name=f"{split}/{number:06}.png",
                    picture=path,
                    annotations=said,
                    split=split if labelled and split != "train" else "",
                )
            )
    return Collection(
        examples=tuple(examples),
        kind=Choice,
        names=names or tuple(map(str, range(most))),
    )


def _check(name: str, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
    images, *others = inputs
    if others or images.ndim != 4 or images.shape[1] not in (1, 3) or targets.ndim != 1:
        raise ValueError(
            f"{name} is no task of images with one class each: its inputs are "
            f"{[list(one.shape) for one in inputs]} and its targets {list(targets.shape)}; give a "
            "folder of pictures or a table"
        )
    if targets.is_floating_point():
        raise ValueError(f"the targets of {name} are no classes, but {targets.dtype}")
    if len(images) and not 0 <= float(images.min()) <= float(images.max()) <= 1:
        raise ValueError(
            f"the images of {name} have values from {float(images.min()):.3g} to "
            f"{float(images.max()):.3g}: a picture is made of values from 0 to 1, so normalise "
            "inside the network"
        )


def _png(picture: Any) -> bytes:
    made = BytesIO()
    picture.save(made, "PNG")
    return made.getvalue()
