"""COCO's JSON of boxes: images, annotations and categories."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from shoestring.artifact import save
from shoestring.label.example import Annotation, Box, Collection, Example
from shoestring.label.formats.content import (
    all_different,
    inside,
    json_of,
    last_said,
    not_kept,
    number,
    of_kind,
    split_of,
    text_of,
    told,
)
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.picture_size import picture_size
from shoestring.label.formats.spans import made_box
from shoestring.label.formats.table import relative

_LABELLED = "labelled"
"""A key of an image that this package writes: false where nobody has looked at it."""


@final
@dataclass(frozen=True, kw_only=True)
class Coco(Format):
    """The JSON of COCO's detection challenge.

    A picture without boxes was looked at, and has none, unless the file says "labelled": false.

    `images`: the folder of the pictures; None to look for them beside the file, in `images` there,
        and above.
    """

    images: Path | None = None

    def read(self, source: Path) -> Collection:
        content = json_of(text_of(source), str(source))
        images, annotations, categories = (
            _list(content, key, source) for key in ("images", "annotations", "categories")
        )
        names = {
            _key(one, "id", f"category {at} of {source}"): str(one.get("name"))
            for at, one in enumerate(categories, 1)
        }
        if len(names) < len(categories):
            raise FormatError(f"{source} has two categories of one id: give each its own")
        all_different(list(names.values()), source, "the category")
        for at, one in enumerate(images, 1):
            if not isinstance(one.get("file_name"), str):
                raise FormatError(
                    f"image {at:,} of {source} has the file_name {one.get('file_name')!r}: give "
                    "the path of its picture"
                )
        files = [one["file_name"] for one in images]
        all_different(files, source, "the picture")
        counts: Counter[str] = Counter()
        boxes: dict[Any, list[Box]] = defaultdict(list)
        known = {_key(one, "id", f"image {at} of {source}") for at, one in enumerate(images, 1)}
        if len(known) < len(images):
            raise FormatError(f"{source} has two images of one id: give each its own")
        for at, one in enumerate(annotations, 1):
            where = f"annotation {at:,} of {source}"
            if _key(one, "image_id", where) not in known:
                raise FormatError(
                    f"{where} is of the image {one['image_id']!r}, which is not there"
                )
            if _key(one, "category_id", where) not in names:
                raise FormatError(
                    f"{where} is of the category {one['category_id']!r}, which is not there"
                )
            box = _box(one, names[one["category_id"]], where, counts)
            if box is not None:
                boxes[one["image_id"]].append(box)
        folder = self._folder(source, files)
        examples = []
        for image, file in zip(images, files, strict=True):
            is_labelled = image.get(_LABELLED, True) is not False
            own = boxes[image["id"]]
            counts["Pictures without a box, taken for looked at"] += is_labelled and not own
            said = (Annotation(labels=tuple(own)),) if is_labelled else ()
            picture = inside(folder, file, str(source))
            counts["Pictures that are not there"] += not picture.is_file()
            split = split_of(str(image.get("split", "")))
            examples.append(Example(name=file, picture=picture, annotations=said, split=split))
        return Collection(
            examples=tuple(examples), kind=Box, names=tuple(names.values()), notes=told(counts)
        )

    def _folder(self, source: Path, files: Sequence[str]) -> Path:
        """The first of the usual folders that has the first picture; else that of the file."""
        if self.images is not None:
            return self.images
        here = source.parent
        for folder in (
            here,
            here / "images",
            here / source.stem,
            here.parent,
            here.parent / "images",
        ):
            if files and (folder / files[0]).is_file():
                return folder
        return here

    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Write the last annotation of each picture; the ids count from 1."""
        if collection.kind is not Box:
            raise ValueError(
                f"COCO's JSON keeps boxes, no {collection.kind.__name__}: write JsonLines()"
            )
        counts = not_kept(collection)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        numbers = {name: at for at, name in enumerate(collection.names, 1)}
        for at, example in enumerate(collection.examples, 1):
            if example.picture is None:
                raise ValueError(f"the example {example.name!r} has no picture: COCO needs one")
            width, height = picture_size(example.picture)
            file = relative(example.picture, self.images or path.parent)
            image = {"id": at, "file_name": file, "width": width, "height": height}
            if example.split:
                image["split"] = example.split
            said = last_said(example)
            if said is None:
                image[_LABELLED] = False
            images.append(image)
            counts["Names of examples that are not the paths of their pictures, not written"] += (
                example.name != file
            )
            for box in of_kind(said, Box):
                assert isinstance(box, Box)
                numbers.setdefault(box.name, len(numbers) + 1)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": at,
                        "category_id": numbers[box.name],
                        "bbox": [box.left, box.top, box.width, box.height],
                        "area": box.width * box.height,
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": at, "name": name} for name, at in numbers.items()]
        content = {"images": images, "annotations": annotations, "categories": categories}
        save(path, json.dumps(content, ensure_ascii=False, allow_nan=False).encode())
        return told(counts)


def _list(content: Any, key: str, source: Path) -> list[Mapping[str, Any]]:
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise FormatError(f"{source} has no list of {key}, as COCO's JSON has")
    return found


def _key(entry: Mapping[str, Any], key: str, where: str) -> Any:
    value = entry.get(key)
    if not isinstance(value, int | str):
        raise FormatError(f"{where} has {value!r} as its {key}: a number is wanted")
    return value


def _box(one: Mapping[str, Any], name: str, where: str, counts: Counter[str]) -> Box | None:
    if one.get("iscrowd"):
        counts["Boxes around crowds (iscrowd), left out"] += 1
        return None
    corners = one.get("bbox")
    if corners is None:
        counts["Annotations without a box, left out"] += 1
        return None
    if not isinstance(corners, list) or len(corners) != 4:
        raise FormatError(f"{where}: bbox is {corners!r}: [left, top, width, height] is wanted")
    left, top, width, height = (number(value, "a number of bbox", where) for value in corners)
    return made_box(left, top, width, height, name, counts)
