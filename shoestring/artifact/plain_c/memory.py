"""Where each buffer lies: one arena, planned by the time for which each buffer is needed.

A buffer may take the place of one that is not needed any more. An element-wise layer may write over
what it reads. The caller's inputs are places too, once they have been read, if the caller agrees.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoestring.artifact.plain_c.layers import BYTES, Network

ARENA = -1
"""The space of the static arena; other spaces are inputs and outputs, by the number of the buffer.
"""
_ALIGNED = 4
_ORDERS = 300
"""How many orders of placing the buffers are tried."""


@dataclass(frozen=True)
class Place:
    """Where a buffer or the scratch memory of a layer lies.

    `space`: ARENA, or the number of the input or output buffer.
    `offset`: in bytes.
    """

    space: int
    offset: int


@dataclass(frozen=True)
class Row:
    """A line of the memory map: which bytes of which space hold what, during which layers."""

    place: Place
    bytes: int
    first: int
    last: int
    what: str


@dataclass(frozen=True)
class Memory:
    """The places of all buffers.

    `arena_bytes`: the size of the arena.
    `buffers`, `scratch`: the place of each buffer, by number, and of each layer's scratch memory.
    `map`: all of it, for readers.
    `written`: the inputs that are written over.
    """

    arena_bytes: int
    buffers: Mapping[int, Place]
    scratch: Mapping[int, Place]
    map: tuple[Row, ...]
    written: tuple[int, ...]


@dataclass
class _Block:
    """Buffers that share a place, one after the other, or scratch memory.

    `space`: where it must be; None: anywhere.
    """

    bytes: int
    first: int
    last: int
    what: list[str]
    space: int | None = None

    def meets(self, other: _Block) -> bool:
        """Whether both are needed at once."""
        return self.first <= other.last and other.first <= self.last


def planned(network: Network, scratch: Mapping[int, int], *, reuse_inputs: bool) -> Memory:
    """The best places that a short search finds; the same in each run.

    `scratch`: the bytes of scratch memory that a layer needs, by its index.
    `reuse_inputs`: whether the caller's inputs may be written over.
    """
    blocks, owner = _blocks(network, reuse_inputs)
    used = {
        at: _Block(count, at, at, [f"scratch of {network.layers[at].name}"])
        for at, count in scratch.items()
        if count
    }
    spaces = {number: network.buffers[number].bytes for _, number in network.inputs if reuse_inputs}
    every = [*blocks, *used.values()]
    best: dict[int, Place] | None = None
    best_bytes = 0
    for order in _orders(every):
        places, size = _placed(every, order, spaces)
        if best is None or size < best_bytes:
            best, best_bytes = places, size
    assert best is not None
    rows = tuple(
        Row(best[index], block.bytes, block.first, block.last, ", then ".join(block.what))
        for index, block in enumerate(every)
    )
    number_of = {id(block): index for index, block in enumerate(every)}
    buffers = {number: best[number_of[id(block)]] for number, block in owner.items()}
    taps = {at: best[number_of[id(block)]] for at, block in used.items()}
    written = {place.space for place in taps.values()}
    written |= {place.space for number, place in buffers.items() if number != place.space}
    return Memory(
        arena_bytes=best_bytes,
        buffers=buffers,
        scratch=taps,
        map=tuple(sorted(rows, key=lambda row: (row.place.space, row.first, row.place.offset))),
        written=tuple(number for _, number in network.inputs if number in written),
    )


def _blocks(network: Network, reuse_inputs: bool) -> tuple[list[_Block], dict[int, _Block]]:
    """(the blocks, which of them each buffer is in), with layers that write over what they read."""
    inputs = {number for _, number in network.inputs}
    outputs = {number for _, number in network.outputs}
    last = dict.fromkeys(inputs, -1) | dict.fromkeys(outputs, len(network.layers))
    writers: dict[int, list[int]] = {}
    for at, layer in enumerate(network.layers):
        writers.setdefault(layer.target, []).append(at)
        for number in layer.reads:
            last[number] = max(last.get(number, -1), at)
        last[layer.target] = max(last.get(layer.target, -1), at)
    blocks: list[_Block] = []
    owner: dict[int, _Block] = {}
    for name, number in network.inputs:
        block = _Block(
            network.buffers[number].bytes, -1, last[number], [f"the input {name}"], number
        )
        blocks.append(block)
        owner[number] = block
    for at, layer in enumerate(network.layers):
        number = layer.target
        if number in owner:
            continue
        buffer = network.buffers[number]
        block = None
        if number not in outputs and writers[number] == [at]:
            for source in layer.over:
                old = network.buffers[source]
                free = last[source] == at and source not in outputs
                free = free and (source not in inputs or reuse_inputs)
                if free and old.count == buffer.count and BYTES[buffer.kind] <= BYTES[old.kind]:
                    block = owner[source]
                    block.last = last[number]
                    block.what.append(layer.name)
                    break
        if block is None:
            space = number if number in outputs else None
            block = _Block(buffer.bytes, at, last[number], [layer.name], space)
            blocks.append(block)
        owner[number] = block
    return blocks, owner


def _orders(blocks: Sequence[_Block]) -> list[list[int]]:
    """Orders in which to place the blocks: largest first, longest first, and shuffled."""
    numbers = list(range(len(blocks)))

    def size(index: int) -> tuple[int, int]:
        return -blocks[index].bytes, index

    def area(index: int) -> tuple[int, int]:
        block = blocks[index]
        return -block.bytes * (block.last - block.first + 1), index

    orders = [sorted(numbers, key=size), sorted(numbers, key=area), numbers]
    shuffled = random.Random(0)
    for _ in range(_ORDERS if len(blocks) > 2 else 0):
        order = list(orders[shuffled.randrange(3)])
        for _ in range(1 + len(order) // 4):
            one, two = shuffled.randrange(len(order)), shuffled.randrange(len(order))
            order[one], order[two] = order[two], order[one]
        orders.append(order)
    return orders


def _placed(
    blocks: Sequence[_Block], order: Sequence[int], spaces: Mapping[int, int]
) -> tuple[dict[int, Place], int]:
    """(the place of each block, the bytes of the arena) when blocks are placed in this order.

    `spaces`: the bytes of inputs that others may take the place of.
    """
    places = {
        index: Place(block.space, 0)
        for index, block in enumerate(blocks)
        if block.space is not None
    }
    arena = 0
    for index in order:
        block = blocks[index]
        if block.space is not None:
            continue
        for space, room in (*spaces.items(), (ARENA, None)):
            offset = _lowest(blocks, places, block, space)
            if room is None or offset + block.bytes <= room:
                places[index] = Place(space, offset)
                if space == ARENA:
                    arena = max(arena, offset + block.bytes)
                break
    return places, -(-arena // _ALIGNED) * _ALIGNED


def _lowest(
    blocks: Sequence[_Block], places: Mapping[int, Place], block: _Block, space: int
) -> int:
    """The lowest offset in a space at which nothing else is while the block is needed."""
    taken = sorted(
        (place.offset, place.offset + blocks[other].bytes)
        for other, place in places.items()
        if place.space == space and blocks[other].meets(block)
    )
    offset = 0
    for start, end in taken:
        if offset + block.bytes <= start:
            break
        offset = max(offset, -(-end // _ALIGNED) * _ALIGNED)
    return offset
