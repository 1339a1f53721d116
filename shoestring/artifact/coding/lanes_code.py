"""Machine code for the coder of `lanes.py`: sixteen lanes are a vector. It needs llvmlite.

A table of steps is one word of 32 bits for each number below 4096: the symbol, its frequency less
one, and the distance from its start. So decoding takes one gathered read for sixteen symbols.
Encoding needs the frequency less one and the start of each symbol. That table is so small that it
stays in registers where the processor can permute their bytes (AVX-512 VBMI), and is gathered from
memory otherwise.

Words are expanded and compressed in registers, as lanes of 32 bits, because some processors take
a hundred cycles to compress into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from shoestring.artifact.coding.lane_sizes import LOWEST, PRECISION, SEGMENT_BITS
from shoestring.artifact.machine_code import (
    BYTES,
    FLOATS,
    LANES,
    LONG,
    TO_WORDS,
    WORD,
    WORDS,
    Builder,
    filled,
    function,
)

WIDE = ("avx512f", "avx512bw", "avx512vl")
"""What a processor must have, by LLVM's names."""
ARGUMENTS = {"decode": "PLPPPPLLP", "encode": "PPPPLLPP"}
"""The functions' arguments: P is a pointer, L an integer of 64 bits."""
_BIT, _BYTE, _SHORT = ir.IntType(1), ir.IntType(8), ir.IntType(16)
_BITS, _SIXTEEN, _SHORTS = (ir.VectorType(kind, LANES) for kind in (_BIT, _BYTE, _SHORT))
_TO_BYTES, _TO_SHORTS, _TO_LONGS = (kind.as_pointer() for kind in (_BYTE, _SHORT, LONG))
_NUMBERED = ir.Constant(WORDS, list(range(LANES)))


def _known(b: Builder, name: str, result: Any, kinds: Sequence[Any]) -> ir.Function:
    """LLVM's function of that name."""
    return b.module.globals.get(name) or ir.Function(
        b.module, ir.FunctionType(result, tuple(kinds)), name
    )


def _gathered(b: Builder, table: Any, indices: Any) -> Any:
    """The words of a table at sixteen indices."""
    table = b.bitcast(table, _TO_BYTES)
    kinds = (WORDS, table.type, WORDS, _BITS, WORD)
    gather = _known(b, "llvm.x86.avx512.mask.gather.dpi.512", WORDS, kinds)
    return b.call(gather, (filled(WORDS, 0), table, indices, filled(_BITS, 1), WORD(4)))


def _reader(b: Builder, table: Any) -> Callable[[Any], Any]:
    """A reader of a table of words: sixteen bytes in, their words out."""
    return lambda symbols: _gathered(b, table, b.zext(symbols, WORDS))


def _permuted(b: Builder, table: Any) -> Callable[[Any], Any]:
    """A reader of a table of 256 words of 24 bits: sixteen bytes in, their words out.

    The table stays in twelve registers, 64 bytes each: the lowest bytes of its words, and so on.
    """
    quarters = [_load(b, b.at(table, LONG(64 * k)), ir.VectorType(WORD, 64)) for k in range(4)]
    planes = [
        [b.trunc(b.lshr(part, filled(part.type, 8 * i)), BYTES) for part in quarters]
        for i in range(3)
    ]
    kinds = (BYTES, BYTES, BYTES)
    permute = _known(b, "llvm.x86.avx512.vpermi2var.qi.512", BYTES, kinds)
    four_times = ir.Constant(ir.VectorType(WORD, 64), [i % LANES for i in range(64)])
    first = ir.Constant(WORDS, list(range(LANES)))

    def read(symbols: Any) -> Any:
        index = b.shuffle_vector(symbols, filled(symbols.type, 0), four_times)
        upper = b.icmp_signed("<", index, filled(BYTES, 0))
        words = filled(WORDS, 0)
        for i, (one, two, three, four) in enumerate(planes):
            low, high = b.call(permute, (one, index, two)), b.call(permute, (three, index, four))
            found = b.shuffle_vector(b.select(upper, high, low), filled(BYTES, 0), first)
            words = b.or_(words, b.shl(b.zext(found, WORDS), filled(WORDS, 8 * i)))
        return words

    return read


def _moved(b: Builder, which: str, values: Any, mask: Any) -> Any:
    """The values expanded into the lanes of a mask, or compressed out of them; 0 in others."""
    kinds = (WORDS, WORDS, _BITS)
    move = _known(b, f"llvm.x86.avx512.mask.{which}.v16i32", WORDS, kinds)
    return b.call(move, (values, filled(WORDS, 0), mask))


def _number_of(b: Builder, mask: Any) -> Any:
    """How many lanes a mask has, as an integer of 64 bits."""
    count = _known(b, "llvm.ctpop.i32", WORD, (WORD,))
    return b.zext(b.call(count, (b.zext(b.bitcast(mask, _SHORT), WORD),)), LONG)


