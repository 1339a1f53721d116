"""Operators that move elements and compute nothing."""

from __future__ import annotations

from math import prod

import numpy as np

from shoestring.artifact.plain_c.building import Building, Handler, OnGrid
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Operand, Rows, Term
from shoestring.artifact.plain_c.sequences import Lookup
from shoestring.artifact.plain_c.steps import dense_steps
from shoestring.artifact.plain_c.traced import Step


def same(now: Building, step: Step) -> None:
    """The output is the input, in another shape."""
    now.alias(step.outputs[0], step.inputs[0] or 0, step)


def moved(
    now: Building,
    step: Step,
    value: int,
    axes: tuple[int, ...],
    steps: tuple[int, ...],
    start: int = 0,
    out: int | None = None,
) -> None:
    """Add a layer that copies elements of a value: integers on a grid stay integers.

    `axes`: the lengths of the output's axes; `steps`, `start`: of the value along them.
    """
    source, target = now.moved(value, step.outputs[0] if out is None else out, step)
    kind = now.buffers[source].kind
    operand = Operand(buffer=source, steps=steps, start=start, kind=kind)
    now.pointwise(str(step), target, (operand,), axes=axes)


def transpose(now: Building, step: Step) -> None:
    """Copy with the axes in another order; no layer where only axes of length 1 move."""
    value, out = step.inputs[0] or 0, step.outputs[0]
    shape = now.shape(value)
    order = tuple(step.attributes.get("perm", tuple(reversed(range(len(shape))))))
    long = [axis for axis in order if shape[axis] != 1]
    if long == sorted(long):
        same(now, step)
        return
    steps = dense_steps(shape)
    moved(now, step, value, now.shape(out), tuple(steps[axis] for axis in order))


def slices(now: Building, step: Step) -> None:
    """Copy a part, with steps that may be negative."""
    value, out = step.inputs[0] or 0, step.outputs[0]
    shape = now.shape(value)
    arrays = [now.constant(number) for number in step.inputs[1:]]
    if any(
        array is None and number is not None
        for array, number in zip(arrays, step.inputs[1:], strict=True)
    ):
        raise NoPlainC(f"{step} has limits that are computed: C needs constant ones")
    starts, ends, axes, moves = (*arrays, None, None)[:4]
    if starts is None or ends is None:
        raise NoPlainC(f"{step} has no limits")
    places = range(len(starts)) if axes is None else axes.tolist()
    by = [1] * len(starts) if moves is None else moves.tolist()
    steps, start = list(dense_steps(shape)), 0
    for place, first, last, move in zip(places, starts.tolist(), ends.tolist(), by, strict=True):
        chosen = range(shape[place])[
            slice(first, last if move > 0 or last >= -shape[place] else None, move)
        ]
        start += steps[place] * (chosen.start if len(chosen) else 0)
        steps[place] *= move
    if now.shape(out) == shape and start == 0 and tuple(steps) == dense_steps(shape):
        same(now, step)
        return
    moved(now, step, value, now.shape(out), tuple(steps), start)


def split(now: Building, step: Step) -> None:
    """Copy each part along an axis."""
    value = step.inputs[0] or 0
    shape = now.shape(value)
    axis = int(step.attributes.get("axis", 0)) % len(shape)
    steps = dense_steps(shape)
    start = 0
    for out in step.outputs:
        if out in now.graph.shapes:
            if out in now.graph.readers or out in now.graph.results:
                moved(now, step, value, now.shape(out), steps, start, out)
            start += now.shape(out)[axis] * steps[axis]


