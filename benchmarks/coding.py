"""Our coder against others on the same trained tensors: `python benchmarks/coding.py`.

The tensors are those of the committed files of Rate and of Deep Compression: whole numbers, levels
counted from the one nearest to zero. Ours is the stream and the descriptions of the tensors, shapes
included; the codebooks and steps, which all coders would keep alike, are counted for none. nncodec
(DeepCABAC) is run where NNCODEC_PYTHON names the Python of an environment that has it: see
`peer_nncodec.py`. --quick is the smaller files alone.
"""

from __future__ import annotations

import heapq
import json
import lzma
import os
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import zstandard
from rows import FILES, Rows, start

from shoestring.artifact import read
from shoestring.artifact.coding import context_loop, entropy
from shoestring.artifact.format import tensor_reader, tensor_writer
from shoestring.artifact.format.file import MAX_BYTES
from shoestring.artifact.format.tensors import CONTEXT, GRID, GRIDS, LEVELS, numbered, tensor

PEER = os.environ.get("NNCODEC_PYTHON")


def main() -> None:
    rows = start("coding", "trained-files-cpu", __doc__ or "")
    for path in sorted([*FILES.glob("*_rate_*.shoe"), *FILES.glob("*deep_compression.shoe")]):
        if rows.wanted(path.stem) and not (rows.quick and path.stat().st_size > 5000):
            compare(rows, path.stem, symbols(path))
    if rows.wanted("numba"):
        for what, cached in (
            ("loading the compiled loop for the first time", False),
            ("loading it from its cache", True),
        ):
            rows.add("numba", what, loading(cached=cached), "s", timed=True)
    rows.close()


def compare(rows: Rows, name: str, tensors: list[np.ndarray]) -> None:
    """The rows of one file."""
    total = sum(one.size for one in tensors)
    flat = [np.unique(one, return_inverse=True)[1].reshape(-1) for one in tensors]
    small = [one.astype(np.uint8) for one in flat]
    rows.add(name, "coded symbols", total, "symbols")
    rows.add(name, "static entropy", sum(map(entropy_bytes, flat)), "bytes")
    packed = {smallest: packing(tensors, smallest) for smallest in (False, True)}
    for smallest, way in ((False, "ours"), (True, "ours, smallest")):
        headers, stream, plain = packed[smallest]
        rows.add(name, way, len(headers) + len(stream), "bytes")
        seconds = fastest(lambda h=headers, s=stream, p=plain: unpacking(h, s, p))
        rows.add(name, f"{way}, decoded", total / seconds / 1e6, "million a second", timed=True)
    without = context_loop._loop_for
    context_loop._loop_for = lambda count: None
    headers, stream, plain = packed[True]
    seconds = fastest(lambda: unpacking(headers, stream, plain), 1)
    way = "ours, smallest, decoded without numba"
    rows.add(name, way, total / seconds / 1e6, "million a second", timed=True)
    context_loop._loop_for = without
    rows.add(name, "ANS with a static model", static(flat), "bytes")
    rows.add(name, "zstd-22", sum(len(zstd(one)) for one in small), "bytes")
    rows.add(name, "lzma", sum(len(xz(one)) for one in small), "bytes")
    rows.add(name, "gaps of 5 bits + Huffman", sum(map(gap_huffman, flat)), "bytes")
    if PEER:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tensors.npz"
            arrays: dict[str, Any] = {f"a{place}": one for place, one in enumerate(tensors)}
            np.savez(file, **arrays)
            command = [PEER, Path(__file__).with_name("peer_nncodec.py"), file]
            found = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout
            )
        rows.add(name, "nncodec", found["bytes"], "bytes")
        ours = fastest(lambda: unpacking(*packed[False]))
        rows.add(
            name, "nncodec, decoded", total / found["seconds"] / 1e6, "million a second", timed=True
        )
        rows.add(
            name,
            "our time to decode against nncodec's",
            ours / found["seconds"],
            "times",
            timed=True,
        )


def packing(tensors: list[np.ndarray], smallest: bool) -> tuple[bytes, bytes, bytes]:
    """(descriptions, stream, plain values) of the numbers."""
    kept = [tensor(one.astype(np.float32), place) for place, one in enumerate(tensors)]
    packed = tensor_writer.encode(kept, smallest=smallest)
    return bytes(packed.headers), packed.stream, bytes(packed.plain)


def unpacking(headers: bytes, stream: bytes, plain: bytes) -> None:
    """Decode them."""
    tensor_reader.unpack(headers, memoryview(stream), memoryview(plain), MAX_BYTES)


