"""Bytes and decoding time of DeepCABAC as nncodec has it, on whole numbers.

Run by `coding.py`, in an environment of its own.
    python3.11 -m venv VENV && VENV/bin/pip install numpy && VENV/bin/pip install --no-deps
    nncodec==2.1.3 NNCODEC_PYTHON=VENV/bin/python python benchmarks/coding.py

(It is built from source: a C++ compiler is needed.) Takes an .npz of arrays a0, a1, ...; prints one
JSON object. The numbers go straight into its entropy coder: no quantiser, nothing lossy. For each
tensor the options are searched one after the other (profile, its own search of parameters, the
length of the unary part, row skipping, blocks of 8 to 64, the order of the axes, the range) and the
smallest that comes back exactly is kept; then the tensors are put in one code word or one each,
whichever is less. Counted: the code words, and two bytes (four beyond a byte) where a range is
signalled. Not counted, in its favour: shapes, names, which options were chosen, and its container.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from nncodec.extensions import deepCABAC  # pyright: ignore[reportMissingImports]

OFF = [deepCABAC.HdspMode.AlwaysOff, np.zeros(2, np.int8)]
UNARY = (1, 2, 3, 4, 5, 6, 8, 11, 16, 24)


@dataclass(frozen=True)
class Options:
    """Of one tensor."""

    axes: tuple[int, ...]
    flat: bool = False
    scan: int = 0
    row_skip: int = 0
    profile: int = 1
    search: int = 1
    unary: int = 11
    ranged: bool = False


def laid_out(array: np.ndarray, o: Options) -> np.ndarray:
    turned = np.ascontiguousarray(array.transpose(o.axes))
    if o.flat:
        return turned.reshape(-1)
    return turned.reshape(len(turned), -1) if turned.ndim > 1 else turned


def extent(array: np.ndarray, o: Options) -> tuple[int, int]:
    """The size of the range and the place of 0 in it; (0, 0) where it is not signalled."""
    low, high = min(int(array.min()), 0), max(int(array.max()), 0)
    return (high - low + 1, -low) if o.ranged else (0, 0)


def beside(array: np.ndarray, o: Options) -> int:
    """The bytes of a range."""
    return 0 if not o.ranged else 2 if int(array.min()) >= -128 and int(array.max()) <= 127 else 4


def encode(arrays: list[np.ndarray], options: list[Options]) -> bytes:
    """One code word for the arrays."""
    encoder = deepCABAC.Encoder()
    for array, o in zip(arrays, options, strict=True):
        matrix = laid_out(array, o)
        rows = np.zeros(len(matrix), np.int32)
        if matrix.ndim > 1 and o.row_skip:
            rows = (~matrix.any(axis=1)).astype(np.int32)
        encoder.initCtxModels(o.unary, o.search)
        encoder.encodeLayer(
            matrix, 0, o.scan, o.profile, 0, o.row_skip, rows, *OFF, *extent(array, o)
        )
    return encoder.finish().tobytes()


def decode(
    data: bytes, arrays: list[np.ndarray], options: list[Options]
) -> tuple[list[np.ndarray], int]:
    """(the arrays again, the bytes used); of `arrays` only shapes and ranges are looked at."""
    decoder = deepCABAC.Decoder()
    stream = np.frombuffer(data + bytes(16), np.uint8)  # the decoder may look beyond the end
    decoder.setStream(stream)
    found = []
    for array, o in zip(arrays, options, strict=True):
        matrix = np.zeros_like(laid_out(array, o))
        decoder.initCtxModels(o.unary)
        # Blocks over several rows of blocks begin anew in each; only this call does so without
        # marks in the stream.
        blocks = o.scan and matrix.ndim > 1 and len(matrix) > 4 << o.scan
        call = decoder.decodeLayerAndCreateEPs if blocks else decoder.decodeLayer
        call(matrix, 0, o.scan, o.profile, 0, *OFF, *extent(array, o))
        turned = matrix.reshape([array.shape[axis] for axis in o.axes])
        found.append(np.ascontiguousarray(turned.transpose(np.argsort(o.axes))))
    return found, decoder.finish()


def comes_back(arrays: list[np.ndarray], options: list[Options], data: bytes) -> bool:
    found, used = decode(data, arrays, options)
    return used <= len(data) and all(map(np.array_equal, found, arrays))


def smallest(array: np.ndarray) -> Options:
    """The options that take the fewest bytes of those tried."""
    seen: dict[Options, int] = {}

    def cost(o: Options) -> int:
        if o not in seen:
            data = encode([array], [o])
            size = len(data) + beside(array, o)
            better = size < min(seen.values(), default=size + 1)
            seen[o] = size if not better or comes_back([array], [o], data) else 1 << 60
        return seen[o]

    best = Options(tuple(range(array.ndim)), row_skip=int(array.ndim > 1))
    for _ in range(2):
        best = min([best, *_binarisations(array, best)], key=cost)
        best = min([best, *_orders(array, best)], key=cost)
    return min([best, *_binarisations(array, best)], key=cost)


def _binarisations(array: np.ndarray, o: Options) -> Iterator[Options]:
    top = int(np.abs(array).max())
    for unary, search, ranged in itertools.product(
        [u for u in UNARY if u <= top + 1] or [1], (0, 1), (False, True)
    ):
        yield replace(o, unary=unary, search=search, ranged=ranged, profile=1)
        if not ranged and not o.row_skip:
            yield replace(o, unary=unary, search=search, ranged=ranged, profile=0)


def _orders(array: np.ndarray, o: Options) -> Iterator[Options]:
    real = [axis for axis in range(array.ndim) if array.shape[axis] > 1]
    ones = tuple(axis for axis in range(array.ndim) if array.shape[axis] == 1)
    for axes in itertools.permutations(real):
        yield replace(o, axes=axes + ones, flat=True, scan=0, row_skip=0)
        for scan, skip in itertools.product(range(5), (0, 1)) if array.ndim > 1 else ():
            if not skip or o.profile:
                yield replace(o, axes=axes + ones, flat=False, scan=scan, row_skip=skip)


def main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)  # its own messages go to standard output
    with np.load(sys.argv[1]) as kept:
        arrays = [
            np.ascontiguousarray(kept[f"a{place}"].astype(np.int32))
            for place in range(len(kept.files))
        ]
    options = [smallest(array) for array in arrays]
    ranges = sum(map(beside, arrays, options))
    each = [([array], [o]) for array, o in zip(arrays, options, strict=True)]
    plans = {sum(len(encode(*part)) for part in plan): plan for plan in (each, [(arrays, options)])}
    size = min(plans)
    words = [(encode(*part), part) for part in plans[size]]
    assert all(comes_back(*part, word) for word, part in words)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        for word, part in words:
            decode(word, *part)
        seconds.append(time.perf_counter() - began)
    os.write(
        answer, (json.dumps({"bytes": size + ranges, "seconds": min(seconds)}) + "\n").encode()
    )


if __name__ == "__main__":
    main()
