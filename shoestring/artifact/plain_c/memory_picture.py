"""The memory map of a C file as a picture: which bytes hold what, while which layer runs."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import product

from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.memory import ARENA, Row

_LEFT, _TOP, _GAP, _RIGHT = 118, 92, 26, 132
_WIDTH, _HEIGHT = 900, 360  # of all columns with what is beside them, and of all bytes
_LOWEST, _NARROWEST = 16, 20
_LETTER = 6.4  # the width of a letter, about
_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2430 }
.title { font-size: 16px; font-weight: 600 } .quiet { fill: #5b6475 }
.paper { fill: #fff } .lane { fill: #f3f5f8 } .line { stroke: #d5dae3 }
.input { fill: #cfe2ff; stroke: #3b6fc4 } .buffer { fill: #c9ecdf; stroke: #23826a }
.scratch { fill: #ffd9a8; stroke: #b56a12 } .output { fill: #e3d4fb; stroke: #7447b8 }
.flash { fill: #e4e7ee; stroke: #6b7385 }
@media (prefers-color-scheme: dark) {
  text { fill: #e8ebf2 } .quiet { fill: #a3adbf }
  .paper { fill: #12161f } .lane { fill: #1b212d } .line { stroke: #343d4d }
  .input { fill: #1d3a6b; stroke: #7fb0ff } .buffer { fill: #12493b; stroke: #5fd1b0 }
  .scratch { fill: #5a3808; stroke: #ffb55c } .output { fill: #3f2570; stroke: #b995f5 }
  .flash { fill: #2b3240; stroke: #a3adbf }
}
"""


@dataclass(frozen=True)
class _Lane:
    """A space of memory: where it is in the picture, and how many bytes it has."""

    name: str
    space: int
    bytes: int
    top: float
    height: float


@dataclass(frozen=True)
class _Box:
    """A part of the picture."""

    x: float
    y: float
    wide: float
    high: float

    def meets(self, other: _Box) -> bool:
        across = self.x < other.x + other.wide and other.x < self.x + self.wide
        return across and self.y < other.y + other.high and other.y < self.y + self.high


def memory_svg(made: CFile) -> str:
    """The memory of a network as SVG: layers from left to right, addresses downwards.

    Each rectangle is a buffer or the scratch memory of a layer, as high as its bytes and as wide as
    the layers for which it is kept. It is readable on light and on dark pages, and the same for the
    same file.
    """
    layers = made.network.layers
    lanes = _lanes(made)
    column = max((_WIDTH - _LEFT - _RIGHT) / (len(layers) + 2), _NARROWEST)
    width = _LEFT + column * (len(layers) + 2) + _RIGHT
    height = lanes[-1].top + lanes[-1].height + 58
    memory = made.emitted.memory
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-label="{escape(f"The memory map of {made.name}")}">',
        f"<style>\n{_STYLE}</style>",
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
        _text(24, 30, f"What lies where while {made.name} runs", "title"),
        _text(
            24,
            50,
            f"{memory.arena_bytes:,} bytes of arena; inputs and outputs are the caller's. A box is "
            "as high as its bytes, and as wide as it is needed.",
            "quiet",
        ),
    ]
    out += _columns(made, lanes, column)
    for lane in lanes:
        rows = [row for row in memory.map if row.place.space == lane.space and row.bytes]
        out += _boxes(made, lane, rows, column)
    out += _flash(made, lanes, width)
    return "\n".join([*out, *_legend(height), "</svg>", ""])


def _lanes(made: CFile) -> list[_Lane]:
    """The arena, the inputs and the outputs, from the top."""
    out, network = made.emitted, made.network
    sizes = [("the arena", ARENA, out.memory.arena_bytes)] if out.memory.arena_bytes else []
    for port, (_, number) in zip(
        (*out.inputs, *out.outputs), (*network.inputs, *network.outputs), strict=True
    ):
        sizes.append((port.name, number, network.buffers[number].bytes))
    scale = _HEIGHT / max(sum(size for _, _, size in sizes), 1)
    lanes: list[_Lane] = []
    top = float(_TOP)
    for name, space, size in sizes:
        lanes.append(_Lane(name, space, max(size, 1), top, max(size * scale, _LOWEST)))
        top += lanes[-1].height + _GAP
    return lanes


def _columns(made: CFile, lanes: list[_Lane], column: float) -> list[str]:
    """The layers' names, the lanes, and a line before each layer."""
    layers = made.network.layers
    bottom = lanes[-1].top + lanes[-1].height
    words = ["before", *(layer.name.partition(" ")[0] for layer in layers), "after"]
    out: list[str] = []
    right = _LEFT + column * len(words)
    for lane in lanes:
        out.append(
            f'<rect class="lane" x="{_LEFT}" y="{lane.top:.1f}" width="{right - _LEFT:.1f}" '
            f'height="{lane.height:.1f}"/>'
        )
        middle = lane.top + lane.height / 2
        two = lane.height >= 32
        said = f"{lane.bytes:,} bytes"
        short = _shortened(lane.name, _LEFT - 24)
        out.append(_text(_LEFT - 10, middle + (-2 if two else 4), short, anchor="end"))
        if two:
            out.append(_text(_LEFT - 10, middle + 14, said, "quiet", anchor="end"))
    for place, word in enumerate(words):
        x = _LEFT + column * place
        out.append(f'<path class="line" d="M{x:.1f} {_TOP}V{bottom:.1f}"/>')
        name = word if place in (0, len(words) - 1) else f"{place - 1} {word}"
        if len(name) * _LETTER > column - 4:
            name = "" if place in (0, len(words) - 1) else str(place - 1)
        if len(name) * _LETTER <= column:
            out.append(_text(x + column / 2, _TOP - 10, name, "quiet", anchor="middle"))
    return [*out, f'<path class="line" d="M{right:.1f} {_TOP}V{bottom:.1f}"/>']


