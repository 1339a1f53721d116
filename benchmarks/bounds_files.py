"""Small files that ask for as much as they can, each of one kind: what `bounds.py` times, and what
the tests see refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np

from shoestring.artifact.coding import entropy, work
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.coding.context import Choice
from shoestring.artifact.format import about, blocks, indexed
from shoestring.artifact.format.file import GRAPH, HEADERS, NAMES, PLAIN, STREAM, framed
from shoestring.artifact.format.tensor_list import read_list
from shoestring.artifact.format.tensors import (
    CONTEXT,
    GRID,
    LEVELS,
    MOST_TENSORS,
    NUMBERS,
    PLANES,
    RAW,
    SPARSE,
    ZEROS,
    rotated,
    unsigned,
)
from shoestring.artifact.wire import Writer, squeeze

ONE_DIGIT, MANY_DIGITS = 1 << 2, 15 << 2  # the second byte of a model
TILES, WIDE = 4 << 5, 1 << 2  # in its first byte: in tiles of seven blocks, with a width
NOISE = np.random.default_rng(0).bytes(1 << 24)[:-1] + b"\1"
"""A stream in which all symbols of a model are as likely as it says, or more."""


@dataclass(frozen=True)
class Kind:
    """A checkpoint of `count` equal tensors.

    `coding`, `shape`, `fields`, `element`: of each, with the fields of its coding.
    `plain`: the bytes that each has in the plain values.
    `stream`: the code stream. `notes`: how many notes the names have.
    """

    coding: int
    shape: tuple[int, ...]
    fields: bytes = b""
    element: str = "float32"
    plain: int = 0
    count: int = 1
    stream: bytes = b""
    notes: int = 0

    def one(self) -> bytes:
        """The description of a tensor."""
        out = Writer([1 << 6 | min(len(self.shape), 7) << 3 | self.coding, NUMBERS[self.element]])
        for size in (*([len(self.shape)] if len(self.shape) >= 7 else []), *self.shape):
            out.varint(size)
        return bytes(out) + self.fields

    def file(self) -> bytes:
        """The file."""
        out, names = Writer(), Writer()
        out.varint(self.count)
        for number in range(self.count):
            names.text(str(number))
        names.varint(self.notes)
        for number in range(self.notes):
            names.text(str(number))
            names.text("")
        bodies = {
            GRAPH: b"",
            HEADERS: squeeze(bytes(out) + self.one() * self.count),
            NAMES: squeeze(bytes(names)),
            STREAM: self.stream,
            PLAIN: bytes(self.plain * self.count),
        }
        return framed(bodies)

    def declared(self) -> int:
        """The bytes that its tensors declare."""
        return self.count * self._listed().declared()

    def many(self) -> Kind:
        """As many of its tensors as the account allows, by what is known beforehand."""
        listed = self._listed()
        more = listed.work() - 1000 * listed.declared()
        return self.with_count(min(MOST_TENSORS, work.SECOND // max(more, 1)))

    def with_count(self, count: int) -> Kind:
        """So many of its tensors."""
        return Kind(**{**self.__dict__, "count": count})

    def _listed(self):
        return read_list(b"\1" + self.one(), 2, 1 << 62)[0]


@dataclass(frozen=True)
class InBlocks:
    """A checkpoint of version 4 with `count` equal tensors in blocks, whose planes are all coded.

    `size`: how many elements a tensor has. `bits`: how many a block, as a power of two.
    `element`: their type.
    """

    size: int
    bits: int
    element: str
    count: int = 1
    stream: bytes = b""

    def file(self) -> bytes:
        """The file."""
        number = NUMBERS[self.element]
        kind = unsigned(number)
        rng = np.random.default_rng(0)
        skewed = np.minimum(rng.geometric(0.02, self.size * kind.itemsize), 255).astype(np.uint8)
        bits = rotated(number, skewed.view(kind), -1)
        step, region = 1 << self.bits, BytesIO()
        writer, table = indexed.IndexedWriter(region), dict[int, indexed.Blocks]()
        made = [blocks.encode(bits[at : at + step], number) for at in range(0, self.size, step)]
        for index in range(self.count):
            parts = tuple(writer.block(data) for data in made)
            table[index] = indexed.Blocks(number, (self.size,), self.bits, parts)
        one = Kind(RAW, (self.size,), element=self.element)
        names = about.encode([str(i) for i in range(self.count)], {}, indexed.VERSION)
        listed = squeeze(numbers(self.count) + one.one() * self.count)
        writer.close([b"", listed, names, b"", indexed.write_table(table), b""])
        return region.getvalue()

    def declared(self) -> int:
        """The bytes that its tensors declare."""
        return self.count * self.size * max(4, unsigned(NUMBERS[self.element]).itemsize)

    def many(self) -> InBlocks:
        """As many of its tensors as the account allows, but not more than 64."""
        asked = work.blocks(self.size, self.bits, unsigned(NUMBERS[self.element]).itemsize)
        asked += work.TENSOR + work.AXIS + work.ELEMENT * self.size
        more = asked - 1000 * self.declared()
        return replace(self, count=min(64, work.SECOND // more if more > 0 else 64))


def numbers(*many: int) -> bytes:
    """Varints."""
    out = Writer()
    for number in many:
        out.varint(number)
    return bytes(out)


def noisy(choice: Choice, shape: tuple[int, int]) -> Kind:
    """A matrix of integers in context that are all as likely as they can be."""
    top = (1 << choice.digits) - 1
    levels = np.random.default_rng(0).integers(-top, top + 1, shape)
    fields = Writer()
    context_coding.write(fields, choice, 0)
    stream = entropy.encode([(context_coding.notes(choice, levels), None)])
    return Kind(GRID, shape, bytes(fields), plain=4, stream=stream)


def kinds(size: int) -> dict[str, Callable[[], Kind | InBlocks]]:
    """The kinds by their names; those of one large tensor have about `size` elements."""
    side = int(size**0.5)
    square, planes = (side, side), bytes([0, 255]) + bytes([9]) * 256
    noise = NOISE[-4 * (size // 4) :]
    small = size >> 4
    lines = (small // 64, 64)
    return {
        "raw": lambda: Kind(RAW, (size,), plain=4 * size),
        "zeros": lambda: Kind(ZEROS, (size,)),
        "equal elements": lambda: Kind(LEVELS, (size,), numbers(1, 0), plain=4),
        "two levels": lambda: Kind(LEVELS, square, b"\2\0\1\1", plain=8, stream=noise),
        "65,536 levels": lambda: Kind(
            LEVELS, square, numbers(1 << 16, 0) + b"\1" * (1 << 16), plain=1 << 18, stream=noise
        ),
        "sparse": lambda: Kind(SPARSE, square, b"\xff\0"),
        "equal planes": lambda: Kind(PLANES, square, b"\xff" + b"\1\0" * 8, "float64"),
        "coded planes": lambda: Kind(
            PLANES, (side, side // 8), b"\xff" + planes * 8, "float64", stream=noise
        ),
        "one by one, zeros": lambda: Kind(GRID, square, bytes([0, ONE_DIGIT]), plain=4),
        "one by one, zeros, with groups": lambda: Kind(
            GRID, square, bytes([WIDE, ONE_DIGIT, 9]), plain=4
        ),
        "one by one, a column": lambda: Kind(GRID, (small, 1), bytes([0, ONE_DIGIT]), plain=4),
        "one by one, a row": lambda: Kind(GRID, (size,), bytes([0, MANY_DIGITS]), plain=4),
        "one by one, noise": lambda: noisy(Choice(0, digits=15), lines),
        "one by one, noise, with groups": lambda: noisy(Choice(0, width=9, digits=15), lines),
        "one by one, noise of a byte": lambda: noisy(Choice(0, width=9, digits=7), lines),
        "one by one, small noise": lambda: noisy(Choice(0, width=9, digits=1), lines),
        "tiles, zeros": lambda: Kind(GRID, square, bytes([TILES, ONE_DIGIT]), plain=4),
        "tiles, a column": lambda: Kind(GRID, (size, 1), bytes([TILES, ONE_DIGIT]), plain=4),
        "tiles, a row": lambda: noisy(Choice(4, digits=15), (1, min(size, 1 << 20))),
        "tiles, a few rows": lambda: noisy(Choice(4, digits=15), (8, size // 8)),
        "tiles, noise": lambda: noisy(Choice(4, digits=15), (side, side // 4)),
        "tiles, noise, with groups": lambda: noisy(
            Choice(4, width=1, digits=15), (side, side // 4)
        ),
        "many raw": lambda: Kind(RAW, (1,), plain=4).many(),
        "many of 32 axes": lambda: Kind(RAW, (1,) * 32, plain=4).many(),
        "many of one level": lambda: Kind(LEVELS, (1,), numbers(1, 1), plain=2).many(),
        "many of two levels": lambda: Kind(LEVELS, (2,), b"\2\0\1\1", plain=8).many(),
        "many sparse": lambda: Kind(SPARSE, (1,), b"\x10\0").many(),
        "many of planes": lambda: Kind(PLANES, (1,), b"\xff" + planes * 8, "float64").many(),
        "many of equal planes": lambda: Kind(PLANES, (1,), b"\xff" + b"\1\0" * 8, "float64").many(),
        "many one by one": lambda: Kind(GRID, (1,), bytes([0, MANY_DIGITS]), plain=4).many(),
        "many in tiles": lambda: Kind(GRID, (1,), bytes([1 << 5, MANY_DIGITS]), plain=4).many(),
        "many in tiles of seven blocks": lambda: Kind(
            GRID, (64, 1), bytes([TILES, MANY_DIGITS]), plain=4
        ).many(),
        "many with levels": lambda: Kind(
            CONTEXT, (1,), bytes([0, ONE_DIGIT | 1]) + numbers(1 << 12, 0), plain=1 << 13
        ).many(),
        "blocks": lambda: InBlocks(size, 22, "float64"),
        "blocks of bytes": lambda: InBlocks(size, 22, "uint8"),
        "many in the smallest blocks": lambda: InBlocks(1 << 14, 14, "float64").many(),
        "many bytes in the smallest blocks": lambda: InBlocks(1 << 14, 14, "uint8").many(),
        "many with a last block of few": lambda: InBlocks((1 << 14) + 2000, 14, "float32").many(),
        "65,536 notes": lambda: Kind(ZEROS, (), count=MOST_TENSORS // 2, notes=1 << 16),
    }


def refused() -> dict[str, Kind]:
    """What the account refuses before anything is decoded, or soon after, of a few bytes."""
    tiny = bytes([1 << 5, ONE_DIGIT])
    return {
        "32,768 tiny tensors in tiles": Kind(GRID, (1,), tiny, plain=4, count=MOST_TENSORS),
        "32,768 tiny tensors one by one": Kind(
            GRID, (1,), bytes([0, ONE_DIGIT]), plain=4, count=MOST_TENSORS
        ),
        "tables of planes": Kind(
            PLANES, (1,), b"\xff" + (bytes([0, 255]) + bytes([9]) * 256) * 8, "float64", count=4000
        ),
    }
