"""Files of version 4 with blocks and planes of every kind, also those that our writer never makes.

A file is made from its parts, so that a part can be changed and all checksums still fit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from shoestring.artifact.coding import lanes
from shoestring.artifact.format.blocks import CODED, CONSTANT, LEVELS, SPARSE, STORED
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.tensors import Tensor, rotated
from shoestring.artifact.wire import Writer, squeeze

HEAD = b"SHOE\4"


@dataclass(frozen=True)
class Draws:
    """What is drawn for the planes of a block.

    `wide`: how likely a table has values below, or above, those that occur.
    `longest`: the most symbols of a plane that may be stored.
    """

    wide: float = 0.3
    longest: int = 1 << 22


ANY, SHORT = Draws(), Draws(0, 100)


@dataclass(frozen=True)
class InBlocks:
    """A tensor in blocks: its place in the list, log2 of a block's elements, the blocks."""

    place: int
    power: int
    blocks: tuple[bytes, ...]


@dataclass(frozen=True)
class Parts:
    """A file of version 4, in parts; those that a file has squeezed are as they inflate to.

    `graphs`, `names`: None where the file has none.
    `listed`: the tensor list, after its byte 00.
    `signature`: with its kind, the last byte of the file.
    """

    listed: bytes
    names: bytes | None = None
    graphs: bytes | None = None
    stream: bytes = b""
    plain: bytes = b""
    in_blocks: tuple[InBlocks, ...] = ()
    signature: bytes = b"\0"
    table: bytes | None = field(default=None)

    @property
    def region(self) -> bytes:
        return b"".join(block for tensor in self.in_blocks for block in tensor.blocks)

    def made_table(self) -> bytes:
        if self.table is not None:
            return self.table
        out, last = Writer(), -1
        if self.in_blocks:
            out.varint(len(self.in_blocks))
        for tensor in self.in_blocks:
            out.varint(tensor.place - last - 1)
            last = tensor.place
            out.append(tensor.power)
            out.varint(len(tensor.blocks))
            for block in tensor.blocks:
                out.varint(len(block))
                out += zlib.crc32(block).to_bytes(4, "little")
        return bytes(out)

    def sections(self) -> list[bytes]:
        graphs = b"" if self.graphs is None else squeeze(self.graphs, DICTIONARY)
        names = b"" if self.names is None else squeeze(self.names)
        return [graphs, b"\0" + self.listed, names, self.stream, self.made_table(), self.plain]

    def index(self) -> bytes:
        out = Writer()
        sections = self.sections()
        for section in sections[:-1]:
            out.varint(len(section))
        return bytes(out) + b"".join(sections)

    def made(self) -> bytes:
        return framed(self.region, self.index(), self.signature)


def framed(region: bytes, index: bytes, signature: bytes = b"\0") -> bytes:
    """The file with these blocks and this index, whose checksum fits."""
    index += struct.pack("<Q", len(index))
    return HEAD + region + index + zlib.crc32(index).to_bytes(4, "little") + signature


def checkpoint(
    rng: np.random.Generator,
    tensors: Sequence[Tensor],
    kinds: Sequence[int | None],
    power: int,
    draws: Draws = ANY,
) -> Parts:
    """A checkpoint of these tensors.

    `kinds`: of each, the kind of its blocks, or None where it is raw.
    `power`: log2 of the elements of a block.
    """
    listed, names, plain, in_blocks = Writer(), Writer(), Writer(), []
    listed.varint(len(tensors))
    names.varint(len(tensors))
    for place, (tensor, kind) in enumerate(zip(tensors, kinds, strict=True)):
        listed += bytes([1 << 6 | tensor.bits.ndim << 3, tensor.element])
        for axis in tensor.bits.shape:
            listed.varint(axis)
        names.text(f"tensor {place}")
        flat = tensor.bits.reshape(-1)
        if kind is None:
            plain += flat.astype(flat.dtype.newbyteorder("<")).tobytes()
            continue
        pieces = [flat[at : at + (1 << power)] for at in range(0, flat.size, 1 << power)]
        made = tuple(block(rng, piece, tensor.element, kind, draws) for piece in pieces)
        in_blocks.append(InBlocks(place, power, made))
    names.varint(1)
    names.text("licence")
    names.text("none")
    return Parts(bytes(listed), bytes(names), plain=bytes(plain), in_blocks=tuple(in_blocks))


