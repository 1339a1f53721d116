"""Blocks, decoded as docs/format.md says it, a symbol at a time: for its example."""

from __future__ import annotations

from collections.abc import Callable

from shoestring.artifact.wire import Reader


class SlowBlock:
    """The symbols of a sparse block or one of planes, plane by plane.

    `seen`: called after each symbol of a coded plane with its number, the state of its lane before
        and after it, the symbol and the word that was taken (None: none).
    `carried`: what the lanes carry; `rest`: what is left of the block after its planes.
    """

    def __init__(self, data: bytes, seen: Callable[..., None]) -> None:
        self.reader, self.seen = Reader(data, "block"), seen
        self.carried = b""
        self.stored: list[int] = []
        self.planes: list[list[int] | None] = []

    def plane(self, count: int) -> list[int] | None:
        """The symbols of the next plane; None where it is stored."""
        kind = self.reader.byte()
        if kind == 0:
            self.stored.append(count)
            self.planes.append(None)
        elif kind == 1:
            self.planes.append([self.reader.byte()] * count)
        else:
            assert kind == 2
            self.planes.append(self._coded(count))
        return self.planes[-1]

    def end(self) -> list[list[int]]:
        """All planes, after the last one has been read."""
        wanted = sum(self.stored)
        first, beyond = self.carried[:wanted], self.carried[wanted:]
        assert not any(beyond)
        stored = first + bytes(self.reader.take(wanted - len(first)))
        self.reader.end()
        found, at = [], 0
        sizes = iter(self.stored)
        for plane in self.planes:
            if plane is None:
                size = next(sizes)
                plane, at = list(stored[at : at + size]), at + size
            found.append(plane)
        return found

    def _coded(self, count: int) -> list[int]:
        reader = self.reader
        least, values, tables = reader.byte(), reader.byte() + 1, reader.byte() + 1
        listed = [[reader.varint() for _ in range(values)] for _ in range(tables)]
        assert all(sum(table) == 4096 for table in listed)
        segments = -(-count // 4096)
        table_of = [reader.byte() for _ in range(segments)] if tables > 1 else [0] * segments
        number = reader.varint()
        lanes = 1
        while lanes < 2048 and 2 * lanes <= count // 1024:
            lanes *= 2
        states = [int.from_bytes(reader.take(4), "little") for _ in range(lanes)]
        words = [int.from_bytes(reader.take(2), "little") for _ in range(number)]
        assert min(states) >= 65536
        symbols = []
        for i in range(count):
            frequencies, x, word = listed[table_of[i // 4096]], states[i % lanes], None
            q, start, s = x % 4096, 0, 0
            while start + frequencies[s] <= q:
                start += frequencies[s]
                s += 1
            after = frequencies[s] * (x // 4096) + q - start
            if after < 65536:
                word = words.pop(0)
                after = after * 65536 + word
            states[i % lanes] = after
            symbols.append(least + s)
            self.seen(i, x, after, s, word)
        assert not words and all(65536 <= x < 131072 for x in states)
        self.carried += b"".join((x - 65536).to_bytes(2, "little") for x in states)
        return symbols
