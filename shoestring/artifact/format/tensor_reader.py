"""Decodes the tensors of a file, which may be hostile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoestring.artifact.coding import entropy
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.coding.work import SECOND, Work, allowance
from shoestring.artifact.format.indexed import NO_BLOCKS, Blocks, Region
from shoestring.artifact.format.tensor_list import CHUNK, Listed, Plane, read_list
from shoestring.artifact.format.tensors import (
    BFLOAT16,
    CONTEXT,
    ELEMENTS,
    GRID,
    GRIDS,
    INTEGER_FORM,
    LEVELS,
    PLANES,
    RAW,
    SPARSE,
    ZEROS,
    Packed,
    Tensor,
    multiples,
    read_plain,
    rotated,
    unsigned,
)
from shoestring.artifact.wire import Reader, ShoeError

LAST_OLD = 3  # the last version whose code stream adds to what a file may ask for


@dataclass
class _Sources:
    """The sections that the tensors are decoded from, and the account of the work that they ask.

    `values`: the plain values. `decoder`: the code stream. `account`: the work.
    `read`: reads the bits of a tensor in blocks, in one axis.
    """

    values: Reader
    decoder: entropy.Decoder
    account: Work
    read: Callable[[Blocks], np.ndarray]


def unpack(
    headers: bytes,
    stream: memoryview,
    plain: memoryview,
    limit: int,
    version: int = 2,
    max_seconds: float | None = None,
    region: Region = NO_BLOCKS,
    read: Callable[[Blocks], np.ndarray] | None = None,
) -> list[Packed]:
    """The tensors, with how each was coded.

    `headers`: the tensor list, inflated.
    `stream`, `plain`: the code stream and the plain values.
    `limit`: how many bytes the tensors may take in memory.
    `version`: the version of the file.
    `max_seconds`: the most work that they may ask for; None for what the format allows.
    `region`: the blocks of a file of version 4.
    `read`: what reads the bits of a tensor in blocks, in one axis; None: decode them at once.
    Raises ShoeError for invalid bytes and for tensors over a limit.
    """
    if not limit >= 0:
        raise ValueError(f"max_bytes is {limit}: give 0 or more")
    listed = read_list(headers, version, limit, region)
    account = Work(_allowed(listed, len(stream) if version <= LAST_OLD else 0, max_seconds))
    account.spend(sum(one.work() for one in listed))
    try:
        decoder = entropy.Decoder(stream)
    except ValueError as error:
        raise ShoeError(f"damaged file: the code stream cannot be read ({error})") from None
    values = Reader(plain, "plain values")
    spare = limit - sum(one.declared() for one in listed)
    at_once = read or (lambda tensor: tensor.read(region.blocks, spare))
    sources = _Sources(values, decoder, account, at_once)
    unpacked: list[Packed] = []
    for one in listed:
        start = values.at
        bits, packed = _unpack(sources, one)
        packed.tensor = Tensor(one.element, bits.reshape(one.shape), one.member)
        packed.coding = one.coding
        packed.header_bytes = one.header_bytes
        packed.raw_bytes += values.at - start
        unpacked.append(packed)
    values.end()
    if not decoder.finished():
        raise ShoeError("damaged file: the code stream does not end where its symbols do")
    return unpacked


def _allowed(listed: list[Listed], stream: int, max_seconds: float | None) -> int:
    """The work that a file with these tensors may ask for, in nanoseconds.

    `stream`: the length of its code stream, where that counts.
    """
    if max_seconds is not None:
        if not max_seconds >= 0:
            raise ValueError(f"max_seconds is {max_seconds}: give 0 or more, or None")
        return round(min(max_seconds, 1e9) * SECOND)
    return allowance(sum(one.declared() for one in listed), stream)


def _unpack(sources: _Sources, one: Listed) -> tuple[np.ndarray, Packed]:
    """(the bits of a tensor, flat or in rows and columns; how it was coded)."""
    element, count, values = one.element, one.count, sources.values
    kind = unsigned(element)
    if one.coding == RAW:
        return read_plain(values, element, kind, count), Packed()
    if one.blocks is not None:
        taken = sum(block.length for block in one.blocks.parts)
        return sources.read(one.blocks), Packed(raw_bytes=taken)
    if one.coding == ZEROS:
        return np.zeros(count, kind), Packed()
    if one.coding == SPARSE:
        nonzero, model_bits = _symbols(sources, one.codes, np.array([False, True]), count)
        bits = np.zeros(count, kind)
        bits[nonzero] = read_plain(values, element, kind, int(np.count_nonzero(nonzero)))
        return bits, Packed(model_bits=model_bits)
    if one.coding == LEVELS:
        levels = _values(sources, one)
        if one.levels == 1:
            return np.full(count, levels[0], kind), Packed(levels=1)
        bits, model_bits = _symbols(sources, one.codes, levels, count)
        return bits, Packed(model_bits=model_bits, levels=one.levels)
    if one.coding == PLANES:
        return _of_planes(sources, one, kind)
    return _of_contexts(sources, one)


def _of_planes(sources: _Sources, one: Listed, kind: np.dtype) -> tuple[np.ndarray, Packed]:
    """The bits of a tensor whose bytes of equal weight are together, coded or plain."""
    count, model_bits = one.count, 0.0
    equal = sum(
        plane.lowest << 8 * index
        for index, plane in enumerate(one.planes)
        if plane is not None and not plane.codes
    )
    bits = np.full(count, equal, kind)
    for index, plane in reversed(list(enumerate(one.planes))):
        if plane is not None and not plane.codes:
            continue
        values, plane_bits = _plane(sources, plane, count)
        model_bits += plane_bits
        shift = kind.type(8 * index)
        for start in range(0, count, CHUNK):
            bits[start : start + CHUNK] |= values[start : start + CHUNK].astype(kind) << shift
    for start in range(0, count, CHUNK):
        bits[start : start + CHUNK] = rotated(one.element, bits[start : start + CHUNK], -1)
    if ELEMENTS[one.element][0] == "bool" and (bits > 1).any():
        raise sources.values.fail("a bool is neither 0 nor 1")
    return bits, Packed(model_bits=model_bits)


def _plane(sources: _Sources, plane: Plane | None, count: int) -> tuple[np.ndarray, float]:
    """(the bytes of a plane that are not all equal, their length in bits by their model)."""
    if plane is None:
        return np.frombuffer(sources.values.take(count), np.uint8), 0.0
    meanings = np.arange(plane.lowest, plane.lowest + len(plane.codes)).astype(np.uint8)
    return _symbols(sources, plane.codes, meanings, count)


def _of_contexts(sources: _Sources, one: Listed) -> tuple[np.ndarray, Packed]:
    """The bits of a tensor coded in context, as integers that stand for a level, for a multiple of
    a scale, or for themselves.
    """
    assert one.choice is not None, "it is coded in context"
    meanings = _values(sources, one)
    # Processors differ in what they make of 0 times infinity.
    floats = one.coding in (GRID, GRIDS) and one.levels > 0
    if floats and not np.isfinite(meanings.view(np.float32)).all():
        raise sources.values.fail("a scale is not finite")
    integers, model_bits = context_coding.decode(
        one.choice, one.rows, one.columns, sources.decoder, sources.account
    )
    packed = Packed(model_bits=model_bits, levels=one.levels if one.coding == CONTEXT else 0)
    if floats:
        packed.scales = scales = meanings.view(np.float32)
        return multiples(integers, scales[:, None]), packed
    if one.coding == CONTEXT:
        indices = integers.astype(np.int32) + one.zero
        if int(indices.min()) < 0 or int(indices.max()) >= one.levels:
            raise ShoeError("damaged file: there is no such level as the code stream says")
        return meanings[indices], packed
    kind = np.dtype(ELEMENTS[one.element][0])
    limits = np.iinfo(kind)
    if int(integers.min()) < limits.min or int(integers.max()) > limits.max:
        raise ShoeError(f"damaged file: a number is outside the range of {kind.name}")
    return integers.astype(kind).view(unsigned(one.element)), packed


def _values(sources: _Sources, one: Listed) -> np.ndarray:
    """The levels or scales of a tensor, as bits, from the form in which they are stored."""
    values, element = sources.values, one.element
    if one.form == INTEGER_FORM:
        return read_plain(values, element, unsigned(element), one.levels)
    short = read_plain(values, element, np.dtype("u2"), one.levels)
    if one.form == BFLOAT16:
        return short.astype(np.uint32) << 16
    if (short & 0x7FFF > 0x7C00).any():
        raise values.fail("a level of half precision is not a number")
    return short.view(np.float16).astype(np.float32).view(np.uint32)


def _symbols(
    sources: _Sources, codes: bytes, meanings: np.ndarray, count: int
) -> tuple[np.ndarray, float]:
    """(what the next `count` symbols of the stream mean, their length in bits by their model).

    `codes`: the code byte of each symbol. `meanings`: what each symbol means.
    """
    table = entropy.frequencies(np.frombuffer(codes, np.uint8))
    model = entropy.model(table)
    out, counts = np.empty(count, meanings.dtype), np.zeros(len(meanings), np.int64)
    for start in range(0, count, CHUNK):
        symbols = sources.decoder.decode(model, min(CHUNK, count - start))
        out[start : start + CHUNK] = meanings[symbols]
        counts += np.bincount(symbols, minlength=len(meanings))
    return out, entropy.bits(table, counts)