def _load(b: Builder, pointer: Any, kind: Any) -> Any:
    return b.load(b.bitcast(pointer, kind.as_pointer()), align=kind.element.width // 8)


def _store(b: Builder, value: Any, pointer: Any) -> None:
    kind = value.type
    b.store(value, b.bitcast(pointer, kind.as_pointer()), align=kind.element.width // 8)


def _load_bytes(b: Builder, pointer: Any, mask: Any | None) -> Any:
    """Sixteen bytes; those outside a mask are 0, and their memory is not touched."""
    if mask is None:
        return _load(b, pointer, _SIXTEEN)
    pointer = b.bitcast(pointer, _SIXTEEN.as_pointer())
    kinds = (pointer.type, WORD, _BITS, _SIXTEEN)
    load = _known(b, "llvm.masked.load.v16i8.p0", _SIXTEEN, kinds)
    return b.call(load, (pointer, WORD(1), mask, filled(_SIXTEEN, 0)))


def _store_bytes(b: Builder, value: Any, pointer: Any, mask: Any | None) -> None:
    """Store sixteen bytes, or those of a mask."""
    if mask is None:
        _store(b, value, pointer)
        return
    pointer = b.bitcast(pointer, _SIXTEEN.as_pointer())
    kinds = (_SIXTEEN, pointer.type, WORD, _BITS)
    store = _known(b, "llvm.masked.store.v16i8.p0", ir.VoidType(), kinds)
    b.call(store, (value, pointer, WORD(1), mask))


def _table_of(b: Builder, tables: Any, choice: Any, start: Any, bits: int) -> Any:
    """The table of 2^bits words for the step that starts at a symbol."""
    number = b.zext(b.load(b.at(choice, b.lshr(start, LONG(SEGMENT_BITS)))), LONG)
    return b.at(tables, b.shl(number, LONG(bits)))


def _fewer(b: Builder, one: Any, other: Any) -> Any:
    return b.select(b.icmp_signed("<", one, other), one, other)


def _rest(b: Builder, here: Any, at: Any, body: Callable[[Any, Any, Any], Any]) -> Any:
    """Code the last of so many lanes, which do not fill a vector; returns the next `at`.

    `body(lane, at, valid)` codes the lanes of a mask from that lane on, and returns the same.
    """
    rest, before = b.and_(here, LONG(LANES - 1)), b.block
    with b.if_then(b.icmp_signed(">", rest, LONG(0)), likely=False):
        valid = b.icmp_unsigned("<", _NUMBERED, b.splat(b.trunc(rest, WORD)))
        last = body(b.sub(here, rest), at, valid)
        inside = b.block
    after = b.phi(LONG)
    after.add_incoming(at, before)
    after.add_incoming(last, inside)
    return after


def _decode(module: ir.Module) -> None:
    """Add the function that decodes steps while words for all lanes are left.

    Its arguments: words, how many, states, tables of steps, choice, out, lanes, count of symbols,
    and two numbers, which it reads and updates: the first symbol of the next step, and the first
    word that is left.
    """
    kinds = (_TO_SHORTS, LONG, TO_WORDS, TO_WORDS, _TO_BYTES, _TO_BYTES, LONG, LONG, _TO_LONGS)
    b, (words, given, states, tables, choice, out, lanes, count, progress) = function(
        module, "decode", kinds, internal=False
    )

    def sixteen(table: Any, at: Any, goal: Any, lane: Any, valid: Any | None) -> Any:
        """Decode the symbols of sixteen lanes; returns where the next word is."""
        state = _load(b, b.at(states, lane), WORDS)
        found = _gathered(b, table, b.and_(state, filled(WORDS, (1 << PRECISION) - 1)))
        low = filled(WORDS, (1 << PRECISION) - 1)
        frequency = b.add(b.and_(b.lshr(found, filled(WORDS, 8)), low), filled(WORDS, 1))
        moved = b.add(
            b.mul(b.lshr(state, filled(WORDS, PRECISION)), frequency),
            b.lshr(found, filled(WORDS, 8 + PRECISION)),
        )
        short = b.icmp_unsigned("<", moved, filled(WORDS, LOWEST))
        if valid is not None:
            short = b.and_(short, valid)
        new = b.zext(_load(b, b.at(words, at), _SHORTS), WORDS)
        filled_up = b.or_(b.shl(moved, filled(WORDS, 16)), _moved(b, "expand", new, short))
        moved = b.select(short, filled_up, moved)
        _store(b, moved if valid is None else b.select(valid, moved, state), b.at(states, lane))
        _store_bytes(b, b.trunc(found, _SIXTEEN), b.at(goal, lane), valid)
        return b.add(at, _number_of(b, short))

    def step(index: Any, carried: list[Any]) -> Sequence[Any]:
        (at,) = carried
        start = b.mul(index, lanes)
        with b.if_then(b.icmp_signed(">", b.add(at, lanes), given), likely=False):
            b.store(start, progress)
            b.store(at, b.at(progress, LONG(1)))
            b.ret_void()
        table, goal = _table_of(b, tables, choice, start, PRECISION), b.at(out, start)
        here = _fewer(b, b.sub(count, start), lanes)
        full = b.lshr(here, LONG(4))

        def group(number: Any, carried: list[Any]) -> Sequence[Any]:
            return (sixteen(table, carried[0], goal, b.shl(number, LONG(4)), None),)

        (at,) = b.loop(full, (at,), group)
        return (_rest(b, here, at, lambda lane, at, valid: sixteen(table, at, goal, lane, valid)),)

    steps = b.udiv(b.add(count, b.sub(lanes, LONG(1))), lanes)
    first, at = b.load(progress), b.load(b.at(progress, LONG(1)))
    (at,) = b.loop(steps, (at,), step, start=b.udiv(first, lanes))
    b.store(count, progress)
    b.store(at, b.at(progress, LONG(1)))
    b.ret_void()


def _quotient(b: Builder, state: Any, frequency: Any) -> Any:
    """State divided by frequency, rounded down, for a quotient below 2^20.

    Floating-point numbers of 32 bits are wrong by less than a quarter there. With a quarter less,
    the quotient is right or one too small, and the remainder tells which.
    """
    exact = b.fdiv(b.uitofp(state, FLOATS), b.sitofp(frequency, FLOATS))
    found = b.fptosi(b.fsub(exact, ir.Constant(FLOATS, [0.25] * LANES)), WORDS)
    rest = b.sub(state, b.mul(found, frequency))
    return b.add(found, b.zext(b.icmp_unsigned(">=", rest, frequency), WORDS))


def _encode(module: ir.Module, permutes: bool) -> None:
    """Add the function that encodes all symbols, from the last to the first.

    Its arguments: symbols, tables (frequency - 1 + 2^12 × start, 256 words each), choice, states,
    lanes, count of symbols, words, and a number, where the words begin, which it reads and
    updates. There is room for sixteen words more than there are symbols.
    """
    kinds = (_TO_BYTES, TO_WORDS, _TO_BYTES, TO_WORDS, LONG, LONG, _TO_SHORTS, _TO_LONGS)
    b, (symbols, tables, choice, states, lanes, count, words, progress) = function(
        module, "encode", kinds, internal=False
    )

    def sixteen(read: Any, at: Any, source: Any, lane: Any, valid: Any | None) -> Any:
        """Encode the symbols of sixteen lanes; returns where the words begin."""
        known = _load(b, b.at(states, lane), WORDS)
        found = read(_load_bytes(b, b.at(source, lane), valid))
        low = filled(WORDS, (1 << PRECISION) - 1)
        frequency = b.add(b.and_(found, low), filled(WORDS, 1))
        full = b.icmp_unsigned(">=", b.lshr(known, filled(WORDS, 32 - PRECISION)), frequency)
        if valid is not None:
            full = b.and_(full, valid)
        number = _number_of(b, full)
        # The words go to the end of the vector, and what is before them is overwritten later.
        order = b.add(_NUMBERED, b.splat(b.trunc(number, WORD)))
        turn = _known(b, "llvm.x86.avx512.permvar.si.512", WORDS, (WORDS, WORDS))
        last = b.call(turn, (_moved(b, "compress", known, full), order))
        _store(b, b.trunc(last, _SHORTS), b.at(words, b.sub(at, LONG(LANES))))
        state = b.select(full, b.lshr(known, filled(WORDS, 16)), known)
        rest = b.sub(filled(WORDS, 1 << PRECISION), frequency)
        grown = b.mul(_quotient(b, state, frequency), rest)
        state = b.add(b.add(state, grown), b.lshr(found, filled(WORDS, PRECISION)))
        _store(b, state if valid is None else b.select(valid, state, known), b.at(states, lane))
        return b.sub(at, number)

    steps = b.udiv(b.add(count, b.sub(lanes, LONG(1))), lanes)

    def step(index: Any, carried: list[Any]) -> Sequence[Any]:
        (at,) = carried
        start = b.mul(b.sub(steps, b.add(index, LONG(1))), lanes)
        table, source = _table_of(b, tables, choice, start, 8), b.at(symbols, start)
        read = _permuted(b, table) if permutes else _reader(b, table)
        here = _fewer(b, b.sub(count, start), lanes)
        full = b.lshr(here, LONG(4))
        at = _rest(b, here, at, lambda lane, at, valid: sixteen(read, at, source, lane, valid))

        def group(number: Any, carried: list[Any]) -> Sequence[Any]:
            lane = b.shl(b.sub(full, b.add(number, LONG(1))), LONG(4))
            return (sixteen(read, carried[0], source, lane, None),)

        return b.loop(full, (at,), group)

    (at,) = b.loop(steps, (b.load(progress),), step)
    b.store(at, progress)
    b.ret_void()


def source(features: dict[str, bool]) -> str:
    """The functions in LLVM's language, for a processor with these features."""
    module = ir.Module("lanes")
    _decode(module)
    _encode(module, features.get("avx512vbmi", False))
    return str(module)
