"""Pascal VOC: an XML file of boxes for each picture, and lists of the pictures of each split."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from shoestring.label.example import Annotation, Box, Collection, Example
from shoestring.label.formats.content import (
    PICTURES,
    inside,
    last_said,
    names_in,
    not_kept,
    number,
    of_kind,
    split_of,
    text_of,
    told,
)
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.new_folder import new_folder
from shoestring.label.formats.picture_size import picture_size
from shoestring.label.formats.spans import made_box

_XML, _PICTURES, _LISTS = "Annotations", "JPEGImages", "ImageSets/Main"


@final
@dataclass(frozen=True, kw_only=True)
class Voc(Format):
    """A folder in the layout of Pascal VOC: `Annotations`, `JPEGImages`, `ImageSets/Main`.

    XML files that lie beside their pictures, as LabelImg writes them, are read too. VOC counts
    pixels from 1 and its corners are inside of the box, so that xmin=1, xmax=640 is a whole picture
    640 pixels wide: left=0, width=640. A picture without an XML file has no label.
    """

    def read(self, source: Path) -> Collection:
        root = voc_root(source)
        if root is None:
            raise FormatError(f"{source} has no folder {_XML} with XML files, as Pascal VOC has")
        in_layout = (root / _XML).is_dir()
        files = sorted((root / _XML if in_layout else root).glob("*.xml"))
        pictures = root / _PICTURES if (root / _PICTURES).is_dir() else root
        there = {
            path.stem: path
            for path in sorted(pictures.iterdir())
            if path.suffix.lower() in PICTURES
        }
        counts: Counter[str] = Counter()
        splits = _splits(root / _LISTS, counts)
        examples: dict[str, Example] = {}
        for file in files:
            marked, named = _boxes(file, counts)
            picture = there.get(file.stem)
            if picture is None:
                picture = inside(pictures, named or f"{file.stem}.jpg", str(file))
                counts["Pictures that are not there"] += not picture.is_file()
            examples[file.stem] = Example(
                name=file.stem,
                picture=picture,
                annotations=(Annotation(labels=marked),),
                split=splits.get(file.stem, ""),
            )
        for stem, picture in there.items():
            if stem not in examples:
                counts["Pictures without an XML file, which have no label"] += 1
                split = splits.get(stem, "")
                examples[stem] = Example(name=stem, picture=picture, split=split)
        counts["Names in lists of splits that are no pictures, ignored"] += len(
            set(splits) - set(examples)
        )
        kept = tuple(examples[stem] for stem in sorted(examples))
        return Collection(examples=kept, kind=Box, names=names_in(kept), notes=told(counts))

    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Write a new folder with the pictures in it; corners are rounded to whole pixels."""
        if collection.kind is not Box:
            raise ValueError(
                f"Pascal VOC keeps boxes, no {collection.kind.__name__}: write JsonLines()"
            )
        counts = not_kept(collection)
        lists: dict[str, list[str]] = {}
        with new_folder(path) as folder:
            for inner in (_XML, _PICTURES, _LISTS):
                (folder / inner).mkdir(parents=True)
            for example in collection.examples:
                if example.picture is None:
                    raise ValueError(f"the example {example.name!r} has no picture: VOC needs one")
                stem = _stem(example, folder, counts)
                file = f"{stem}{example.picture.suffix}"
                shutil.copyfile(example.picture, folder / _PICTURES / file)
                if example.split:
                    lists.setdefault(example.split, []).append(stem)
                said = last_said(example)
                if said is not None:
                    xml = _xml(example.picture, file, of_kind(said, Box), counts)
                    (folder / _XML / f"{stem}.xml").write_bytes(xml)
            for split, stems in lists.items():
                name = "val" if split == "validation" else split
                (folder / _LISTS / f"{name}.txt").write_text(
                    "".join(f"{stem}\n" for stem in stems), encoding="utf-8"
                )
        return told(counts)


