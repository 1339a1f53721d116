"""Reads the tensor list, and sums up what its tensors ask for before any of them is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shoestring.artifact.coding import entropy, work
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.coding.context import Choice
from shoestring.artifact.format.indexed import NO_BLOCKS, Blocks, Region, read_table
from shoestring.artifact.format.tensors import (
    BFLOAT16,
    BLOCKS,
    CONTEXT,
    ELEMENTS,
    GRID,
    GRIDS,
    HALF,
    INTEGER_FORM,
    INTEGERS,
    LEVELS,
    MOST_TENSORS,
    PLANES,
    RAW,
    SPARSE,
    ZEROS,
    read_axes,
    read_element,
    read_shape,
)
from shoestring.artifact.wire import Reader, ShoeError

CHUNK = 1 << 20  # symbols decoded at once, so that a large tensor is not in memory twice


@dataclass(frozen=True)
class Plane:
    """The bytes of one weight where they are coded: `lowest`, and a code byte for each value.

    There are no codes where all are `lowest`.
    """

    lowest: int
    codes: bytes = b""


@dataclass
class Listed:
    """A tensor as the list describes it.

    `element`, `shape`, `coding`: the ONNX element type, the shape, and RAW, LEVELS, ...
    `member`: its number among the parameters and buffers; None for a constant.
    `count`: how many elements it has.
    `levels`: how many levels or scales come in `form`; `zero`: the index of the level called 0.
    `codes`: the code bytes of its symbols.
    `planes`: by their weight, from the lowest; None: plain.
    `choice`: how it is coded in context; None: it is not.
    `rows`, `columns`: of its matrix before it is transposed.
    `blocks`: where its blocks are; None: it is not in blocks.
    `header_bytes`: its part of the list.
    """

    element: int
    shape: tuple[int, ...]
    coding: int
    member: int | None
    count: int
    levels: int = 0
    form: int = INTEGER_FORM
    zero: int = 0
    codes: bytes = b""
    planes: tuple[Plane | None, ...] = ()
    choice: Choice | None = None
    rows: int = 0
    columns: int = 0
    blocks: Blocks | None = None
    header_bytes: int = 0

    def declared(self) -> int:
        """The bytes that it takes in memory: 4 for an element, or its width if that is more."""
        return self.count * max(ELEMENTS[self.element][1], 4)

    def coded_shape(self) -> tuple[int, int]:
        """The rows and columns of its matrix as they are coded."""
        across = self.choice is not None and self.choice.across
        return (self.columns, self.rows) if across else (self.rows, self.columns)

    def tables(self) -> list[int]:
        """How many symbols each of its tables has."""
        planes = [len(plane.codes) for plane in self.planes if plane and plane.codes]
        return [*planes, *([len(self.codes)] if self.codes else [])]

    def work(self) -> int:
        """What is known beforehand of the work of decoding it, in nanoseconds."""
        total = work.TENSOR + work.AXIS * len(self.shape) + work.ELEMENT * self.count
        total += (work.LEVELS + work.LEVEL * self.levels) if self.levels else 0
        total += len(self.planes) * (work.PLANE + work.PLANE_ELEMENT * self.count)
        total += sum(work.coded(self.count, symbols) for symbols in self.tables())
        if self.choice is not None:
            total += work.matrix(self.choice, *self.coded_shape())
        if self.blocks is not None:
            total += work.blocks(self.count, self.blocks.bits, ELEMENTS[self.element][1])
        return total

    def room(self) -> int:
        """The bytes that decoding it needs for a while, besides the tensor itself."""
        if self.choice is not None:
            return work.room(self.choice, *self.coded_shape())
        if self.blocks is not None:
            return self.blocks.room()
        size = 0
        if tables := self.tables():
            size = 2 * self.count + 24 * min(self.count, CHUNK) + 64 * max(tables)
        if self.planes:
            size += 24 * min(self.count, CHUNK)
        return size


def read_list(headers: bytes, version: int, limit: int, region: Region = NO_BLOCKS) -> list[Listed]:
    """The tensors of an inflated list.

    `region`: the blocks of a file of version 4.
    `limit`: how many bytes the tensors may take, with what decoding one of them takes.
    Raises ShoeError for invalid bytes and for tensors over the limit.
    """
    reader = Reader(headers, "tensor list")
    listed: list[Listed] = []
    previous, declared = -1, 0
    for _ in range(reader.varint(MOST_TENSORS)):
        start = reader.at
        describe = _description_1 if version == 1 else _description
        step, element, shape, coding = describe(reader)
        previous += step
        member = previous if step else None
        one = Listed(element, shape, coding, member, math.prod(shape))
        declared += one.declared()
        _afford(declared, limit)
        _read_fields(reader, one)
        one.header_bytes = reader.at - start
        listed.append(one)
    reader.end()
    table = read_table(region, [one.count for one in listed])
    for index in table.tensors:
        one = listed[index]
        if one.coding != RAW:
            raise reader.fail("a tensor in blocks has a coding too")
        one.coding, one.blocks = BLOCKS, table.blocks(index, one.element, one.shape)
    _afford(declared + max((one.room() for one in listed), default=0), limit)
    return listed


def _afford(size: int, limit: int) -> None:
    if size > limit:
        raise ShoeError(
            f"the tensors of this file take {size:,} bytes or more while they are decoded, and "
            f"{limit:,} are allowed; if you trust this file, raise max_bytes"
        )


def _description_1(reader: Reader) -> tuple[int, int, tuple[int, ...], int]:
    """(step, element, shape, coding) of the next tensor in a file of version 1."""
    step = reader.varint(1 << 32)
    element = read_element(reader)
    shape = read_shape(reader)
    coding = reader.byte()
    if coding > SPARSE:
        raise reader.fail(f"there is no coding {coding}")
    return step, element, shape, coding


def _description(reader: Reader) -> tuple[int, int, tuple[int, ...], int]:
    """(step, element, shape, coding) of the next tensor."""
    first = reader.byte()
    step = reader.varint(1 << 32) if first >> 7 else 1
    element = read_element(reader) if first >> 6 & 1 else 1
    axes = first >> 3 & 7
    return step, element, read_axes(reader, reader.varint(32) if axes == 7 else axes), first & 7


def _read_fields(reader: Reader, one: Listed) -> None:
    """Read the fields of the coding."""
    if one.coding in (RAW, ZEROS, BLOCKS):
        return
    if one.coding == SPARSE:
        one.codes = bytes(reader.take(2))
    elif one.coding == LEVELS:
        one.levels = reader.varint(min(entropy.MOST_SYMBOLS, one.count))
        if one.levels == 0:
            raise reader.fail("a tensor has no levels")
        one.form = reader.byte()
        if one.levels > 1:
            one.codes = bytes(reader.take(one.levels))
        _check_form(reader, one)
    elif one.coding == PLANES:
        _read_planes(reader, one)
    else:
        _read_matrix(reader, one)
        _check_form(reader, one)


def _check_form(reader: Reader, one: Listed) -> None:
    """Raises ShoeError where the levels or scales of the tensor cannot have their form."""
    name = ELEMENTS[one.element][0]
    if one.form != INTEGER_FORM and (name != "float32" or one.form not in (HALF, BFLOAT16)):
        raise reader.fail(f"levels of {name} have no form {one.form}")


def _read_planes(reader: Reader, one: Listed) -> None:
    width, coded = ELEMENTS[one.element][1], reader.byte()
    if coded >> width:
        raise reader.fail(f"there is no byte {width} in an element")
    planes: list[Plane | None] = [None] * width
    for index in reversed(range(width)):
        if coded >> index & 1:
            lowest, values = reader.byte(), reader.byte() + 1
            if lowest + values > 256:
                raise reader.fail("a byte is over 255")
            planes[index] = Plane(lowest, bytes(reader.take(values)) if values > 1 else b"")
    one.planes = tuple(planes)


def _read_matrix(reader: Reader, one: Listed) -> None:
    """Read a model, and what comes with it."""
    name, shape = ELEMENTS[one.element][0], one.shape
    if not shape or not one.count:
        raise reader.fail("a tensor without elements or axes has a context")
    one.rows = shape[0] if len(shape) > 1 else 1
    one.columns = one.count // one.rows
    one.choice, one.form = context_coding.read(reader, one.columns)
    if not one.choice.tiles and one.count > context_coding.MOST_ONE_BY_ONE:
        raise reader.fail(f"more than {context_coding.MOST_ONE_BY_ONE} numbers come one by one")
    if one.choice.tiles and one.coded_shape()[1] > context_coding.MOST_COLUMNS:
        raise reader.fail(f"a row has more than {context_coding.MOST_COLUMNS} numbers")
    if one.coding == CONTEXT:
        one.levels = reader.varint(entropy.MOST_SYMBOLS)
        one.zero = reader.varint(entropy.MOST_SYMBOLS)
        if one.levels == 0:
            raise reader.fail("there is no such level")
    elif one.coding == GRID and name in INTEGERS:
        return
    elif name != "float32":
        raise reader.fail(f"there is no grid of {name}")
    else:
        one.levels = one.rows if one.coding == GRIDS else 1
