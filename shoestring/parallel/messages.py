"""What workers and their server tell one another: a line of JSON, then tensors as plain bytes.

Nothing is pickled. Both sides know the shapes; what does not fit them is refused.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LENGTH = struct.Struct("<I")
_MOST_WORDS = 1 << 20
"""The longest line of JSON, in bytes: a traceback has room in it."""


class GarbledError(ValueError):
    """A message that no worker and no server of this version sends."""


def limit_waiting(connection: Connection, seconds: float) -> None:
    """From now on, an exchange on which the other side does not move for so long is an OSError."""
    wait = struct.pack("ll", math.ceil(seconds), 0)
    shared = socket.socket(fileno=connection.fileno())
    try:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
    finally:
        shared.detach()


def tell(connection: Connection, words: dict[str, Any], data: bytes = b"") -> int:
    """Send words and bytes; returns how many bytes that are. Raises OSError where nobody hears."""
    line = json.dumps(words).encode()
    message = b"".join((_LENGTH.pack(len(line)), line, data))
    connection.send_bytes(message)
    return len(message)


def hear(connection: Connection, most: int) -> tuple[dict[str, Any], bytes, int]:
    """The words, the bytes and the length of a message.

    `most`: the bytes that may come with the words.

    Raises EOFError or OSError where the other side is gone or does not move, and GarbledError for
    what is no message.
    """
    message = connection.recv_bytes(most + _MOST_WORDS)
    if len(message) < _LENGTH.size:
        raise GarbledError(f"a message of {len(message)} bytes")
    end = _LENGTH.size + _LENGTH.unpack_from(message)[0]
    if end > len(message):
        raise GarbledError("a message that ends within its words")
    try:
        words = json.loads(message[_LENGTH.size : end])
    except ValueError as error:
        raise GarbledError("a message whose words are no JSON") from error
    if not isinstance(words, dict):
        raise GarbledError("a message whose words are no names and values")
    return words, message[end:], len(message)


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


def from_bytes(data: bytes, like: Sequence[Tensor]) -> list[Tensor]:
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
