"""Writes and reads bytes: variable-length integers, strings and deflated data.

The reader never reads past the end.
"""

from __future__ import annotations

import zlib


class ShoeError(ValueError):
    """A file is not a complete, valid `.shoe` file, or it needs more memory than is allowed."""


class Writer(bytearray):
    """A bytearray to which integers and strings are appended."""

    def varint(self, number: int) -> None:
        """Append an unsigned integer below 2^64 with seven bits a byte, the lowest first.

        The top bit is set on all bytes but the last. Raises ValueError for any other integer.
        """
        if not 0 <= number < 1 << 64:
            raise ValueError(f"{number} is not an unsigned integer of 64 bits")
        while number > 127:
            self.append(number & 127 | 128)
            number >>= 7
        self.append(number)

    def signed(self, number: int) -> None:
        """Append a signed integer of 64 bits as a varint: 0, -1, 1, -2 become 0, 1, 2, 3."""
        self.varint(number << 1 if number >= 0 else (-number << 1) - 1)

    def text(self, text: str) -> None:
        """Append a string: the length of its UTF-8 form in bytes, then that form."""
        data = text.encode()
        self.varint(len(data))
        self += data


class Reader:
    """Reads what a Writer wrote, from the first byte on; raises ShoeError for anything else.

    `what`: what error messages call these bytes, such as "tensor list".
    """

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self.data = memoryview(data)
        self.what = what
        self.at = 0

    def fail(self, why: str) -> ShoeError:
        """The error to raise, whose message says why and at which byte."""
        return ShoeError(f"damaged file: {why} (byte {self.at} of the {self.what})")

    def left(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.at

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, not copied."""
        if count > self.left():
            raise self.fail(f"{count} bytes are wanted and {self.left()} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self, limit: int = (1 << 64) - 1) -> int:
        """The next unsigned integer, at most `limit`."""
        if self.at < len(self.data) and (number := self.data[self.at]) < 128 and number <= limit:
            self.at += 1  # one byte is enough for most, and files have a million of them
            return number
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
        """The length of a list, each of whose items takes a byte or more."""
        number = self.varint()
        if number > self.left():
            raise self.fail(f"a list of {number} is longer than the bytes that are left")
        return number

    def text(self, limit: int = (1 << 64) - 1) -> str:
        """The next string, of at most `limit` bytes."""
        try:
            return str(self.take(self.varint(limit)), "utf-8")
        except UnicodeDecodeError:
            raise self.fail("a name is not UTF-8") from None

    def end(self) -> None:
        """Raises ShoeError where bytes are left."""
        if self.left():
            raise self.fail(f"{self.left()} bytes too many")


def squeeze(data: bytes, dictionary: bytes = b"") -> bytes:
    """The length of the data as a varint, then the data as raw deflate (RFC 1951).

    `dictionary`: bytes that deflate may refer to as if they came before the data.
    """
    out = Writer()
    out.varint(len(data))
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return bytes(out) + compressor.compress(data) + compressor.flush()


def unsqueeze(data: memoryview, what: str, limit: int, dictionary: bytes = b"") -> bytes:
    """The data that `squeeze` was given; raises ShoeError.

    `what`: what error messages call the data.
    `limit`: the greatest length that is allowed, in bytes; about so much memory is used at most.
    `dictionary`: the one that `squeeze` was given.
    """
    reader = Reader(data, what)
    length = reader.varint(limit)
    decompressor = zlib.decompressobj(-15, dictionary)
    try:
        out = decompressor.decompress(reader.take(reader.left()), length + 1)
    except zlib.error as error:
        raise reader.fail(f"it does not inflate ({error})") from None
    if len(out) != length or not decompressor.eof or decompressor.unused_data:
        raise reader.fail(f"it does not inflate to the {length} bytes that it claims")
    return out