def block(
    rng: np.random.Generator, bits: np.ndarray, element: int, kind: int, draws: Draws = ANY
) -> bytes:
    """A block of this kind with these elements, whose planes are of kinds drawn at random."""
    planes = _Planes(rng, Writer([kind]), draws)
    if kind == LEVELS:
        levels = np.unique(bits)
        unused = np.unique(np.concatenate([levels, levels[:1] ^ levels[:1]]))
        levels = unused if len(unused) <= 256 else levels
        planes.out.append(len(levels) - 1)
        planes.out += levels.astype(levels.dtype.newbyteorder("<")).tobytes()
        planes.add(np.searchsorted(levels, bits).astype(np.uint8))
        return planes.closed()
    if kind == SPARSE:
        given = (bits != 0) | (rng.random(len(bits)) < 0.001)  # a zero may be given too
        planes.add(given.astype(np.uint8), (CODED, CONSTANT))
        bits = bits[given]
    numbers = rotated(element, bits, 1)
    for weight in reversed(range(bits.itemsize)):
        planes.add((numbers >> numbers.dtype.type(8 * weight)).astype(np.uint8))
    return planes.closed()


class _Planes:
    """The planes of a block that is being made; coded ones are coded last, with what they carry."""

    def __init__(self, rng: np.random.Generator, out: Writer, draws: Draws) -> None:
        self.rng, self.out, self.draws = rng, out, draws
        self.heads: list[bytes | tuple[np.ndarray, int, lanes.Tables]] = []
        self.stored = np.empty(0, np.uint8)

    def add(self, plane: np.ndarray, kinds: tuple[int, ...] = (STORED, CONSTANT, CODED)) -> None:
        fits = {
            STORED: len(plane) <= self.draws.longest,
            CONSTANT: len(plane) == 0 or int(plane.min()) == int(plane.max()),
            CODED: len(plane) > 0,
        }
        allowed = [kind for kind in kinds if fits[kind]]
        kind = int(self.rng.choice(allowed))
        if kind == CONSTANT:
            self.heads.append(bytes([kind, int(plane[0]) if len(plane) else 77]))
        elif kind == STORED:
            self.heads.append(bytes([kind]))
            self.stored = np.concatenate([self.stored, plane])
        else:
            self.heads.append((plane, *tables(self.rng, plane, self.draws.wide)))

    def closed(self) -> bytes:
        at = 0
        for head in self.heads:
            if isinstance(head, bytes):
                self.out += head
                continue
            plane, least, made = head
            carried = np.zeros(2 * lanes.lanes_for(len(plane)), np.uint8)
            taken = self.stored[at : at + len(carried)]
            carried[: len(taken)] = taken
            at += len(taken)
            last = carried.view("<u2").astype(np.uint16)
            states, words = lanes.encode(plane, made, last, False)
            number, count = made.frequencies.shape
            self.out += bytes([CODED, least, count - 1, number - 1])
            for frequency in made.frequencies.ravel().tolist():
                self.out.varint(frequency)
            if number > 1:
                self.out += made.choice.tobytes()
            self.out.varint(len(words))
            self.out += states.astype("<u4").tobytes() + words.astype("<u2").tobytes()
        self.out += self.stored[at:].tobytes()
        return bytes(self.out)


