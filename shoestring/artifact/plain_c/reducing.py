"""Pools, means, sums, and what looks at whole axes: softmax and the place of the largest."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from shoestring.artifact.plain_c import quantised
from shoestring.artifact.plain_c.building import Building, Handler
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Reduce, Softmax, Windowed
from shoestring.artifact.plain_c.products import geometry
from shoestring.artifact.plain_c.steps import dense_steps
from shoestring.artifact.plain_c.traced import Step

HOW = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}


def pool(now: Building, step: Step) -> None:
    """Add the layer of a MaxPool or AveragePool that no layer before it took in."""
    value, out = step.inputs[0] or 0, step.outputs[0]
    shape = now.shape(value)
    kernel = tuple(step.attributes.get("kernel_shape", ()))
    if len(kernel) not in (1, 2):
        raise NoPlainC(f"{step} pools {len(kernel)} axes: C has pools of 1 and 2 axes")
    if any(number in now.graph.readers for number in step.outputs[1:]):
        raise NoPlainC(f"{step} tells where each largest number was, which C does not")
    window = geometry(step, shape, now.shape(out), kernel)
    window = replace(window, groups=shape[0] * shape[1])
    how = "max" if step.operator == "MaxPool" else "mean"
    if how == "mean" and step.attributes.get("ceil_mode", 0) and window.padded:
        raise NoPlainC(f"{step} has ceil_mode and windows beyond the border, which C does not have")
    if how == "max":
        source, target = now.moved(value, out, step)
    else:
        source, target = now.source(value, step), now.target(out, step)
    now.layers.append(
        Windowed(
            name=str(step),
            source=source,
            target=target,
            how=how,
            window=window,
            counts_pads=bool(step.attributes.get("count_include_pad", 0)),
        )
    )


def everywhere(now: Building, step: Step) -> None:
    """Add the layer of a GlobalAveragePool or GlobalMaxPool."""
    if step.operator == "GlobalAveragePool" and quantised.mean(now, step):
        return
    shape = now.shape(step.inputs[0] or 0)
    how = "mean" if step.operator == "GlobalAveragePool" else "max"
    _reduced(now, step, how, tuple(range(2, len(shape))))


def reduce(now: Building, step: Step) -> None:
    """Add the layer of a ReduceMean, ReduceSum, ReduceMax or ReduceMin."""
    shape = now.shape(step.inputs[0] or 0)
    axes = step.attributes.get("axes")
    if len(step.inputs) > 1 and step.inputs[1] is not None:
        array = now.constant(step.inputs[1])
        if array is None:
            raise NoPlainC(f"{step} has axes that are computed: C needs constant ones")
        axes = array.reshape(-1).tolist()
    if not axes:
        axes = [] if step.attributes.get("noop_with_empty_axes", 0) else range(len(shape))
    _reduced(now, step, HOW[step.operator], tuple(int(axis) % len(shape) for axis in axes))


def largest(now: Building, step: Step) -> None:
    """Add the layer of an ArgMax."""
    if step.attributes.get("select_last_index", 0):
        raise NoPlainC(f"{step} has select_last_index, which C does not have")
    shape = now.shape(step.inputs[0] or 0)
    _reduced(now, step, "argmax", (int(step.attributes.get("axis", 0)) % len(shape),))


def _reduced(now: Building, step: Step, how: str, axes: tuple[int, ...]) -> None:
    value, out = step.inputs[0] or 0, step.outputs[0]
    shape = now.shape(value)
    if not axes or (prod(shape[axis] for axis in axes) == 1 and how != "argmax"):
        now.alias(out, value, step)
        return
    source = now.source(value, step)
    if now.buffers[source].kind != "float" and how in ("mean", "argmax"):
        raise NoPlainC(f"{step} reads integers, for which C has none")
    steps = dense_steps(shape)
    outer = tuple((shape[a], steps[a]) for a in range(len(shape)) if a not in axes and shape[a] > 1)
    inner = tuple((shape[a], steps[a]) for a in axes if shape[a] > 1)
    target = now.target(out, step)
    now.layers.append(
        Reduce(
            name=str(step),
            source=source,
            target=target,
            how=how,
            outer=_joined(outer),
            inner=_joined(inner),
        )
    )


def _joined(axes: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Axes with neighbours joined where one step of the first is all steps of the second."""
    kept: list[tuple[int, int]] = []
    for length, step in axes:
        if kept and kept[-1][1] == length * step:
            kept[-1] = (kept[-1][0] * length, step)
        else:
            kept.append((length, step))
    return tuple(kept) or ((1, 0),)


def softmax(now: Building, step: Step) -> None:
    """Add the layer of a Softmax or LogSoftmax."""
    shape = now.shape(step.inputs[0] or 0)
    axis = int(step.attributes.get("axis", -1)) % len(shape)
    if now.graph.types[step.inputs[0] or 0] != "float32":
        raise NoPlainC(f"{step} reads integers, for which C has none")
    now.layers.append(
        Softmax(
            name=str(step),
            source=now.source(step.inputs[0], step),
            target=now.target(step.outputs[0], step),
            outer=prod(shape[:axis]),
            count=shape[axis],
            inner=prod(shape[axis + 1 :]),
            logarithm=step.operator == "LogSoftmax",
        )
    )


REDUCING: dict[str, Handler] = {
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": everywhere,
    "GlobalMaxPool": everywhere,
    **dict.fromkeys(HOW, reduce),
    "ArgMax": largest,
    "Softmax": softmax,
    "LogSoftmax": softmax,
}
