"""Our coder against zstd, lzma and the 2015 layout on the same trained tensors: `python benchmarks/coding.py`.

The tensors are those of the committed LeNet files: levels' indices of every coded tensor. Ours is payload plus tables; the
codebooks, which all coders would keep alike, are counted for none. --quick is the same: it takes seconds.
"""

from __future__ import annotations

import heapq
import lzma
from collections import Counter
from itertools import count
from pathlib import Path
from time import perf_counter

import numpy as np
import zstandard
from rows import FILES, start

from shoestring.artifact import entropy, read
from shoestring.artifact.file import pack, unpack
from shoestring.artifact.runtime import Loaded
from shoestring.artifact.tensors import LEVELS


def main() -> None:
    rows = start("coding", "lenet-files-cpu", __doc__ or "")
    for path in sorted(FILES.glob("*.shoe")):
        if not rows.wanted(path.stem):
            continue
        tensors = symbols(path)
        total = sum(len(one) for one in tensors)
        name = path.stem
        rows.add(name, "coded symbols", total, "symbols")
        rows.add(name, "static entropy", sum(entropy_bytes(one) for one in tensors), "bytes")
        rows.add(name, "ours", ours(tensors), "bytes")
        rows.add(name, "zstd-22", sum(map(len, map(zstd, tensors))), "bytes")
        rows.add(name, "lzma", sum(map(len, map(xz, tensors))), "bytes")
        rows.add(name, "gaps of 5 bits + Huffman", sum(gap_huffman(one) for one in tensors), "bytes")
        content, data = read(path), path.read_bytes()
        rows.add(name, "coding the file", fastest(lambda content=content: pack(content)), "s")
        rows.add(name, "decoding the file", fastest(lambda data=data: unpack(data)), "s")
        rows.add(name, "loading the file", fastest(lambda data=data: Loaded(unpack(data), threads=1)), "s")
    rows.close()


def fastest(run, times: int = 7) -> float:
    """The least seconds of several runs."""
    found = []
    for _ in range(times):
        began = perf_counter()
        run()
        found.append(perf_counter() - began)
    return min(found)


def symbols(path: Path) -> list[np.ndarray]:
    """For each tensor that is kept as levels, the index of each element's level."""
    found = []
    for packed in read(path).packed:
        if packed.coding == LEVELS and packed.levels > 1:
            _, indices = np.unique(packed.tensor.bits.reshape(-1), return_inverse=True)
            found.append(indices.astype(np.uint8 if packed.levels <= 256 else np.uint16))
    return found


def entropy_bytes(indices: np.ndarray) -> float:
    """The static (order 0) entropy of one tensor's symbols."""
    share = np.bincount(indices) / len(indices)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum() * len(indices) / 8)


def ours(tensors: list[np.ndarray]) -> int:
    """One stream for all, and a byte of table per level."""
    codes = [entropy.shrink(np.bincount(one)) for one in tensors]
    stream = entropy.encode([(one, entropy.frequencies(c)) for one, c in zip(tensors, codes, strict=True)])
    return len(stream) + sum(map(len, codes))


def zstd(indices: np.ndarray) -> bytes:
    """zstd at its highest level, of the indices packed as tightly as whole bits allow, or a byte each: the smaller."""
    packer = zstandard.ZstdCompressor(level=22)
    return min(packer.compress(indices.tobytes()), packer.compress(tight(indices)), key=len)


def xz(indices: np.ndarray) -> bytes:
    """Raw lzma at its highest preset, likewise."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    whole = (lzma.compress(data, lzma.FORMAT_RAW, filters=filters) for data in (indices.tobytes(), tight(indices)))
    return min(whole, key=len)


def tight(indices: np.ndarray) -> bytes:
    """The indices in as many bits each as the largest needs."""
    width = max(1, int(indices.max()).bit_length())
    bits = (indices[:, None] >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def gap_huffman(indices: np.ndarray) -> int:
    """The 2015 layout: gaps of at most 31 between what is not the commonest level, with fillers, and the levels; both
    Huffman-coded, a byte per table entry."""
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
    return -(-(huffman_bits(stored_gaps) + huffman_bits(stored)) // 8) + len(set(stored_gaps)) + len(set(stored))


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
