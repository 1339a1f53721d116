"""Layers of sequences: recurrent ones, look-ups by computed indices, and running sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoestring.artifact.plain_c.windows import Weights

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""How many rows of weights a unit of each recurrent layer has."""


@dataclass(frozen=True, kw_only=True)
class Recurrent:
    """One direction of an LSTM, a GRU or an RNN, whose inputs have been multiplied before.

    `kind`: "LSTM", "GRU" or "RNN".
    `source`: (steps, rows): of each step the products of its inputs, with biases. Written over.
    `target`: (steps, directions, units), of which this is one direction; where `keeps_cell`,
        (directions, units) of last cells follow.
    `weights`: the recurrent ones, (rows, units): i, o, f, c of an LSTM, z, r, h of a GRU.
    `factors`: float32, one for each row; None: 1.
    `bias`: of a GRU, float32, added to the product of the last rows before it is reset; None: the
        reset comes before the product.
    `hidden`, `cell`: the buffers of the first states, (directions, units); None: zeros.
    `activation`: of an RNN, "Tanh" or "Relu".
    """

    name: str
    kind: str
    source: int
    target: int
    weights: Weights
    steps: int
    units: int
    direction: int
    directions: int
    backward: bool
    factors: np.ndarray | None = None
    bias: np.ndarray | None = None
    hidden: int | None = None
    cell: int | None = None
    keeps_cell: bool = False
    activation: str = "Tanh"

    @property
    def multiplications(self) -> int:
        """How many products a run takes, without those of weights that are zero."""
        return int(self.weights.used.sum()) * self.steps

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        more = (one for one in (self.hidden, self.cell) if one is not None)
        return (self.source, *more)

    @property
    def over(self) -> tuple[int, ...]:
        """None: a step is read after the one before was written."""
        return ()

    @property
    def scratch_bytes(self) -> int:
        """The bytes of the cell, unless it is in the target."""
        return 4 * self.units if self.kind == "LSTM" and not self.keeps_cell else 0


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Elements of an array whose place along one axis is computed.

    `source`: the buffer that is read; None: `table` is.
    `indices`: the buffer of int32. Below 0 counts from the end; beyond the axis is the nearest.
    `axes`: (length, step in the source, step in the indices) of each axis of the target.
    `length`, `step`: of the axis of the source that is looked up.
    """

    name: str
    source: int | None
    table: np.ndarray | None
    indices: int
    target: int
    axes: tuple[tuple[int, int, int], ...]
    length: int
    step: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return (self.indices,) if self.source is None else (self.source, self.indices)

    @property
    def over(self) -> tuple[int, ...]:
        """None: elements are read in any order."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Running:
    """The sums up to each element along an axis: `outer` × `count` × `inner` elements.

    `exclusive`: without the element itself. `backward`: from the end.
    """

    name: str
    source: int
    target: int
    outer: int
    count: int
    inner: int
    exclusive: bool
    backward: bool

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return (self.source,)

    @property
    def over(self) -> tuple[int, ...]:
        """The source: an element is read before its place is written."""
        return (self.source,)
