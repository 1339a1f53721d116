"""Version 4 of the file: blocks first, then an index that says what they are.

It can be written as the blocks come, and one tensor can be read alone. `docs/format.md` specifies
it.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np

from shoestring.artifact.coding import lanes, lanes_loop
from shoestring.artifact.format import blocks
from shoestring.artifact.format.tensors import MOST_TENSORS, unsigned
from shoestring.artifact.format.workers import cores, in_order
from shoestring.artifact.wire import Reader, ShoeError, Writer

VERSION = 4
HEAD = b"SHOE\4"
_SPARE = 1 << 30  # bytes for decoding blocks, where nobody says
_TAIL = struct.Struct("<QI")  # the length of the index, the CRC-32 of the index and that length
UNSIGNED, ED25519 = range(2)
_SIGNATURES = {UNSIGNED: 0, ED25519: 64}  # the bytes of a signature


@dataclass(frozen=True)
class Block:
    """Where a block is.

    `begin`: of its first byte, counted from the first block.
    `length`: in bytes.
    `checksum`: its CRC-32.
    """

    begin: int
    length: int
    checksum: int


@dataclass(frozen=True)
class Blocks:
    """A tensor in blocks.

    `element`: its ONNX element type.
    `shape`: its shape.
    `bits`: each block has 2 to this many elements, the last what is left.
    `parts`: the blocks, in order.
    """

    element: int
    shape: tuple[int, ...]
    bits: int
    parts: tuple[Block, ...]

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def bounds(self, index: int) -> tuple[int, int]:
        """The first element of a block, and the one after its last."""
        return index << self.bits, min(self.count, (index + 1) << self.bits)

    def decode(self, region: memoryview, index: int, fast: bool, out: np.ndarray) -> None:
        """Decode a block; raises ShoeError for a damaged one.

        `region`: all blocks of the file.
        `out`: where the bits of its elements go.
        """
        block = self.parts[index]
        data = region[block.begin : block.begin + block.length]
        if len(data) < block.length or zlib.crc32(data) != block.checksum:
            raise ShoeError("damaged file: the checksum of a block is wrong; fetch the file again")
        blocks.decode(data, self.element, out, fast)

    def room(self) -> int:
        """The bytes that decoding a block needs for a while, besides the tensor itself."""
        width = unsigned(self.element).itemsize
        return 8 * min(self.count, 1 << self.bits) * width

    def read(self, region: memoryview, spare: int = _SPARE) -> np.ndarray:
        """The bits of all elements, in one axis; raises ShoeError for a damaged block.

        `region`: all blocks of the file.
        `spare`: how many bytes decoding may take for a while; more threads take more.
        """
        bits = np.empty(self.count, unsigned(self.element))
        fast, workers = pace(self.count)
        workers = max(1, min(workers, spare // self.room()))

        def decode(index: int) -> None:
            begin, end = self.bounds(index)
            self.decode(region, index, fast, bits[begin:end])

        for _ in in_order(decode, range(len(self.parts)), workers):
            pass
        return bits


def not_read(tensor: Blocks) -> np.ndarray:
    """Zeros that take no memory, in place of the bits of a tensor that is read later, or never."""
    return np.broadcast_to(unsigned(tensor.element).type(0), tensor.count)


def pace(count: int) -> tuple[bool, int]:
    """(whether to use the compiled loops, in how many threads) for so many elements."""
    loaded = lanes_loop.compiled.cache_info().currsize > 0
    fast = lanes_loop.available() and (loaded or count >= lanes.COMPILED_FROM)
    return fast, cores() if fast else 1


class IndexedWriter:
    """Writes a file of version 4 from its first byte to its last.

    `stream`: where it goes, which is never read or sought.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.at = stream, 0
        stream.write(HEAD)

    def block(self, data: bytes) -> Block:
        """Write the next block; returns where it is."""
        block = Block(self.at, len(data), zlib.crc32(data))
        self.stream.write(data)
        self.at += len(data)
        return block

    def close(self, sections: Sequence[bytes]) -> int:
        """Write the index and the end of the file; returns the length of the file in bytes.

        `sections`: of the index, in order: graphs, tensor list, names, code stream, table of blocks
            and plain values.
        """
        end = _end(sections)
        self.stream.write(end)
        return len(HEAD) + self.at + len(end)


def framed(region: bytes | memoryview, sections: Sequence[bytes | memoryview]) -> bytes:
    """The bytes of a file with these blocks and these sections of its index."""
    return b"".join([HEAD, region, _end(sections)])


def _end(sections: Sequence[bytes | memoryview]) -> bytes:
    """The index and what comes after it."""
    index = Writer()
    for section in sections[:-1]:
        index.varint(len(section))
    for section in sections:
        index += section
    length = struct.pack("<Q", len(index))
    return bytes(index) + _TAIL.pack(len(index), zlib.crc32(length, zlib.crc32(index))) + b"\0"


