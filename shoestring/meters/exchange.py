"""What is sent to an agent: files with their inputs, and how to time them.

No pickle, no archive, and every length is checked.
A request is the length of a header in four bytes (the most significant first), the header in JSON,
and then, one after the other, each file and its inputs as plain arrays, in the order in which the
header lists them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from shoestring.meters.inputs import positive, whole

PROTOCOL = 1
MAX_BYTES = 256_000_000
"""Of a request, and of the tensors of a file in it, unless the agent is told otherwise."""
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
    """What is to be timed in turn.

    The files, in this `order` (a file may be in it twice), and as `alternate` says the rest.
    """

    files: Sequence[Sent]
    order: Sequence[int]
    threads: int | None
    rounds: int | None
    warm_up: int
    seconds: float


def encode(work: Work) -> bytes:
    """The bytes of a request."""
    listed: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for one in work.files:
        inputs = [
            {"name": name, "type": value.dtype.name, "shape": value.shape}
            for name, value in one.inputs.items()
        ]
        listed.append({"bytes": len(one.file), "inputs": inputs})
        parts += [
            one.file,
            *(
                value.astype(value.dtype.newbyteorder("<")).tobytes()
                for value in one.inputs.values()
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
            "files": listed,
        }
    ).encode()
    return b"".join([len(header).to_bytes(4, "big"), header, *parts])


def decode(body: bytes) -> Work:
    """The work that a request asks for.

    Raises ValueError, with what is wrong, for one that is not as `encode` writes it.
    """
    view = memoryview(body)
    length = int.from_bytes(view[:4], "big")
    if len(view) < 4 or length > min(len(view) - 4, _LARGEST_HEADER):
        raise ValueError(
            f"a header of {length:,} bytes is announced and {max(len(view) - 4, 0):,} bytes follow"
        )
    header = plain_json(bytes(view[4 : 4 + length]), "the header")
    if not isinstance(header, dict) or header.get("protocol") != PROTOCOL:
        said = header.get("protocol") if isinstance(header, dict) else None
        raise ValueError(
            f"the request speaks protocol {str(said)[:20]} and this agent {PROTOCOL}: use the "
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
    for place in order:
        whole("order", place, 0)
        if place >= len(files):
            raise ValueError(f"order names file {place} and there are {len(files)}, counted from 0")
    settings = {name: header[name] for name in ("threads", "rounds", "warm_up", "seconds")}
    return Work(files=files, order=order, **settings)


def plain_json(data: bytes, what: str) -> Any:
    """What JSON says; raises ValueError for what is none, for numbers that JSON does not have
    (NaN), and for nests without end.
    """

    def refuse(name: str) -> Any:
        raise ValueError(f"JSON has no {name}")

    try:
        return json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is no JSON ({str(error)[:100]})") from None


def printable(text: str) -> str:
    """A line that is safe to print, of what others said.

    At most 300 characters, none of which moves the cursor.
    """
    return "".join(letter if letter.isprintable() else " " for letter in text[:300]).strip()


def _check_settings(header: dict[str, Any]) -> None:
    whole("threads", header["threads"], 1, "all cores")
    whole("rounds", header["rounds"], 1, "as many as fit")
    whole("warm_up", header["warm_up"], 1)
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
    positive("seconds", seconds)


def _listed(value: Any, name: str, least: int = 1) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= MOST_FILES:
        raise ValueError(f"{name} must be a list of {least} to {MOST_FILES}")
    return value


def _take(view: memoryview, at: int, length: Any) -> tuple[memoryview, int]:
    whole("bytes", length, 0)
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
        whole("shape", length, 0)
    type_ = np.dtype(kind).newbyteorder("<")
    data, at = _take(view, at, prod(shape) * type_.itemsize)
    return name, np.frombuffer(data, type_).reshape(shape).astype(kind), at
