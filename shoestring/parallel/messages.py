"""What workers and their server tell one another: a line of JSON, then tensors as plain bytes.

Nothing is pickled. Both sides know the shapes; what does not fit them is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LENGTHS = struct.Struct("<IQ")
_MOST_WORDS = 1 << 20
"""The longest line of JSON, in bytes: a traceback has room in it."""


class GarbledError(ValueError):
    """A message that no worker and no server of this version sends."""


def tell(connection: Connection, words: dict[str, Any], data: bytes, seconds: float) -> int:
    """Send words and bytes; returns how many bytes that are.

    `seconds`: that it may take in all.

    Raises OSError where nobody hears, or not fast enough.
    """
    line = json.dumps(words).encode()
    message = memoryview(b"".join((_LENGTHS.pack(len(line), len(data)), line, data)))
    until, sent = time.monotonic() + seconds, 0
    os.set_blocking(connection.fileno(), False)
    while sent < len(message):
        _wait(connection, until, select.POLLOUT)
        with contextlib.suppress(BlockingIOError):
            sent += os.write(connection.fileno(), message[sent:])
    return sent


def hear(
    connection: Connection, most: int, seconds: float
) -> tuple[dict[str, Any], bytearray, int]:
    """The words, the bytes and the length of a message.

    `most`: the bytes that may come with the words.
    `seconds`: that it may take in all, from now on.

    Raises EOFError or OSError where the other side is gone or does not send fast enough, and
    GarbledError for what is no message.
    """
    until = time.monotonic() + seconds
    os.set_blocking(connection.fileno(), False)
    line, size = _LENGTHS.unpack(_read(connection, _LENGTHS.size, until))
    if line > _MOST_WORDS or size > most:
        raise GarbledError(f"a message of {line + size:,} bytes where {most:,} may come")
    try:
        words = json.loads(_read(connection, line, until))
    except (ValueError, RecursionError) as error:
        raise GarbledError("a message whose words are no JSON") from error
    if not isinstance(words, dict):
        raise GarbledError("a message whose words are no names and values")
    return words, _read(connection, size, until), _LENGTHS.size + line + size


def _read(connection: Connection, size: int, until: float) -> bytearray:
    """So many bytes; they are not given room before they come."""
    data = bytearray()
    while len(data) < size:
        _wait(connection, until, select.POLLIN)
        with contextlib.suppress(BlockingIOError):
            part = os.read(connection.fileno(), min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
    return data


def _wait(connection: Connection, until: float, event: int) -> None:
    """Wait until a connection can be read or written; TimeoutError where it is too late."""
    poll = select.poll()
    poll.register(connection.fileno(), event)
    if not poll.poll(max(0.0, 1000 * (until - time.monotonic()))):
        raise TimeoutError("it took too long")


def number(words: dict[str, Any], name: str) -> int:
    """A whole number of a message, 0 or more; raises GarbledError for anything else."""
    value = words.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise GarbledError(f"{name} of {value!r}")
    return value


def numbers(words: dict[str, Any], name: str, most: int) -> list[int]:
    """Different whole numbers of a message, each below `most`; GarbledError for anything else."""
    values = words.get(name)
    if not isinstance(values, list) or len(set(map(str, values))) != len(values):
        raise GarbledError(f"{name} of {values!r}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < most:
            raise GarbledError(f"{name} with {value!r}")
    return values


def as_bytes(tensors: Sequence[Tensor]) -> bytes:
    """The elements of tensors on the processor, one tensor after the other, each row by row."""
    return b"".join(
        one.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for one in tensors
    )


def size_of(tensors: Sequence[Tensor]) -> int:
    """The bytes of `as_bytes`."""
    return sum(one.numel() * one.element_size() for one in tensors)


def from_bytes(data: bytes | bytearray, like: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of these shapes and types; raises GarbledError for bytes of another length."""
    if len(data) != size_of(like):
        raise GarbledError(f"{len(data)} bytes for tensors of {size_of(like)}")
    tensors, begin = [], 0
    whole = torch.from_numpy(np.frombuffer(bytearray(data), dtype=np.uint8))
    for one in like:
        end = begin + one.numel() * one.element_size()
        # a copy, since elements may not lie at a multiple of their size
        tensors.append(whole[begin:end].clone().view(one.dtype).reshape(one.shape))
        begin = end
    return tensors
