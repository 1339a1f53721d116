"""The coder of `lanes.py` in vectors of sixteen lanes, where the processor has AVX-512.

It needs llvmlite (the extra `fast`), which compiles it once in a process. The code is in
`lanes_code.py`. It runs without the interpreter's lock, so threads run it together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from threading import Lock

import numpy as np

from shoestring.artifact.coding.lane_sizes import SEGMENT

_LANES = 16
_WORTH = 1 << 16  # with fewer symbols, the calls and the tables take as long as the symbols
_ALONE = 1 << 19  # so many symbols take numpy as long as compiling takes
_compiling = Lock()


@cache
def available() -> bool:
    """Whether llvmlite is installed and the processor has wide enough vectors."""
    if find_spec("llvmlite") is None:
        return False
    from shoestring.artifact import machine_code
    from shoestring.artifact.coding import lanes_code

    features = machine_code.features_here()
    return all(features.get(name, False) for name in lanes_code.WIDE)


def suits(lanes: int, count: int) -> bool:
    """Whether to code so many symbols in so many lanes here."""
    return lanes % _LANES == 0 and count >= _WORTH and available()


def pays(lanes: int, count: int) -> bool:
    """Whether to decode so many symbols here although numba's loops are not loaded.

    Compiling takes a twentieth of a second, once.
    """
    ready = _kernels.cache_info().currsize > 0
    return (ready or count >= _ALONE) and suits(lanes, count)


def kernels() -> dict[str, Callable[..., None]]:
    """The compiled functions of `lanes_code`, by name, where they are `available`."""
    with _compiling:  # or each thread of the first call would compile them
        return _kernels()


@cache
def _kernels() -> dict[str, Callable[..., None]]:
    from shoestring.artifact import machine_code
    from shoestring.artifact.coding import lanes_code

    source = lanes_code.source(machine_code.features_here())
    compiled = machine_code.compiled(source, list(lanes_code.ARGUMENTS))
    return machine_code.bound(compiled, lanes_code.ARGUMENTS)


def encode(
    symbols: np.ndarray,
    frequencies: np.ndarray,
    starts: np.ndarray,
    choice: np.ndarray,
    states: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(the states, the words), as `lanes.encode` returns them.

    `symbols`, `choice`: uint8.
    `frequencies`, `starts`: tables × 256.
    `states`: uint32, for a multiple of sixteen lanes. They change.
    Raises ValueError for another number of lanes, and IndexError for a choice of no table.
    """
    symbols, choice = _plain(symbols, np.uint8), _chosen(choice, len(symbols), len(frequencies))
    states = _whole(states)
    tables = _plain(np.maximum(frequencies, 1) - 1 | starts << 12, np.uint32)
    words = np.empty(len(symbols) + _LANES, np.uint16)
    at = np.array([len(words)])
    kernels()["encode"](
        symbols.ctypes.data,
        tables.ctypes.data,
        choice.ctypes.data,
        states.ctypes.data,
        len(states),
        len(symbols),
        words.ctypes.data,
        at.ctypes.data,
    )
    return states, words[int(at[0]) :]


def decode(
    words: np.ndarray,
    states: np.ndarray,
    symbols: np.ndarray,
    steps: np.ndarray,
    choice: np.ndarray,
    out: np.ndarray,
) -> int:
    """Decode all symbols into `out`; returns how many words were used, -1 where more are needed.

    `words`: uint16.
    `states`: uint32, for a multiple of sixteen lanes. They change.
    `symbols`, `steps`: as `lanes.Tables.slots` makes them.
    `choice`, `out`: uint8; `out` has no gaps.
    Raises ValueError for another number of lanes, and IndexError for a choice of no table.
    """
    words, choice = _plain(words, np.uint16), _chosen(choice, len(out), len(steps))
    tables = (steps & np.uint32(0xFFFF)) - np.uint32(1) << np.uint32(8) | symbols
    tables |= steps >> np.uint32(16) << np.uint32(20)
    own, lanes, progress = _whole(states), len(states), np.zeros(2, np.int64)

    def run(words: np.ndarray) -> None:
        kernels()["decode"](
            words.ctypes.data,
            len(words),
            own.ctypes.data,
            tables.ctypes.data,
            choice.ctypes.data,
            out.ctypes.data,
            lanes,
            len(out),
            progress.ctypes.data,
        )

    run(words)
    used = int(progress[1])
    if progress[0] < len(out):
        # A step may read a word for each lane. The last words are followed by others for that.
        progress[1] = 0
        run(np.concatenate([words[used:], np.zeros(lanes, np.uint16)]))
        used += int(progress[1])
    if own is not states:
        states[:] = own
    return used if progress[0] == len(out) else -1


def _plain(array: np.ndarray, kind: type[np.generic]) -> np.ndarray:
    """The same numbers as the compiled code reads them: of that type, without gaps."""
    return np.ascontiguousarray(array, kind)


def _whole(states: np.ndarray) -> np.ndarray:
    """The states of whole vectors; raises ValueError for others, which would be read past."""
    if not len(states) or len(states) % _LANES:
        raise ValueError(f"{len(states)} lanes are not whole vectors; give a multiple of {_LANES}")
    return _plain(states, np.uint32)


def _chosen(choice: np.ndarray, count: int, tables: int) -> np.ndarray:
    """The table of each segment of `count` symbols; raises IndexError where there is no such."""
    if len(choice) * SEGMENT < count or int(choice.max(initial=0)) >= tables:
        raise IndexError(f"a segment has none of the {tables} tables; each wants a number of one")
    return _plain(choice, np.uint8)
