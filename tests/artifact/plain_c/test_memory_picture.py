"""The memory map as a picture: each row of the map is a box of its size, and names are texts."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from c_graphs import Made

from shoestring.artifact import read
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import CFile, export_c
from shoestring.artifact.plain_c.memory import ARENA
from shoestring.artifact.plain_c.memory_picture import memory_svg

ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def lenet() -> CFile:
    path = ROOT / "benchmarks" / "results" / "files" / "lenet5_rate_5e-05.shoe"
    return export_c(read(path), name="lenet5", weights=Coded())


def boxes(made: CFile) -> dict[str, tuple[float, float, float, float]]:
    """(x, y, width, height) of each box, by what it says."""
    found: dict[str, tuple[float, float, float, float]] = {}
    for box in ET.fromstring(memory_svg(made)).iter(f"{SVG}rect"):
        title = box.find(f"{SVG}title")
        if title is not None:
            x, y, wide, high = (float(box.attrib[one]) for one in ("x", "y", "width", "height"))
            found[title.text or ""] = (x, y, wide, high)
    return found


def test_each_row_of_the_map_is_a_box_as_high_as_its_bytes() -> None:
    made = lenet()
    found = boxes(made)
    rows = [row for row in made.emitted.memory.map if row.bytes]
    assert len(found) == len(rows) + 1  # and the weights
    first = found["Conv (node 0): 8,640 bytes from 0"]
    image = found["the input images: 3,136 bytes from 0"]
    second = found["Conv (node 2): 1,472 bytes from 0"]
    assert first[3] / image[3] == pytest.approx(8640 / 3136, rel=0.01)
    assert image[3] / second[3] == pytest.approx(3136 / 1472, rel=0.01)
    assert image[1] == second[1]  # the same address,
    assert image[0] + image[2] <= second[0]  # later
    weights = next(box for said, box in found.items() if "weights in" in said)
    assert weights[3] / first[3] == pytest.approx(1042 / 8640, rel=0.01)


@pytest.mark.slow
def test_boxes_do_not_lie_over_each_other() -> None:
    path = ROOT / "benchmarks" / "results" / "files" / "resnet20_rate_4e-06.shoe"
    made = export_c(read(path), name="resnet20", weights=Coded())
    spaces = {row.place.space for row in made.emitted.memory.map}
    assert ARENA in spaces and len(spaces) == 3
    found = [box for box in boxes(made).values() if box[3] > 3]  # lower ones are drawn higher
    for place, (x, y, wide, high) in enumerate(found):
        for other in found[:place]:
            across = x < other[0] + other[2] and other[0] < x + wide
            assert not (across and y + 0.2 < other[1] + other[3] and other[1] + 0.2 < y + high)


def test_a_hostile_name_is_text() -> None:
    made = Made(**{'</text><script>alert("1")</script>' * 20: (1, 4)})
    value = made.node("Relu", next(iter(made.inputs)))
    text = memory_svg(export_c(made.content(made.node("Gemm", value, np.eye(4))), name="n"))
    assert "<script" not in text
    ET.fromstring(text)


def test_the_picture_in_the_docs_is_of_the_file() -> None:
    assert (ROOT / "docs" / "memory.svg").read_text(encoding="utf-8") == memory_svg(lenet())