def loading(*, cached: bool) -> float:
    """Seconds for numba, and for the loop to be ready, in a new process."""
    code = (
        "from time import perf_counter; from shoestring.artifact.coding import context_loop as c; "
        "import numpy as np; from shoestring.artifact.coding.context import Choice; began = "
        "perf_counter(); c.compiled(); c.notes(Choice(0), np.eye(3, dtype=int)); "
        "print(perf_counter() - began)"
    )
    with tempfile.TemporaryDirectory() as folder:
        space = {**os.environ, "NUMBA_CACHE_DIR": folder}
        runs = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code],
                    env=space,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            for _ in range(2 if cached else 1)
        ]
    return runs[-1]


def fastest(run, times: int = 7) -> float:
    """The least seconds of several runs."""
    found = []
    for _ in range(times):
        began = perf_counter()
        run()
        found.append(perf_counter() - began)
    return min(found)


def symbols(path: Path) -> list[np.ndarray]:
    """For each tensor that is kept as levels or on a grid, the number of each element's level, 0
    for the one nearest to zero.
    """
    found = []
    for packed in read(path).packed:
        if packed.coding in (GRID, GRIDS) or (
            packed.coding in (LEVELS, CONTEXT) and packed.levels > 1
        ):
            levels, places = np.unique(packed.tensor.bits, return_inverse=True)
            numbers = numbered(packed.tensor.element, levels)
            order = np.argsort(numbers, kind="stable")
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order)) - int(np.argmin(np.abs(numbers[order])))
            found.append(rank[places].reshape(packed.tensor.bits.shape))
    return found


def entropy_bytes(indices: np.ndarray) -> float:
    """The static (order 0) entropy of one tensor's symbols."""
    share = np.bincount(indices) / len(indices)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum() * len(indices) / 8)


def static(tensors: list[np.ndarray]) -> int:
    """One stream for all with a table for each tensor, a byte per level.

    What version 1 of the format did.
    """
    codes = [entropy.shrink(np.bincount(one)) for one in tensors]
    parts = [
        (one, entropy.frequencies(c)) for one, c in zip(tensors, codes, strict=True) if len(c) > 1
    ]
    return len(entropy.encode(parts)) + sum(map(len, codes))


def zstd(indices: np.ndarray) -> bytes:
    """zstd at its highest level, of the indices packed as tightly as whole bits allow, or a byte
    each: the smaller.
    """
    packer = zstandard.ZstdCompressor(level=22)
    return min(packer.compress(indices.tobytes()), packer.compress(tight(indices)), key=len)


def xz(indices: np.ndarray) -> bytes:
    """Raw lzma at its highest preset, likewise."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    whole = (
        lzma.compress(data, lzma.FORMAT_RAW, filters=filters)
        for data in (indices.tobytes(), tight(indices))
    )
    return min(whole, key=len)


def tight(indices: np.ndarray) -> bytes:
    """The indices in as many bits each as the largest needs."""
    width = max(1, int(indices.max()).bit_length())
    bits = (indices[:, None] >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def gap_huffman(indices: np.ndarray) -> int:
    """The 2015 layout: gaps of at most 31 between what is not the commonest level, with fillers,
    and the levels; both Huffman-coded, a byte per table entry.
    """
    zero = int(np.bincount(indices).argmax())
    places = np.flatnonzero(indices != zero)
    gaps = np.diff(places, prepend=-1) - 1
    stored_gaps: list[int] = []
    stored: list[int] = []
    for gap, place in zip(gaps.tolist(), places.tolist(), strict=True):
        while gap > 31:
            stored_gaps.append(31)
            stored.append(zero)
            gap -= 32
        stored_gaps.append(gap)
        stored.append(int(indices[place]))
    return (
        -(-(huffman_bits(stored_gaps) + huffman_bits(stored)) // 8)
        + len(set(stored_gaps))
        + len(set(stored))
    )


def huffman_bits(values: list[int]) -> int:
    """How many bits a Huffman code of the values takes, without its table."""
    order = count()
    heap = [(n, next(order), 0) for n in Counter(values).values()]
    if len(heap) < 2:
        return len(values)
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        (a, _, _), (b, _, _) = heapq.heappop(heap), heapq.heappop(heap)
        total += a + b  # every joining makes each symbol below it a bit longer
        heapq.heappush(heap, (a + b, next(order), 0))
    return total


if __name__ == "__main__":
    main()