def voc_root(source: Path) -> Path | None:
    """The folder in Pascal VOC's layout: the source, or the only one in it; None for none."""
    inner = [one for one in source.iterdir() if one.is_dir() and not one.name.startswith(".")]
    for folder in (source, *(inner if len(inner) == 1 else ())):
        if (folder / _XML).is_dir() and any((folder / _XML).glob("*.xml")):
            return folder
    files = sorted(source.glob("*.xml"))
    is_voc = bool(files) and b"<annotation" in files[0].read_bytes()[:1000]
    return source if is_voc else None


def _splits(folder: Path, counts: Counter[str]) -> dict[str, str]:
    """The split of each name in train.txt, val.txt and test.txt."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.txt")):
        split = split_of(file.stem)
        if not split:
            counts[f"Lists of names that are no split ({file.name}), ignored"] += file.stem not in (
                "trainval",
            )
            continue
        for line in text_of(file).splitlines():
            name = line.strip()
            if name and found.setdefault(name, split) != split:
                raise FormatError(f"{file} names {name!r}, which another split has too")
    return found


def _boxes(file: Path, counts: Counter[str]) -> tuple[tuple[Box, ...], str]:
    """The boxes of an XML file, and the name of its picture."""
    text = text_of(file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # which can be made to grow without bound
        raise FormatError(f"{file} declares entities, which no file of labels needs: delete them")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise FormatError(f"{file} is no XML: {error}") from None
    if root.tag != "annotation":
        raise FormatError(f"{file} begins with <{root.tag}>, and Pascal VOC with <annotation>")
    boxes: list[Box] = []
    for at, one in enumerate(root.iter("object"), 1):
        where = f"object {at} of {file}"
        name = (one.findtext("name") or "").strip()
        if not name:
            raise FormatError(f"{where} has no name")
        corners = [
            number(one.findtext(f"bndbox/{key}"), key, where)
            for key in ("xmin", "ymin", "xmax", "ymax")
        ]
        left, top = (max(0.0, corner - 1) for corner in corners[:2])
        counts["Corners at 0, where VOC counts from 1: left as they are"] += min(corners[:2]) < 1
        counts["Objects marked as difficult, kept like the others"] += (
            one.findtext("difficult") or ""
        ).strip() == "1"
        box = made_box(left, top, corners[2] - left, corners[3] - top, name, counts)
        if box is not None:
            boxes.append(box)
    return tuple(boxes), (root.findtext("filename") or "").strip()


def _stem(example: Example, folder: Path, counts: Counter[str]) -> str:
    """A name for the files of an example that is not taken."""
    assert example.picture is not None
    stem = example.picture.stem
    taken = {one.stem.lower() for one in (folder / _PICTURES).iterdir()}
    at = 1
    while stem.lower() in taken:
        at += 1
        stem = f"{example.picture.stem}_{at}"
    counts["Names of examples that are not those of their pictures, not written"] += (
        example.name != stem
    )
    return stem


def _xml(picture: Path, file: str, boxes: Sequence[object], counts: Counter[str]) -> bytes:
    width, height = picture_size(picture)
    root = Element("annotation")
    for tag, text in (("folder", _PICTURES), ("filename", file)):
        SubElement(root, tag).text = text
    size = SubElement(root, "size")
    for tag, text in (("width", width), ("height", height), ("depth", 3)):
        SubElement(size, tag).text = str(text)
    SubElement(root, "segmented").text = "0"
    for box in boxes:
        assert isinstance(box, Box)
        one = SubElement(root, "object")
        for tag, text in (("name", box.name), ("pose", "Unspecified"), ("truncated", "0")):
            SubElement(one, tag).text = text
        SubElement(one, "difficult").text = "0"
        corners = (box.left + 1, box.top + 1, box.left + box.width, box.top + box.height)
        counts["Boxes rounded to whole pixels"] += any(
            corner != round(corner) for corner in corners
        )
        place = SubElement(one, "bndbox")
        for tag, corner in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            SubElement(place, tag).text = str(round(corner))
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="utf-8")