def write_table(tensors: Mapping[int, Blocks]) -> bytes:
    """The table of blocks: which tensors are in blocks, and where these are.

    `tensors`: by their index in the tensor list, in rising order.
    """
    out, previous = Writer(), -1
    if not tensors:
        return b""
    out.varint(len(tensors))
    for index, tensor in tensors.items():
        out.varint(index - previous - 1)
        previous = index
        out.append(tensor.bits)
        out.varint(len(tensor.parts))
        for block in tensor.parts:
            out.varint(block.length)
            out += block.checksum.to_bytes(4, "little")
    return bytes(out)


@dataclass(frozen=True)
class Table:
    """The blocks of a file.

    `tensors`: (logarithm of the elements in a block, the blocks) of each tensor in blocks, by its
        index in the tensor list.
    """

    tensors: Mapping[int, tuple[int, tuple[Block, ...]]]

    def blocks(self, index: int, element: int, shape: tuple[int, ...]) -> Blocks:
        """The blocks of a tensor."""
        return Blocks(element, shape, *self.tensors[index])


class Region(NamedTuple):
    """The blocks of a file that is read, and the table that says whose they are.

    `table`: what `write_table` made. `blocks`: the bytes of all blocks.
    """

    table: memoryview
    blocks: memoryview


NO_BLOCKS = Region(memoryview(b""), memoryview(b""))


def read_table(region: Region, counts: Sequence[int]) -> Table:
    """The table of blocks; raises ShoeError for one that does not fit the tensors or the blocks.

    `counts`: how many elements each tensor of the list has.
    """
    reader, at, index = Reader(region.table, "table of blocks"), 0, -1
    tensors: dict[int, tuple[int, tuple[Block, ...]]] = {}
    for _ in range(reader.varint(len(counts)) if len(region.table) else 0):
        index += 1 + reader.varint(MOST_TENSORS)
        bits = reader.byte()
        if not blocks.LEAST_BITS <= bits <= blocks.MOST_BITS:
            raise reader.fail(f"there are no blocks of 2^{bits} elements")
        if index >= len(counts):
            raise reader.fail("there are blocks of a tensor that does not exist")
        number = reader.count()
        if counts[index] < 1 << blocks.LEAST_BITS or -(-counts[index] >> bits) != number:
            raise reader.fail(
                f"a tensor of {counts[index]} elements cannot have {number} blocks of 2^{bits}"
            )
        parts: list[Block] = []
        for _ in range(number):
            length = reader.varint(len(region.blocks) - at)
            parts.append(Block(at, length, int.from_bytes(reader.take(4), "little")))
            at += length
        tensors[index] = bits, tuple(parts)
    reader.end()
    if at != len(region.blocks):
        raise reader.fail(f"its blocks have {at} bytes and those of the file {len(region.blocks)}")
    return Table(tensors)


def signature(data: memoryview) -> tuple[int, memoryview]:
    """(the kind of signature, its bytes) of a whole file; raises ShoeError for an unknown kind."""
    if len(data) < len(HEAD) + _TAIL.size + 1:
        raise ShoeError("damaged file: it ends too early")
    kind = data[-1]
    if kind not in _SIGNATURES:
        raise ShoeError(
            f"damaged file: its end is cut off or changed (there is no signature of kind {kind}); "
            "fetch the file again"
        )
    size = _SIGNATURES[kind]
    if len(data) < len(HEAD) + _TAIL.size + 1 + size:
        raise ShoeError("damaged file: it ends too early")
    return kind, data[len(data) - 1 - size : len(data) - 1]


def signed_part(data: memoryview) -> memoryview:
    """What a signature signs: all bytes of a file before it."""
    _, signed = signature(data)
    return data[: len(data) - 1 - len(signed)]


def with_signature(data: bytes, kind: int, signed: bytes) -> bytes:
    """The file with this signature in place of the one that it has."""
    return bytes(signed_part(memoryview(data))) + signed + bytes([kind])


def parts(data: memoryview) -> tuple[memoryview, list[memoryview]]:
    """(all blocks, the sections of the index) of a file, after its checksum is verified.

    The sections are the graphs, the tensor list, the names, the code stream, the table of blocks
    and the plain values.
    Raises ShoeError for bytes that are not a complete file of version 4.
    """
    body = signed_part(data)
    length, checksum = _TAIL.unpack(body[-_TAIL.size :])
    begin = len(body) - _TAIL.size - length
    if begin < len(HEAD) or zlib.crc32(body[begin : len(body) - 4]) != checksum:
        raise ShoeError("damaged file: its end is cut off or changed; fetch the file again")
    reader = Reader(body[begin : len(body) - _TAIL.size], "index")
    lengths = [reader.varint() for _ in range(5)]
    sections = [reader.take(length) for length in lengths]
    return body[len(HEAD) : begin], [*sections, reader.take(reader.left())]
