"""A block of a tensor's elements as bytes that decode alone, at the speed of a disk.

The bytes of equal weight in all elements, a plane, are together. A plane is coded in lanes where
that saves bytes, and stored otherwise. `docs/format.md` specifies it.
"""

from __future__ import annotations

import numpy as np

from shoestring.artifact.coding import lanes, planes_loop
from shoestring.artifact.format.tensors import ELEMENTS, FLOATS, rotated, unsigned
from shoestring.artifact.wire import Reader, Writer

PLANES, SPARSE, LEVELS = range(3)
STORED, CONSTANT, CODED = range(3)
LEAST_BITS, MOST_BITS = 14, 22  # the least and the greatest block has 2 to this many elements
MOST_LEVELS = 256
_WORTH = 0.99  # a plane that coding shrinks by less is stored: it is not worth the time
_SAMPLED = 1 << 12  # of so many elements, how many differ tells whether a block has levels
_ZEROS = 0.02  # with this share of zeros in the sample, or more, a block may be sparse


def bits_for(width: int) -> int:
    """The logarithm of the number of elements in a writer's blocks, for elements of this width."""
    return {1: 22, 2: 22, 4: 21, 8: 20}[width]


def encode(bits: np.ndarray, element: int, fast: bool = False) -> bytes:
    """A block with these elements.

    `bits`: the bits of 1 to 2^MOST_BITS elements, in one axis.
    `element`: their ONNX element type.
    `fast`: whether to use the compiled loops, which need numba.
    """
    out = Writer()
    sample = bits[:: max(1, len(bits) // _SAMPLED)]
    parts = _Parts(out, fast)
    width = bits.itemsize
    if width > 1 and len(np.unique(sample)) <= min(MOST_LEVELS, len(sample) // 4):
        levels = np.unique(bits)
        if 1 < len(levels) <= MOST_LEVELS:
            out.append(LEVELS)
            out.append(len(levels) - 1)
            out += levels.astype(levels.dtype.newbyteorder("<")).tobytes()
            parts.plane(np.searchsorted(levels, bits).astype(np.uint8))
            return parts.closed()
    if width > 1 and np.count_nonzero(sample) < (1 - _ZEROS) * len(sample) and bits.any():
        out.append(SPARSE)
        given = bits != 0
        parts.plane(given.view(np.uint8))
        bits = bits[given]
    else:
        out.append(PLANES)
    for plane in _split(bits, element, fast):
        parts.plane(plane)
    return parts.closed()


def _split(bits: np.ndarray, element: int, fast: bool) -> list[np.ndarray]:
    """The planes of elements, from the highest to the lowest."""
    if bits.itemsize == 1:
        return [bits]
    if fast:
        return planes_loop.split(bits, ELEMENTS[element][0] in FLOATS)
    numbers = rotated(element, bits, 1)
    apart = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).view(np.uint8)
    apart = apart.reshape(-1, numbers.itemsize)
    return [np.ascontiguousarray(apart[:, i]) for i in reversed(range(numbers.itemsize))]


class _Parts:
    """The planes of a block that is being written.

    Coded planes are written at the end, since their lanes carry the first of the stored bytes.
    """

    def __init__(self, out: Writer, fast: bool) -> None:
        self.out, self.fast = out, fast
        self.planes: list[tuple[np.ndarray, lanes.Tables] | bytes] = []
        self.stored: list[np.ndarray] = []

    def plane(self, plane: np.ndarray) -> None:
        """Add a plane, in the way that takes the fewest bytes."""
        if not len(plane):
            self.planes.append(bytes([CONSTANT, 0]))
            return
        if not lanes.is_noise(plane):
            tables = lanes.tables_for(plane, self.fast)
            if tables.frequencies.shape[1] == 1:
                self.planes.append(bytes([CONSTANT, tables.lowest]))
                return
            if tables.bytes + lanes.lanes_for(len(plane)) * 2 < _WORTH * len(plane):
                self.planes.append((plane, tables))
                return
        self.planes.append(bytes([STORED]))
        self.stored.append(plane)

    def closed(self) -> bytes:
        """The bytes of the block."""
        parts: list[bytes | memoryview] = [bytes(self.out)]
        stored = [plane.data for plane in self.stored]
        for plane in self.planes:
            if isinstance(plane, bytes):
                parts.append(plane)
                continue
            values, tables = plane
            carried = np.zeros(2 * lanes.lanes_for(len(values)), np.uint8)
            at = 0
            while stored and at < len(carried):
                taken = min(len(carried) - at, len(stored[0]))
                carried[at : at + taken] = stored[0][:taken]
                stored[0] = stored[0][taken:]
                at += taken
                if not len(stored[0]):
                    del stored[0]
            lowest = carried.view("<u2").astype(np.uint16)
            parts += _coded(tables, *lanes.encode(values, tables, lowest, self.fast))
        return b"".join([*parts, *stored])


def _coded(tables: lanes.Tables, states: np.ndarray, words: np.ndarray) -> list[bytes | memoryview]:
    """A coded plane, in pieces."""
    number, count = tables.frequencies.shape
    out = Writer([CODED, tables.lowest, count - 1, number - 1])
    for frequency in tables.frequencies.ravel().tolist():
        out.varint(frequency)
    if number > 1:
        out += tables.choice.tobytes()
    out.varint(len(words))
    out += states.astype("<u4").tobytes()
    return [bytes(out), words.astype("<u2", copy=False).view(np.uint8).data]


def decode(data: memoryview, element: int, out: np.ndarray, fast: bool = False) -> None:
    """Decode a block into `out`, the bits of its elements, in one axis.

    `element`: their ONNX element type.
    `fast`: whether to use the compiled loops, which need numba.
    Raises ShoeError for invalid bytes.
    """
    reader = Reader(data, "block")
    planes = _Planes(reader, fast)
    mode, width = reader.byte(), out.itemsize
    if mode == LEVELS:
        _decode_levels(reader, planes, element, out)
        return
    if mode not in (PLANES, SPARSE):
        raise reader.fail(f"there is no block of kind {mode}")
    given = None
    if mode == SPARSE:
        planes.read(len(out))
        mask = planes.values(0)
        if mask.max() > 1:
            raise reader.fail("an element is neither zero nor given")
        given = mask.astype(bool)
    count = len(out) if given is None else int(np.count_nonzero(given))
    for _ in range(width):
        planes.read(count)
    planes.close()
    _join([planes.values(i) for i in range(-width, 0)], element, out, given, fast)
    if ELEMENTS[element][0] == "bool" and len(out) and int(out.max()) > 1:
        raise reader.fail("a bool is neither 0 nor 1")


def _decode_levels(reader: Reader, planes: _Planes, element: int, out: np.ndarray) -> None:
    kind = unsigned(element)
    count = reader.byte() + 1
    levels = np.frombuffer(reader.take(count * kind.itemsize), kind.newbyteorder("<")).astype(kind)
    if ELEMENTS[element][0] == "bool" and int(levels.max()) > 1:
        raise reader.fail("a bool is neither 0 nor 1")
    planes.read(len(out))
    planes.close()
    symbols = planes.values(0)
    if len(symbols) and int(symbols.max()) >= count:
        raise reader.fail("there is no such level")
    levels.take(symbols, out=out, mode="clip")


def _join(
    planes: list[np.ndarray],
    element: int,
    out: np.ndarray,
    given: np.ndarray | None,
    fast: bool,
) -> None:
    """Put the elements that have these planes, from the highest to the lowest, into `out`.

    `given`: which elements have them, where the others are zero; None: all.
    """
    if fast and given is None and len(planes) > 1:
        planes_loop.join(planes, out, ELEMENTS[element][0] in FLOATS)
        return
    kind = out.dtype
    if len(planes) == 1:
        numbers = planes[0]
    else:
        apart = np.empty((len(planes[0]), kind.itemsize), np.uint8)
        for i, plane in enumerate(reversed(planes)):
            apart[:, i] = plane
        numbers = apart.reshape(-1).view(kind.newbyteorder("<")).astype(kind, copy=False)
        numbers = rotated(element, numbers, -1)
    if given is None:
        out[:] = numbers
    else:
        out[:] = 0
        out[given] = numbers


class _Planes:
    """The planes of a block that is being read, in order.

    Stored planes are known when all planes have been read: their bytes are at the end.
    """

    def __init__(self, reader: Reader, fast: bool) -> None:
        self.reader, self.fast = reader, fast
        self.found: list[np.ndarray | None] = []
        self.counts: list[int] = []
        self.carried: list[np.ndarray] = []

    def read(self, count: int) -> None:
        """Read the next plane, of `count` symbols."""
        reader, kind = self.reader, self.reader.byte()
        self.counts.append(count)
        if kind == STORED:
            self.found.append(None)
        elif kind == CONSTANT:
            self.found.append(np.broadcast_to(np.uint8(reader.byte()), count))
        elif kind == CODED:
            self.found.append(self._coded(count))
        else:
            raise reader.fail(f"there is no plane of kind {kind}")

    def _coded(self, count: int) -> np.ndarray:
        reader = self.reader
        if not count:
            raise reader.fail("a plane without elements is coded")
        lowest, symbols, number = reader.byte(), reader.byte() + 1, reader.byte() + 1
        if lowest + symbols > 256 or number > lanes.MOST_TABLES:
            raise reader.fail("a plane has values above 255, or too many tables")
        listed = [reader.varint(lanes.TOTAL) for _ in range(number * symbols)]
        frequencies = np.array(listed, np.int64).reshape(number, symbols)
        if (frequencies.sum(1) != lanes.TOTAL).any():
            raise reader.fail(f"the frequencies of a table do not add up to {lanes.TOTAL}")
        segments = -(-count // lanes.SEGMENT)
        choice = np.zeros(segments, np.uint8)
        if number > 1:
            choice = np.frombuffer(reader.take(segments), np.uint8)
            if int(choice.max()) >= number:
                raise reader.fail("a segment has no table")
        words = reader.varint(count)
        states = np.frombuffer(reader.take(4 * lanes.lanes_for(count)), "<u4").astype(np.uint32)
        coded = np.frombuffer(reader.take(2 * words), "<u2").astype(np.uint16)
        if int(states.min()) < lanes.LOWEST:
            raise reader.fail("the state of a lane is too small")
        tables = lanes.Tables(lowest, frequencies, choice)
        plane = lanes.decode(coded, states, tables, count, self.fast)
        if plane is None or int(states.min()) < lanes.LOWEST or int(states.max()) >> 17:
            raise reader.fail("a coded plane does not end where its symbols do")
        self.carried.append((states & 0xFFFF).astype("<u2").view(np.uint8))
        return plane

    def close(self) -> None:
        """Read the stored planes; raises ShoeError where bytes are missing or left."""
        sizes = [
            count for plane, count in zip(self.found, self.counts, strict=True) if plane is None
        ]
        carried = np.concatenate([*self.carried, np.empty(0, np.uint8)])
        here = min(sum(sizes), len(carried))
        if carried[here:].any():
            raise self.reader.fail("the lanes carry bytes that belong to no plane")
        rest = np.frombuffer(self.reader.take(sum(sizes) - here), np.uint8)
        self.reader.end()
        at = 0
        for i, plane in enumerate(self.found):
            if plane is None:
                begin, at = at, at + self.counts[i]
                if begin >= here:
                    self.found[i] = rest[begin - here : at - here]
                else:
                    self.found[i] = np.concatenate([carried[begin:at], rest[: max(at - here, 0)]])

    def values(self, index: int) -> np.ndarray:
        """A plane that was read."""
        plane = self.found[index]
        if plane is None:
            raise self.reader.fail("the mask of a block must not be stored")
        return plane
