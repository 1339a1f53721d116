"""What lowering has made so far: layers, buffers, and which buffer holds which value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import (
    C_TYPES,
    Buffer,
    Layer,
    Network,
    Operand,
    Pointwise,
    Term,
)
from shoestring.artifact.plain_c.sign_layers import PackedSigns
from shoestring.artifact.plain_c.steps import dense_steps, joined
from shoestring.artifact.plain_c.traced import Step, Traced


@dataclass(frozen=True)
class OnGrid:
    """A value of floats that a buffer holds as integers: (integer - zero) × scale."""

    buffer: int
    scale: float
    zero: int


@dataclass
class Building:
    """A network while it is lowered.

    `graph`: what is lowered.
    `holds`: the buffer of each value that one holds.
    `grids`: values of floats that are held as integers.
    `inputs`: the grids of inputs that are taken as integers, by their buffers.
    `repeated`: values that are another one, repeated along axes, and have no buffer.
    `signs`: values that are held as packed signs.
    `done`: the indices of steps that a layer before them computes too.
    """

    graph: Traced
    layers: list[Layer] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    holds: dict[int, int] = field(default_factory=dict)
    grids: dict[int, OnGrid] = field(default_factory=dict)
    inputs: dict[int, OnGrid] = field(default_factory=dict)
    signs: dict[int, PackedSigns] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    repeated: dict[int, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def shape(self, value: int) -> tuple[int, ...]:
        """The shape of a value."""
        return self.graph.shapes[value]

    def constant(self, value: int | None) -> np.ndarray | None:
        """The array of a value that never varies; None for others."""
        return None if value is None else self.graph.constants.get(value)

    def kind(self, value: int, step: Step) -> str:
        """The C type of a value.

        Raises NoPlainC for a type that there is none of, and for constants beyond 32 bits.
        """
        name = self.graph.types[value]
        array = self.constant(value)
        if name == "int64" and array is not None and (array != array.astype(np.int32)).any():
            raise NoPlainC(
                f"{step} reads the constant {array[array != array.astype(np.int32)][0]}: C has "
                "integers of 32 bits"
            )
        if name not in C_TYPES:
            raise NoPlainC(f"{step} computes with {name}: C has float and integers up to 32 bits")
        return C_TYPES[name]

    def room(self, shape: tuple[int, ...], kind: str) -> int:
        """The number of a new buffer."""
        self.buffers.append(Buffer(number=len(self.buffers), shape=shape, kind=kind))
        return len(self.buffers) - 1

    def target(self, value: int, step: Step) -> int:
        """A new buffer for a value that a step makes."""
        self.holds[value] = self.room(self.shape(value), self.kind(value, step))
        return self.holds[value]

    def source(self, value: int | None, step: Step) -> int:
        """The buffer of a value; what is held as integers is made floats, by a layer."""
        if value is None:
            raise NoPlainC(f"{step} lacks an input")
        if value in self.holds:
            return self.holds[value]
        if value in self.grids:
            grid = self.grids[value]
            target = self.target(value, step)
            count = self.buffers[target].count
            kind = self.buffers[grid.buffer].kind
            self.layers.append(
                Pointwise(
                    name=f"floats for {step}",
                    target=target,
                    axes=(count,),
                    operands=(Operand(buffer=grid.buffer, steps=(1,), kind=kind),),
                    terms=(dequantise(grid, 0),),
                    steps=(1,),
                )
            )
            return target
        array = self.constant(value)
        if array is None:
            raise NoPlainC(f"{step} reads a value that there is no C for")
        target = self.target(value, step)
        self.pointwise(f"a constant for {step}", target, (self.operand(value, array.shape, step),))
        return target

    def moved(self, value: int, out: int, step: Step) -> tuple[int, int]:
        """(the buffer of a value, a new one for an output of which it has the elements).

        What is held as integers on a grid stays so.
        """
        grid = self.grids.get(value) if value not in self.holds else None
        if grid is None:
            return self.source(value, step), self.target(out, step)
        target = self.room(self.shape(out), self.buffers[grid.buffer].kind)
        self.grids[out] = OnGrid(target, grid.scale, grid.zero)
        return grid.buffer, target

    def alias(self, value: int, of: int, step: Step) -> None:
        """Say that a value is the same array as another, in another shape."""
        if of in self.grids:
            self.grids[value] = self.grids[of]
        else:
            self.holds[value] = self.source(of, step)

    def known(self, value: int) -> bool:
        """Whether a value has been computed by now."""
        return value in self.holds or value in self.grids or value in self.graph.constants

    def steps(self, value: int, shape: tuple[int, ...]) -> tuple[int, ...]:
        """How far a value moves along the axes of `shape`: 0 where it is repeated."""
        own = self.shape(value)
        padded = (1,) * (len(shape) - len(own)) + own
        return tuple(
            0 if length == 1 else move
            for length, move in zip(padded, dense_steps(padded), strict=True)
        )

    def operand(self, value: int | None, shape: tuple[int, ...], step: Step) -> Operand:
        """A value as an operand, repeated along the axes of `shape` that it lacks."""
        if value is None:
            raise NoPlainC(f"{step} lacks an input")
        moves = self.steps(value, shape)
        array = self.constant(value)
        if array is not None:
            return Operand(constant=array, steps=moves, kind=self.kind(value, step))
        buffer = self.source(value, step)
        return Operand(buffer=buffer, steps=moves, kind=self.buffers[buffer].kind)

    def pointwise(
        self,
        name: str,
        target: int,
        operands: tuple[Operand, ...],
        terms: tuple[Term, ...] = (),
        *,
        axes: tuple[int, ...] | None = None,
        steps: tuple[int, ...] | None = None,
        start: int = 0,
        fill: float | None = None,
    ) -> None:
        """Add an element-wise layer, with neighbouring axes joined.

        `axes`: the lengths of its axes; None: those of the target.
        `steps`: of the target along these; None: one after the other.
        """
        axes = self.buffers[target].shape if axes is None else axes
        if 0 in axes:
            axes = (0,)
            operands = tuple(
                Operand(buffer=one.buffer, constant=one.constant, steps=(0,), kind=one.kind)
                for one in operands
            )
            steps = (0,)
        moves = dense_steps(axes) if steps is None else steps
        varying = [place for place, one in enumerate(operands) if not one.whole]
        short, found = joined(axes, [moves, *(operands[place].steps for place in varying)])
        now = dict(zip(varying, found[1:], strict=True))
        self.layers.append(
            Pointwise(
                name=name,
                target=target,
                axes=short,
                operands=tuple(
                    Operand(
                        buffer=one.buffer,
                        constant=one.constant,
                        steps=now.get(place, ()),
                        start=one.start,
                        kind=one.kind,
                        whole=one.whole,
                    )
                    for place, one in enumerate(operands)
                ),
                terms=terms,
                steps=found[0],
                start=start,
                fill=fill,
            )
        )

    def _copy(self, source: int, name: str) -> int:
        """A new buffer with what is in another."""
        old = self.buffers[source]
        target = self.room(old.shape, old.kind)
        operand = Operand(buffer=source, steps=dense_steps(old.shape), kind=old.kind)
        self.pointwise(name, target, (operand,))
        return target

    def network(self) -> Network:
        """What was made, as a network."""
        graph = self.graph
        outputs = []
        for name, value in zip(graph.outputs, graph.results, strict=True):
            step = Step(-1, f"the output {name}", (), (), {})
            source = self.source(value, step)
            if source < len(graph.inputs) or source in (number for _, number in outputs):
                source = self._copy(source, f"a copy for the output {name}")
            outputs.append((name, source))
        return Network(
            layers=tuple(self.layers),
            buffers=tuple(self.buffers),
            inputs=tuple((port.name, number) for number, port in enumerate(graph.inputs)),
            outputs=tuple(outputs),
            output_shapes=tuple(self.shape(value) for value in graph.results),
            fixed=graph.fixed,
            grids=tuple((grid.buffer, grid.scale, grid.zero) for grid in self.inputs.values()),
            remarks=tuple(dict.fromkeys(self.remarks)),
        )


Handler = Callable[[Building, Step], None]
"""Adds the layers of a step."""


def dequantise(grid: OnGrid, argument: int) -> Term:
    """The float of an integer on a grid."""
    scale = float_literal(grid.scale)
    minus = f" - {grid.zero}" if grid.zero else ""
    return Term(text=f"(float)((int){{0}}{minus}) * {scale}", arguments=(argument,))


def float_literal(number: float) -> str:
    """A float32 as a C literal that reads as the same float32."""
    value = np.float32(number)
    if np.isnan(value):
        return "NAN"
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    text = np.format_float_scientific(value, unique=True, trim="0")
    mantissa, exponent = text.split("e")
    if -4 <= int(exponent) <= 7:
        return np.format_float_positional(value, unique=True, trim="0") + "f"
    return f"{mantissa}e{int(exponent)}f"
