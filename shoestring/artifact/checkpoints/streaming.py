"""Packs and unpacks checkpoints of any size in the memory of a few blocks."""

from __future__ import annotations

import hashlib
import math
import mmap
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import BinaryIO, NamedTuple

import numpy as np

from shoestring.artifact.checkpoints import checkpoint as checkpoints
from shoestring.artifact.checkpoints.opened import RELEASED, Opened, release
from shoestring.artifact.checkpoints.packing import (
    Packing,
    by_type,
    check_target,
    seen,
    steady,
    unchanged,
)
from shoestring.artifact.format import about, blocks, indexed, list_writer, tensor_writer
from shoestring.artifact.format.file import Checkpoint
from shoestring.artifact.format.saving import replacing
from shoestring.artifact.format.tensors import BLOCKS, Packed, Tensor, little_endian
from shoestring.artifact.format.workers import in_order
from shoestring.artifact.wire import ShoeError, Writer

BLOCKS_FROM = 1 << 18  # elements; smaller tensors take a thousandth less in the code stream
_LEAST = 1 << 15  # elements of a tensor in blocks; fewer ask for more work than they declare
_MOST_SMALL = 1 << 26  # bytes of tensors without blocks, which are all in memory at the end
_CHANGED = "what was packed does not come back as it was; nothing is written: please report this"
_FEW = 1 << 22  # elements of a checkpoint whose small tensors are worth coding in context
Advance = Callable[[str], None]
"""Called with "" after each block."""


class _Job(NamedTuple):
    """A block of a tensor: its place in the list, the tensor, and the block's elements."""

    place: int
    tensor: Tensor
    piece: np.ndarray


def pack_checkpoint(
    content: Checkpoint,
    source: Path,
    out: Path,
    *,
    smallest: bool = False,
    advance: Advance = lambda note: None,
) -> Packing:
    """Write a checkpoint as a .shoe file; each block is read back and compared before.

    `content`: the checkpoint of `source`, whose size is reported and whose SHA-256 is noted.
    `smallest`: whether to take longer for a smaller file.
    `advance`: reports progress.
    Raises OSError or ValueError for a bad `out`, FileExistsError where another process wrote it
    meanwhile, ValueError where `source` changed, and ShoeError where the packed bytes do not come
    back the same.
    """
    began = perf_counter()
    check_target(source, out)
    seen_before = seen(out)
    if content.map is not None and content.map.size() != len(content.map):
        raise ValueError(f"{source} changed since it was read: pack it again")
    note = checkpoints.SHA256 if checkpoints.is_whole(content) else checkpoints.SOURCE
    with (
        ThreadPoolExecutor(1) as pool,
        replacing(out, lambda: unchanged(out, seen_before)) as stream,
        steady(source),
    ):
        digest = pool.submit(_sha256, content.map, source)
        writer = indexed.IndexedWriter(stream)
        large = _large(content.tensors)
        tensors = _write_blocks(content, large, writer, advance)
        content = replace(content, notes={**content.notes, note: digest.result()})
        packed, size = _write_index(content, tensors, writer, smallest=smallest)
        stream.flush()
        _compare(content, stream, large)
    return Packing(out, source.stat().st_size, size, perf_counter() - began, by_type(packed))


def steps(content: Checkpoint) -> int:
    """How many blocks `pack_checkpoint` will write."""
    flat = [content.tensors[index].bits for index in _large(content.tensors)]
    return sum(-(-bits.size >> blocks.bits_for(bits.itemsize)) for bits in flat)


def _sha256(mapped: mmap.mmap | None, path: Path) -> str:
    """That of what is packed: of the map, where there is one, and of the file at `path`."""
    if mapped is None:
        return sha256_of(path)
    digest = hashlib.sha256()
    with memoryview(mapped) as data:
        for begin in range(0, len(data), RELEASED):
            digest.update(data[begin : begin + RELEASED])
            release(mapped)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _large(tensors: list[Tensor]) -> list[int]:
    """The indices of the tensors that are written in blocks.

    Small ones are kept in memory up to the end, so there must not be too much of them.
    """
    least = BLOCKS_FROM
    small = sum(tensor.bits.nbytes for tensor in tensors if tensor.bits.size < least)
    if small > _MOST_SMALL:
        least = _LEAST
    return [index for index, tensor in enumerate(tensors) if tensor.bits.size >= least]


