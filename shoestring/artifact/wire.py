"""Bytes out and bytes in.

Variable-length integers, strings, and a reader that never reads past the end.
"""

from __future__ import annotations

import zlib


class ShoeError(ValueError):
    """A file that is not a whole, sound `.shoe` file, or that asks for more than its reader allows."""


class Writer(bytearray):
    """A growing run of bytes."""

    def varint(self, number: int) -> None:
        """An unsigned integer below 2^64, seven bits a byte, lowest first, the top bit set on all
        but the last byte.
        """
        if not 0 <= number < 1 << 64:
            raise ValueError(f"{number} is not an unsigned integer of 64 bits")
        while number > 127:
            self.append(number & 127 | 128)
            number >>= 7
        self.append(number)

    def signed(self, number: int) -> None:
        """A signed integer of 64 bits as an unsigned one: 0, -1, 1, -2, ... become 0, 1, 2, 3, ..."""
        self.varint(number << 1 if number >= 0 else (-number << 1) - 1)

    def text(self, text: str) -> None:
        """A string: the length of its UTF-8 form, then that."""
        data = text.encode()
        self.varint(len(data))
        self += data


class Reader:
    """Reads what a Writer wrote; anything else raises ShoeError."""

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self.data = memoryview(data)
        self.what = what
        self.at = 0

    def fail(self, why: str) -> ShoeError:
        """The error to raise, with the place in it."""
        return ShoeError(f"damaged file: {why} (byte {self.at} of the {self.what})")

    def left(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.at

    def take(self, count: int) -> memoryview:
        """The next `count` bytes."""
        if count > self.left():
            raise self.fail(f"{count} bytes are wanted and {self.left()} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self, limit: int = (1 << 64) - 1) -> int:
        """The next unsigned integer, at most `limit`."""
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 63:
                raise self.fail("an integer is longer than 64 bits")
        if shift > 7 and not byte:
            raise self.fail("an integer is not in its shortest form")
        if number > limit:
            raise self.fail(f"the number {number} is over {limit}")
        return number

    def signed(self) -> int:
        """The next signed integer."""
        number = self.varint()
        return number >> 1 if not number & 1 else -((number + 1) >> 1)

    def count(self) -> int:
        """The length of a list whose items take a byte or more each."""
        number = self.varint()
        if number > self.left():
            raise self.fail(f"a list of {number} is longer than the bytes that are left")
        return number

    def text(self) -> str:
        """The next string."""
        try:
            return str(self.take(self.varint()), "utf-8")
        except UnicodeDecodeError:
            raise self.fail("a name is not UTF-8") from None

    def end(self) -> None:
        """Nothing may be left."""
        if self.left():
            raise self.fail(f"{self.left()} bytes too many")


def squeeze(data: bytes, dictionary: bytes = b"") -> bytes:
    """The length, then raw deflate (RFC 1951), which may refer to the dictionary as if it came
    before.
    """
    out = Writer()
    out.varint(len(data))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return bytes(out) + packer.compress(data) + packer.flush()


def unsqueeze(data: memoryview, what: str, limit: int, dictionary: bytes = b"") -> bytes:
    """What `squeeze` packed, if it is at most `limit` bytes; never allocates more than that."""
    reader = Reader(data, what)
    length = reader.varint(limit)
    unpacker = zlib.decompressobj(-15, dictionary)
    try:
        out = unpacker.decompress(reader.take(reader.left()), length + 1)
    except zlib.error as error:
        raise reader.fail(f"it does not inflate ({error})") from None
    if len(out) != length or not unpacker.eof or unpacker.unused_data:
        raise reader.fail(f"it does not inflate to the {length} bytes that it claims")
    return out
