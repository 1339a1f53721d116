"""A folder of pictures: a folder for each class, and perhaps one for each split."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import final

from shoestring.label.example import Annotation, Choice, Collection, Example
from shoestring.label.formats.content import (
    UNLABELLED,
    class_names,
    is_picture,
    is_utf8,
    last_said,
    not_kept,
    of_kind,
    split_of,
    told,
)
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.new_folder import new_folder


@final
@dataclass(frozen=True, kw_only=True)
class PictureFolder(Format):
    """A folder of pictures: `cat/1.png` is a cat, and `test/cat/1.png` is one to test with.

    Pictures that are in no folder of a class, or in one named `unlabelled`, have no label. Folders
    named train, validation (val, valid, dev) and test are splits where all folders are.
    """

    def read(self, source: Path) -> Collection:
        counts: Counter[str] = Counter()
        names = _pictures(source, counts)
        if not names:
            raise FormatError(
                f"there is no picture in {source}: give a folder with pictures in it "
                "(.png, .jpg, …), or a file of texts or labels"
            )
        tops = {PurePosixPath(name).parts[0] for name in names if "/" in name}
        has_splits = bool(tops) and all(split_of(top) for top in tops)
        examples = [_example(source, name, has_splits, counts) for name in names]
        labels = [one.labels[0].name for example in examples for one in example.annotations]
        return Collection(
            examples=tuple(examples),
            kind=Choice,
            names=class_names(labels),
            notes=told(counts),
        )

    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Copy the pictures into a new folder, in a folder for each class.

        Raises ValueError for a class whose name cannot be that of a folder.
        """
        if collection.kind is not Choice:
            raise ValueError(
                f"a folder of pictures keeps one class a picture, no {collection.kind.__name__}: "
                "write Voc() or Coco()"
            )
        counts = not_kept(collection)
        taken: set[str] = set()
        splits = any(example.split for example in collection.examples)
        with new_folder(path) as folder:
            for example in collection.examples:
                name = _place(example, splits)
                while name.lower() in taken:  # also on disks that know no case
                    name = f"{name.rpartition('/')[0]}/_{name.rpartition('/')[2]}".removeprefix("/")
                taken.add(name.lower())
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                assert example.picture is not None  # _place raised
                shutil.copyfile(example.picture, target)
        return told(counts)


def _pictures(source: Path, counts: Counter[str]) -> list[str]:
    """The relative paths of all pictures, in order."""
    found: list[str] = []
    root = source.resolve()
    for folder, inner, files in os.walk(source):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            if not is_picture(name):
                counts["Files that are no pictures, left out"] += 1
            elif not is_utf8(path.relative_to(source).as_posix()):
                counts["Pictures whose names are not UTF-8, left out: rename them"] += 1
            elif path.exists() and not path.is_file():
                counts["Pipes and others that are no regular files, left out"] += 1
            elif not path.resolve().is_relative_to(root):
                counts["Links that lead out of the folder, left out"] += 1
            else:
                found.append(path.relative_to(source).as_posix())
    return sorted(found)


def _example(source: Path, name: str, has_splits: bool, counts: Counter[str]) -> Example:
    parts = PurePosixPath(name).parts[:-1]
    split = split_of(parts[0]) if has_splits and parts else ""
    folders = parts[1:] if split else parts
    counts["Pictures deeper than the folder of their class, whose inner folders are ignored"] += (
        len(folders) > 1
    )
    is_labelled = bool(folders) and folders[0].lower() not in UNLABELLED
    said = (Annotation(labels=(Choice(name=folders[0]),)),) if is_labelled else ()
    return Example(name=name, picture=source / name, annotations=said, split=split)


def _place(example: Example, splits: bool) -> str:
    """The relative path of an example in a new folder."""
    if example.picture is None:
        raise ValueError(
            f"the example {example.name!r} has no picture: a folder of pictures has no place for "
            "it; write Table() or JsonLines()"
        )
    labels = of_kind(last_said(example), Choice)
    if len(labels) > 1:
        raise ValueError(
            f"the example {example.name!r} has {len(labels)} classes, and a picture is in one "
            "folder: write JsonLines()"
        )
    name = labels[0].name if labels else "unlabelled"
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name or name[0] == ".":
        raise ValueError(
            f"the class {name!r} cannot be the name of a folder: write JsonLines(), or rename it"
        )
    if labels and (name.lower() in UNLABELLED):
        raise ValueError(f"the class {name!r} would be read as no class: rename it")
    parts = (example.split or "train", name) if splits else (name,)
    # What was read from such a folder goes to the same place.
    return example.name if _is_below(example.name, parts) else "/".join((*parts, _file(example)))


def _is_below(name: str, parts: tuple[str, ...]) -> bool:
    own = PurePosixPath(name).parts
    return own[:-1] == parts and ".." not in own


def _file(example: Example) -> str:
    assert example.picture is not None
    return example.picture.name