def concat(now: Building, step: Step) -> None:
    """Copy each input to its place. Integers stay integers where all are on one grid."""
    out = step.outputs[0]
    shape = now.shape(out)
    axis = int(step.attributes["axis"]) % len(shape)
    steps = dense_steps(shape)
    values = [number for number in step.inputs if number is not None]
    grids = {
        (grid.scale, grid.zero, now.buffers[grid.buffer].kind) if grid else None
        for grid in (now.grids.get(value) for value in values)
    }
    alike = next(iter(grids)) if len(grids) == 1 else None
    sources = [now.grids[v].buffer if alike else now.source(v, step) for v in values]
    if alike is None:
        target = now.target(out, step)
    else:
        target = now.room(shape, alike[2])
        now.grids[out] = OnGrid(target, alike[0], alike[1])
    start = 0
    for value, source in zip(values, sources, strict=True):
        own = now.shape(value)
        operand = Operand(buffer=source, steps=dense_steps(own), kind=now.buffers[source].kind)
        now.pointwise(str(step), target, (operand,), axes=own, steps=steps, start=start)
        start += own[axis] * steps[axis]


def pad(now: Building, step: Step) -> None:
    """Fill with a constant, then copy into the middle; or repeat what is at the borders."""
    value, out = step.inputs[0] or 0, step.outputs[0]
    pads, shape = now.constant(step.inputs[1]), now.shape(value)
    mode = step.attributes.get("mode", "constant")
    if pads is None or mode != "constant":
        what = f"mode {mode}" if pads is not None else "widths that are computed"
        raise NoPlainC(f"{step} has {what}: C pads with a constant")
    axes = now.constant(step.inputs[3]) if len(step.inputs) > 3 else None
    places = list(range(len(shape))) if axes is None else [int(a) % len(shape) for a in axes]
    before = [0] * len(shape)
    for place, width in zip(places, pads.tolist()[: len(places)], strict=True):
        before[place] = int(width)
    if min(*pads.tolist(), 0) < 0:
        raise NoPlainC(f"{step} has negative widths {pads.tolist()}")
    fill = now.constant(step.inputs[2]) if len(step.inputs) > 2 else np.zeros(1, np.float32)
    if fill is None:
        raise NoPlainC(f"{step} pads with a number that is computed")
    number = float(fill.item())
    grid = now.grids.get(value) if value not in now.holds else None
    whole = np.rint(number / grid.scale) if grid is not None else 0.0
    if grid is not None and whole * grid.scale == number and abs(whole + grid.zero) <= 127:
        source, target = now.moved(value, out, step)
        number = float(whole + grid.zero)
    else:
        source, target = now.source(value, step), now.target(out, step)
    steps = dense_steps(now.shape(out))
    start = sum(width * move for width, move in zip(before, steps, strict=True))
    operand = Operand(buffer=source, steps=dense_steps(shape), kind=now.buffers[source].kind)
    now.pointwise(str(step), target, (operand,), axes=shape, steps=steps, start=start, fill=number)


def expand(now: Building, step: Step) -> None:
    """Repeat along axes; no layer where only look-ups read it, which repeat indices themselves."""
    value, out = step.inputs[0] or 0, step.outputs[0]
    readers = now.graph.readers.get(out, [])
    lookups = all(one.operator == "GatherElements" and one.inputs[0] != out for one in readers)
    if value in now.holds and out not in now.graph.results and readers and lookups:
        now.repeated[out] = value
        return
    if prod(now.shape(value)) == prod(now.shape(out)):
        same(now, step)
        return
    moved(now, step, value, now.shape(out), now.steps(value, now.shape(out)))