def tables(rng: np.random.Generator, plane: np.ndarray, wide: float) -> tuple[int, lanes.Tables]:
    """(the least value, 1 to 8 tables) for a plane, some with values that do not occur."""
    lowest, highest = int(plane.min()), int(plane.max())
    least = lowest - int(rng.integers(lowest + 1)) if rng.random() < wide else lowest
    most = highest + int(rng.integers(256 - highest)) if rng.random() < wide else highest
    counts = np.bincount(plane - np.uint8(least), minlength=most - least + 1).astype(np.float64)
    number = int(rng.integers(1, 9)) if rng.random() < 0.6 else 1
    frequencies = np.zeros((number, len(counts)), np.int64)
    for row in frequencies:
        row[:] = counts > 0 if rng.random() < 0.7 else 1
        skewed = counts * rng.uniform(0.5, 2, len(counts))
        row += rng.multinomial(lanes.TOTAL - int(row.sum()), skewed / skewed.sum())
    segments = -(-len(plane) // lanes.SEGMENT)
    choice = rng.integers(number, size=segments).astype(np.uint8)
    return least, lanes.Tables(least, frequencies, choice)


def mutant(rng: np.random.Generator, parts: Parts) -> bytes:
    """The file with a part changed in a way that its checksums do not show (mostly)."""
    kind = int(rng.integers(12))
    if kind < 5 and parts.in_blocks:
        return _with_block(rng, parts, lambda data: changed(rng, data)).made()
    if kind == 5 and parts.in_blocks:
        return _with_blocks(rng, parts).made()
    if kind == 6:
        return replace(parts, table=changed(rng, parts.made_table())).made()
    if kind == 7:
        names = parts.names if parts.names is not None else b"\0\0"
        return replace(parts, names=changed(rng, names) if rng.random() < 0.9 else None).made()
    if kind == 8:
        part = str(rng.choice(["listed", "plain", "stream"]))
        return replace(parts, **{part: changed(rng, getattr(parts, part))}).made()
    if kind == 9:
        sizes = (0, 1, 63, 64, 65, 100)
        signature = rng.bytes(int(rng.choice(sizes))) + bytes(
            [int(rng.choice([0, 0, 1, 1, 2, 255]))]
        )
        return replace(parts, signature=signature).made()
    if kind == 10:
        return framed(parts.region, changed(rng, parts.index(), 12), parts.signature)
    return changed(rng, parts.made())


def changed(rng: np.random.Generator, data: bytes, near: int = 120) -> bytes:
    """The data with a byte or two changed, taken out or put in, mostly near their beginning."""
    made = bytearray(data)
    for _ in range(1 if rng.random() < 0.8 else 2):
        last = min(len(made), near) if rng.random() < 0.7 else len(made)
        at = int(rng.integers(last)) if last else 0
        how = rng.random()
        if how < 0.6 and made:
            made[at] ^= 1 << int(rng.integers(8))
        elif how < 0.7 and made:
            made[at] = int(rng.choice([0, 1, 2, 127, 128, 255]))
        elif how < 0.85 and made:
            del made[at : at + int(rng.integers(1, 4))]
        else:
            made[at:at] = rng.bytes(int(rng.integers(1, 4)))
    return bytes(made)


def _with_block(rng: np.random.Generator, parts: Parts, change: Callable[[bytes], bytes]) -> Parts:
    """The parts with one block changed."""
    i = int(rng.integers(len(parts.in_blocks)))
    tensor = parts.in_blocks[i]
    j = int(rng.integers(len(tensor.blocks)))
    made = (*tensor.blocks[:j], change(tensor.blocks[j]), *tensor.blocks[j + 1 :])
    return with_tensor(parts, i, replace(tensor, blocks=made))


def _with_blocks(rng: np.random.Generator, parts: Parts) -> Parts:
    """The parts with the blocks of a tensor in another order, number, size or place."""
    i = int(rng.integers(len(parts.in_blocks)))
    tensor = parts.in_blocks[i]
    how = int(rng.integers(5))
    if how == 0:
        tensor = replace(tensor, blocks=tensor.blocks[::-1])
    elif how == 1:
        tensor = replace(tensor, blocks=tensor.blocks[:-1])
    elif how == 2:
        tensor = replace(tensor, blocks=tensor.blocks + tensor.blocks[-1:])
    elif how == 3:
        tensor = replace(tensor, power=tensor.power + int(rng.integers(-2, 9)))
    else:
        tensor = replace(tensor, place=tensor.place + 1)
    if how == 4 and i + 1 < len(parts.in_blocks):
        return replace(parts, in_blocks=parts.in_blocks[:i] + parts.in_blocks[i + 1 :])
    return with_tensor(parts, i, tensor)


def with_tensor(parts: Parts, i: int, tensor: InBlocks) -> Parts:
    """The parts with another tensor in blocks in place of number `i`."""
    return replace(parts, in_blocks=(*parts.in_blocks[:i], tensor, *parts.in_blocks[i + 1 :]))