def _write_blocks(
    content: Checkpoint, large: list[int], writer: indexed.IndexedWriter, advance: Advance
) -> dict[int, indexed.Blocks]:
    """Write the blocks of large tensors; returns where they are, by the index of the tensor."""
    parts: dict[int, list[indexed.Block]] = {index: [] for index in large}
    fast, workers = indexed.pace(sum(content.tensors[index].bits.size for index in large))

    def jobs() -> Iterator[_Job]:
        for index in large:
            tensor = content.tensors[index]
            flat = tensor.bits.reshape(-1)
            step = 1 << blocks.bits_for(flat.itemsize)
            for start in range(0, flat.size, step):
                yield _Job(index, tensor, flat[start : start + step])

    def encode(job: _Job) -> tuple[_Job, bytes]:
        data = blocks.encode(job.piece, job.tensor.element, fast)
        again = np.empty_like(job.piece)
        blocks.decode(memoryview(data), job.tensor.element, again, fast)
        if not np.array_equal(again, job.piece):
            raise ShoeError(_CHANGED)
        return job, data

    done = 0
    for job, data in in_order(encode, jobs(), workers):
        parts[job.place].append(writer.block(data))
        advance("")
        done += job.piece.nbytes
        if content.map is not None and done > RELEASED:
            release(content.map)
            done = 0
    return {
        index: indexed.Blocks(
            content.tensors[index].element,
            content.tensors[index].bits.shape,
            blocks.bits_for(content.tensors[index].bits.itemsize),
            tuple(parts[index]),
        )
        for index in large
    }


def _write_index(
    content: Checkpoint,
    in_blocks: dict[int, indexed.Blocks],
    writer: indexed.IndexedWriter,
    *,
    smallest: bool,
) -> tuple[list[Packed], int]:
    """Write the index; returns how each tensor was coded, and the length of the file in bytes."""
    order = [index for index in range(len(content.tensors)) if index not in in_blocks]
    small = tensor_writer.encode(
        [replace(content.tensors[index], member=place) for place, index in enumerate(order)],
        smallest=smallest,
        blocks_from=1 << 62,
        contexts=smallest or sum(tensor.bits.size for tensor in content.tensors) < _FEW,
    )
    headers = Writer()
    headers.varint(len(content.tensors))
    coded = dict(zip(order, small.described, strict=True))
    packed = dict(zip(order, small.packed, strict=True))
    for index, tensor in enumerate(content.tensors):
        if index in coded:
            headers += coded[index]
            continue
        begin = len(headers)
        headers += list_writer.description(tensor, 1, BLOCKS)
        taken = sum(block.length for block in in_blocks[index].parts)
        packed[index] = Packed(tensor, BLOCKS, 0.0, taken, len(headers) - begin)
    names = about.encode(content.names, content.notes, indexed.VERSION)
    listed = list_writer.shorter(bytes(headers))
    table = indexed.write_table(in_blocks)
    size = writer.close([b"", listed, names, small.stream, table, bytes(small.plain)])
    return [packed[index] for index in range(len(content.tensors))], size


def _compare(content: Checkpoint, stream: BinaryIO, large: list[int]) -> None:
    """Raises ShoeError where the index, the names or a small tensor do not come back the same."""
    mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    with Opened(mapped, max_bytes=1 << 62, max_seconds=math.inf) as opened:
        again = opened.content
        same = (again.names, again.notes) == (content.names, content.notes)
        pairs = zip(content.tensors, again.tensors, strict=True)
        for index, (before, after) in enumerate(pairs):
            same &= before.element == after.element and before.bits.shape == after.bits.shape
            same &= index in large or np.array_equal(before.bits, after.bits)
    if not same:
        raise ShoeError(_CHANGED)


def unpack_safetensors(
    opened: Opened, out: BinaryIO, advance: Advance = lambda note: None
) -> tuple[int, str]:
    """Write the .safetensors file of a packed checkpoint, from its first byte to its last.

    `out`: where it goes, which is never read or sought: a file, or a pipe.
    `advance`: reports progress.
    Returns its length in bytes, and how much of the original it has, in words. Raises ShoeError for
    a damaged checkpoint; what was written before is then not to be used. It raises ShoeError, and
    writes nothing, where the tensors take more than the `max_bytes` of `opened` there.
    """
    header, order, _ = opened.layout()
    digest, size = hashlib.sha256(), 0
    start = len(header).to_bytes(8, "little") + header
    with ThreadPoolExecutor(1) as pool:
        hashed: Future[None] | None = None
        for data in chain([start], map(_bytes, opened.pieces(order))):
            before, hashed = hashed, pool.submit(digest.update, data)
            out.write(data)
            size += len(data)
            advance("")
            if before is not None:
                before.result()  # no more than two pieces wait
    return size, checkpoints.kept(opened.content, digest.hexdigest())


def _bytes(bits: np.ndarray) -> memoryview:
    """The bits in bytes, the lowest byte of each element first."""
    if sys.byteorder == "little":
        return bits.view(np.uint8).data
    return memoryview(little_endian(bits))
