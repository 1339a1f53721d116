"""The context model one number at a time, by the faster of two loops.

It follows the rules of `context.py`. numba compiles `context_compiled.py` where it is installed
(the extra `fast`). Without numba, `context_python.py` runs a tenth as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shoestring.artifact.coding import context_compiled, context_python, work
from shoestring.artifact.coding.context import Choice
from shoestring.artifact.coding.entropy import Decoder

SOME = 200_000
"""So many numbers take Python as long as the compiled loop takes to load."""


def compiled() -> Any:
    """The loop as machine code, or None where numba is not installed."""
    return context_compiled.loop()


def _loop_for(count: int) -> Any:
    """The compiled loop for a matrix of `count` numbers.

    None where numba is missing, or where loading it would take longer than running Python.
    """
    if count < SOME and not context_compiled.loop.cache_info().currsize:
        return None
    return compiled()


def notes(choice: Choice, matrix: np.ndarray) -> np.ndarray:
    """The bits that an encoder writes for the matrix, in decoding order.

    Each note is the probability of a 1 (× 65,536) × 2, plus the bit.
    """
    shape = (int(matrix.shape[0]), int(matrix.shape[1]))
    if _loop_for(matrix.size) is None:
        found: list[int] = []
        numbers = np.ascontiguousarray(matrix, np.int64).reshape(-1).data
        context_python.run(choice, shape, numbers, found.append, 1 << 62)
        return np.array(found, np.int64)
    full = int(np.count_nonzero(matrix))
    most = matrix.size + 2 * choice.digits * full + 1
    room = np.zeros(most, np.int64)
    numbers = np.ascontiguousarray(matrix, np.int16).reshape(-1)
    made = context_compiled.run(choice, shape, numbers, room, most)
    assert made is not None, "a number has no more decisions than twice its digits, and one"
    return room[: made[0] - full]


def numbers(
    choice: Choice, rows: int, columns: int, decoder: Decoder, account: work.Work
) -> np.ndarray:
    """The next matrix (rows × columns) in the stream.

    `account`: counts the decisions after the first of each number, which are counted beforehand; a
        number other than zero is one more.
    """
    left, state = decoder.position()
    decoded = np.zeros(rows * columns, np.int16)
    most = decoded.size + account.left(work.DECISION)
    if _loop_for(decoded.size) is None:
        coder = decoder.words.data, left, state
        made = context_python.run(choice, (rows, columns), decoded.data, coder, most)
    else:
        coder = decoder.words, left, state
        made = context_compiled.run(choice, (rows, columns), decoded, coder, most)
    used, left, state = (most + 1, 0, 0) if made is None else made
    account.spend((used - decoded.size) * work.DECISION)
    decoder.go(left, state)
    return decoded.reshape(rows, columns)