def _boxes(made: CFile, lane: _Lane, rows: list[Row], column: float) -> list[str]:
    """A rectangle for each row of the map, with its name where there is room."""
    inputs = {number for _, number in made.network.inputs}
    outputs = {number for _, number in made.network.outputs}
    scale = lane.height / lane.bytes
    out: list[str] = []
    boxes: list[_Box] = []
    for row in rows:
        kind = "buffer"
        if row.what.startswith("scratch of "):
            kind = "scratch"
        elif row.place.space in inputs and row.first < 0:
            kind = "input"
        elif row.place.space in outputs:
            kind = "output"
        box = _Box(
            _LEFT + column * (row.first + 1) + 1,
            lane.top + row.place.offset * scale,
            column * (row.last - row.first + 1) - 2,
            max(row.bytes * scale, 2.5),
        )
        boxes.append(box)
        said = f"{row.what}: {row.bytes:,} bytes from {row.place.offset:,}"
        out += [
            f'<rect class="{kind}" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.wide:.1f}" '
            f'height="{box.high:.1f}" rx="2"><title>{escape(said)}</title></rect>'
        ]
        out += _name(row, box)
    taken = list(boxes)
    right = _LEFT + column * (len(made.network.layers) + 2)
    for row, box in zip(rows, boxes, strict=True):
        if box.high < 14:
            texts, rooms = _beside(row, box, taken, right)
            out += texts
            taken += rooms
    return out


def _name(row: Row, box: _Box) -> list[str]:
    """The name and the bytes of a box, inside it; none where it is too small."""
    name, size = row.what.split(", then ")[-1], f"{row.bytes:,}"
    wide = box.wide - 8
    one = f"{name}: {size} bytes"
    if box.high >= 14 and len(one) * _LETTER < wide:
        return [_text(box.x + 6, box.y + min(box.high / 2 + 4, 18), one)]
    if box.high >= 34 and max(len(name), len(size)) * _LETTER < wide:
        return [
            _text(box.x + 6, box.y + 18, name),
            _text(box.x + 6, box.y + 33, size, "quiet"),
        ]
    if box.high >= 14 and len(size) * _LETTER < wide:
        return [_text(box.x + 6, box.y + min(box.high / 2 + 4, 18), size)]
    return []


def _beside(row: Row, box: _Box, taken: list[_Box], right: float) -> tuple[list[str], list[_Box]]:
    """The bytes of a low box right of it or below it, where nothing is; and the room they take."""
    texts = [f"{row.what.split(', then ')[-1]}: {row.bytes:,} bytes", f"{row.bytes:,} bytes"]
    if row.what.startswith("scratch of "):
        texts = [f"{row.bytes:,} of scratch"]
    beside = (box.x + box.wide + 5, box.y + box.high / 2 + 4), (box.x, box.y + box.high + 13)
    for text, (x, y) in product(texts, beside):
        room = _Box(x, y - 9, len(text) * _LETTER, 11)
        free = not any(room.meets(one) for one in taken if one is not box)
        if room.x + room.wide < right and free:
            return [_text(x, y, text, "quiet")], [room]
    return [], []


def _flash(made: CFile, lanes: list[_Lane], width: float) -> list[str]:
    """The weights in flash, on the scale of the arena."""
    stream = made.emitted.stream
    if stream is None:
        return []
    scale = lanes[0].height / lanes[0].bytes
    x, most = width - _RIGHT + 22, lanes[-1].top + lanes[-1].height - _TOP
    high = min(max(stream.flash_bytes * scale, 3), most)
    cut = " (cut off)" if stream.flash_bytes * scale > most else ""
    return [
        _text(x, _TOP - 10, "flash", "quiet"),
        f'<rect class="flash" x="{x:.1f}" y="{_TOP}" width="86" height="{high:.1f}" rx="2">'
        f"<title>{escape(stream.about)}</title></rect>",
        _text(x, _TOP + high + 16, f"weights{cut}"),
        _text(x, _TOP + high + 31, f"{stream.flash_bytes:,} bytes", "quiet"),
    ]


def _legend(height: float) -> list[str]:
    words = {
        "input": "an input",
        "buffer": "between layers",
        "scratch": "a layer's scratch",
        "output": "an output",
        "flash": "weights in flash, on the same scale",
    }
    out: list[str] = []
    x = float(_LEFT)
    for kind, word in words.items():
        out.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{height - 31:.1f}" width="12" height="12" '
            'rx="2"/>'
        )
        out.append(_text(x + 18, height - 21, word, "quiet"))
        x += 38 + len(word) * _LETTER
    return out


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    kinds = f' class="{kind}"' if kind else ""
    side = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kinds}{side}>{escape(text)}</text>'


def _shortened(text: str, room: float) -> str:
    most = int(room / _LETTER)
    return text if len(text) <= most else f"{text[: most - 1]}…"