def gather(now: Building, step: Step) -> None:
    """Rows of a constant table by computed indices, or elements of a value by constant ones."""
    table, indices = now.constant(step.inputs[0]), now.constant(step.inputs[1])
    out, value = step.outputs[0], step.inputs[0] or 0
    shape = now.shape(value)
    axis = int(step.attributes.get("axis", 0)) % max(len(shape), 1)
    if table is not None and axis == 0 and table.dtype == np.float32:
        now.layers.append(
            Rows(
                name=str(step),
                source=now.source(step.inputs[1], step),
                target=now.target(out, step),
                table=np.ascontiguousarray(table.reshape(len(table), -1)),
            )
        )
        return
    if indices is None:
        by_indices(now, step, axis, elements=False)
        return
    flat = indices.reshape(-1).astype(np.int64) % shape[axis]
    steps = dense_steps(shape)
    outer = tuple(zip(shape[:axis], steps[:axis], strict=True))
    inner = tuple(zip(shape[axis + 1 :], steps[axis + 1 :], strict=True))
    gaps = np.unique(np.diff(flat))
    if len(gaps) <= 1:
        gap = int(gaps[0]) if len(gaps) else 0
        middle = ((len(flat), gap * steps[axis]),)
        parts = (*outer, *middle, *inner)
        start = int(flat[0]) * steps[axis] if len(flat) else 0
        if start == 0 and prod(now.shape(out)) == prod(shape) and gap == 1:
            same(now, step)
            return
        moved(now, step, value, tuple(n for n, _ in parts), tuple(s for _, s in parts), start)
        return
    _by_table(now, step, value, flat, outer, inner, steps[axis])


def elements(now: Building, step: Step) -> None:
    """Elements at computed places along an axis."""
    shape = now.shape(step.inputs[0] or 0)
    by_indices(now, step, int(step.attributes.get("axis", 0)) % len(shape), elements=True)


def by_indices(now: Building, step: Step, axis: int, *, elements: bool) -> None:
    """Add the layer of a look-up by computed indices.

    `elements`: whether each element has an index of its own, as in GatherElements.
    """
    value, index, out = step.inputs[0] or 0, step.inputs[1] or 0, step.outputs[0]
    shape, given = now.shape(value), now.shape(index)
    steps = dense_steps(shape)
    if elements:
        moves = now.steps(now.repeated.get(index, index), given)
        along = [0 if place == axis else move for place, move in enumerate(steps)]
        axes = tuple(zip(given, along, moves, strict=True))
    else:
        axes = (
            *((length, move, 0) for length, move in zip(shape[:axis], steps[:axis], strict=True)),
            *((length, 0, move) for length, move in zip(given, dense_steps(given), strict=True)),
            *(
                (length, move, 0)
                for length, move in zip(shape[axis + 1 :], steps[axis + 1 :], strict=True)
            ),
        )
    kept = tuple(one for one in axes if one[0] != 1) or ((1, 0, 0),)
    table = now.constant(value)
    source = None if table is not None else now.source(value, step)
    now.kind(value, step)
    now.layers.append(
        Lookup(
            name=str(step),
            source=source,
            table=table,
            indices=now.source(now.repeated.get(index, index), step),
            target=now.target(out, step),
            axes=kept,
            length=shape[axis],
            step=steps[axis],
        )
    )


def _by_table(
    now: Building,
    step: Step,
    value: int,
    flat: np.ndarray,
    outer: tuple[tuple[int, int], ...],
    inner: tuple[tuple[int, int], ...],
    move: int,
) -> None:
    """Copy elements whose places are in a table of constants."""
    places = flat * move
    grid = [np.arange(length) * step_of for length, step_of in (*outer,)]
    for extent in reversed(grid):
        places = (extent.reshape(-1, *[1] * places.ndim) + places[None]).reshape(
            len(extent), *places.shape
        )
    for length, step_of in inner:
        places = places[..., None] + np.arange(length) * step_of
    source = now.source(value, step)
    target = now.target(step.outputs[0], step)
    kind = now.buffers[source].kind
    operands = (
        Operand(buffer=source, kind=kind, whole=True),
        Operand(constant=places.reshape(-1).astype(np.int32), steps=(1,), kind="int32_t"),
    )
    term = Term(text="{0}[{1}]", arguments=(0, 1), kind=kind)
    now.pointwise(str(step), target, operands, (term,), axes=(places.size,), steps=(1,))


MOVING: dict[str, Handler] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout"), same),
    "Transpose": transpose,
    "Slice": slices,
    "Split": split,
    "Concat": concat,
    "Pad": pad,
    "Expand": expand,
    "Gather": gather,
    "GatherElements": elements,
}
