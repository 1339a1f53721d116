"""A request to an agent holds files with their inputs, and says how to time them.

It uses no pickle and no archive, and every length is checked. A request is the length of the header
in four bytes (big-endian), the header in JSON, and then each file followed by its inputs as plain
arrays, in the order of the header.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from shoestring.meters.inputs import check_integer, check_positive

PROTOCOL = 1
MAX_BYTES = 256_000_000
"""The default limit on a request, and on the tensors of each file in it."""
MOST_FILES, MOST_ROUNDS, MOST_WARM_UP, MOST_THREADS = 64, 100_000, 10_000, 1024
_LARGEST_HEADER = 1 << 20
_TYPES = (
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "bool",
)
_KEYS = {"protocol", "threads", "rounds", "warm_up", "seconds", "order", "files"}


@dataclass(frozen=True)
class Sent:
    """The bytes of a `.shoe` file, and its inputs by name."""

    file: bytes
    inputs: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Work:
    """Files to be timed in alternation.

    `files`: the distinct files.
    `order`: the index of the file at each turn; a file may appear twice.
    `threads`, `rounds`, `warm_up`, `seconds`: as in `alternate`.
    """

    files: Sequence[Sent]
    order: Sequence[int]
    threads: int | None
    rounds: int | None
    warm_up: int
    seconds: float


def encode(work: Work) -> bytes:
    """The bytes of a request."""
    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for sent in work.files:
        inputs = [
            {"name": name, "type": value.dtype.name, "shape": value.shape}
            for name, value in sent.inputs.items()
        ]
        described.append({"bytes": len(sent.file), "inputs": inputs})
        parts += [
            sent.file,
            *(
                value.astype(value.dtype.newbyteorder("<")).tobytes()
                for value in sent.inputs.values()
            ),
        ]
    header = json.dumps(
        {
            "protocol": PROTOCOL,
            "threads": work.threads,
            "rounds": work.rounds,
            "warm_up": work.warm_up,
            "seconds": work.seconds,
            "order": list(work.order),
            "files": described,
        }
    ).encode()
    return b"".join([len(header).to_bytes(4, "big"), header, *parts])


def decode(body: bytes) -> Work:
    """The work that a request asks for.

    Raises ValueError, with the reason, for a request that `encode` would not write.
    """
    view = memoryview(body)
    length = int.from_bytes(view[:4], "big")
    if len(view) < 4 or length > min(len(view) - 4, _LARGEST_HEADER):
        raise ValueError(
            f"a header of {length:,} bytes is announced and {max(len(view) - 4, 0):,} bytes follow"
        )
    header = plain_json(bytes(view[4 : 4 + length]), "the header")
    if not isinstance(header, dict) or header.get("protocol") != PROTOCOL:
        protocol = header.get("protocol") if isinstance(header, dict) else None
        raise ValueError(
            f"the request speaks protocol {str(protocol)[:20]} and this agent {PROTOCOL}: use the "
            "same shoestring on both"
        )
    if header.keys() != _KEYS:
        raise ValueError(
            f"the header has the keys {', '.join(sorted(header))[:300]}; wanted are "
            f"{', '.join(sorted(_KEYS))}"
        )
    _check_settings(header)
    files, at = [], 4 + length
    for entry in _listed(header["files"], "files"):
        if not isinstance(entry, dict) or entry.keys() != {"bytes", "inputs"}:
            raise ValueError("each of the files must have `bytes` and `inputs`, and nothing else")
        data, at = _take(view, at, entry["bytes"])
        inputs: dict[str, np.ndarray] = {}
        for described in _listed(entry["inputs"], "inputs", least=0):
            name, value, at = _array(view, at, described)
            inputs[name] = value
        files.append(Sent(bytes(data), inputs))
    if at != len(view):
        raise ValueError(
            f"{len(view) - at:,} bytes follow the last array: the lengths in the header are wrong"
        )
    order = _listed(header["order"], "order")
    for index in order:
        check_integer("order", index, 0)
        if index >= len(files):
            raise ValueError(f"order names file {index} and there are {len(files)}, counted from 0")
    settings = {name: header[name] for name in ("threads", "rounds", "warm_up", "seconds")}
    return Work(files=files, order=order, **settings)


def plain_json(data: bytes, what: str) -> Any:
    """The value of a JSON text; `what` names it in the error.

    Raises ValueError for what is not JSON, for numbers that JSON does not have (NaN), and for nests
    that are too deep.
    """

    def refuse(name: str) -> Any:
        raise ValueError(f"JSON has no {name}")

    try:
        return json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is no JSON ({str(error)[:100]})") from None


def printable(text: str) -> str:
    """A text of others as one line that is safe to print.

    It has at most 300 characters, none of which moves the cursor.
    """
    return "".join(letter if letter.isprintable() else " " for letter in text[:300]).strip()


def _check_settings(header: dict[str, Any]) -> None:
    check_integer("threads", header["threads"], 1, "all cores")
    check_integer("rounds", header["rounds"], 1, "as many as fit")
    check_integer("warm_up", header["warm_up"], 1)
    for name, most in (
        ("threads", MOST_THREADS),
        ("rounds", MOST_ROUNDS),
        ("warm_up", MOST_WARM_UP),
    ):
        if header[name] is not None and header[name] > most:
            raise ValueError(f"{name} is {header[name]:.0f}: at most {most:,} are allowed")
    seconds = header["seconds"]
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise ValueError(f"seconds is {str(seconds)[:20]!r}: give a number above 0")
    check_positive("seconds", seconds)


def _listed(value: Any, name: str, least: int = 1) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= MOST_FILES:
        raise ValueError(f"{name} must be a list of {least} to {MOST_FILES}")
    return value


def _take(view: memoryview, at: int, length: Any) -> tuple[memoryview, int]:
    check_integer("bytes", length, 0)
    if length > len(view) - at:
        raise ValueError(
            f"{length:,} bytes are announced and {len(view) - at:,} follow: the request was cut off"
        )
    return view[at : at + length], at + length


def _array(view: memoryview, at: int, described: Any) -> tuple[str, np.ndarray, int]:
    if not isinstance(described, dict) or described.keys() != {"name", "type", "shape"}:
        raise ValueError(
            "each of the inputs must have `name`, `type` and `shape`, and nothing else"
        )
    name, kind, shape = described["name"], described["type"], described["shape"]
    if (
        not isinstance(name, str)
        or kind not in _TYPES
        or not isinstance(shape, list)
        or len(shape) > 32
    ):
        raise ValueError(
            f"an input must have a name, a list of lengths, and a type among {', '.join(_TYPES)}"
        )
    for length in shape:
        check_integer("shape", length, 0)
    type_ = np.dtype(kind).newbyteorder("<")
    data, at = _take(view, at, prod(shape) * type_.itemsize)
    return name, np.frombuffer(data, type_).reshape(shape).astype(kind), at
